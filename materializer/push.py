"""
`materializer push`: the newest published row of every entity goes online, and the views.

Responsible for which groups and views are pushed, and for one outcome each. The project names
them; whether a group is online is decided by the registry entry that was published with its rows.
Does not know the rules of a push, see `materializer.online.push` and `materializer.views.push`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import redis
from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import (
    DONE,
    FeatureStoreError,
    NotPublished,
    OnlineStoreUnavailable,
    UnknownGroup,
)
from materializer.offline.catalog import open_catalog, store_id
from materializer.offline.snapshot import GroupSnapshot, open_snapshot
from materializer.online.connection import address, connect, may_exist
from materializer.online.push import (
    DEFAULT,
    PushOptions,
    PushReport,
    WithdrawReport,
    push_group,
    withdraw_group,
)
from materializer.outcome import Outcome, attempt
from materializer.registry import FeatureGroup, FeatureView
from materializer.views.push import ViewReport, push_view
from materializer.views.versions import PublishedVersion, versions


def push(
    settings: Settings,
    groups: Sequence[FeatureGroup],
    console: Console,
    *,
    options: PushOptions = DEFAULT,
    views: Sequence[FeatureView] = (),
    skip_unpublished: bool = False,
) -> list[Outcome]:
    """
    Push groups and feature views. Call it under the run lock.

    Args:
        settings: Where the two stores are.
        groups: The groups, as the project declares them.
        console: Where progress and results are printed.
        options: What to do beyond what changed.
        views: The views; one that was never published is left out.
        skip_unpublished: Leave out groups that were never published, too.

    Returns:
        One outcome for each group and view that is, or was, online. A server that cannot be reached
        is the outcome of each of them, so that what was published before is still reported.

    Raises:
        UsageError: `REDIS_URL` is not the address of a Redis server.
        OfflineStoreUnavailable: The catalog cannot be opened.
    """
    catalog = open_catalog(settings)
    outcomes: list[Outcome] = []
    snapshots: list[GroupSnapshot] = []
    for group in groups:
        try:
            snapshots.append(_open(catalog, group.name))
        except FeatureStoreError as error:
            if not isinstance(error, NotPublished) or (group.online and not skip_unpublished):
                console.error(str(error))
                outcomes.append(Outcome("push", group.name, error.exit_code, str(error)))
    view_versions = _published_versions(catalog, views)
    names = [snapshot.group.name for snapshot in snapshots if snapshot.group.online]
    names += view_versions
    if not names and not (snapshots and may_exist(settings)):
        return outcomes
    try:
        client = connect(settings, announce=console.note)
    except OnlineStoreUnavailable as error:
        # A store without a group or view that is online needs no server.
        report = console.error if names else console.note
        report(str(error))
        return outcomes + [Outcome("push", name, error.exit_code, str(error)) for name in names]
    run = _Run(settings, console, client, options)
    for snapshot in snapshots:
        name = snapshot.group.name
        outcome = attempt("push", name, console, partial(run.push_group, snapshot))
        if outcome is not None:
            outcomes.append(outcome)
    owner = store_id(catalog) or ""
    for name, published in view_versions.items():
        work = partial(run.push_view, name, published, owner)
        outcomes.append(attempt("push", name, console, work))
    return outcomes


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the command: where from, where to, and how."""

    settings: Settings
    console: Console
    client: redis.Redis
    options: PushOptions

    def push_group(self, snapshot: GroupSnapshot) -> Outcome | None:
        name, now = snapshot.group.name, self.settings.now()
        if not snapshot.group.online:
            removed = withdraw_group(snapshot, self.client, now=now, options=self.options)
            return None if removed is None else self._outcome(name, removed)
        report = push_group(
            snapshot,
            self.client,
            now=now,
            options=self.options,
            progress=lambda done, total: self.console.progress(f"push {name}", done, total, "rows"),
        )
        return self._outcome(name, report)

    def push_view(self, name: str, published: Sequence[PublishedVersion], owner: str) -> Outcome:
        report = push_view(
            name,
            published,
            self.client,
            store_id=owner,
            now=self.settings.now(),
            options=self.options,
        )
        return self._outcome(name, report)

    def _outcome(self, name: str, report: PushReport | WithdrawReport | ViewReport) -> Outcome:
        target = "" if report.up_to_date else f" -> {address(self.client)}"
        self.console.print(f"pushed {name}: {report}{target}")
        status = "up to date" if report.up_to_date else "done"
        return Outcome("push", name, DONE, status, report.to_dict())


def _open(catalog: Catalog, name: str) -> GroupSnapshot:
    try:
        return open_snapshot(catalog, name)
    except UnknownGroup:
        # The project declares it, so it is not an unknown name.
        raise NotPublished(name) from None


def _published_versions(
    catalog: Catalog, views: Sequence[FeatureView]
) -> Mapping[str, Sequence[PublishedVersion]]:
    known = versions(catalog) if views else []
    by_view = {view.name: [one for one in known if one.view == view.name] for view in views}
    return {name: published for name, published in by_view.items() if published}
