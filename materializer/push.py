"""
`materializer push`: the newest published row of every entity goes online, and the views.

Owns nothing but the words; `materializer.online.push` does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import redis
from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import DONE, OnlineStoreUnavailable
from materializer.offline.catalog import open_catalog, store_id
from materializer.online.connection import address, connect
from materializer.online.push import push as push_group
from materializer.outcome import Outcome, attempt
from materializer.registry import FeatureGroup, FeatureView
from materializer.views.push import push_view
from materializer.views.versions import PublishedVersion, versions


def push(
    settings: Settings,
    groups: Sequence[FeatureGroup],
    console: Console,
    *,
    everything: bool,
    take_over: bool,
    allow_older: bool,
    views: Sequence[FeatureView] = (),
) -> list[Outcome]:
    """
    Push groups and feature views. Call it under the run lock.

    Args:
        settings: Where the two stores are.
        groups: Which groups; those that are not online are left out.
        console: Told what happens.
        everything: Push every entity, not only what changed.
        take_over: Write over another store's rows.
        allow_older: Write over newer rows.
        views: Which views; of one that was never published nothing is said.

    Returns:
        One outcome a group or view; a server that cannot be reached is one too, for what was
        published before stays told.

    Raises:
        UsageError: `REDIS_URL` is not the address of a Redis server.
        OfflineStoreUnavailable: The catalog cannot be opened.
    """
    online = [group for group in groups if group.online]
    if not online and not views:
        return []
    catalog = open_catalog(settings)
    known = versions(catalog) if views else []
    published = {view.name: [one for one in known if one.view == view.name] for view in views}
    names = [group.name for group in online] + [name for name, some in published.items() if some]
    if not names:
        return []
    try:
        client = connect(settings, announce=console.note)
    except OnlineStoreUnavailable as error:
        console.error(str(error))
        return [Outcome("push", name, error.exit_code, str(error)) for name in names]
    outcomes = [
        attempt(
            "push",
            group.name,
            console,
            partial(
                _push, group, catalog, client, settings, console, everything, take_over, allow_older
            ),
        )
        for group in online
    ]
    store = store_id(catalog) or ""
    for name, some in published.items():
        if some:
            work = partial(
                _push_view, name, some, client, settings, console, store, everything, take_over
            )
            outcomes.append(attempt("push", name, console, work))
    return outcomes


def _push(
    group: FeatureGroup,
    catalog: Catalog,
    client: redis.Redis,
    settings: Settings,
    console: Console,
    everything: bool,
    take_over: bool,
    allow_older: bool,
) -> Outcome:
    report = push_group(
        group,
        catalog,
        client,
        now=settings.now(),
        everything=everything,
        take_over=take_over,
        allow_older=allow_older,
        progress=lambda done, total: console.progress(f"push {group.name}", done, total, "rows"),
    )
    if report.up_to_date:
        console.print(f"pushed {group.name}: up to date, day {report.day}")
        return Outcome("push", group.name, DONE, "up to date", {"day": report.day})
    removed = f", {report.deleted:,} removed" if report.deleted else ""
    console.print(
        f"pushed {group.name}: {report.rows:,} rows{removed}, day {report.day}, "
        f"{report.seconds:.2f} s ({report.rows_per_second:,.0f} rows/s) -> {address(client)}"
    )
    return Outcome(
        "push",
        group.name,
        DONE,
        "done",
        {
            "rows": report.rows,
            "deleted": report.deleted,
            "day": report.day,
            "snapshot_id": report.snapshot_id,
            "full": report.full,
            "seconds": round(report.seconds, 3),
            "rows_per_second": round(report.rows_per_second),
        },
    )


def _push_view(
    name: str,
    published: Sequence[PublishedVersion],
    client: redis.Redis,
    settings: Settings,
    console: Console,
    store: str,
    everything: bool,
    take_over: bool,
) -> Outcome:
    report = push_view(
        name,
        published,
        client,
        store_id=store,
        now=settings.now(),
        everything=everything,
        take_over=take_over,
    )
    facts: dict[str, object] = {"version": report.version, "versions": report.versions}
    if report.up_to_date:
        console.print(f"pushed {name}: up to date, version {report.version}")
        return Outcome("push", name, DONE, "up to date", facts)
    console.print(
        f"pushed {name}: version {report.version}, {report.versions:,} in all -> {address(client)}"
    )
    return Outcome("push", name, DONE, "done", facts)
