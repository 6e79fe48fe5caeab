"""
`materializer status`: how far each group and table has come, how old it is, and what to run.

Responsible for one document for each, and for printing it as text or as JSON. Does not read rows or
change anything, but may start the embedded server, to read from it. Does not decide which days are
frozen, missing or of older SQL: the view `day_status` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import redis
from pyiceberg.catalog import Catalog

from materializer.config import Settings, format_time, without_fraction
from materializer.console import Console
from materializer.days import DayRange, count_days, day_ranges
from materializer.errors import DONE, FAILED, as_ours
from materializer.offline.catalog import find_table, open_catalog, store_id, table_name
from materializer.offline.publish import last_published
from materializer.offline.removals import least_losses, published_rows
from materializer.offline.snapshot import open_snapshot
from materializer.online import codec
from materializer.online.connection import connect
from materializer.online.losses import lost_rows
from materializer.online.state import Meta
from materializer.publish import unpublished
from materializer.registry import FeatureGroup, FeatureView, Registry, TrainingSet
from materializer.status_files import file_document, file_lines, is_damaged
from materializer.status_notes import (
    Document,
    Line,
    newest_version,
    published_warehouse,
    read_or_explain,
    version_lines,
    warehouse_lines,
)
from materializer.training.files import TrainingFiles
from materializer.warehouse.gate import objections
from materializer.warehouse.reader import Build, BuiltDay, Commands, Warehouse, open_warehouse

_DAY = timedelta(days=1)
# There is one range of frozen days, unless a range was built among them.
_NAMED_RANGES = 5


def status(
    settings: Settings,
    registry: Registry,
    console: Console,
    *,
    wait: float,
    max_age: timedelta | None,
    check_files: bool = False,
) -> int:
    """
    Print the status of groups, training sets and feature views.

    Waits up to *wait* seconds for a build that holds the warehouse. *check_files* reads all files.

    Returns:
        0, or 1 when a group's last stage is older than *max_age*, or never happened, or when a file
        is damaged.
    """
    groups = registry.groups.values()
    tables: list[TrainingSet | FeatureView]
    tables = [*registry.training_sets.values(), *registry.views.values()]
    ids = [model.unique_id for model in (*groups, *tables)]
    builds = _read_warehouse(ids, settings, registry, console, wait)
    catalog = read_or_explain(settings, partial(open_catalog, note=console.note))
    online = read_or_explain(settings, connect) if any(group.online for group in groups) else ""
    now = settings.now()
    group_documents = [
        _group_document(group, builds[group.unique_id], catalog, online, now, max_age)
        | published_warehouse(group.name, builds[group.unique_id].warehouse_id, catalog, settings)
        | file_document(group.name, catalog, check=check_files)
        for group in groups
    ]
    table_documents = [
        _table_document(table, builds[table.unique_id], catalog, settings)
        | published_warehouse(table.name, builds[table.unique_id].warehouse_id, catalog, settings)
        | (newest_version(table.name, catalog) if isinstance(table, FeatureView) else {})
        | file_document(table.name, catalog, check=check_files)
        for table in tables
    ]
    for document in group_documents:
        _print(console, document["group"], _group_lines(document))
        if max_age is not None and document["too_old"]:
            console.error(_age_error(document, max_age))
    for document in table_documents:
        _print(console, document["training_set"], _table_lines(document))
    console.result(
        {"now": format_time(now), "groups": group_documents, "training_sets": table_documents}
    )
    bad = any(d["too_old"] for d in group_documents)
    return FAILED if bad or any(map(is_damaged, group_documents + table_documents)) else DONE


def _read_warehouse(
    ids: Sequence[str], settings: Settings, registry: Registry, console: Console, wait: float
) -> dict[str, Builds]:
    try:
        with open_warehouse(settings, registry, wait=wait, on_wait=console.note) as warehouse:
            return {model: _read_builds(model, registry, warehouse) for model in ids}
    except Exception as error:  # noqa: BLE001 - the stores are shown all the same
        return dict.fromkeys(ids, Builds(problem=str(as_ours(error))))


def _print(console: Console, name: str, lines: Iterator[Line]) -> None:
    console.print(name)
    for label, text in lines:
        console.print(f"  {label:<10} {text}".replace("\n", "\n    "))


def _age_error(document: Document, max_age: timedelta) -> str:
    stage = "pushed" if "pushed" in document else "published"
    limit = max_age.total_seconds() / 3600
    return f"{document['group']}: {stage} is older than {limit:g} h: {_stage_text(document[stage])}"


@dataclass(frozen=True, slots=True)
class Builds:
    """
    What the warehouse has of a model.

    Attributes:
        days: The built days of a group.
        removed: Days that were removed because they were built before they ended.
        missing: Finished days that it lacks.
        table: The newest build of a training set or view, None when it was never built.
        gate: Why it may not be published, empty when it may; None when unknown.
        sample_share: The smallest share of rows that a gate test looked at.
        commands: dbt commands with the vars of the newest one.
        not_provable: Inputs for which no gate test can prove that no row knows the future.
        problem: Why the warehouse cannot be read, or None.
    """

    days: Sequence[BuiltDay] = ()
    removed: Sequence[BuiltDay] = ()
    missing: Sequence[date] = ()
    table: Build | None = None
    gate: Sequence[str] | None = None
    sample_share: float = 1.0
    warehouse_id: str = ""
    commands: Commands = field(default_factory=Commands)
    not_provable: Sequence[str] = ()
    problem: str | None = None


def _read_builds(model: str, registry: Registry, warehouse: Warehouse) -> Builds:
    return Builds(
        days=warehouse.built_days(model),
        removed=warehouse.removed_days(model),
        missing=warehouse.missing_days(model),
        table=warehouse.newest_build(model),
        gate=objections(model, registry, warehouse),
        sample_share=warehouse.sample_share(model),
        warehouse_id=warehouse.warehouse_id(),
        not_provable=registry.not_provable(model),
        commands=warehouse.commands,
    )


# Groups


def _group_document(
    group: FeatureGroup,
    builds: Builds,
    catalog: Catalog | str,
    online: redis.Redis | str,
    now: datetime,
    max_age: timedelta | None,
) -> Document:
    publication = read_or_explain(catalog, lambda store: _read_publication(group, builds, store))
    if isinstance(publication, str):
        publication = publication, 0, []
    published, waiting, losses = publication
    stages: dict[str, date | str | None] = {
        "built": builds.problem or (builds.days[-1].day if builds.days else None),
        "published": published,
    }
    if group.online:
        stages["pushed"] = read_or_explain(
            online, lambda store: _pushed_day(group, store, catalog, now)
        )
    sequence = max((day.sequence for day in builds.days), default=0)
    last_build = [day for day in builds.days if day.sequence == sequence]
    lag = timedelta(hours=last_build[0].lag_hours if last_build else group.availability_lag_hours)
    ages = {name: _age(newest, lag, now) for name, newest in stages.items()}
    last_age = list(ages.values())[-1]
    return {
        "group": group.name,
        # Null, not empty, when it is unknown.
        "gate": None if builds.gate is None else list(builds.gate),
        "not_provable": list(builds.not_provable),
        "last_build": _last_build(last_build),
        "frozen": [
            {"first": str(days.first), "last": str(days.last), "days": len(days)}
            for days in day_ranges(built.day for built in builds.days if built.is_frozen)
        ],
        "waiting_days": waiting,
        "guard": losses,
        "run": _commands(builds),
        **{name: _stage(newest, ages[name]) for name, newest in stages.items()},
        "too_old": max_age is not None and (last_age is None or last_age > max_age),
    }


def _read_publication(
    group: FeatureGroup, builds: Builds, catalog: Catalog
) -> tuple[date | str | None, int, list[str]]:
    """
    Read what is published of a group, and foresee what a publish would do.

    Returns:
        The newest published day, None without one, or why it is unknown; how many built days are
        not published; what a publish would remove, by the counts of the ledger and of the files.
    """
    last = last_published(catalog, group.name)
    waiting = unpublished([*builds.days, *builds.removed], last, builds.warehouse_id)
    table = find_table(catalog, table_name(group.name))
    if last is None or table is None:
        return None, len(waiting), []
    interrupted = "the last publish was interrupted; run: materializer publish"
    newest = last.newest_day if last.visible else interrupted
    if not waiting:
        return newest, 0, []
    published = published_rows(table)
    new = {built.day: built.rows for built in waiting}
    if last.warehouse_id != builds.warehouse_id:
        # Another warehouse replaces everything.
        new = {**dict.fromkeys(published, 0), **new}
    return newest, len(waiting), least_losses(published, new)


def _pushed_day(
    group: FeatureGroup, online: redis.Redis, catalog: Catalog | str, now: datetime
) -> date | str | None:
    """Return the newest day online, None without one, or why its rows cannot be relied on."""
    meta = Meta.read(online, codec.meta_key(group.name))
    if meta is None:
        return None
    own = catalog if isinstance(catalog, str) else store_id(catalog)
    if meta.store_id != own:
        return f"the rows of another store ({meta.store_id})"
    if not isinstance(catalog, str):
        lost = lost_rows(open_snapshot(catalog, group.name), online, meta, now)
        if lost is not None:
            return f"rows were lost: {lost}; run: materializer push"
    return meta.day


def _age(newest: date | str | None, lag: timedelta, now: datetime) -> timedelta | None:
    """Return the time since the newest day became available."""
    if not isinstance(newest, date):
        return None
    return now - datetime.combine(newest + _DAY, time(), UTC) - lag


def _stage(newest: date | str | None, age: timedelta | None) -> Document:
    """Return how far a group has come in one store: the newest day, or why it is unknown."""
    return {
        "day": str(newest) if isinstance(newest, date) else None,
        "age_hours": None if age is None else round(age.total_seconds() / 3600, 2),
        "problem": newest if isinstance(newest, str) else None,
    }


def _last_build(days: Sequence[BuiltDay]) -> Document | None:
    if not days:
        return None
    reasons = Counter(built.reason for built in days)
    return {"built_at": format_time(days[0].built_at), "days": dict(reasons)}


def _commands(builds: Builds) -> list[str]:
    """Return what to run: for finished days that are missing, and for days of older SQL."""
    if builds.problem is not None:
        return []
    if not builds.days:
        return [builds.commands.build()]
    command = builds.commands.build_days
    older = day_ranges(built.day for built in builds.days if built.is_older_sql)
    return [
        *(f"{command(days)}  # missing" for days in day_ranges(builds.missing)),
        *(f"{command(days)}  # built by older SQL" for days in older),
    ]


def _group_lines(document: Document) -> Iterator[Line]:
    yield "built", _stage_text(document["built"])
    if document["last_build"] is not None:
        yield from _build_lines(document)
    yield "published", _stage_text(document["published"])
    yield from warehouse_lines(document)
    if waiting := document["waiting_days"]:
        days = "day is" if waiting == 1 else "days are"
        yield "waiting", f"{waiting:,} built {days} not published"
    if document["guard"]:
        lost = "; ".join(document["guard"])
        yield "guard", f"a publish would stop: it would remove at least {lost}"
    yield from file_lines(document)
    if "pushed" in document:
        yield "pushed", _stage_text(document["pushed"])
    for command in document["run"]:
        yield "run", command


def _build_lines(document: Document) -> Iterator[Line]:
    last, frozen = document["last_build"], document["frozen"]
    reasons = ", ".join(f"{count_days(days)} {reason}" for reason, days in last["days"].items())
    yield "last build", f"{reasons}, at {without_fraction(last['built_at'])}"
    if frozen:
        ranges = [str(DayRange(*map(date.fromisoformat, (d["first"], d["last"])))) for d in frozen]
        named = ", ".join(ranges[:_NAMED_RANGES])
        more = " and more" if len(ranges) > _NAMED_RANGES else ""
        total = count_days(sum(days["days"] for days in frozen))
        yield "frozen", f"{total}, {named}{more}: their events are no longer kept"
    yield _gate_line(document)


def _stage_text(stage: Document) -> str:
    if stage["day"] is None:
        return stage["problem"] or "nothing yet"
    return f"{stage['day']} ({stage['age_hours']:.1f} h old)"


def _gate_line(document: Document, note: str = "") -> Line:
    gate, names = document["gate"], ", ".join(document["not_provable"])
    note += f"; no future: not provable for {names}" if names else ""
    return "gate", "\n".join([f"{'red' if gate else 'green'}{note}", *gate])


# Training sets and feature views


def _table_document(
    table: TrainingSet | FeatureView, builds: Builds, catalog: Catalog | str, settings: Settings
) -> Document:
    built = builds.table
    return {
        "training_set": table.name,
        "rows": None if built is None else built.rows,
        "built_at": None if built is None else format_time(built.built_at),
        "gate": None if builds.gate is None else list(builds.gate),
        "not_provable": list(builds.not_provable),
        "sample_share": builds.sample_share,
        "published": read_or_explain(catalog, lambda store: _published(table, builds, store)),
        "receipt": _receipt_tag(table, settings),
        "problem": builds.problem,
    }


def _published(table: TrainingSet | FeatureView, builds: Builds, catalog: Catalog) -> str:
    last = last_published(catalog, table.name)
    if last is None:
        return "nothing yet"
    text = f"{last.rows:,} rows, at {format_time(last.published_at.replace(microsecond=0))}"
    built = builds.table
    if built and not last.holds(builds.warehouse_id, built.sequence, built.built_at):
        return f"{text}; the newest build is not published"
    return text


def _receipt_tag(table: TrainingSet | FeatureView, settings: Settings) -> str | None:
    receipt = TrainingFiles(settings.home / "training", table.name).read()
    return None if receipt is None else receipt.tag


def _table_lines(document: Document) -> Iterator[Line]:
    if document["built_at"] is None:
        yield "built", document["problem"] or "nothing yet"
    else:
        at = without_fraction(document["built_at"])
        yield "built", f"{document['rows']:,} rows, at {at}"
        share = document["sample_share"]
        note = f", on {100 * share:g} % of the label rows" if share < 1 else ""
        yield _gate_line(document, note)
    yield "published", document["published"]
    yield from version_lines(document)
    yield from warehouse_lines(document)
    if document["receipt"] is not None:
        yield "receipt", document["receipt"]
