"""
The push of one group: what the offline store holds becomes what the online store answers.

Owns the rules of a push. It writes the newest usable row of every entity that could have another
than at the last push, and deletes the keys of those that have none left. What could have changed
is told by the snapshot and the clock kept in `_meta`; without it, or when it cannot tell,
everything is written. Contract first, rows next, `_meta` last; before the first row `_meta` is
marked unfinished, so a push that is killed anywhere is followed by a full one. Refuses to go
backwards, and to write over another store's rows, unless told so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import cast

import redis
from pyiceberg.catalog import Catalog

from materializer.config import format_time, micros, parse_time
from materializer.errors import ContractCollision, NotPublished, PushRefused, UnreadableValue
from materializer.offline.catalog import store_id
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile, open_snapshot
from materializer.online import codec
from materializer.online.bulk import Sent, send
from materializer.online.codec import Meta
from materializer.online.connection import address, translate_errors
from materializer.online.file_order import changed_files, waves
from materializer.online.meta import mark_unfinished, read_meta, write_meta
from materializer.online.selection import Selection
from materializer.online.sweep import sweep
from materializer.registry import FeatureGroup

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PushReport:
    """
    What a push did.

    Attributes:
        group: Group name.
        rows: Rows written.
        deleted: Keys removed.
        day: Newest partition with an available row, or None.
        snapshot_id: Iceberg snapshot that is online now, as a decimal text.
        seconds: How long it took [s], from opening the table to the last reply.
        full: Every entity was looked at, not only the changed ones.
        up_to_date: There was nothing to do.
    """

    group: str
    rows: int
    deleted: int
    day: str | None
    snapshot_id: str
    seconds: float
    full: bool
    up_to_date: bool

    @property
    def rows_per_second(self) -> float:
        """Rows written per second [1/s]."""
        return self.rows / self.seconds if self.seconds else 0.0


def push(
    group: FeatureGroup,
    catalog: Catalog,
    client: redis.Redis,
    *,
    now: datetime,
    everything: bool = False,
    take_over: bool = False,
    allow_older: bool = False,
    progress: Progress | None = None,
) -> PushReport:
    """
    Bring one group online.

    Args:
        group: The group; its contract must be that of the published table.
        catalog: The offline store.
        client: The online store.
        now: The clock [aware]: rows available later are left for a later push.
        everything: Look at every entity, whatever `_meta` says, and remove keys of unknown ones.
        take_over: Write even if another store's rows are there.
        allow_older: Write even if something newer is there.
        progress: Called with entities done and entities to do, as known so far.

    Raises:
        NotPublished: The group was never published.
        PushRefused: It would go backwards, or over another store's rows.
        BadValue: A row holds NaN or infinity.
        NullKey: A row has no key.
        ContractMismatch: The published table is not what the group says.
        ContractCollision: Another contract has the same id.
        OfflineStoreUnavailable: The table cannot be read.
        OnlineStoreUnavailable: The server is not there, or went away.
        OnlineWriteFailed: The server refuses a write.
    """
    started = time.perf_counter()
    owner = store_id(catalog)
    if owner is None:
        raise NotPublished(group.name)
    source = replace(open_snapshot(catalog, group.name), group=group)
    known = _known(client, group, everything=everything)
    until = micros(now)
    selection = Selection(source, until)
    with selection.opened():
        day = _newest_day(source, selection, until)
        if known is not None:
            _refuse(known, owner, source, day, address(client), take_over, allow_older)
        changed = None if known is None or everything else _changed(known, owner, source, until)
        sent = Sent()
        if changed != []:
            occupied = _begin(client, group, known)
            order = waves(source.files, selection.after, until)
            sent += _write(selection, changed, order, client, _Meter(progress))
            if changed is None and occupied:
                sent += Sent(removed=_sweep(selection, source, known, client))
    idle = known is not None and changed == []
    rows = known.rows if known is not None and idle else sent.written
    write_meta(client, group.name, _meta(owner, source, day, rows, now))
    return PushReport(
        group=group.name,
        rows=sent.written,
        deleted=sent.removed,
        day=day,
        snapshot_id=str(source.snapshot_id),
        seconds=time.perf_counter() - started,
        full=changed is None,
        up_to_date=idle,
    )


class _Meter:
    """Counts replies, and tells them with what is known to come."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = 0
        self._total = 0

    def expect(self, more: int) -> None:
        self._total = self._done + more

    def add(self, replies: int) -> None:
        self._done += replies
        if self._progress is not None:
            self._progress(self._done, max(self._done, self._total))


def _known(client: redis.Redis, group: FeatureGroup, *, everything: bool) -> Meta | None:
    try:
        return read_meta(client, group.name)
    except UnreadableValue:
        if everything:
            return None
        raise


def _newest_day(source: GroupSnapshot, selection: Selection, until: int) -> str | None:
    for file in sorted(source.files, key=lambda file: file.day, reverse=True):
        if not file.may_hold(None, until):
            continue
        if file.holds_only(None, until) or selection.has_available(file):
            return file.day.isoformat()
    return None


def _refuse(
    known: Meta,
    owner: str,
    source: GroupSnapshot,
    day: str | None,
    where: str,
    take_over: bool,
    allow_older: bool,
) -> None:
    """
    Stop a push that would lose something.

    Raises:
        PushRefused: Another store's rows, or something newer, are there.
    """
    name = source.group.name
    if known.store_id != owner:
        if take_over:
            return
        raise PushRefused(
            f"{name}: not pushed: {where} holds the rows of another store ({known.store_id}); "
            "to replace them: --take-over"
        )
    if allow_older:
        return
    snapshot = int(known.snapshot_id)
    if source.knows(snapshot) and not source.descends_from(snapshot):
        raise PushRefused(
            f"{name}: not pushed: {where} holds snapshot {snapshot}, on which the published "
            f"{source.snapshot_id} is not built; to go back to that: --allow-older"
        )
    if (day or "") < (known.day or ""):
        raise PushRefused(
            f"{name}: not pushed: {where} holds {known.day}, and the newest published day in use "
            f"is {day or 'none'}; to go back to that: --allow-older"
        )


def _changed(
    known: Meta, owner: str, source: GroupSnapshot, until: int
) -> list[SnapshotFile] | None:
    """List the files whose entities have to be looked at; None means every file."""
    group = source.group
    then = (known.store_id, known.contract, known.key_prefix, known.ttl_days)
    if known.unfinished or then != (
        owner,
        group.contract.id,
        group.key_prefix,
        group.ttl_days,
    ):
        return None
    base = source.files_at(int(known.snapshot_id))
    if base is None:
        return None
    return changed_files(source, base, micros(parse_time(known.pushed_at)), until)


def _begin(client: redis.Redis, group: FeatureGroup, known: Meta | None) -> bool:
    """
    Write the contract, and the mark that a push has begun.

    Returns:
        Whether there was anything on the server before.

    Raises:
        ContractCollision: Another contract has the same id.
    """
    contract = group.contract
    name = codec.contract_key(contract.id)
    with translate_errors(address(client)):
        occupied = bool(client.dbsize())
        if not client.set(name, contract.text, nx=True):
            stored = cast("bytes | None", client.get(name)) or b""
            if stored != contract.text.encode():
                raise ContractCollision(
                    contract_id=contract.id,
                    stored=stored.decode(errors="replace"),
                    new=contract.text,
                )
    if known is not None:
        mark_unfinished(client, group.name, known)
    return occupied


def _write(
    selection: Selection,
    changed: Sequence[SnapshotFile] | None,
    order: Iterator[list[SnapshotFile]],
    client: redis.Redis,
    meter: _Meter,
) -> Sent:
    """Send the newest row of every wanted entity, and the deletion of those without one."""
    sent = Sent()
    first = next(order, [])
    if changed is None:
        selection.want_everyone()
    else:
        selection.want(changed, first)
    for wave in chain([first] if first else [], order):
        left = selection.left()
        if left == 0:
            break
        meter.expect(sum(file.rows for file in wave) if left is None else left)
        sent += send(client, selection.commands(wave), on_replies=meter.add)
        selection.drop_found(wave)
    return sent + send(client, selection.deletions(), on_replies=meter.add)


def _sweep(
    selection: Selection, source: GroupSnapshot, known: Meta | None, client: redis.Redis
) -> int:
    prefixes = {source.group.key_prefix}
    if known is not None:
        prefixes.add(known.key_prefix)
    return sweep(client, source.group, sorted(prefixes), selection)


def _meta(owner: str, source: GroupSnapshot, day: str | None, rows: int, now: datetime) -> Meta:
    return Meta(
        store_id=owner,
        snapshot_id=str(source.snapshot_id),
        day=day,
        rows=rows,
        contract=source.group.contract.id,
        pushed_at=format_time(now),
        key_prefix=source.group.key_prefix,
        ttl_days=source.group.ttl_days,
    )
