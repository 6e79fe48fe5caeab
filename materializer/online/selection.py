"""
Choosing and encoding the rows to push: DuckDB over the Parquet files of one snapshot.

Responsible for the SQL: which rows of some files are the newest usable ones of the entities that
are still looked for, and how they become Redis commands. Does not check values: publishing refuses
those that JSON cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from materializer.errors import OfflineStoreUnavailable
from materializer.offline.catalog import FIRST_DAY, LAST_DAY
from materializer.offline.read import Parquet
from materializer.offline.schema import span_columns
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.online import codec
from materializer.registry.validity import removal_sql, removed_until
from materializer.sql import literal, open_engine, quoted, quoted_list

# Python, PyIceberg and Arrow take about 150 MB more, the engine itself and the chunks on their way
# about 50 MB. A push uses less than this, however many rows it has, unless very many entities
# have no row left.
MEMORY_LIMIT = "64MB"
# One thread encodes while `bulk` sends. More would take memory and have nothing to do: the batches
# of a stream are made one after another, when they are fetched.
THREADS = 1
# More entities than this are compared with a file's in parts, by hash. Reading the files again for
# each part costs less than a join that spills [entities].
PART_ROWS = 400_000
# A row takes about 120 bytes, so one batch is about one chunk of `bulk`.
BATCH_ROWS = 8192
# What DuckDB raises for a file that does not exist, is not Parquet, or is damaged.
_UNREADABLE = (duckdb.IOException, duckdb.InvalidInputException, pa.ArrowException)


@contextmanager
def open_selection(snapshot: GroupSnapshot, until: int) -> Iterator[Selection]:
    """
    Open the files of a snapshot, with an engine and its temporary folder.

    Rows available later than *until* [microseconds since 1970] may not be used yet.

    Raises:
        ContractMismatch: The table lacks a column of the group, or has another type.
        OfflineStoreUnavailable: A data file cannot be read.
    """
    group, spans = snapshot.group, snapshot.spans
    with open_engine(MEMORY_LIMIT, threads=THREADS, preserve_insertion_order=False) as (
        engine,
        folder,
    ):
        rows = Parquet(snapshot.table, group.columns, folder / "rows", snapshot.snapshot_id)
        entities = Parquet(spans, span_columns(group), folder / "spans")
        try:
            yield Selection(snapshot, until, engine, rows, entities)
        except _UNREADABLE as error:
            detail = str(error).split("\n", 1)[0]
            raise OfflineStoreUnavailable(snapshot.table.catalog.name, detail) from error


class Selection:
    """
    The rows of one push: entities are looked for in waves of files, the newest first.

    Call `look_for` once, then `commands` and `drop_found` for each wave until `count_remaining` is
    zero; `deletions` are for the entities that were in no wave.
    """

    def __init__(
        self,
        snapshot: GroupSnapshot,
        until: int,
        engine: duckdb.DuckDBPyConnection,
        rows: Parquet,
        spans: Parquet,
    ) -> None:
        group = snapshot.group
        self.snapshot = snapshot
        self.until = until
        # Rows available at this time or before are removed, if any are. With an event time such a
        # row may hide later ones; it is written, with an expiry that is past.
        self.after = None if group.event_time else removed_until(group, until)
        self._engine = engine
        self._rows = rows
        self._spans = spans
        self._keys = quoted_list(group.entity)
        self._key = codec.key_sql(group.key_prefix, group.keys)
        self._time = quoted(group.available_at)
        self._available = f"epoch_us({self._time}) <= {until}"
        self._usable = self._available
        if self.after is not None:
            self._usable += f" and epoch_us({self._time}) > {self.after}"
        # The relation of the entities to look for, as long as it has every entity of the first
        # wave, which then need not be compared. Later None: the table `remaining` has them.
        self._entities: str | None = None

    def newest_day(self) -> date | None:
        """Return the newest partition with a row that is available, expired or not."""
        for file in reversed(self.snapshot.files):
            if file.holds_only(None, self.until) or (
                file.may_hold(None, self.until)
                and self._run(f"select 1 from {self._scan([file])} where {self._available} limit 1")
            ):
                return file.day
        return None

    def held_keys(self, file: SnapshotFile, pushed: int, expire_ms: int, most: int) -> list[str]:
        """
        Return keys of entities with a row in a file, at random, *most* at most.

        The row was available at *pushed* [microseconds since 1970], is usable, and its key does not
        expire before *expire_ms* [milliseconds].
        """
        expiry = removal_sql(self.snapshot.group, self._time)
        lives = "" if expiry is None else f" and epoch_ms({expiry}) > {expire_ms}"
        rows = (
            f"select distinct {self._key} as k from {self._scan([file])} "
            f"where {self._usable} and epoch_us({self._time}) <= {pushed}{lives}"
        )
        return [key for (key,) in self._run(f"select k from ({rows}) using sample {most}")]

    def look_for(
        self, files: Sequence[SnapshotFile] | None, first_wave: Sequence[SnapshotFile]
    ) -> None:
        """Look for every entity of some files, or, without these, of the group."""
        if files is None:
            self._entities = self._every_entity()
        elif set(first_wave) <= set(files):
            # No entity of a file whose every row is usable will be left after the first wave.
            done = [f for f in first_wave if f.holds_only(self.after, self.until)]
            self._entities = self._scan([file for file in files if file not in done])
        else:
            self._keep_remaining(f"select distinct {self._keys} from {self._scan(files)}")

    def commands(self, wave: Sequence[SnapshotFile]) -> pa.RecordBatchReader:
        """Encode as `SET` the newest usable row, in a wave, of each entity still looked for."""
        group = self.snapshot.group
        expiry = removal_sql(group, self._time)
        expires = "null" if expiry is None else f"epoch_ms({expiry})::varchar"
        closing_row = group.closing_row if group.has_closing_rows else None
        value = codec.value_sql(group.contract, closing_row)
        encoded = (
            f"select {self._key} as k, {value} as v, {expires} as e from ({self._newest(wave)})"
        )
        options = [] if expiry is None else ["'PXAT'", "e"]
        command = codec.command_sql("SET", "k", "v", *options)
        return self._stream(f"select {command} as command from ({encoded})")

    def drop_found(self, wave: Sequence[SnapshotFile]) -> None:
        """Stop looking for the entities that have a usable row in a wave."""
        empty = f"select {self._keys} from {self._spans.sql([])}"
        matched = f"select {self._keys} from {self._scan(wave)} where {self._usable}"
        if self._entities is None:
            self._run("alter table remaining rename to candidates")
            self._keep_remaining(empty)
            self._add_unmatched(matched)
            return
        entities = f"select {self._keys} from {self._entities}"
        day = self._day_of(wave) if self._entities == self._every_entity() else None
        if day is not None:
            # The spans have the entities with a row on that day and the few without. Only these are
            # kept, so memory does not grow with the rows of the day.
            present = f"{FIRST_DAY} <= date '{day}' and {LAST_DAY} >= date '{day}'"
            matched = f"{entities} where {present}"
            entities = f"{entities} where not ({present})"
        self._keep_remaining(empty)
        [(count,)] = self._run(f"select count(*) from ({entities})")
        parts = -(-int(count) // PART_ROWS)
        for part in range(parts):
            in_part = f"hash({self._keys}) % {parts} = {part}"
            candidates = f"select distinct * from ({entities}) where {in_part}"
            self._run(f"create table candidates as {candidates}")
            self._add_unmatched(f"select * from ({matched}) where {in_part}")

    def count_remaining(self) -> int | None:
        """Count the entities still looked for; None before the first wave, when unknown."""
        if self._entities is not None:
            return None
        [(count,)] = self._run("select count(*) from remaining")
        return int(count)

    def deletions(self) -> pa.RecordBatchReader:
        """Encode a `DEL` for each entity still looked for; after `drop_found` of every wave."""
        if self._entities is not None:
            self._keep_remaining(f"select distinct {self._keys} from {self._entities}")
        keys = f"select {self._key} as k from remaining"
        return self._stream(f"select {codec.command_sql('DEL', 'k')} as command from ({keys})")

    def add_online_keys(self, keys: list[bytes], prefix: str) -> None:
        """Note keys that the server has, except those that a group could not have written."""
        parts = f"(:[A-Za-z0-9._~%-]*){{{len(self.snapshot.group.entity)}}}"
        shape = f"regexp_escape({literal(prefix)}) || '{parts}'"
        self._run("create table if not exists online (k varchar)")
        self._engine.register("scanned", pa.table({"k": pa.array(keys, pa.binary())}))
        self._run(
            "insert into online select decode(k) from scanned "
            f"where regexp_full_match(try(decode(k)), {shape})"
        )
        self._engine.unregister("scanned")

    def keys_without_entity(self) -> Iterator[list[str]]:
        """Yield, in batches, the noted keys that belong to no entity of the group."""
        known = f"select {self._key} as k from {self._every_entity()}"
        for batch in self._stream(f"select k from online anti join ({known}) using (k)"):
            yield batch.column(0).to_pylist()

    def _every_entity(self) -> str:
        # The spans have every entity, so a long history need not be read.
        return self._spans.sql(self.snapshot.span_files if self.snapshot.group.online else [])

    def _newest(self, wave: Sequence[SnapshotFile]) -> str:
        rows = f"select * from {self._scan(wave)} where {self._usable}"
        if self._entities is None:
            rows = f"select * from ({rows}) semi join remaining using ({self._keys})"
        if (event := self.snapshot.group.event_time) is not None:
            order = f"{quoted(event)} desc, {self._time} desc"
            latest = f"row_number() over (partition by {self._keys} order by {order})"
            return f"select * from ({rows}) where {quoted(event)} is not null qualify {latest} = 1"
        moments = {moment for file in wave for moment in (file.first, file.last)}
        if len(moments) == 1 and None not in moments:
            # All rows are of one moment, at which the gate allows an entity one row.
            return rows
        newest = (
            f"select {self._keys}, max({self._time}) as {self._time} from ({rows}) group by all"
        )
        return f"select * from ({rows}) semi join ({newest}) using ({self._keys}, {self._time})"

    def _keep_remaining(self, entities: str) -> None:
        self._run(f"create table remaining as {entities}")
        self._entities = None

    def _add_unmatched(self, matched: str) -> None:
        # A join keeps its right side in memory: the candidates, then those that matched, but never
        # all entities of a file.
        seen = f"select * from ({matched}) semi join candidates using ({self._keys})"
        self._run(
            "insert into remaining "
            f"select * from candidates anti join ({seen}) using ({self._keys})"
        )
        self._run("drop table candidates")

    def _day_of(self, wave: Sequence[SnapshotFile]) -> date | None:
        """Return the day whose rows a wave consists of, if it has all and all are usable."""
        days = {file.day for file in wave}
        if len(days) > 1 or not all(file.holds_only(self.after, self.until) for file in wave):
            return None
        [day] = days
        return day if all(f in wave for f in self.snapshot.files if f.day == day) else None

    def _run(self, query: str) -> list[tuple[Any, ...]]:
        # All of it is fetched: a result left unfinished blocks the connection.
        return self._engine.execute(query).fetchall()

    def _stream(self, query: str) -> pa.RecordBatchReader:
        return self._engine.sql(query).to_arrow_reader(BATCH_ROWS)

    def _scan(self, files: Sequence[SnapshotFile]) -> str:
        return self._rows.sql([file.path for file in files])
