"""
Reading the rows to push: DuckDB over the Parquet files of one snapshot.

Owns the SQL: which rows of some files are the newest usable ones of the entities still wanted, and
how they become Redis commands. Columns are found by Iceberg's field ids, so files written under an
older schema read right. It works within a fixed memory and spills to a temporary folder. Refuses
values that JSON cannot hold, before they are sent.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from materializer import codec
from materializer.errors import BadValue, ContractMismatch, OfflineStoreUnavailable
from materializer.offline.catalog import reaching
from materializer.online.source import File
from materializer.registry import Column, FeatureGroup

# Together with Python, PyIceberg and Arrow (about 140 MB) this stays below 300 MB resident.
MEMORY_LIMIT = "96MB"
THREADS = 2
# Of about 120 bytes each, so that one batch is about one chunk on the wire.
BATCH_ROWS = 8192
DAY_US = 24 * 3600 * 1_000_000
_REMAINING = "remaining"
_ONLINE = "online"

_ICEBERG: dict[str, tuple[type[IcebergType], ...]] = {
    "string": (StringType,),
    "int64": (LongType, IntegerType),
    "double": (DoubleType, FloatType),
    "boolean": (BooleanType,),
    "date": (DateType,),
    "timestamp": (TimestampType,),
}
_DUCKDB = {
    "string": "varchar",
    "int64": "bigint",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}


class Selection:
    """
    The rows of one push: every entity of some files is wanted, and found in waves of files.

    Call `want` once, then for each wave, newest first, `commands` and `drop_found`, until `left`
    is zero; `deletions` are those never found. All within `opened`.
    """

    def __init__(
        self, group: FeatureGroup, table: Table, schema: Schema, after: int | None, until: int
    ) -> None:
        """
        Prepare the SQL.

        Args:
            group: The group.
            table: Its Iceberg table, for reaching its files.
            schema: Its columns.
            after: Rows available up to then have expired [microseconds since 1970], or None.
            until: Rows available later than then may not be used yet [microseconds since 1970].

        Raises:
            ContractMismatch: The table lacks a column of the group, or has another type.
        """
        self._group = group
        self._table = table
        self._after = after
        self._until = until
        self._entity = [_column(group, name) for name in group.entity]
        self._keys = ", ".join(codec.quoted(name) for name in group.entity)
        self._time = codec.quoted(group.available_at)
        self._usable = f"epoch_us({self._time}) <= {until}"
        if after is not None:
            self._usable += f" and epoch_us({self._time}) > {after}"
        time = _column(group, group.available_at)
        columns = {c.name: c for c in (*self._entity, *group.contract.columns, time)}
        self._schema = _schema_sql(group, schema, list(columns.values()))
        self._nothing = ", ".join(
            f"null::{_DUCKDB.get(c.type, c.type)} as {codec.quoted(c.name)}"
            for c in columns.values()
        )
        self._local: dict[str, str] = {}
        # Until the first wave was sent, "everything in it is wanted" needs no list.
        self._wanted: tuple[File, ...] | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """
        Hold the engine and its temporary folder.

        Raises:
            OfflineStoreUnavailable: A data file cannot be read.
        """
        with tempfile.TemporaryDirectory(prefix="feature-store-push-") as folder:
            self._folder = Path(folder)
            config: dict[str, Any] = {
                "threads": THREADS,
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(self._folder / "spill"),
                "preserve_insertion_order": False,
            }
            try:
                with duckdb.connect(config=config) as self._engine:
                    yield
            except (duckdb.IOException, duckdb.InvalidInputException, pa.ArrowException) as error:
                detail = str(error).split("\n", 1)[0]
                raise OfflineStoreUnavailable(self._table.catalog.name, detail) from error

    def has_available(self, file: File) -> bool:
        """Tell whether a file holds a row that is available, expired or not."""
        available = f"epoch_us({self._time}) <= {self._until}"
        return bool(self._run(f"select 1 from {self._scan([file])} where {available} limit 1"))

    def want(self, files: Sequence[File], first_wave: Sequence[File], everything: bool) -> None:
        """
        Say whose rows are wanted: every entity of some files.

        Args:
            files: The files.
            first_wave: The first wave there will be.
            everything: *files* are all there are.
        """
        if everything or set(first_wave) <= set(files):
            self._wanted = tuple(files)
        else:
            self._keep(f"select distinct {self._keys} from {self._scan(files)}")

    def commands(self, wave: Sequence[File]) -> pa.RecordBatchReader:
        """
        Encode the newest usable row, in a wave, of each entity still wanted.

        Returns:
            Batches of one string column `command`, one `SET` a row.

        Raises:
            BadValue: One of the rows holds NaN or infinity; none of the wave is encoded.
        """
        rows = self._newest(wave)
        self._refuse_not_finite(rows)
        ttl = self._group.ttl_days
        expires = None if ttl is None else f"(epoch_us({self._time}) + {ttl * DAY_US}) // 1000"
        encoded = (
            f"select {codec.key_sql(self._group.key_prefix, self._entity)} as k, "
            f"{codec.value_sql(self._group.contract)} as v, {expires or 'null'} as e from ({rows})"
        )
        command = codec.set_sql("k", "v", None if expires is None else "e")
        return self._stream(f"select {command} as command from ({encoded})")

    def drop_found(self, wave: Sequence[File]) -> None:
        """Want no longer the entities that have a usable row in a wave."""
        found = f"(select {self._keys} from {self._scan(wave)} where {self._usable})"
        wanted = f"select {self._keys} from {_REMAINING}"
        if self._wanted is not None:
            others = [
                file
                for file in self._wanted
                if file not in wave or not file.holds_only(self._after, self._until)
            ]
            self._wanted = None
            wanted = f"select distinct {self._keys} from {self._scan(others)}"
        self._keep(f"select * from ({wanted}) anti join {found} using ({self._keys})")

    def left(self) -> int | None:
        """Count the entities still wanted; None before the first wave, when nobody counted."""
        if self._wanted is not None:
            return None
        return self._count(_REMAINING)

    def deletions(self) -> pa.RecordBatchReader:
        """Encode a `DEL` for each entity still wanted; after `drop_found` of every wave."""
        key = codec.key_sql(self._group.key_prefix, self._entity)
        if self._wanted is not None:
            self._keep(f"select distinct {self._keys} from {self._scan(self._wanted)}")
            self._wanted = None
        return self._stream(
            f"select {codec.del_sql('k')} as command from (select {key} as k from {_REMAINING})"
        )

    def note_online(self, keys: list[bytes], prefix: str) -> None:
        """
        Remember which keys of the group the server has.

        Args:
            keys: Any keys; those that the group could not have written are left out.
            prefix: Prefix of the group's keys.
        """
        parts = f"(:[A-Za-z0-9._~%-]*){{{len(self._entity)}}}"
        shape = f"regexp_escape({codec.literal(prefix)}) || '{parts}'"
        self._run(f"create table if not exists {_ONLINE} (k varchar)")
        self._engine.register("scanned", pa.table({"k": pa.array(keys, pa.binary())}))
        self._run(
            f"insert into {_ONLINE} select decode(k) from scanned "
            f"where regexp_full_match(try(decode(k)), {shape})"
        )
        self._engine.unregister("scanned")

    def stale(self, order: Iterable[list[File]]) -> Iterator[list[str]]:
        """
        Yield, in batches, the remembered keys that belong to no entity of some files.

        Args:
            order: The files, in groups; those that hold most entities first save the most work.
        """
        key = codec.key_sql(self._group.key_prefix, self._entity)
        for files in order:
            known = f"select {key} as k from {self._scan(files)}"
            self._run(
                f"create or replace table {_ONLINE} as "
                f"select k from {_ONLINE} anti join ({known}) using (k)"
            )
            if self._count(_ONLINE) == 0:
                return
        for batch in self._stream(f"select k from {_ONLINE}"):
            yield batch.column(0).to_pylist()

    def _newest(self, wave: Sequence[File]) -> str:
        rows = f"select * from {self._scan(wave)} where {self._usable}"
        if self._wanted is None:
            rows = f"select * from ({rows}) semi join {_REMAINING} using ({self._keys})"
        moments = {moment for file in wave for moment in (file.first, file.last)}
        if len(moments) == 1 and None not in moments:
            # One moment, and the gate knows an entity to have one row at it.
            return rows
        newest = (
            f"select {self._keys}, max({self._time}) as {self._time} from ({rows}) group by all"
        )
        return f"select * from ({rows}) semi join ({newest}) using ({self._keys}, {self._time})"

    def _refuse_not_finite(self, rows: str) -> None:
        conditions = codec.not_finite_sql(self._group.contract)
        if not conditions:
            return
        key = codec.key_sql(self._group.key_prefix, self._entity)
        # Aggregates, not a filter: Parquet's bounds leave NaN out, and a filter skips by bounds.
        firsts = ", ".join(f"min({key}) filter (where {test})" for test in conditions.values())
        [found] = self._run(f"select {firsts} from ({rows})")
        for column, text in zip(conditions, found, strict=True):
            if text is not None:
                raise BadValue(group=self._group.name, column=column, key=text)

    def _keep(self, query: str) -> None:
        self._run(f"create or replace table {_REMAINING} as {query}")

    def _count(self, table: str) -> int:
        [(count,)] = self._run(f"select count(*) from {table}")
        return int(count)

    def _run(self, query: str) -> list[tuple[Any, ...]]:
        # Fetched to the end: the engine starts nothing else while a result is open.
        return self._engine.execute(query).fetchall()

    def _stream(self, query: str) -> pa.RecordBatchReader:
        return self._engine.sql(query).to_arrow_reader(BATCH_ROWS)

    def _scan(self, files: Sequence[File]) -> str:
        if not files:
            return f"(select {self._nothing} where false)"
        paths = ", ".join(codec.literal(self._path(file.path)) for file in files)
        return f"read_parquet([{paths}], schema = {self._schema}, hive_partitioning = false)"

    def _path(self, location: str) -> str:
        """Give the path of a file on this machine; one from elsewhere is copied here first."""
        if location.startswith("file:"):
            return location.removeprefix("file://").removeprefix("file:")
        if "://" not in location:
            return location
        if location not in self._local:
            copy = self._folder / f"{len(self._local)}.parquet"
            with (
                reaching(self._table.catalog.name),
                self._table.io.new_input(location).open() as remote,
                copy.open("wb") as local,
            ):
                shutil.copyfileobj(remote, local, 1 << 20)
            self._local[location] = str(copy)
        return self._local[location]


def _column(group: FeatureGroup, name: str) -> Column:
    return next(column for column in group.columns if column.name == name)


def _schema_sql(group: FeatureGroup, schema: Schema, columns: Sequence[Column]) -> str:
    """Write the columns to read, found by field id, for `read_parquet`."""
    fields = []
    for column in columns:
        try:
            field = schema.find_field(column.name)
        except ValueError:
            raise _mismatch(group, f"the published table has no column {column.name}") from None
        if not _fits(column.type, field.field_type):
            raise _mismatch(
                group,
                f"column {column.name} is {field.field_type} in the published table and "
                f"{column.type} in the contract",
            )
        fields.append(
            f"{field.field_id}: {{name: {codec.literal(column.name)}, "
            f"type: '{_DUCKDB.get(column.type, column.type)}', default_value: null}}"
        )
    return f"map {{{', '.join(fields)}}}"


def _fits(kind: str, stored: IcebergType) -> bool:
    if isinstance(stored, DecimalType):
        return kind == f"decimal({stored.precision},{stored.scale})"
    return isinstance(stored, _ICEBERG.get(kind, ()))


def _mismatch(group: FeatureGroup, problem: str) -> ContractMismatch:
    return ContractMismatch(group=group.name, problem=f"{problem}; run: materializer publish")
