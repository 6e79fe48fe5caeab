"""A build whose clock was ahead: what it left goes from the table and from both stores."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tests.support.dbt import Project
from tests.support.store import ALL_DAYS, Store, copy, expected, history, newest, write_inputs

# The input has an event of the future too, or the gate would have stopped the first night.
EVENTS = [*history(), ("user0", "x", datetime(2024, 4, 3, 12))]
NOW = "2024-03-31T00:00:00Z"


def test_three_nights_of_which_the_first_has_a_clock_that_is_ahead(
    built: Project, redis_url: str, tmp_path: Path
) -> None:
    store = Store(copy(built, tmp_path / "store"), redis_url)
    write_inputs(store.project, EVENTS)
    store.project.now = "2024-04-04T00:00:00Z"
    store.project.build().assert_done()
    store.do("run").assert_code(0)

    store.project.now = NOW
    run = store.project.build().assert_done()
    assert "features_daily: 4 days not over, 2024-03-31 to 2024-04-03" in run.output
    refused = store.do("publish").assert_code(3)
    assert "it would remove the whole of 2024-03-31" in refused.err
    store.do("publish", "--allow-removals").assert_code(0)
    assert "to go back to that: --allow-older" in store.do("push").assert_code(3).err
    store.do("push", "--allow-older").assert_code(0)
    assert store.offline() == expected()
    assert store.online() == newest(expected())

    store.project.now = "2024-04-01T00:00:00Z"
    assert "1 day missing, 2024-03-31" in store.project.build().output
    # The newest day has no event; what is published stays as it was.
    store.do("run").assert_code(3)
    assert store.offline() == expected()
    assert len(ALL_DAYS) == len({row[1] for row in store.offline()})
