"""Groups on the marts of a project that was there before: leaks in them, and behind them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.dbt import Run
from tests.support.marts import Marts, problems
from tests.support.store import Store

_TABLES = {
    "raw.orders": "order_id bigint, customer_id bigint, amount double, ordered_at timestamp",
    "raw.payments": "order_id bigint, paid_at timestamp",
    # Of the same name, in another source.
    "old.orders": "order_id bigint, customer_id bigint, amount double, ordered_at timestamp",
    # Written over every night.
    "raw.stock": "item_id bigint, units bigint",
    "raw.countries": "customer_id bigint, country varchar",
}
_MODELS = {
    "stg_orders": """
{{ config(materialized='view') }}
with source as (
    select * from {{ source('raw', 'orders') }}
    union all
    select * from {{ source('old', 'orders') }}
)
select * from source
""",
    "stg_payments": """
{{ config(materialized='ephemeral') }}
select order_id, paid_at from {{ source('raw', 'payments') }}
""",
    # A macro that refs, a ref of two arguments, and a CTE by the name of a model.
    "int_orders": """
{{ config(materialized='table') }}
with stg_orders as ({{ every('stg_orders') }}),
stg_payments as (select order_id, min(paid_at) as paid_at from {{ ref('stg_payments') }} group by 1)
select stg_orders.*, paid_at,
    (
        select count(*) from {{ ref('marts', 'stg_orders') }} as earlier
        where
            earlier.customer_id = stg_orders.customer_id
            and earlier.ordered_at < stg_orders.ordered_at
    ) as orders_before
from stg_orders left join stg_payments using (order_id)
""",
    "int_hidden": "select * from {{ builtins.ref('stg_orders') }}",
    "prices_v1": "select * from {{ ref('int_orders') }}",
    "prices_v2": "select 1 as order_id where false",
}
_MACRO = "{% macro every(name) %}select * from {{ ref(name) }}{% endmacro %}"
_KEYS = {"order_id": "bigint", "day": "date", "available_at": "timestamp"}
_SELECT = "select order_id, cast(ordered_at as date) as day, ordered_at as available_at, "
_INPUTS = {"raw.orders": "ordered_at", "old.orders": "ordered_at", "payments": "paid_at"}
_GROUPS = {
    # Name -> columns, SQL, and more inputs.
    "last_paid": (
        {"last_paid_at": "timestamp"},
        f"{_SELECT} paid_at as last_paid_at from {{{{ ref('int_orders') }}}}",
        {},
    ),
    "paid": (
        {"paid": "boolean"},
        f"{_SELECT} paid_at is not null as paid from {{{{ ref('prices', v=1) }}}}",
        {},
    ),
    # dbt compiles an ephemeral model into the text of its reader.
    "paid_directly": (
        {"paid": "boolean"},
        f"{_SELECT} paid_at is not null as paid from {{{{ ref('stg_orders') }}}} "
        "left join {{ ref('stg_payments') }} using (order_id)",
        {},
    ),
    "honest": (
        {"orders_before": "bigint", "country": "varchar", "units": "bigint"},
        f"{_SELECT} orders_before, country, "
        "(select max(units) from {{ source('raw', 'stock') }}) as units "
        "from {{ ref('int_orders') }} left join {{ source('raw', 'countries') }} "
        "as countries using (customer_id)",
        {"stock": None, "countries": "always"},
    ),
}
_PLAIN: tuple[dict[str, str], str] = ({}, _SELECT.rstrip(", ") + " from {{ ref('int_orders') }}")
_REFUSED = {
    # Name -> columns, SQL, inputs, and what is said of them.
    "between": (
        *_PLAIN,
        {"int_orders": "ordered_at"},
        "int_orders is built from others; it is built again, so name where its rows come from: "
        "old.orders, payments, raw.orders",
    ),
    "unclear": (
        *_PLAIN,
        {"orders": "ordered_at", "payments": "paid_at"},
        "orders is the name of several inputs; write one of: old.orders, raw.orders",
    ),
    "unknown": (
        *_PLAIN,
        {**_INPUTS, "refunds": "paid_at"},
        "refunds is not where its rows come from; these are: old.orders, payments, raw.orders",
    ),
    "lacking": (
        *_PLAIN,
        {"payments": "paid_at", "old.orders": "ordered_at"},
        "inputs lacks raw.orders; write the SQL of the time from which its rows are known; null if "
        "they have none; always if they never change",
    ),
    "hidden": (
        {},
        _SELECT.rstrip(", ") + " from {{ ref('int_hidden') }}",
        {"raw.orders": "ordered_at", "old.orders": "ordered_at"},
        "models/int_hidden.sql: model int_hidden cannot be rendered outside its own build, to "
        "build it again; is a ref hidden from dbt, or is it no SQL? An oracle can be its gate "
        "instead of knows_no_future",
    ),
}


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Marts:
    marts = Marts(tmp_path_factory.mktemp("marts") / "marts", tables=_TABLES)
    for name, sql in _MODELS.items():
        marts.model(name, sql)
    versions = [{"v": 1}, {"v": 2}]
    marts.declare("prices", {"models": [{"name": "prices", "versions": versions}]})
    (marts.folder / "macros").mkdir()
    (marts.folder / "macros" / "every.sql").write_text(_MACRO)
    for name, (columns, sql, inputs) in _GROUPS.items():
        marts.group(name, sql, {**_KEYS, **columns}, {**_INPUTS, **inputs})
    for name, (columns, sql, named, _) in _REFUSED.items():
        marts.group(name, sql, {**_KEYS, **columns}, named)
    orders, payments = [], []
    for n in range(60):
        at = datetime(2024, 3, 1) + timedelta(hours=11 * n)
        orders.append((n, n % 7, 1.5, at))
        if n % 3:
            payments.append((n, at + timedelta(hours=5 * (n % 9))))
    marts.load("raw.orders", orders[20:])
    marts.load("old.orders", orders[:20])
    marts.load("raw.payments", payments)
    marts.load("raw.stock", [(1, 40)])
    marts.load("raw.countries", [(n, "at") for n in range(7)])
    marts.dbt("deps").assert_done()
    return marts


@pytest.fixture(scope="module")
def run(marts: Marts) -> Run:
    return marts.build("--exclude", *_REFUSED)


@pytest.fixture(scope="module")
def refused(marts: Marts, run: Run) -> Run:
    return marts.build("--select", *_REFUSED)


def test_a_time_that_was_filled_in_later_is_found_in_the_row_itself(run: Run) -> None:
    assert run.statuses["last_paid_rows_are_known"] == "fail", run.output
    assert problems(run.output, "last_paid_rows_are_known")[0].startswith(
        "order_id 1, usable from 2024-03-01 11:00:00: last_paid_at has 2024-03-01 16:00:00, which"
    )


@pytest.mark.parametrize("group", ["paid", "paid_directly"])
def test_a_flag_that_was_filled_in_later_is_found_by_its_source(run: Run, group: str) -> None:
    assert run.statuses[f"{group}_rows_are_known"] == "pass"
    assert run.statuses[f"{group}_knows_no_future"] == "fail"
    told = problems(run.output, f"{group}_knows_no_future")
    assert all("it rests on what came later" in line for line in told), told
    assert len(told) > 1


def test_what_cannot_be_proved_is_told_and_the_rest_is_proved(run: Run, marts: Marts) -> None:
    assert run.statuses["honest_knows_no_future"] == "pass"
    assert "honest: no future: not provable for stock" in run.output

    store = Store(marts, None)
    (group,) = [
        g for g in store.do("status", "--json").document["groups"] if g["group"] == "honest"
    ]
    assert (group["gate"], group["not_provable"]) == ([], ["stock"])
    assert "gate       green; no future: not provable for stock\n" in store.do("status").out
    assert "\nno future     not provable for stock\n" in store.do("groups", "honest").out


@pytest.mark.parametrize("group", _REFUSED)
def test_inputs_that_are_not_the_ends_of_the_lineage_are_refused(refused: Run, group: str) -> None:
    assert refused.statuses[f"{group}_knows_no_future"] == "error", refused.output
    assert _REFUSED[group][-1] in " ".join(refused.output.split())
