"""
`materializer push`: the newest published row of every entity goes online, and the views.

Owns nothing but the words; `materializer.online.push` does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import redis
from pyiceberg.catalog import Catalog

from materializer.commands.outcome import Outcome, attempt
from materializer.config import Settings
from materializer.errors import DONE, OnlineStoreUnavailable
from materializer.offline.catalog import open_catalog, store_id
from materializer.offline.versions import Published, versions
from materializer.online.connection import connect, place
from materializer.online.push import push as push_group
from materializer.online.views import push_view
from materializer.progress import Voice
from materializer.registry import FeatureGroup, FeatureView


def push(
    settings: Settings,
    groups: Sequence[FeatureGroup],
    voice: Voice,
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
        voice: Told what happens.
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
        client = connect(settings, announce=voice.note)
    except OnlineStoreUnavailable as error:
        voice.error(str(error))
        return [Outcome("push", name, error.exit_code, str(error)) for name in names]
    outcomes = [
        attempt(
            "push",
            group.name,
            voice,
            partial(
                _push, group, catalog, client, settings, voice, everything, take_over, allow_older
            ),
        )
        for group in online
    ]
    store = store_id(catalog) or ""
    for name, some in published.items():
        if some:
            work = partial(
                _push_view, name, some, client, settings, voice, store, everything, take_over
            )
            outcomes.append(attempt("push", name, voice, work))
    return outcomes


def _push(
    group: FeatureGroup,
    catalog: Catalog,
    client: redis.Redis,
    settings: Settings,
    voice: Voice,
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
        progress=lambda done, total: voice.advance(f"push {group.name}", done, total, "rows"),
    )
    if report.up_to_date:
        voice.say(f"pushed {group.name}: up to date, day {report.day}")
        return Outcome("push", group.name, DONE, "up to date", {"day": report.day})
    removed = f", {report.deleted:,} removed" if report.deleted else ""
    voice.say(
        f"pushed {group.name}: {report.rows:,} rows{removed}, day {report.day}, "
        f"{report.seconds:.2f} s ({report.rows_per_second:,.0f} rows/s) -> {place(client)}"
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
    published: Sequence[Published],
    client: redis.Redis,
    settings: Settings,
    voice: Voice,
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
        voice.say(f"pushed {name}: up to date, version {report.version}")
        return Outcome("push", name, DONE, "up to date", facts)
    voice.say(
        f"pushed {name}: version {report.version}, {report.versions:,} in all -> {place(client)}"
    )
    return Outcome("push", name, DONE, "done", facts)
