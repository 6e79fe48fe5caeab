"""
The warehouse that dbt writes, opened read-only and for a moment.

Responsible for opening the DuckDB file while a build may hold it, and for reading models and the
records next to them. Does not write: one writer, dbt, is what keeps data and ledger in agreement.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from materializer.config import Settings
from materializer.days import DayRange
from materializer.errors import (
    FeatureStoreError,
    StoreUnavailable,
    WarehouseUnreadable,
    explain,
)
from materializer.registry import Column, FeatureGroup, Registry
from materializer.registry.types import duckdb_type
from materializer.sql import prepare, quoted
from materializer.warehouse.checksum import ledger_checksum

_POLL_SECONDS = 0.2
_LOCKED = "Could not set lock"
_HOLDER = re.compile(r"PID (\d+)")
# The checksum of a day without rows.
_NO_ROWS = "0:0"

_Rows = TypeVar("_Rows")


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """
    One built day of a model, as the view `day_status` has it.

    Attributes:
        sequence: Number of the build that wrote it.
        content: Checksum of its rows.
        reason: Why it was built.
        lag_hours: Availability lag of its rows [h].
        built_at: When that build began [aware, UTC].
        is_frozen: Some of its events are no longer in the source.
        is_older_sql: Other SQL built it than the newest build has, and it is not frozen.
    """

    day: date
    sequence: int
    rows: int
    content: str
    reason: str
    lag_hours: int
    built_at: datetime
    is_frozen: bool
    is_older_sql: bool


@dataclass(frozen=True, slots=True)
class Build:
    """
    The newest build of a model that is not built by day.

    Attributes:
        build_id: dbt's invocation id.
        content: Checksum of its rows.
        built_at: When it began [aware, UTC].
        sql: The compiled SQL, empty if it was deleted from the records.
        vars: The vars of the dbt command and of the project.
    """

    sequence: int
    build_id: str
    rows: int
    content: str
    built_at: datetime
    sql: str
    vars: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Commands:
    """
    dbt commands to print, with the vars of the newest one, as the view `dbt_arguments` has them.

    Attributes:
        arguments: What a command was given, for a shell.
        arguments_of_days: The same with a range of days, `<first>` and `<last>`.
    """

    arguments: str = ""
    arguments_of_days: str = " --vars '{start_date: <first>, end_date: <last>}'"

    def build(self, options: str = "") -> str:
        """Return a `dbt build`."""
        return f"dbt build{options and f' {options}'}{self.arguments}"

    def build_days(self, days: DayRange) -> str:
        """Return the `dbt build` of a range of days."""
        arguments = self.arguments_of_days.replace("<first>", str(days.first), 1)
        return f"dbt build{arguments.replace('<last>', str(days.last), 1)}"

    def test(self) -> str:
        """Return a `dbt test`."""
        return f"dbt test{self.arguments}"


class Warehouse:
    """An open, read-only warehouse; its relations come from the manifest."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, registry: Registry, path: Path
    ) -> None:
        self._connection = connection
        self._path = path
        self._registry = registry

    def warehouse_id(self) -> str:
        """Return the id of this warehouse; a new file has a new one."""
        rows = self._records(f"select warehouse_id from {self._relation('warehouse')}")
        if not rows:
            raise FeatureStoreError("the warehouse has no id; run: dbt build")
        return str(rows[0][0])

    @cached_property
    def commands(self) -> Commands:
        """The dbt commands that build or test this warehouse as the newest one did."""
        view = self._relation("dbt_arguments")
        [row] = self._records(f"select arguments, arguments_of_days from {view}")
        return Commands(*row)

    def sequences(self) -> dict[str, int]:
        """Return each model's newest ledger sequence, by dbt's id of the model."""
        ledger = self._relation("build_ledger")
        return dict(self._records(f'select model, max("sequence") from {ledger} group by 1'))

    def objections(self, model: str) -> list[str]:
        """Return why the recorded gate tests do not let a model out; empty when they do."""
        return [reason for objecting, reason in self._objections if objecting == model]

    @cached_property
    def _objections(self) -> list[tuple[str, str]]:
        view = self._relation("gate_objections")
        return self._records(f"select model, reason from {view} order by model, test")

    def gate_tests(self, model: str) -> set[str | None]:
        """Return the gate tests that dbt recorded for a model, None for a model without any."""
        return {test for guarded, test in self._gate_tests if guarded == model}

    @cached_property
    def _gate_tests(self) -> list[tuple[str, str | None]]:
        return self._records(f"select model, test from {self._relation('gate_tests')}")

    def sample_share(self, model: str) -> float:
        """Return the smallest share of rows that a gate test of a model looked at, 1 for all."""
        verdicts = self._relation("gate_verdicts")
        query = f"""
            select coalesce(min(verdicts.sample_share), 1)
            from {verdicts} as verdicts
            inner join {self._relation("gate_tests")} as tests on verdicts.test = tests.test
            where
                tests.model = ?
                and verdicts."sequence" = (
                    select max("sequence") from {verdicts} where test = verdicts.test
                )
        """
        return float(self._records(query, model)[0][0])

    def built_days(self, model: str) -> list[BuiltDay]:
        """Return every built day of a model in order, empty days included."""
        return self._days(model, "not is_missing and not is_removed")

    def removed_days(self, model: str) -> list[BuiltDay]:
        """Return in order the days that were removed because they were built before they ended."""
        return self._days(model, "is_removed")

    def _days(self, model: str, condition: str) -> list[BuiltDay]:
        query = f"""
            select
                day, "sequence", "rows", content, reason, availability_lag_hours, built_at,
                is_frozen, is_older_sql
            from {self._relation("day_status")}
            where model = ? and {condition}
            order by day
        """
        days = [BuiltDay(*row) for row in self._records(query, model)]
        return [replace(day, built_at=_aware(day.built_at)) for day in days]

    def definition(self, model: str, until: int) -> str:
        """
        Return what identifies the SQL that built the days of a model, as of a ledger sequence.

        Days may be of different SQL: those that were not built again since a change, and frozen
        ones. So each change of what some day was built by is another definition.
        """
        query = f"""
            select coalesce(string_agg(distinct model_checksum, ',' order by model_checksum), '')
            from (
                select
                    model_checksum,
                    row_number() over (partition by day order by "sequence" desc) as recency
                from {self._relation("build_ledger")}
                where model = ? and day is not null and "sequence" <= ?
            ) as entries
            where recency = 1
        """
        checksums = str(self._records(query, model, until)[0][0])
        return hashlib.sha256(checksums.encode()).hexdigest()[:12]

    def missing_days(self, model: str) -> list[date]:
        """Return every finished day that a model lacks, in order."""
        view = self._relation("day_status")
        query = f"select day from {view} where model = ? and is_missing order by day"
        return [day for (day,) in self._records(query, model)]

    def newest_build(self, model: str) -> Build | None:
        """Return the newest build of a model that is not built by day, None without one."""
        query = f"""
            select
                build."sequence", build.build_id, build."rows", build.content, build.built_at,
                coalesce(built_sql.sql, ''), build.vars
            from {self._relation("build_ledger")} as build
            left join {self._relation("built_sql")} as built_sql
                on build.model_checksum = built_sql.model_checksum and build.model = built_sql.model
            where build.model = ? and build.day is null
            order by build."sequence" desc
            limit 1
        """
        rows = self._records(query, model)
        if not rows:
            return None
        build = Build(*rows[0])
        return replace(build, built_at=_aware(build.built_at), vars=json.loads(rows[0][-1]))

    def checksums_of_days(self, group: FeatureGroup, days: Sequence[date]) -> dict[date, str]:
        """Return the checksum of each of some days as it is now, in the ledger's form."""
        if not days:
            return {}
        partition = quoted(group.partition)
        rows = self.rows(
            f"select {partition}, {ledger_checksum(group.columns)} from {group.relation_name} "
            f"where {partition} between ? and ? group by 1",
            [min(days), max(days)],
        )
        return {**dict.fromkeys(days, _NO_ROWS), **dict(rows)}

    def checksum(self, relation: str, columns: Sequence[Column]) -> str:
        """Return the checksum of a table as it is now, in the ledger's form."""
        return str(self.rows(f"select {ledger_checksum(columns)} from {relation}")[0][0])

    def day_of(self, group: FeatureGroup, day: date) -> pa.Table:
        """Read the rows of one day of a group, in the columns of its contract, times in UTC."""
        columns = _in_contract(group.columns)
        query = f"select {columns} from {group.relation_name} where {quoted(group.partition)} = ?"
        return self._select(query, [day], lambda rows: rows.to_arrow_table())

    def table(self, relation: str, columns: Sequence[Column]) -> pa.Table:
        """Read columns of a table, in the types of a contract."""
        query = f"select {_in_contract(columns)} from {relation}"
        return self._select(query, (), lambda rows: rows.to_arrow_table())

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Read the rows of a query as Python values."""
        return self._select(query, parameters, lambda rows: rows.fetchall())

    def _relation(self, record: str) -> str:
        try:
            return self._registry.records[record]
        except KeyError:
            raise FeatureStoreError(
                f"the project declares no source records.{record}; see docs/architecture.md"
            ) from None

    def _select(
        self,
        query: str,
        parameters: Sequence[object],
        fetch: Callable[[duckdb.DuckDBPyRelation], _Rows],
    ) -> _Rows:
        try:
            # DuckDB reads the file when the rows are fetched.
            return fetch(self._connection.sql(query, params=list(parameters)))
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise FeatureStoreError(
                "the warehouse does not have what the manifest names; "
                f"run: dbt build ({explain(error)})"
            ) from None
        except duckdb.Error as error:
            raise WarehouseUnreadable(self._path, error) from error

    def _records(self, query: str, *parameters: object) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except (duckdb.CatalogException, duckdb.BinderException):
            raise FeatureStoreError("the warehouse has no build records; run: dbt build") from None
        except duckdb.Error as error:
            raise WarehouseUnreadable(self._path, error) from error


def _in_contract(columns: Sequence[Column]) -> str:
    """Return the SQL of columns in the types of a contract; integers keep their width."""
    return ", ".join(
        quoted(column.name)
        if column.type == "int64"
        else f"cast({quoted(column.name)} as {duckdb_type(column.type)}) as {quoted(column.name)}"
        for column in columns
    )


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


@contextmanager
def open_warehouse(
    settings: Settings, registry: Registry, *, wait: float, on_wait: Callable[[str], None]
) -> Iterator[Warehouse]:
    """
    Open the warehouse read-only. Close it soon: a build cannot start while it is open.

    *on_wait* is called once, with a line of text, when a build holds the warehouse.

    Raises:
        StoreUnavailable: There is no file, as nothing was built yet; or a build still holds it
            after *wait* seconds.
    """
    with _connect(settings.warehouse, wait, on_wait) as connection:
        prepare(connection)
        # The view `day_status` needs it to find the missing days.
        last = settings.now().date() - timedelta(days=1)
        connection.execute(f"set variable last_finished_day = date '{last}'")
        yield Warehouse(connection, registry, settings.warehouse)


def _connect(path: Path, wait: float, on_wait: Callable[[str], None]) -> duckdb.DuckDBPyConnection:
    if not path.is_file():
        raise StoreUnavailable(f"{path} does not exist; run: dbt build")
    started = time.monotonic()
    noted = False
    while True:
        try:
            return duckdb.connect(str(path), read_only=True)
        except duckdb.IOException as error:
            if _LOCKED not in str(error):
                raise WarehouseUnreadable(path, error) from error
            holder = _HOLDER.search(str(error))
            detail = f" (process {holder[1]})" if holder else ""
            waited = time.monotonic() - started
            if waited >= wait:
                raise StoreUnavailable(
                    f"{path} is locked by a running build{detail} (waited {waited:.0f} s); "
                    "try again when it is done, or wait longer with --wait SECONDS"
                ) from None
        if not noted:
            on_wait(f"waiting up to {wait:g} s for a running build{detail}")
            noted = True
        time.sleep(_POLL_SECONDS)
