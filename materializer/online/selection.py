"""
Choosing and encoding the rows to push: DuckDB over the Parquet files of one snapshot.

Owns the SQL: which rows of some files are the newest usable ones of the entities still wanted, and
how they become Redis commands. It works within a fixed memory and spills to a temporary folder.
Refuses values that JSON cannot hold, before they are sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from materializer.errors import BadValue, OfflineStoreUnavailable
from materializer.offline.catalog import FIRST_DAY, LAST_DAY
from materializer.offline.read import Parquet
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.online import codec
from materializer.registry import Column, FeatureGroup
from materializer.sql import literal, open_engine, quoted, quoted_list

# Beside Python, PyIceberg and Arrow (about 150 MB), the engine itself and the chunks under way
# (about 50 MB). A push takes a part of it, whatever its rows, unless very many entities left.
MEMORY_LIMIT = "64MB"
# One encodes, and `bulk` sends beside it. More would take memory and find nothing to do: the
# batches of a stream are made one after another, when they are asked for.
THREADS = 1
# Keys told from others at once: more are taken in parts, by hash, and the files are read for each
# part, which costs less than a join that spills [keys].
PART_ROWS = 400_000
# Of about 120 bytes each, so that one batch is about one chunk on the wire.
BATCH_ROWS = 8192
DAY_US = 24 * 3600 * 1_000_000
# A file that is not there, is no Parquet, or is damaged.
_UNREADABLE = (duckdb.IOException, duckdb.InvalidInputException, pa.ArrowException)
_REMAINING = "remaining"
# Those of them who are looked for in a wave.
_ASKED = "asked"
_ONLINE = "online"


class Selection:
    """
    The rows of one push: some entities are wanted, and found in waves of files.

    Call `want` or `want_everyone` once, then for each wave, newest first, `commands` and
    `drop_found`, until `left` is zero; `deletions` are those never found. All within `opened`.
    """

    def __init__(self, snapshot: GroupSnapshot, until: int) -> None:
        """
        Prepare the SQL.

        Args:
            snapshot: The group and its files.
            until: Rows available later than then may not be used yet [microseconds since 1970].
        """
        group = snapshot.group
        self._snapshot = snapshot
        self._group = group
        self._until = until
        # Rows available up to then have expired.
        self.after = None if group.ttl_days is None else until - group.ttl_days * DAY_US
        self._entity = [_column(group, name) for name in group.entity]
        self._keys = quoted_list(group.entity)
        self._key = codec.key_sql(group.key_prefix, self._entity)
        self._time = quoted(group.available_at)
        self._usable = f"epoch_us({self._time}) <= {until}"
        if self.after is not None:
            self._usable += f" and epoch_us({self._time}) > {self.after}"
        # The wanted entities as a relation, as long as every one of the first wave is among them:
        # then that wave needs no list of them. Later, None, and they are in a table.
        self._wanted: str | None = None
        # Those are the entities of the spans, which then also tell who is found.
        self._everyone = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """
        Hold the engine and its temporary folder.

        Raises:
            ContractMismatch: The table lacks a column of the group, or has another type.
            OfflineStoreUnavailable: A data file cannot be read.
        """
        snapshot, group = self._snapshot, self._group
        time = _column(group, group.available_at)
        columns = {c.name: c for c in (*self._entity, *group.contract.columns, time)}
        with open_engine(MEMORY_LIMIT, threads=THREADS, preserve_insertion_order=False) as (
            self._engine,
            folder,
        ):
            self._rows = Parquet(
                group.name, snapshot.table, snapshot.schema, list(columns.values()), folder / "rows"
            )
            ends = [Column(FIRST_DAY, "date"), Column(LAST_DAY, "date")]
            self._spans = Parquet(
                group.name,
                snapshot.spans,
                snapshot.spans.schema(),
                [*self._entity, *ends],
                folder / "spans",
            )
            try:
                yield
            except _UNREADABLE as error:
                detail = str(error).split("\n", 1)[0]
                raise OfflineStoreUnavailable(snapshot.table.catalog.name, detail) from error

    def has_available(self, file: SnapshotFile) -> bool:
        """Tell whether a file holds a row that is available, expired or not."""
        available = f"epoch_us({self._time}) <= {self._until}"
        return bool(self._run(f"select 1 from {self._scan([file])} where {available} limit 1"))

    def want(self, files: Sequence[SnapshotFile], first_wave: Sequence[SnapshotFile]) -> None:
        """
        Want every entity of some files.

        Args:
            files: The files.
            first_wave: The first wave there will be.
        """
        if not set(first_wave) <= set(files):
            wanted = f"select distinct {self._keys} from {self._scan(files)}"
            self._run(f"create table {_REMAINING} as {wanted}")
            return
        # Nobody of a file whose every row is usable will be left after the first wave.
        done = [f for f in first_wave if f.holds_only(self.after, self._until)]
        self._wanted = self._scan([file for file in files if file not in done])

    def want_everyone(self) -> None:
        """Want every entity of the group."""
        # The spans name each of them, so a long history need not be read to know them.
        self._wanted = self._spans.sql(self._snapshot.span_files)
        self._everyone = True

    def commands(self, wave: Sequence[SnapshotFile]) -> pa.RecordBatchReader:
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
            f"select {self._key} as k, "
            f"{codec.value_sql(self._group.contract)} as v, {expires or 'null'} as e from ({rows})"
        )
        command = codec.set_sql("k", "v", None if expires is None else "e")
        return self._stream(f"select {command} as command from ({encoded})")

    def drop_found(self, wave: Sequence[SnapshotFile]) -> None:
        """Want no longer the entities that have a usable row in a wave."""
        found = f"select {self._keys} from {self._scan(wave)} where {self._usable}"
        if self._wanted is None:
            self._run(f"alter table {_REMAINING} rename to {_ASKED}")
            self._start_remaining()
            self._add_missing(found)
            return
        entities = f"select {self._keys} from {self._wanted}"
        day = self._day_of(wave) if self._everyone else None
        if day is not None:
            # The spans tell who has a row on that day, and the few who have none: no key of the
            # others is kept, so memory does not grow with the rows of the day.
            there = f"{FIRST_DAY} <= date '{day}' and {LAST_DAY} >= date '{day}'"
            found = f"{entities} where {there}"
            entities = f"{entities} where not ({there})"
        self._wanted = None
        self._start_remaining()
        [(rows,)] = self._run(f"select count(*) from ({entities})")
        parts = -(-int(rows) // PART_ROWS)
        for part in range(parts):
            mine = f"hash({self._keys}) % {parts} = {part}"
            self._run(f"create table {_ASKED} as select distinct * from ({entities}) where {mine}")
            self._add_missing(f"select * from ({found}) where {mine}")

    def left(self) -> int | None:
        """Count the entities still wanted; None before the first wave, when nobody counted."""
        if self._wanted is not None:
            return None
        return self._count(_REMAINING)

    def deletions(self) -> pa.RecordBatchReader:
        """Encode a `DEL` for each entity still wanted; after `drop_found` of every wave."""
        if self._wanted is not None:
            wanted = f"select distinct {self._keys} from {self._wanted}"
            self._run(f"create table {_REMAINING} as {wanted}")
            self._wanted = None
        keys = f"select {self._key} as k from {_REMAINING}"
        return self._stream(f"select {codec.del_sql('k')} as command from ({keys})")

    def note_online(self, keys: list[bytes], prefix: str) -> None:
        """
        Remember which keys of the group the server has.

        Args:
            keys: Any keys; those that the group could not have written are left out.
            prefix: Prefix of the group's keys.
        """
        parts = f"(:[A-Za-z0-9._~%-]*){{{len(self._entity)}}}"
        shape = f"regexp_escape({literal(prefix)}) || '{parts}'"
        self._run(f"create table if not exists {_ONLINE} (k varchar)")
        self._engine.register("scanned", pa.table({"k": pa.array(keys, pa.binary())}))
        self._run(
            f"insert into {_ONLINE} select decode(k) from scanned "
            f"where regexp_full_match(try(decode(k)), {shape})"
        )
        self._engine.unregister("scanned")

    def stale(self) -> Iterator[list[str]]:
        """Yield, in batches, the remembered keys that belong to no entity of the group."""
        everyone = self._spans.sql(self._snapshot.span_files)
        known = f"select {self._key} as k from {everyone}"
        for batch in self._stream(f"select k from {_ONLINE} anti join ({known}) using (k)"):
            yield batch.column(0).to_pylist()

    def _newest(self, wave: Sequence[SnapshotFile]) -> str:
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

    def _start_remaining(self) -> None:
        keys = f"select {self._keys} from {self._spans.sql([])}"
        self._run(f"create table {_REMAINING} as {keys}")

    def _add_missing(self, found: str) -> None:
        # A join keeps its right side in memory: first that is who is asked for, then who of them
        # was found, and never all that a file holds.
        seen = f"select * from ({found}) semi join {_ASKED} using ({self._keys})"
        self._run(
            f"insert into {_REMAINING} "
            f"select * from {_ASKED} anti join ({seen}) using ({self._keys})"
        )
        self._run(f"drop table {_ASKED}")

    def _day_of(self, wave: Sequence[SnapshotFile]) -> date | None:
        """Name the day of which a wave is every row, each of them usable; None if it is not so."""
        days = {file.day for file in wave}
        if len(days) > 1 or not all(file.holds_only(self.after, self._until) for file in wave):
            return None
        [day] = days
        return day if all(f in wave for f in self._snapshot.files if f.day == day) else None

    def _refuse_not_finite(self, rows: str) -> None:
        conditions = codec.not_finite_sql(self._group.contract)
        if not conditions:
            return
        # Aggregates, not a filter: Parquet's bounds leave NaN out, and a filter skips by bounds.
        firsts = ", ".join(
            f"min({self._key}) filter (where {test})" for test in conditions.values()
        )
        [found] = self._run(f"select {firsts} from ({rows})")
        for column, text in zip(conditions, found, strict=True):
            if text is not None:
                raise BadValue(group=self._group.name, column=column, key=text)

    def _count(self, table: str) -> int:
        [(count,)] = self._run(f"select count(*) from {table}")
        return int(count)

    def _run(self, query: str) -> list[tuple[Any, ...]]:
        # Fetched to the end: the engine starts nothing else while a result is open.
        return self._engine.execute(query).fetchall()

    def _stream(self, query: str) -> pa.RecordBatchReader:
        return self._engine.sql(query).to_arrow_reader(BATCH_ROWS)

    def _scan(self, files: Sequence[SnapshotFile]) -> str:
        return self._rows.sql([file.path for file in files])


def _column(group: FeatureGroup, name: str) -> Column:
    return next(column for column in group.columns if column.name == name)
