"""
`window_features` gives what plain Python makes of the declaration, in whatever chunks it is built.

The real macro is rendered once for a declaration, and its SQL runs in DuckDB.
"""

import random
import struct
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.macros import Refused
from tests.support.profile import IS_SOAK, examples
from tests.support.windows import CONDITIONS, Event, Group, Row, build, connect, expected

FIRST, COUNT = date(2024, 2, 24), 14
DAYS = [FIRST + timedelta(days=n) for n in range(COUNT)]
NOON = datetime(2024, 3, 1, 12)

# A few times often, so that events tie; both ends of a day, and the leap day.
_TIMES = st.builds(
    lambda day, time: datetime(2024, 2, 12) + timedelta(days=day, microseconds=time),
    st.integers(0, 26),
    st.sampled_from([0, 1, 43_200_000_000, 86_399_999_999]),
)
_DOUBLES = st.sampled_from([-0.0, 0.0, 0.1, 0.2, 0.3, 1e16, -1e16, 1.0, 1e-300]) | st.floats(
    -1e100, 1e100, allow_nan=False
)


@st.composite
def _events(draw: st.DrawFn) -> list[Event]:
    times = draw(st.lists(_TIMES, max_size=25))
    return [
        Event(
            user_id=draw(st.sampled_from(["a", "", "it's:%/", "007", "7"])),
            shop=draw(st.integers(1, 2)),
            ts=ts,
            kind=draw(st.sampled_from([None, "x", "y", "", "X "])),
            amount=draw(st.none() | _DOUBLES),
            whole=draw(st.none() | st.integers(-(2**40), 2**40)),
            price=draw(st.none() | st.decimals(-1000, 1000, places=2)),
            seq=seq,
            ingested_at=ts + timedelta(hours=draw(st.sampled_from([0, 12, 30, 100, 240]))),
        )
        for seq, ts in enumerate(times)
    ]


@st.composite
def _feature(draw: st.DrawFn) -> dict[str, Any]:
    kind, columns = draw(
        st.sampled_from(
            [
                ("count", ["*", "amount"]),
                ("count_distinct", ["kind", "whole"]),
                ("sum", ["amount", "whole", "price"]),
                ("avg", ["amount", "price"]),
                ("min", ["amount", "kind", "ts"]),
                ("max", ["amount", "price"]),
                ("stddev", ["amount", "whole"]),
                ("first", ["kind", "amount"]),
                ("last", ["kind", "amount", "ts", "seq"]),
                ("days_since_last", ["*", "kind"]),
                ("last_n", ["kind", "amount"]),
            ]
        )
    )
    declared: dict[str, Any] = {
        kind: draw(st.sampled_from(columns)),
        "days": draw(st.sampled_from([1, 2, 3, 7, 10])),
    }
    if kind in ("first", "last", "last_n"):
        declared["ties"] = "seq"
    if kind == "last_n":
        declared["n"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        declared["where"] = draw(st.sampled_from(sorted(CONDITIONS)))
    if draw(st.integers(0, 3)) == 0:
        declared["by"] = {"kind": ["x", "y"]}
    if kind in ("sum", "avg", "days_since_last") and draw(st.booleans()):
        declared["default"] = -1
    return declared


_GROUPS = st.builds(
    Group,
    features=st.lists(_feature(), min_size=1, max_size=5).map(
        lambda features: {f"f{n}": feature for n, feature in enumerate(features)}
    ),
    entity=st.sampled_from([("user_id",), ("shop", "user_id")]),
    late=st.booleans(),
    lag=st.sampled_from([0, 5]),
)

# Which days are planned, and where one chunk of them ends.
_CHUNKS = st.lists(st.sampled_from(["build", "leave", "cut"]), min_size=COUNT, max_size=COUNT)


# A smaller example is worth minutes in a soak only.
_PHASES = list(Phase) if IS_SOAK else [Phase.explicit, Phase.reuse, Phase.generate]


@given(group=_GROUPS, events=_events(), chunks=_CHUNKS, draw=st.randoms(use_true_random=False))
@settings(max_examples=examples(20), deadline=None, phases=_PHASES)
def test_rows_are_those_of_plain_python_in_any_chunks(
    group: Group, events: list[Event], chunks: list[str], draw: random.Random
) -> None:
    sql = group.sql()
    with connect(events) as database:
        together = build(database, sql, DAYS)
    assert_equal(group, events, together)

    draw.shuffle(events)
    parts: list[list[date]] = [[]]
    for day, what in zip(DAYS, chunks, strict=True):
        parts[-1] += [day] if what != "leave" else []
        parts += [[]] if what == "cut" else []
    days = {day for part in parts for day in part}
    with connect(events) as database:
        found = [row for part in parts if part for row in build(database, sql, part)]
    at = len(group.entity)
    assert bits(found) == bits([row for row in together if row[at] in days])


def bits(rows: Sequence[Row]) -> list[str]:
    """Return rows in an order of their own, doubles to the bit."""
    exact = [[struct.pack(">d", v) if isinstance(v, float) else v for v in row] for row in rows]
    return sorted(map(repr, exact))


def assert_equal(group: Group, events: Sequence[Event], found: Sequence[Row]) -> None:
    """Compare rows with those of plain Python; only a deviation may differ, in its last digits."""
    keys = len(group.entity) + 1
    wanted = expected(group, events, DAYS)
    assert len(found) == len(wanted)
    deviations = {
        list(group.contract).index(name): max(abs(getattr(e, f["stddev"]) or 0) for e in events)
        for name, f in group.each().items()
        if "stddev" in f and events
    }
    for one, other in zip(
        sorted(found, key=lambda row: repr(row[:keys])),
        sorted(wanted, key=lambda row: repr(row[:keys])),
        strict=True,
    ):
        for at, largest in deviations.items():
            if one[at] is not None and other[at] is not None:
                assert one[at] == pytest.approx(other[at], rel=1e-7, abs=1e-7 * largest)
        exact = [n for n in range(len(one)) if n not in deviations or None in (one[n], other[n])]
        assert [one[n] for n in exact] == [other[n] for n in exact]


def _long_history() -> list[Event]:
    draw = random.Random(11)
    events = []
    for seq in range(220):
        ts = datetime(2024, 2, 12) + timedelta(
            days=draw.randrange(26), hours=draw.choice([0, 9, 9, 23])
        )
        amount = draw.choice(
            [None, -0.0, 0.0, 0.1, 0.7, draw.uniform(-1, 1) * 10 ** draw.randrange(9)]
        )
        late = draw.choice([0, 0, 0, 30, draw.randrange(300)])
        events.append(
            Event(
                user_id=draw.choice("abc") if seq else "once",
                shop=draw.choice([1, 1, 2]),
                ts=ts,
                kind=draw.choice([None, "x", "y", "z", ""]),
                amount=amount,
                whole=draw.choice([None, draw.randrange(-9, 9)]),
                price=draw.choice([None, Decimal(draw.randrange(-999, 999)) / 100]),
                seq=draw.randrange(10**6),
                ingested_at=ts + timedelta(hours=late, seconds=1),
            )
        )
    return events


_EITHER = "amount > 0 or whole is null"

_EVERY_AGGREGATION: dict[str, dict[str, Any]] = {
    "count_1": {"count": "*", "days": 1},
    "count_3": {"count": "*", "days": 3},
    "count_amount": {"count": "amount", "days": 7},
    "count_where": {"count": "*", "days": 3, "where": "kind = 'x'"},
    "count_by": {"count": "*", "days": 3, "by": {"kind": ["x", "y"]}},
    "both": {
        "count": "*",
        "days": 7,
        "by": {"kind": ["x"]},
        "where": "amount > 0 or whole is null",
    },
    "kinds_2": {"count_distinct": "kind", "days": 2},
    "kinds_7": {"count_distinct": "kind", "days": 7},
    "whole_where": {"count_distinct": "whole", "days": 3, "where": "kind = 'x'"},
    "whole_3": {"sum": "whole", "days": 3},
    "price_7": {"sum": "price", "days": 7, "default": -1},
    "amount_3": {"sum": "amount", "days": 3},
    "amount_7": {"sum": "amount", "days": 7, "default": 0},
    "mean_3": {"avg": "amount", "days": 3},
    "mean_price": {"avg": "price", "days": 7, "where": "kind = 'x'"},
    "spread_3": {"stddev": "whole", "days": 3},
    "spread_7": {"stddev": "amount", "days": 7},
    "least_3": {"min": "amount", "days": 3},
    "most_3": {"max": "whole", "days": 3},
    "latest_3": {"max": "ts", "days": 3},
    "first_3": {"first": "kind", "days": 3, "ties": "seq"},
    "last_3": {"last": "kind", "days": 3, "ties": "seq"},
    "last_amount": {"last": "amount", "days": 7, "ties": "seq", "default": 9},
    "last_3_kinds": {"last_n": "kind", "n": 3, "days": 3, "ties": "seq"},
    "idle": {"days_since_last": "*", "days": 7},
    "idle_amount": {"days_since_last": "amount", "days": 3, "where": "kind = 'x'"},
}


@pytest.mark.parametrize("late", [False, True])
def test_every_aggregation_over_a_long_history(late: bool) -> None:
    events = _long_history()
    group = Group(_EVERY_AGGREGATION, entity=("shop", "user_id"), late=late)
    sql = group.sql()
    with connect(events) as database:
        together = build(database, sql, DAYS)
        assert_equal(group, events, together)
    with connect(events[::-1]) as database:
        parts = [DAYS[:1], DAYS[1:5], DAYS[5:6], DAYS[6:]]
        assert bits([row for part in parts for row in build(database, sql, part)]) == bits(together)


def event(**given: Any) -> Event:
    """Return an event of `a` at noon of 1 March, otherwise as given."""
    values: dict[str, Any] = {
        "user_id": "a", "shop": 1, "ts": NOON, "kind": "x", "amount": 1.0, "whole": 1,
        "price": Decimal(1), "seq": 0, "ingested_at": NOON,
    }  # fmt: skip
    return Event(**{**values, **given})


@pytest.mark.parametrize(
    ("feature", "events", "said"),
    [
        (
            {"sum": "whole", "days": 7},
            [event(whole=2**62), event(whole=2**62)],
            "orders_daily: user_id a, day 2024-03-01: f does not fit bigint",
        ),
        (
            {"sum": "amount", "days": 7},
            [event(amount=float("nan"))],
            "orders_daily: user_id a, ts 2024-03-01 12:00:00: amount is not finite",
        ),
        (
            {"max": "amount", "days": 7},
            [event(amount=float("-inf"))],
            "orders_daily: user_id a, ts 2024-03-01 12:00:00: amount is not finite",
        ),
        (
            {"sum": "amount", "days": 7},
            [event(amount=1.7e308), event(amount=1.7e308)],
            "orders_daily: user_id a, day 2024-03-01: f is not finite",
        ),
        (
            {"last": "kind", "days": 7},
            [event(kind="x"), event(kind="y")],
            "orders_daily: user_id a, ts 2024-03-01 12:00:00: events of one time have different "
            "values of kind; name a column that orders them as ties",
        ),
        (
            {"first": "kind", "days": 7, "ties": "shop"},
            [event(kind="x"), event(kind="y")],
            "different values of kind; shop does not order them",
        ),
    ],
)
def test_what_has_no_exact_value_is_refused_with_its_row(
    feature: dict[str, Any], events: list[Event], said: str
) -> None:
    with connect(events) as database, pytest.raises(duckdb.Error) as refused:
        build(database, Group({"f": feature}).sql(), [date(2024, 3, 1)])
    assert said in str(refused.value)


def test_sums_of_integers_and_decimals_are_exact_to_their_last_digit() -> None:
    events = [event(whole=2**63 - 2, price=Decimal("99999999.99")), event(price=Decimal("0.01"))]
    group = Group({"whole": {"sum": "whole", "days": 1}, "price": {"sum": "price", "days": 1}})
    with connect(events) as database:
        [row] = build(database, group.sql(), [date(2024, 3, 1)])
    assert row[2:4] == (2**63 - 1, Decimal("100000000.00"))


def test_equal_events_of_one_time_are_no_ambiguity() -> None:
    events = [event(kind="x"), event(kind="x"), event(kind=None)]
    with connect(events) as database:
        [row] = build(database, Group({"f": {"last": "kind", "days": 1}}).sql(), [date(2024, 3, 1)])
    assert row[2] == "x"


def test_everything_wrong_with_a_declaration_is_told_at_once() -> None:
    declared: dict[str, Any] = {
        "none": {"days": 7},
        "two": {"count": "*", "sum": "amount", "days": 7},
        "unknown": {"median": "amount", "days": 7},
        "long": {"count": "*", "days": 401},
        "never": {"count": "*"},
        "key": {"count": "*", "days": 1, "window": 7},
        "star": {"sum": "*", "days": 7},
        "ties": {"sum": "amount", "days": 7, "ties": "seq"},
        "n": {"last_n": "kind", "days": 7},
        "default": {"count": "*", "days": 7, "default": 0},
        "where": {"count": "*", "days": 7, "where": ""},
        "by": {"count": "*", "days": 7, "by": {"kind": ["a b"]}},
        "text": "count",
        "expression": {"sum": "amount + 1", "days": 7},
        "column": {"sum": "cost", "days": 7},
        "rounded": {"sum": "amount", "days": 7},
        "surplus": {"count": "*", "days": 7},
        "user_id": {"count": "*", "days": 7},
    }
    contract = {"user_id": "varchar", "day": "date", "rounded": "bigint", "spend": "double"}
    with pytest.raises(Refused) as refused:
        Group(declared).sql(contract)
    lines = str(refused.value).splitlines()
    assert lines[0] == "window_features: model orders_daily:"
    for said in (
        "none: the aggregation is missing; write one of count, count_distinct, sum, avg, min, max,",
        "two: count and sum are two aggregations; write one",
        "unknown: unknown key median; known: count,",
        "long: days: 401; write a whole number from 1 to 400",
        "never: days: is missing; write a whole number from 1 to 400",
        "key: unknown key window; known: count,",
        "star: sum needs a column, not *",
        "ties: ties is an option of first, last, last_n, not of sum",
        "n: n: is missing; write a whole number from 1 to 1000",
        "default: default is no option of count",
        "where: where: write a condition on the events' columns",
        "by: by: a b cannot end the name of a column",
        "text: write an aggregation and its days, {'count': '*', 'days': 7}",
        "amount + 1 is not the name of a column",
        "cost: not a column of src; it has user_id, shop, ts,",
        "rounded: bigint cannot hold sums of amount, which is double",
        "user_id: every row has a column of this name; choose another",
        "surplus: not a column of the contract; add it to the columns of the model in YAML",
        "available_at: not a column of the contract",
        "spend: a column of the contract that is no declared feature; declare it, or remove",
    ):
        assert [line for line in lines if line.startswith(f"  - {said}")], said
