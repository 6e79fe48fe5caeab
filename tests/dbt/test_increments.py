"""Groups that dbt builds by increments of its own: what the gate proves is their whole text."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.support.dbt import Run
from tests.support.marts import Marts, problems
from tests.support.store import Store

_COLUMNS = {
    "customer_id": "varchar",
    "day": "date",
    "orders": "bigint",
    "available_at": "timestamp",
}
# One row per (customer_id, day) with an order, usable from the end of the day on.
_DAILY = """
select customer_id, cast(ordered_at as date) as day, count(*) as orders,
    cast(cast(ordered_at as date) + 1 as timestamp) as available_at
from {{{{ ref('{parent}') }}}}
where true {filter}
group by 1, 2
"""
_LATER = (
    "{% if is_incremental() %} and ordered_at >= (select max(day) + 1 from {{ this }}) {% endif %}"
)
_AGAIN = (
    "{% if is_incremental() %} and ordered_at >= (select max(day) - 1 from {{ this }}) {% endif %}"
)
_INCREMENTAL = {"materialized": "incremental", "on_schema_change": "fail"}
_GROUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "appended": (_LATER, {"incremental_strategy": "append"}),
    "merged": (_AGAIN, {"incremental_strategy": "merge", "unique_key": ["customer_id", "day"]}),
    "deleted": (
        _AGAIN,
        {"incremental_strategy": "delete+insert", "unique_key": ["customer_id", "day"]},
    ),
    "batches": (
        "",
        {
            "incremental_strategy": "microbatch",
            "event_time": "day",
            "begin": "2024-03-01",
            "batch_size": "day",
            "lookback": 1,
        },
    ),
}
FIRST = datetime(2024, 3, 6)


def _orders(night: datetime) -> list[tuple[str, datetime]]:
    """Return what is ordered on the day before a night; one of them comes late, on the night."""
    day = night - timedelta(days=1)
    return [(f"c{n % 3}", day + timedelta(hours=5 * n)) for n in range(day.day % 3 + 2)]


def _build(marts: Marts, night: datetime) -> Run:
    """Build as on a night: what was ordered before it is there."""
    marts.now = night.isoformat() + "Z"
    began = (night - timedelta(days=2)).date() if night > FIRST else date(2024, 3, 1)
    return marts.dbt(
        "build",
        *("--event-time-start", str(began), "--event-time-end", str(night.date())),
    )


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Marts:
    """Declare the groups, and load what was ordered before the first night."""
    tables = {"raw.orders": "customer_id varchar, ordered_at timestamp"}
    marts = Marts(tmp_path_factory.mktemp("increments") / "marts", tables=tables)
    marts.model(
        "stg_orders",
        "{{ config(event_time='ordered_at') }}\nselect * from {{ source('raw', 'orders') }}",
    )
    marts.model(
        "int_orders",
        "{{ config(materialized='ephemeral') }}\nselect * from {{ ref('stg_orders') }}",
    )
    for name, (filter_, config) in _GROUPS.items():
        marts.group(
            name,
            # Batches filter what has an event time; an ephemeral model has none.
            _DAILY.format(
                filter=filter_, parent="stg_orders" if name == "batches" else "int_orders"
            ),
            _COLUMNS,
            {"orders": "ordered_at"},
            **_INCREMENTAL,
            **config,
        )
    marts.dbt("deps").assert_done()
    for night in (FIRST - timedelta(days=n) for n in range(1, 5)):
        marts.load("raw.orders", _orders(night))
    return marts


def test_every_night_is_green_published_and_right(marts: Marts) -> None:
    store = Store(marts, None)
    for night in (FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2)):
        marts.load("raw.orders", _orders(night))

        run = _build(marts, night).assert_done()

        done = store.do("publish", "--json")
        assert done.code == 0, (done.err, run.output)
        wanted = marts.query(
            "select customer_id, cast(ordered_at as date), count(*) from raw.orders "
            "group by all order by 2, 1"
        )
        assert wanted[-1][1] == (night - timedelta(days=1)).date()
        for name in _GROUPS:
            assert [row[:3] for row in store.offline(name)] == wanted, name
    # An increment is not taken for other SQL.
    texts = marts.query(
        "select model, count(distinct model_checksum) from feature_store.built_sql "
        "group by model order by model"
    )

    assert texts == [(f"model.marts.{name}", 1) for name in sorted(_GROUPS)]

    # A late order that the increments leave out.
    night = FIRST + timedelta(days=3)
    marts.load("raw.orders", [*_orders(night), ("late", datetime(2024, 3, 3, 12))])

    run = _build(marts, night)

    assert run.statuses["appended_knows_no_future"] == "fail", run.output
    assert problems(run.output, "appended_knows_no_future")[0].startswith(
        "customer_id late, usable from 2024-03-04 00:00:00, is not what its SQL makes of the "
        "inputs as they are now: an increment left it as it was, or an input was changed since; "
        "run: dbt build --full-refresh --select appended"
    )
