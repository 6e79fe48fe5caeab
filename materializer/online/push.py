"""
The push of one group: what the offline store holds becomes what the online store answers.

Responsible for the rules of a push. It writes the newest usable row of every entity that may have
another one than at the last push, and deletes the keys of entities that have none left. What may
have changed follows from the snapshot and the clock in `_meta`; without them everything is written.
Contract first, rows next, `_meta` last; before the first row `_meta` is marked unfinished, so a
push that is killed anywhere is followed by a full one. Key, contract, prefix and ttl are those of
the registry entry that was published with the rows. Does not go backwards, or write over another
store's rows, unless the options allow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, cast

import redis

from materializer.config import micros
from materializer.errors import FeatureStoreError, PushRefused, UnreadableValue
from materializer.offline.catalog import store_id
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.online import codec
from materializer.online.bulk import Sent, send
from materializer.online.connection import address, translate_errors
from materializer.online.file_order import changed_files, waves
from materializer.online.selection import Selection
from materializer.online.state import Meta, read_meta, write_meta
from materializer.online.sweep import sweep
from materializer.registry import Contract, FeatureGroup

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PushOptions:
    """
    What a push does only on request.

    Attributes:
        everything: Write every entity, whatever `_meta` says, and remove keys of unknown ones.
        take_over: Write over another store's rows.
        allow_older: Write over newer rows.
    """

    everything: bool = False
    take_over: bool = False
    allow_older: bool = False


DEFAULT = PushOptions()


@dataclass(frozen=True, slots=True)
class PushReport:
    """
    What the push of a group did.

    Attributes:
        rows: Rows written.
        deleted: Keys removed.
        day: Newest partition with an available row, or None.
        snapshot_id: Iceberg snapshot that is online now, as a decimal text.
        full: Every entity was looked at, not only those that may have changed.
        seconds: How long it took [s], to the last reply.
        up_to_date: There was nothing to do.
    """

    rows: int
    deleted: int
    day: str | None
    snapshot_id: str
    full: bool
    seconds: float
    up_to_date: bool

    def __str__(self) -> str:
        """Return the figures for a person."""
        if self.up_to_date:
            return f"up to date, day {self.day}"
        removed = f", {self.deleted:,} removed" if self.deleted else ""
        return (
            f"{self.rows:,} rows{removed}, day {self.day}, {self.seconds:.2f} s "
            f"({self._rate:,.0f} rows/s)"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the figures for a machine."""
        figures = {**asdict(self), "rows_per_second": round(self._rate)}
        del figures["up_to_date"]
        return figures | {"seconds": round(self.seconds, 3)}

    @property
    def _rate(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class WithdrawReport:
    """
    What the push of a group did that is not online any more.

    Attributes:
        deleted: Keys removed.
    """

    deleted: int
    up_to_date: ClassVar[bool] = False

    def __str__(self) -> str:
        """Return the figures for a person."""
        return f"not online any more, {self.deleted:,} removed"

    def to_dict(self) -> dict[str, object]:
        """Return the figures for a machine."""
        return {"deleted": self.deleted}


def push_group(
    snapshot: GroupSnapshot,
    client: redis.Redis,
    *,
    now: datetime,
    options: PushOptions = DEFAULT,
    progress: Progress | None = None,
) -> PushReport:
    """
    Bring a published state of a group online.

    Args:
        snapshot: The state; of a group that is online.
        client: The online store.
        now: The clock [aware, UTC]: rows available later are left for a later push.
        options: What to do beyond what changed.
        progress: Called with entities done and entities to do, as far as known.

    Raises:
        PushRefused: It would go backwards, or over another store's rows.
        FeatureStoreError: A row has no key, or another contract has the same id.
        ContractMismatch: The table lacks a column.
        UnreadableValue: `_meta` is not ours, and not everything is to be written.
        OfflineStoreUnavailable, OnlineStoreUnavailable, OnlineWriteFailed: A store fails.
    """
    started = time.perf_counter()
    selection = Selection(snapshot, micros(now))
    with translate_errors(address(client)), selection.opened():
        known = _read_meta(client, snapshot.group.name, options)
        meta = _new_meta(selection, now)
        if known is not None:
            _refuse_loss(known, meta, snapshot, address(client), options)
        changed = None if options.everything else _changed(known, meta, selection)
        if changed == [] and known is not None:
            sent, meta = Sent(), meta.model_copy(update={"rows": known.rows})
        else:
            sent = _write(client, selection, known, changed, progress)
            meta = meta.model_copy(update={"rows": sent.written})
        write_meta(client, snapshot.group.name, meta)
    return PushReport(
        rows=sent.written,
        deleted=sent.removed,
        day=meta.day.isoformat() if meta.day else None,
        snapshot_id=meta.snapshot_id,
        full=changed is None,
        seconds=time.perf_counter() - started,
        up_to_date=changed == [],
    )


def withdraw_group(
    snapshot: GroupSnapshot, client: redis.Redis, *, now: datetime, options: PushOptions = DEFAULT
) -> WithdrawReport | None:
    """
    Remove every key of a published group that is not online any more.

    Returns:
        What was done; None when this store has nothing there.

    Raises:
        UnreadableValue, OnlineStoreUnavailable, OnlineWriteFailed: As in `push_group`.
    """
    group = snapshot.group
    with translate_errors(address(client)):
        known = _read_meta(client, group.name, options)
        owner = known.store_id if known else None
        if owner != _owner(snapshot) and not (owner is None and options.everything):
            return None
        selection = Selection(snapshot, micros(now))
        with selection.opened():
            removed = sweep(client, group.name, _prefixes(group, known), selection)
        # Last: a removal that is killed is repeated.
        client.delete(codec.meta_key(group.name))
    return WithdrawReport(removed) if known or removed else None


class _Meter:
    """Counts replies, and reports them with what is known to come."""

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


def _owner(snapshot: GroupSnapshot) -> str:
    owner = store_id(snapshot.table.catalog)
    assert owner is not None, "the first publish names the store"
    return owner


def _read_meta(client: redis.Redis, group: str, options: PushOptions) -> Meta | None:
    try:
        return read_meta(client, group)
    except UnreadableValue:
        if options.everything:
            return None
        raise


def _prefixes(group: FeatureGroup, known: Meta | None) -> set[str]:
    """Return the prefixes under which keys of the group may be: the current and the last one."""
    return {group.key_prefix, known.key_prefix if known else group.key_prefix}


def _new_meta(selection: Selection, now: datetime) -> Meta:
    group = selection.snapshot.group
    return Meta(
        store_id=_owner(selection.snapshot),
        snapshot_id=str(selection.snapshot.snapshot_id),
        day=_newest_day(selection),
        rows=0,
        contract=group.contract.id,
        pushed_at=now.astimezone(UTC),
        key_prefix=group.key_prefix,
        ttl_days=group.ttl_days,
    )


def _newest_day(selection: Selection) -> date | None:
    for file in reversed(selection.snapshot.files):
        if not file.may_hold(None, selection.until):
            continue
        if file.holds_only(None, selection.until) or selection.has_available(file):
            return file.day
    return None


def _refuse_loss(
    known: Meta, new: Meta, snapshot: GroupSnapshot, server: str, options: PushOptions
) -> None:
    """
    Raise when a push would lose what is online.

    Raises:
        PushRefused: Another store's rows, or something newer, are there.
    """
    name = snapshot.group.name
    if known.store_id != new.store_id:
        if options.take_over:
            return
        raise PushRefused(
            f"{name}: not pushed: {server} holds the rows of another store ({known.store_id}); "
            "to replace them: --take-over"
        )
    if options.allow_older:
        return
    pushed = int(known.snapshot_id)
    if snapshot.knows(pushed) and not snapshot.descends_from(pushed):
        raise PushRefused(
            f"{name}: not pushed: {server} holds snapshot {pushed}, on which the published "
            f"{snapshot.snapshot_id} is not built; to go back to that: --allow-older"
        )
    if known.day is not None and (new.day is None or new.day < known.day):
        raise PushRefused(
            f"{name}: not pushed: {server} holds {known.day}, and the newest published day in use "
            f"is {new.day or 'none'}; to go back to that: --allow-older"
        )


def _changed(known: Meta | None, new: Meta, selection: Selection) -> list[SnapshotFile] | None:
    """List the files whose entities have to be looked at; None means every file."""
    if known is None or known.unfinished:
        return None
    form = ("store_id", "contract", "key_prefix", "ttl_days")
    if any(getattr(known, name) != getattr(new, name) for name in form):
        return None
    base = selection.snapshot.files_at(int(known.snapshot_id))
    if base is None:
        return None
    return changed_files(selection.snapshot, base, micros(known.pushed_at), selection.until)


def _write(
    client: redis.Redis,
    selection: Selection,
    known: Meta | None,
    changed: Sequence[SnapshotFile] | None,
    progress: Progress | None,
) -> Sent:
    """Write the contract, the mark that a push has begun, and the rows; remove unknown keys."""
    group = selection.snapshot.group
    was_empty = client.dbsize() == 0
    _write_contract(client, group.contract)
    if known is not None:
        write_meta(client, group.name, known.model_copy(update={"unfinished": True}))
    sent = _send_rows(client, selection, changed, _Meter(progress))
    if changed is None and not was_empty:
        sent += Sent(removed=sweep(client, group.name, _prefixes(group, known), selection))
    return sent


def _write_contract(client: redis.Redis, contract: Contract) -> None:
    """
    Write how to read the rows.

    Raises:
        FeatureStoreError: Another contract has the same id.
    """
    key = codec.contract_key(contract.id)
    if client.set(key, contract.text, nx=True):
        return
    stored = cast("bytes | None", client.get(key)) or b""
    if stored != contract.text.encode():
        raise FeatureStoreError(
            f"contract id {contract.id} already names {stored.decode(errors='replace')}, so "
            f"{contract.text} cannot use it; rename a column or the group"
        )


def _send_rows(
    client: redis.Redis,
    selection: Selection,
    changed: Sequence[SnapshotFile] | None,
    meter: _Meter,
) -> Sent:
    """Send the newest row of every entity to look at, and the deletion of those without one."""
    order = list(waves(selection.snapshot.files, selection.after, selection.until))
    selection.look_for(changed, order[0] if order else [])
    sent = Sent()
    for wave in order:
        remaining = selection.count_remaining()
        if remaining == 0:
            break
        meter.expect(sum(file.rows for file in wave) if remaining is None else remaining)
        sent += send(client, selection.commands(wave), on_replies=meter.add)
        selection.drop_found(wave)
    return sent + send(client, selection.deletions(), on_replies=meter.add)
