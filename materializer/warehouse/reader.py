"""
The private working store that dbt writes, read only, for a moment.

Owns how the DuckDB file is opened while a build may hold it, and what the build's records say.
Refuses to write: one writer, dbt, is what keeps data and ledger in agreement. Every relation comes
from the manifest.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from materializer.errors import FeatureStoreError, WarehouseLocked, WarehouseMissing
from materializer.registry import Column, FeatureGroup, Registry
from materializer.sql import prepare, quoted
from materializer.warehouse.checksum import ledger_checksum
from materializer.warehouse.records import BuiltDay, BuiltWhole, LastBuild, Verdict

_POLL_SECONDS = 0.2
_LOCKED = "Could not set lock"
_HOLDER = re.compile(r"PID (\d+)")
# The content of a day without rows.
_NO_ROWS = "0:0"


class Warehouse:
    """An open, read-only warehouse. Use it as a context manager, and not for long."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, registry: Registry) -> None:
        self._connection = connection
        self._registry = registry

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def warehouse_id(self) -> str:
        """Tell which warehouse this is; a file made anew has another id."""
        rows = self._rows(f"select warehouse_id from {self._record('warehouse')}")
        if not rows:
            raise FeatureStoreError("the warehouse has no id; run: dbt build")
        return str(rows[0][0])

    def sequences(self) -> dict[str, int]:
        """Tell each model's newest ledger sequence, by dbt's id of the model."""
        return dict(
            self._rows(
                f'select model, max("sequence") from {self._record("build_ledger")} group by 1'
            )
        )

    def verdicts(self) -> list[Verdict]:
        """
        List what each gate test said when it last ran, one entry a guarded model.

        After the ledger was deleted its numbers start over. So a verdict keeps the number of its
        build only while that build began no later than the verdict's own run.
        """
        verdicts = self._record("gate_verdicts")
        query = f"""
            select
                said.test,
                said.model,
                case when said.recorded_at >= build.built_at then said.model_sequence end,
                said.status,
                said.failures,
                coalesce(said.sample_share, 1)
            from {verdicts} as said
            left join (
                select model, "sequence", max(built_at) as built_at
                from {self._record("build_ledger")}
                group by 1, 2
            ) as build
                on said.model = build.model and said.model_sequence = build."sequence"
            where said."sequence" = (select max("sequence") from {verdicts} where test = said.test)
        """
        return [Verdict(*row) for row in self._rows(query)]

    def built_days(self, model: str) -> list[BuiltDay]:
        """List every built day of a model in order, empty days included."""
        query = f"""
            select
                day,
                max("sequence"),
                arg_max("rows", "sequence"),
                arg_max(model_checksum, "sequence"),
                -- Not an older entry's when the newest has none.
                arg_max_null(content, "sequence"),
                arg_max_null(source_first_day, "sequence"),
                arg_max(built_at, "sequence")
            from {self._record("build_ledger")}
            where model = ? and day is not null
            group by day
            order by day
        """
        return [
            replace(BuiltDay(*row), built_at=_aware(row[-1])) for row in self._rows(query, [model])
        ]

    def built_whole(self, model: str) -> BuiltWhole | None:
        """Tell the newest build of a model that is not built by day, None without one."""
        query = f"""
            select "sequence", "rows", content, built_at
            from {self._record("build_ledger")}
            where model = ? and day is null
            order by "sequence" desc
            limit 1
        """
        rows = self._rows(query, [model])
        return replace(BuiltWhole(*rows[0]), built_at=_aware(rows[0][-1])) if rows else None

    def last_build(self, model: str) -> LastBuild | None:
        """Tell the newest build of a model that is built by day, None without one."""
        ledger = self._record("build_ledger")
        query = f"""
            select reason, count(distinct day), max(built_at)
            from {ledger}
            where
                model = ?
                and day is not null
                and build_id = (
                    select arg_max(build_id, "sequence") from {ledger} where model = ?
                )
            group by 1
            order by min(day)
        """
        rows = self._rows(query, [model, model])
        if not rows:
            return None
        return LastBuild(_aware(rows[0][2]), {reason: days for reason, days, _ in rows})

    def first_event_day(self, model: str) -> date | None:
        """Tell the UTC day of the first event that any build of a model saw."""
        rows = self._rows(
            f"select min(source_first_day) from {self._record('build_ledger')} where model = ?",
            [model],
        )
        day: date | None = rows[0][0]
        return day

    def newest_first_event_day(self, model: str) -> date | None:
        """Tell the UTC day of the first event that the newest build of days saw."""
        # Days that are only stamped anew keep what their own build saw.
        query = f"""
            select arg_max(source_first_day, "sequence")
            from {self._record("build_ledger")}
            where model = ? and reason <> 'availability lag changed'
        """
        day: date | None = self._rows(query, [model])[0][0]
        return day

    def lag_hours(self, model: str) -> int | None:
        """Tell under which availability lag a model's rows were stamped [h], None without days."""
        query = f"""
            select arg_max(availability_lag_hours, "sequence")
            from {self._record("build_ledger")}
            where model = ? and day is not null
        """
        rows = self._rows(query, [model])
        return None if rows[0][0] is None else int(rows[0][0])

    def last_built_at(self, model: str) -> datetime | None:
        """Tell when the newest build of a model began [aware, UTC]."""
        rows = self._rows(
            f"select max(built_at) from {self._record('build_ledger')} where model = ?",
            [model],
        )
        return _aware(rows[0][0]) if rows[0][0] else None

    def content_of_days(self, group: FeatureGroup, days: Sequence[date]) -> dict[date, str]:
        """
        Tell the content of days as it is now, in the ledger's form.

        Args:
            group: Its relation and contract.
            days: In any order.

        Returns:
            One entry a day, `0:0` for a day without rows.
        """
        if not days:
            return {}
        found = self._found(
            f'select "{group.partition}", {ledger_checksum(group.columns)} '
            f'from {group.relation_name} where "{group.partition}" between ? and ? group by 1',
            [min(days), max(days)],
        )
        contents = dict(found.fetchall())
        return {day: contents.get(day, _NO_ROWS) for day in days}

    def content_of(self, relation: str, columns: Sequence[Column]) -> str:
        """Tell the content of a whole relation as it is now, in the ledger's form."""
        return str(
            self._found(f"select {ledger_checksum(columns)} from {relation}").fetchall()[0][0]
        )

    def day_of(self, group: FeatureGroup, day: date) -> pa.Table:
        """
        Read one whole day of a group.

        Returns:
            n rows, the columns of the group in contract order, times in UTC.
        """
        columns = ", ".join(quoted(column.name) for column in group.columns)
        return self._arrow(
            f'select {columns} from {group.relation_name} where "{group.partition}" = ?', [day]
        )

    def table(self, relation: str, columns: Sequence[Column]) -> pa.Table:
        """Read a whole relation: n rows, the given columns."""
        names = ", ".join(quoted(column.name) for column in columns)
        return self._arrow(f"select {names} from {relation}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the rows of a query as Python values."""
        return self._found(query).fetchall()

    def _record(self, name: str) -> str:
        try:
            return self._registry.records[name]
        except KeyError:
            raise FeatureStoreError(
                f"the project declares no source records.{name}; see docs/reference/records.md"
            ) from None

    def _arrow(self, query: str, parameters: Sequence[object] = ()) -> pa.Table:
        return self._found(query, parameters).to_arrow_table()

    def _found(self, query: str, parameters: Sequence[object] = ()) -> duckdb.DuckDBPyRelation:
        try:
            return self._connection.sql(query, params=list(parameters))
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            first = str(error).splitlines()[0]
            raise FeatureStoreError(
                f"the warehouse does not have what the manifest names; run: dbt build ({first})"
            ) from None

    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, list(parameters)).fetchall()
        except duckdb.CatalogException:
            raise FeatureStoreError("the warehouse has no build records; run: dbt build") from None
        except duckdb.BinderException:
            raise FeatureStoreError(
                "the build records are those of an older version; run: dbt build"
            ) from None


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc)


def open_warehouse(
    path: Path,
    registry: Registry,
    *,
    wait: float,
    on_wait: Callable[[str], None] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Warehouse:
    """
    Open the warehouse read-only, waiting for a build that holds it.

    Args:
        path: The DuckDB file.
        registry: Names the relations.
        wait: How long to wait for the lock [s].
        on_wait: Told once, in words, when there is something to wait for.
        settings: DuckDB settings, e.g. `memory_limit`.

    Raises:
        WarehouseMissing: There is no file: nothing was built yet.
        WarehouseLocked: A build still holds it after *wait* seconds.
    """
    if not path.is_file():
        raise WarehouseMissing(path)
    started = time.monotonic()
    told = False
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=True, config=dict(settings or {}))
            prepare(connection)
        except duckdb.IOException as error:
            if _LOCKED not in str(error):
                raise FeatureStoreError(f"{path} cannot be read: {error}") from error
            holder = _HOLDER.search(str(error))
            detail = f" (process {holder[1]})" if holder else ""
            waited = time.monotonic() - started
            if waited >= wait:
                raise WarehouseLocked(path, waited, detail) from None
            if on_wait is not None and not told:
                on_wait(f"waiting up to {wait:g} s for a running build{detail}")
                told = True
            time.sleep(_POLL_SECONDS)
        else:
            return Warehouse(connection, registry)
