"""
Windowed features in plain Python, and the SQL of `window_features` in DuckDB.

The oracle looks at every event for every day, and knows nothing of tiles, changes and states.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any

import duckdb

from tests.support.macros import Node, render

Declaration = Mapping[str, Any]
Row = tuple[object, ...]

TYPES = {
    "user_id": "varchar",
    "shop": "integer",
    "ts": "timestamp",
    "kind": "varchar",
    "amount": "double",
    "whole": "bigint",
    "price": "decimal(10,2)",
    "seq": "bigint",
    "ingested_at": "timestamp",
}

# Conditions as SQL and in Python.
CONDITIONS: dict[str, Callable[[Any], bool]] = {
    "kind = 'x'": lambda event: event.kind == "x",
    "amount > 0 or whole is null": lambda event: (
        (event.amount is not None and event.amount > 0) or event.whole is None
    ),
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event; `seq` is unique, and orders those of one time."""

    user_id: str
    shop: int
    ts: datetime
    kind: str | None
    amount: float | None
    whole: int | None
    price: Decimal | None
    seq: int
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """
    A declared group.

    Attributes:
        features: As `window_features` takes them.
        entity: Its key columns.
        late: Whether events count from their arrival.
        lag: The availability lag [hours].
    """

    features: Mapping[str, Declaration]
    entity: tuple[str, ...] = ("user_id",)
    late: bool = False
    lag: int = 0

    @property
    def contract(self) -> dict[str, str]:
        """Name and type of each column."""
        types = {name: feature_type(declared) for name, declared in self.each().items()}
        return {
            **{key: TYPES[key] for key in self.entity},
            "day": "date",
            **types,
            "available_at": "timestamp",
        }

    def each(self) -> dict[str, Declaration]:
        """Return every feature, those of `by` one by one."""
        found: dict[str, Declaration] = {}
        for name, declared in self.features.items():
            if "by" not in declared:
                found[name] = declared
                continue
            [(column, values)] = declared["by"].items()
            for value in values:
                found[f"{name}_{value}"] = {**declared, "is": (column, value)}
        return found

    def sql(self, contract: Mapping[str, str] | None = None, **options: object) -> str:
        """Return the SQL of the model, over the tables `src` and `planned`."""
        columns = self.contract if contract is None else contract
        model = Node(
            name="orders_daily",
            resource_type="model",
            columns={name: Node(name=name, data_type=of) for name, of in columns.items()},
        )
        inputs = {name: of.upper() for name, of in TYPES.items()}
        given = {
            "model": model,
            "planned_days": lambda: "planned",
            "column_types": lambda relation, name: inputs,
            "availability_lag_hours": lambda: self.lag,
            "has_column": lambda relation, name: self.late,
        }
        arguments = {"events": "src", "entity": list(self.entity), "time": "ts", **options}
        return render("window_features", given, features=self.features, **arguments)

    def known_day(self, event: Event) -> date:
        """Return the first day whose row may hold the event."""
        arrived = (event.ingested_at - timedelta(hours=self.lag)).date()
        return max(event.ts.date(), arrived) if self.late else event.ts.date()


def feature_type(declared: Declaration) -> str:
    """Return the type that the contract gives a feature."""
    for kind in ("count", "count_distinct"):
        if kind in declared:
            return "bigint"
    if "days_since_last" in declared:
        return "integer"
    if "avg" in declared or "stddev" in declared:
        return "double"
    if "last_n" in declared:
        return TYPES[declared["last_n"]] + "[]"
    [column] = [declared[k] for k in ("sum", "min", "max", "first", "last") if k in declared]
    return "decimal(38, 2)" if "sum" in declared and column == "price" else TYPES[column]


def connect(events: Sequence[Event]) -> duckdb.DuckDBPyConnection:
    """Return a database with the events in `src`."""
    connection = duckdb.connect(config={"threads": 2})
    columns = ", ".join(f"{name} {of}" for name, of in TYPES.items())
    connection.execute(f"create table src ({columns})")
    rows = [[getattr(event, name) for name in TYPES] for event in events]
    if rows:
        connection.executemany(f"insert into src values ({', '.join('?' * len(TYPES))})", rows)
    return connection


def build(connection: duckdb.DuckDBPyConnection, sql: str, days: Sequence[date]) -> list[Row]:
    """Return the rows that one build of some days makes."""
    connection.execute("create or replace table planned (day date, available_at timestamp)")
    ends = [(day, datetime(day.year, day.month, day.day) + timedelta(days=1)) for day in days]
    connection.executemany("insert into planned values (?, ?)", ends)
    return connection.execute(sql).fetchall()


def expected(group: Group, events: Sequence[Event], days: Sequence[date]) -> list[Row]:
    """Return every row of the days, in plain Python."""
    features = group.each()
    horizon = max(declared["days"] for declared in features.values())
    rows: list[Row] = []
    for day in days:
        entities: dict[Row, list[Event]] = {}
        for event in events:
            if event.ts.date() <= day and group.known_day(event) <= day:
                key = tuple(getattr(event, name) for name in group.entity)
                entities.setdefault(key, []).append(event)
        for key, known in entities.items():
            if max(event.ts.date() for event in known) < day - timedelta(days=horizon):
                continue
            values = [_value(group, declared, known, day) for declared in features.values()]
            end = datetime(day.year, day.month, day.day) + timedelta(days=1)
            rows.append((*key, day, *values, end))
    return rows


def _value(group: Group, declared: Declaration, known: Sequence[Event], day: date) -> object:
    start = day - timedelta(days=declared["days"])
    window = [event for event in known if event.ts.date() > start]
    if "where" in declared:
        window = [event for event in window if CONDITIONS[declared["where"]](event)]
    if "is" in declared:
        column, value = declared["is"]
        window = [event for event in window if getattr(event, column) == value]
    value = _aggregate(group, declared, window, day)
    if value is None and "default" in declared:
        return _CAST[feature_type(declared)](declared["default"])
    return value


_CAST = {"double": float, "bigint": int, "integer": int, "decimal(38, 2)": Decimal}


def _aggregate(group: Group, declared: Declaration, window: Sequence[Event], day: date) -> object:
    options = ("days", "where", "default", "ties", "n", "by", "is")
    [kind] = [key for key in declared if key not in options]
    column = declared[kind]
    events = [e for e in window if column == "*" or getattr(e, column) is not None]
    events.sort(key=lambda event: (event.ts, event.seq))
    if kind == "count":
        return len(events)
    if kind == "days_since_last":
        return (day - events[-1].ts.date()).days if events else None
    values = [getattr(event, column) for event in events]
    if kind == "count_distinct":
        return len(set(values))
    if not values:
        return None
    if kind == "sum" and column != "amount":
        return sum(values)
    if kind in ("sum", "avg"):
        total = _sum_of_days(group, column, events)
        return total / len(events) if kind == "avg" else total
    if kind == "stddev":
        return statistics.stdev(map(float, values)) if len(values) > 1 else None
    if kind == "last_n":
        return values[: -declared["n"] - 1 : -1]
    if kind in ("first", "last"):
        return values[0 if kind == "first" else -1]
    found: object = min(values) if kind == "min" else max(values)
    return found


def _sum_of_days(group: Group, column: str, events: Sequence[Event]) -> float:
    """Add doubles in the order that is documented: each day's values by size, then the days."""
    days: dict[tuple[date, date], list[float]] = {}
    for event in events:
        day = (event.ts.date(), group.known_day(event))
        days.setdefault(day, []).append(float(getattr(event, column)))
    return reduce(add, (reduce(add, sorted(days[day]), 0.0) for day in sorted(days)), 0.0)
