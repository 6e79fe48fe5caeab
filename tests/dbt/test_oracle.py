"""The compiled SQL against the definition in plain Python, on random histories."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import oracle
from tests.support.profile import examples

MODEL = "model.feature_store.features_daily"
FIRST = date(2024, 1, 25)  # so that windows cross the leap day
SPAN = 80

_days = st.integers(0, SPAN - 1).map(lambda n: FIRST + timedelta(days=n))
_times = st.one_of(
    st.sampled_from([time(), time(23, 59, 59, 999999), time(12)]),
    st.times(),
)
_moments = st.builds(datetime.combine, _days, _times)
_users = st.sampled_from(["a", "b", "007", "it's %/:é🎈"])
_events = st.lists(
    st.tuples(_users, st.sampled_from(["x", "y", "z", "X"]), _moments), max_size=40
).flatmap(lambda events: st.permutations(events + events[:2]))
# Most arrive at once, some within the window, some too late for any day.
_delays = st.one_of(
    st.just(timedelta()),
    st.integers(0, 33 * 24).map(lambda hours: timedelta(hours=hours)),
    st.timedeltas(timedelta(hours=-1), timedelta(days=33)),
)
_late_events = st.lists(
    st.tuples(_users, st.sampled_from(["x", "y"]), _moments, _delays).map(
        lambda event: (*event[:3], event[2] + event[3])
    ),
    max_size=30,
)
_labels = st.lists(st.tuples(_users, st.sampled_from([0.0, 1.0]), _moments), max_size=12)
_built = st.sets(_days, max_size=SPAN) | st.just({FIRST + timedelta(days=n) for n in range(SPAN)})
_lags = st.sampled_from([0, 6, 30]).map(lambda hours: timedelta(hours=hours))


@pytest.fixture(scope="module")
def store() -> duckdb.DuckDBPyConnection:
    """An empty warehouse with the tables that the models read."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as warehouse")
    for statement in [
        "create schema warehouse.feature_store",
        "use warehouse.feature_store",
        "create table stg_events (user_id varchar, event_type varchar, ts timestamp)",
        "create table late_events "
        "(user_id varchar, event_type varchar, ingested_at timestamp, ts timestamp)",
        "create table stg_labels (user_id varchar, label double, as_of_ts timestamp)",
        "create table build_plan "
        "(model varchar, day date, rebuild boolean, available_at timestamp, chunk integer)",
        'create table build_ledger (model varchar, "sequence" bigint, day date, reason varchar)',
    ]:
        connection.execute(statement)
    return connection


def _fill(store: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    store.execute(f"delete from {table}")
    if rows:
        store.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)


def _plan(days: set[date], lag: timedelta) -> list[tuple[object, ...]]:
    midnight = time()
    return [
        (MODEL, day, True, datetime.combine(day + oracle.DAY, midnight) + lag, 0)
        for day in sorted(days)
    ]


@given(events=_events, days=_built, lag=_lags)
@settings(max_examples=examples(150), deadline=None)
def test_features_equal_the_oracle_on_any_history_and_any_set_of_days(
    store: duckdb.DuckDBPyConnection,
    compiled: Mapping[str, str],
    events: list[oracle.Event],
    days: set[date],
    lag: timedelta,
) -> None:
    _fill(store, "stg_events", events)
    _fill(store, "build_plan", _plan(days, lag))

    rows = store.execute(compiled["features_daily"]).fetchall()

    assert sorted(rows, key=lambda row: (row[1], row[0])) == oracle.features(events, days, lag)


@given(events=_events, labels=_labels, days=_built, lag=_lags)
@settings(max_examples=examples(150), deadline=None)
def test_training_rows_equal_the_oracle_on_any_labels_and_any_built_days(
    store: duckdb.DuckDBPyConnection,
    compiled: Mapping[str, str],
    events: list[oracle.Event],
    labels: list[oracle.Label],
    days: set[date],
    lag: timedelta,
) -> None:
    _fill(store, "stg_events", events)
    _fill(store, "stg_labels", labels)
    _fill(store, "build_plan", _plan(days, lag))
    _fill(store, "build_ledger", [(MODEL, 1, day, "missing") for day in days])
    store.execute(f"create or replace table features_daily as {compiled['features_daily']}")

    rows = store.execute(compiled["training_data"]).fetchall()

    assert sorted(rows, key=repr) == sorted(oracle.training(labels, events, days, lag), key=repr)


@given(events=_late_events, labels=_labels, days=_built, lag=_lags)
@settings(max_examples=examples(200), deadline=None)
def test_events_that_arrive_late_are_known_from_then_on_and_not_before(
    store: duckdb.DuckDBPyConnection,
    compiled_late: Callable[[timedelta], Mapping[str, str]],
    events: list[tuple[str, str, datetime, datetime]],
    labels: list[oracle.Label],
    days: set[date],
    lag: timedelta,
) -> None:
    sql = {
        name: text.replace('"stg_events"', '"late_events"')
        for name, text in compiled_late(lag).items()
    }
    _fill(store, "late_events", [(*event[:2], event[3], event[2]) for event in events])
    _fill(store, "stg_labels", labels)
    _fill(store, "build_plan", _plan(days, lag))
    _fill(store, "build_ledger", [(MODEL, 1, day, "missing") for day in days])

    store.execute(f"create or replace table features_daily as {sql['features_daily']}")
    rows = store.execute("select * from features_daily order by day, user_id").fetchall()
    seen = store.execute(sql["training_data"]).fetchall()

    assert rows == oracle.features(events, days, lag)
    assert sorted(seen, key=repr) == sorted(oracle.training(labels, events, days, lag), key=repr)
