"""
The push of one group from the offline store to the online store.

Responsible for the rules of a push. It writes the newest usable row of every entity whose row may
have changed since the last push, and deletes the keys of entities without one. `_meta` is marked
unfinished before the first row and written last, so a push that was killed is followed by a full
one. Does not go backwards, or overwrite another store's rows, unless the options allow it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from itertools import chain
from typing import cast

import redis

from materializer.config import micros
from materializer.days import DayRange
from materializer.errors import PushRefused, UnreadableValue
from materializer.offline.catalog import store_id
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.online import codec
from materializer.online.bulk import Sent, send
from materializer.online.connection import address, translate_errors
from materializer.online.facts import ServerFacts, read_facts
from materializer.online.file_order import changed_files, waves
from materializer.online.losses import find_loss
from materializer.online.owners import claim, group_owner, read_owners, release
from materializer.online.selection import Selection, open_selection
from materializer.online.state import Meta, read_contract, write_contract

Progress = Callable[[int, int], None]
_SCAN = 10_000


@dataclass(frozen=True, slots=True)
class PushOptions:
    """
    What a push does only on request.

    Attributes:
        everything: Write every entity, whatever `_meta` says, and remove keys of unknown ones.
        take_over: Replace what belongs to another store or group.
        allow_older: Overwrite newer rows.
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
        full: Every entity was looked at, not only those that may have changed.
        up_to_date: There was nothing to do.
        lost: What had gone missing since the last push, so that every row was written; or None.
    """

    rows: int
    deleted: int
    day: str | None
    snapshot_id: str
    full: bool
    seconds: float
    up_to_date: bool
    lost: str | None = None

    def __str__(self) -> str:
        """Return the figures for a person."""
        if self.up_to_date:
            return f"up to date, day {self.day}"
        removed = f", {self.deleted:,} removed" if self.deleted else ""
        removed += f", all again because {self.lost}" if self.lost else ""
        return (
            f"{self.rows:,} rows{removed}, day {self.day}, {self.seconds:.2f} s "
            f"({self._rate:,.0f} rows/s)"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the figures for a machine."""
        figures = {**asdict(self), "seconds": round(self.seconds, 3)}
        del figures["up_to_date"]
        if self.lost is None:
            del figures["lost"]
        return {**figures, "rows_per_second": round(self._rate)}

    @property
    def _rate(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


def push_group(
    snapshot: GroupSnapshot,
    client: redis.Redis,
    *,
    now: datetime,
    options: PushOptions = DEFAULT,
    progress: Progress = lambda done, total: None,
) -> PushReport:
    """
    Bring a published state of an online group online, with the rows available at *now* [UTC].

    *progress* is called with the entities done and, as far as known, all entities to write.

    Raises:
        PushRefused: It would go backwards, or replace what belongs to another store or group.
        FeatureStoreError: A row has no key, or another contract has the same id.
        ContractMismatch: The table lacks a column.
        UnreadableValue: `_meta` is not ours, and not everything is to be written.
        OfflineStoreUnavailable, OnlineStoreUnavailable, OnlineWriteFailed: A store fails.
    """
    started = time.perf_counter()
    meta_key = codec.meta_key(snapshot.group.name)
    with translate_errors(client), open_selection(snapshot, micros(now)) as selection:
        known = Meta.read(client, meta_key, ignore_unreadable=options.everything)
        meta = _new_meta(selection, now, facts := read_facts(client))
        owner = group_owner(snapshot.group, meta.store_id)
        if known is not None and known.store_id == meta.store_id and not options.allow_older:
            _refuse_older(known, meta, snapshot, address(client))
        taken = claim(client, "group", snapshot.group.name, owner, take_over=options.take_over)
        changed = None if options.everything or taken else _changed(known, meta, selection)
        kept = known if changed is not None else None
        lost = find_loss(client, facts, kept, selection) if kept else None
        changed = changed if lost is None else None
        if known is not None and changed == []:
            sent, rows = Sent(), known.rows
        else:
            sent = _write(client, selection, known, changed, progress)
            rows = sent.written
        meta.model_copy(update={"rows": rows}).write(client, meta_key)
    return PushReport(
        rows=sent.written,
        deleted=sent.removed,
        day=meta.day.isoformat() if meta.day else None,
        snapshot_id=meta.snapshot_id,
        full=changed is None,
        seconds=time.perf_counter() - started,
        up_to_date=changed == [],
        lost=lost,
    )


def withdraw_group(
    snapshot: GroupSnapshot, client: redis.Redis, *, now: datetime, options: PushOptions = DEFAULT
) -> int | None:
    """
    Remove every key of a published group that is not online any more, and return their number.

    Returns None when this store has nothing online for the group.
    """
    meta_key = codec.meta_key(snapshot.group.name)
    with translate_errors(client):
        known = Meta.read(client, meta_key, ignore_unreadable=options.everything)
        owner = known.store_id if known else None
        if owner != _owner(snapshot) and not (owner is None and options.everything):
            return None
        with open_selection(snapshot, micros(now)) as selection:
            removed = _sweep(client, selection, known)
        # Last: a removal that is killed is repeated.
        client.delete(meta_key)
        release(client, "group", snapshot.group.name)
    return removed if known or removed else None


def _owner(snapshot: GroupSnapshot) -> str:
    owner = store_id(snapshot.table.catalog)
    assert owner is not None, "the first publish makes the id"
    return owner


def _new_meta(selection: Selection, now: datetime, facts: ServerFacts | None) -> Meta:
    snapshot, group = selection.snapshot, selection.snapshot.group
    return Meta(
        store_id=_owner(snapshot),
        snapshot_id=str(snapshot.snapshot_id),
        day=selection.newest_day(),
        rows=0,
        contract=group.contract.id,
        pushed_at=now,
        key_prefix=group.key_prefix,
        ttl_days=group.ttl_days,
        event_time=group.event_time,
        fresh_hours=group.fresh_hours,
        closing_row=group.closing_row if group.has_closing_rows else None,
        built_days=tuple(str(days) for days in _runs_that_count(selection)),
        # As they are before rows are written: some of these may be evicted at once.
        run_id=facts.run_id if facts else None,
        evicted_keys=facts.evicted_keys if facts else None,
    )


def _runs_that_count(selection: Selection) -> list[DayRange]:
    """List the runs of built days in which a closing row may hold now or later."""
    snapshot = selection.snapshot
    if not snapshot.group.has_closing_rows:
        return []
    ends = [(file.day, snapshot.ends(file)) for file in snapshot.files]
    days = [day for day, end in ends if end is None or end > selection.until]
    return [run for run in snapshot.built_days if any(run.first <= day <= run.last for day in days)]


def _refuse_older(known: Meta, new: Meta, snapshot: GroupSnapshot, server: str) -> None:
    """Raise `PushRefused` when a push would overwrite newer rows of this store."""
    name = snapshot.group.name
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
    # A change of any of these changes every key or value.
    common = ("store_id", "contract", "key_prefix", "ttl_days", "event_time", "closing_row")
    if any(getattr(known, name) != getattr(new, name) for name in common):
        return None
    # When the clock was set back, rows hold again whose keys were removed.
    if new.pushed_at < known.pushed_at:
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
    progress: Progress,
) -> Sent:
    """Write the contract, mark `_meta` as unfinished, send the rows, and remove unknown keys."""
    group = selection.snapshot.group
    was_empty = client.dbsize() == 0
    write_contract(client, group.contract)
    if group.has_closing_rows:
        write_contract(client, replace(group.contract, closing=True))
    if known is not None:
        unfinished = known.model_copy(update={"unfinished": True})
        unfinished.write(client, codec.meta_key(group.name))
    sent = _send_rows(client, selection, changed, progress)
    if changed is None and not was_empty:
        sent += Sent(removed=_sweep(client, selection, known))
    return sent


def _send_rows(
    client: redis.Redis,
    selection: Selection,
    changed: Sequence[SnapshotFile] | None,
    progress: Progress,
) -> Sent:
    """Send the newest row of every entity to look at, and delete the keys of those without one."""
    done = total = 0
    group = selection.snapshot.group

    def count(replies: int) -> None:
        nonlocal done
        done += replies
        progress(done, max(done, total))

    order = list(waves(selection.snapshot.files, selection.after, selection.until))
    if group.event_time is not None:
        # The newest row of an entity may be in any file.
        order = [list(chain.from_iterable(order))] if order else []
    selection.look_for(changed, order[0] if order else [])
    sent = Sent()
    for wave in order:
        remaining = selection.count_remaining()
        if remaining == 0:
            break
        total = done + (sum(file.rows for file in wave) if remaining is None else remaining)
        sent += send(client, selection.commands(wave), count)
        selection.drop_found(wave)
    return sent + send(client, selection.deletions(), count)


def _sweep(client: redis.Redis, selection: Selection, known: Meta | None) -> int:
    """
    Delete the keys of a group that belong to no entity of it, and count them.

    The name of a key is not enough: its value must name a contract of this group, or of one that
    owns nothing any more.
    """
    group = selection.snapshot.group
    for prefix in {group.key_prefix, known.key_prefix if known else group.key_prefix}:
        for keys in _scan(client, prefix):
            selection.add_online_keys(keys, prefix)

    others = read_owners(client).keys() - {f"group:{group.name}"}

    @cache
    def is_ours(contract_id: str) -> bool:
        contract = read_contract(client, contract_id)
        return contract is not None and f"group:{contract.group}" not in others

    removed = 0
    for batch in selection.keys_without_entity():
        values = cast("list[bytes | None]", client.mget(batch))
        pairs = zip(batch, values, strict=True)
        stale = [key for key, value in pairs if is_ours(_contract_id(value))]
        if stale:
            removed += client.delete(*stale)
    return removed


def _scan(client: redis.Redis, prefix: str) -> Iterator[list[bytes]]:
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + ":*"
    cursor = -1
    while cursor:
        cursor, keys = cast(
            "tuple[int, list[bytes]]", client.scan(max(cursor, 0), match=pattern, count=_SCAN)
        )
        yield keys


def _contract_id(value: bytes | None) -> str:
    """Return the id of the contract that a value names; empty if it is not one of ours."""
    try:
        return codec.decode_value(value or b"")[0]
    except UnreadableValue:
        return ""
