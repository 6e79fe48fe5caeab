"""A row of a group is known when it may be used: its key, its day, and every time in it."""

import re

import pytest

from tests.support.marts import Marts, problems

_COLUMNS = {
    "id": "varchar",
    "day": "date",
    "available_at": "timestamp",
    "paid_at": "timestamp",
    "paid_on": "date",
    "calls": "timestamp[]",
    "due_on": {"data_type": "date", "config": {"meta": {"may_be_future": True}}},
}
_DAY, _NOON = "2024-03-05", "2024-03-05 12:00:00"
_NOW = "2024-03-31T00:15:00Z"


def _row(id_: object, **columns: object) -> list[object]:
    """Make a row that is known at noon of 5 March, with some columns changed."""
    row: dict[str, object] = {**dict.fromkeys(_COLUMNS), "day": _DAY, "available_at": _NOON}
    return list({**row, "id": id_, **columns}.values())


GOOD = [
    _row("nulls"),
    _row("same", paid_at=_NOON, paid_on=_DAY, calls=["2024-03-01 00:00:00", _NOON]),
    _row("due", due_on="2024-04-30"),
    # By the clock of the build, over this instant.
    _row("now", day="2024-03-31", available_at="2024-03-31 00:15:00"),
]
LATE = "usable from 2024-03-05 12:00:00"
BAD = {
    f"id null, {LATE}: id is null or empty": _row(None),
    f"id , {LATE}: id is null or empty": _row(""),
    f"id no day, {LATE}: day is null": _row("no day", day=None),
    "id no time, usable from null: available_at is null": _row("no time", available_at=None),
    f"id paid, {LATE}: paid_at has 2024-03-05 12:00:00.000001": _row(
        "paid", paid_at="2024-03-05 12:00:00.000001"
    ),
    f"id paid on, {LATE}: paid_on has 2024-03-06": _row("paid on", paid_on="2024-03-06"),
    f"id open, {LATE}: paid_at has infinity": _row("open", paid_at="infinity"),
    f"id calls, {LATE}: calls has 2024-03-07 00:00:00": _row(
        "calls", calls=["2024-03-07 00:00:00", "2024-03-01 00:00:00"]
    ),
    "id half, usable from 2024-03-31 01:00:00: it was built at 2024-03-31 00:15:00, when what it "
    "counts was not over": _row("half", day="2024-03-31", available_at="2024-03-31 01:00:00"),
}


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Marts:
    """Build two groups of the same rows; of one they may be used some hours after its periods."""
    folder = tmp_path_factory.mktemp("known") / "marts"
    types = [kind["data_type"] if isinstance(kind, dict) else kind for kind in _COLUMNS.values()]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(_COLUMNS, types, strict=True))
    marts = Marts(folder, now=_NOW, tables={"raw.facts": columns})
    marts.load("raw.facts", [*GOOD, *BAD.values()])
    sql = "select * from {{ source('raw', 'facts') }}"
    marts.group("facts", sql, _COLUMNS, {"facts": "available_at"})
    lagging = {"availability_lag_hours": 6}
    marts.group("lagging", sql, _COLUMNS, {"facts": "available_at"}, meta=lagging)
    marts.dbt("deps").assert_done()
    return marts


def test_each_row_that_was_not_known_is_shown_with_what_is_wrong(marts: Marts) -> None:
    run = marts.build()

    told = problems(run.output, "facts_rows_are_known")
    assert len(told) == len(BAD), run.output
    for start in BAD:
        assert any(line.startswith(start) for line in told), (start, told)
    # Six hours after its period a row may be built that long before it may be used.
    lagging = problems(run.output, "lagging_rows_are_known")
    assert len(lagging) == len(BAD) - 1
    assert not any(line.startswith("id half") for line in lagging)


def test_what_was_not_over_is_refused_until_a_build_after_it(marts: Marts) -> None:
    marts.sql("delete from raw.facts")
    marts.load("raw.facts", [*GOOD, BAD[next(reversed(BAD))]])
    marts.build("--select", "facts")

    # The rows are still those of the build.
    marts.now = "2024-03-31T01:30:00Z"
    again = marts.dbt("test", "--select", "facts_rows_are_known")
    built = marts.build("--select", "facts")

    assert again.statuses["facts_rows_are_known"] == "fail"
    assert built.statuses["facts_rows_are_known"] == "pass", built.output
    reasons = marts.query(
        "select reason from feature_store.build_ledger where model = 'model.marts.facts' "
        """and day = '2024-03-31' order by "sequence" """
    )
    assert reasons[-1] == ("rows are over",)


def test_a_group_without_the_test_is_told_what_to_add(marts: Marts) -> None:
    file = marts.folder / "models" / "lagging.yml"
    text = file.read_text()
    file.write_text(text.replace("feature_store.rows_are_known", "feature_store.is_as_built", 1))
    try:
        run = marts.build()
    finally:
        file.write_text(text)

    assert run.code == 1
    assert re.search(r"- feature_store\.rows_are_known:\s+name: lagging_rows_are_known", run.output)
