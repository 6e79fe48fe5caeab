"""
`materializer push`: brings the newest published row of every entity online, and the views.

Responsible for which groups and views are pushed, and for one outcome each. The project names
them; the registry entry that was published with a group's rows decides whether it is online. Does
not know the rules of a push: see `materializer.online.push` and `materializer.views.push`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import DONE, NotPublished, OnlineStoreUnavailable, UnknownGroup
from materializer.offline.catalog import open_catalog, store_id
from materializer.offline.snapshot import GroupSnapshot, open_snapshot
from materializer.online.connection import address, connect, may_exist, translate_errors
from materializer.online.facts import read_facts
from materializer.online.push import DEFAULT, PushOptions, push_group, withdraw_group
from materializer.outcome import Outcome, attempt
from materializer.registry import FeatureGroup, Registry
from materializer.views.push import push_view
from materializer.views.versions import PublishedVersion, read_versions


def push(
    settings: Settings,
    registry: Registry,
    console: Console,
    *,
    options: PushOptions = DEFAULT,
    skip_unpublished: bool = False,
) -> list[Outcome]:
    """
    Push groups and feature views. Call it under the run lock.

    A view that was never published is left out, with *skip_unpublished* also such a group.

    Returns:
        One outcome for each group and view that is, or was, online; also without a server.

    Raises:
        UsageError: `REDIS_URL` is not the address of a Redis server.
        OfflineStoreUnavailable: The catalog cannot be opened.
    """
    catalog = open_catalog(settings, note=console.note)
    open_group = partial(_open, catalog, skip_unpublished=skip_unpublished)
    opened = [
        attempt("push", name, console, partial(open_group, group))
        for name, group in registry.groups.items()
    ]
    snapshots = [snapshot for snapshot in opened if isinstance(snapshot, GroupSnapshot)]
    failed = [outcome for outcome in opened if isinstance(outcome, Outcome)]
    published = _published_versions(catalog, registry)
    online_groups = [snapshot.group.name for snapshot in snapshots if snapshot.group.online]
    names = [*online_groups, *published]
    if not names and not (snapshots and may_exist(settings)):
        return failed
    try:
        client = connect(settings, announce=console.note)
        _warn_of_eviction(client, console)
    except OnlineStoreUnavailable as error:
        # Without a group or view that is online, no server is needed.
        (console.error if names else console.note)(str(error))
        return failed + [Outcome("push", name, error.exit_code, str(error)) for name in names]
    run = _Run(settings, console, client, options, store_id(catalog) or "")
    work: list[tuple[str, Callable[[], Outcome | None]]] = [
        *((snapshot.group.name, partial(run.push_group, snapshot)) for snapshot in snapshots),
        *((name, partial(run.push_view, name, versions)) for name, versions in published.items()),
    ]
    outcomes = [attempt("push", name, console, task) for name, task in work]
    return failed + [outcome for outcome in outcomes if outcome is not None]


def _warn_of_eviction(client: redis.Redis, console: Console) -> None:
    with translate_errors(client):
        facts = read_facts(client)
    if facts is not None and facts.may_evict:
        console.note(
            f"online store {address(client)} may evict rows when its memory is full: its "
            f"maxmemory-policy is {facts.policy}; set noeviction"
        )


def _open(catalog: Catalog, group: FeatureGroup, *, skip_unpublished: bool) -> GroupSnapshot | None:
    """Open the published state of a group; None when there is nothing to push or remove."""
    try:
        return open_snapshot(catalog, group.name)
    except (NotPublished, UnknownGroup) as error:
        if skip_unpublished or not group.online:
            return None
        raise NotPublished(group.name) from error


def _published_versions(
    catalog: Catalog, registry: Registry
) -> Mapping[str, Sequence[PublishedVersion]]:
    versions = read_versions(catalog) if registry.views else []
    by_view = {name: [v for v in versions if v.view == name] for name in registry.views}
    return {name: published for name, published in by_view.items() if published}


@dataclass(frozen=True, slots=True)
class _Run:
    """What the pushes of one command share."""

    settings: Settings
    console: Console
    client: redis.Redis
    options: PushOptions
    store_id: str

    def push_group(self, snapshot: GroupSnapshot) -> Outcome | None:
        name, now = snapshot.group.name, self.settings.now()
        if not snapshot.group.online:
            removed = withdraw_group(snapshot, self.client, now=now, options=self.options)
            if removed is None:
                return None
            text = f"not online any more, {removed:,} removed"
            return self._outcome(name, text, {"deleted": removed})
        report = push_group(
            snapshot,
            self.client,
            now=now,
            options=self.options,
            progress=lambda done, total: self.console.progress(f"push {name}", done, total, "rows"),
        )
        return self._outcome(name, str(report), report.to_dict(), up_to_date=report.up_to_date)

    def push_view(self, name: str, versions: Sequence[PublishedVersion]) -> Outcome:
        written = push_view(
            name,
            versions,
            self.client,
            store_id=self.store_id,
            now=self.settings.now(),
            options=self.options,
        )
        newest, count = versions[-1].version, len(versions)
        text = f"version {newest}, {count:,} in all" if written else f"up to date, version {newest}"
        facts = {"version": newest, "versions": count}
        return self._outcome(name, text, facts, up_to_date=not written)

    def _outcome(
        self, name: str, text: str, facts: dict[str, Any], *, up_to_date: bool = False
    ) -> Outcome:
        target = "" if up_to_date else f" -> {address(self.client)}"
        self.console.print(f"pushed {name}: {text}{target}")
        return Outcome("push", name, DONE, "up to date" if up_to_date else "done", facts)
