"""
Small purpose-made data, and the dbt commands that a mutant is built and tested with.

Each schedule ends in `dbt test`, which runs every gate test whatever the others say; `dbt build`
would skip what is behind a red one. Every command before must succeed.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.dbt import Project, Run

NOW = "2024-03-31T00:00:00Z"
FIRST, LAST = "2024-02-08", "2024-03-30"

# The training set, and all that it is made of.
_MODELS = "+training_data"

Event = tuple[str, ...]


class DbtFailed(Exception):
    """A dbt command did not do what it had to before anything could be tested."""


def _every_other_day(user: str, since: str, days: int) -> list[Event]:
    begin = datetime.fromisoformat(since)
    moments = (begin + timedelta(days=n, hours=7 * n % 24) for n in range(0, days, 2))
    return [(user, "xy"[n % 2], at.isoformat(sep=" ")) for n, at in enumerate(moments)]


EVENTS: list[Event] = [
    # Alone on the first days, so that they are empty without this one event.
    ("early", "x", "2024-02-08 10:00:00"),
    # Active throughout, and on the newest day.
    *_every_other_day("ann", "2024-02-13 00:30:00", 46),
    ("ann", "z", "2024-03-30 09:00:00"),
    # The last microsecond of a day and the first of the next.
    ("ann", "x", "2024-03-03 23:59:59.999999"),
    ("ann", "y", "2024-03-04 00:00:00"),
    # Activity that ends: the closing row is that of 2024-03-21.
    ("ends", "x", "2024-02-14 12:00:00"),
    ("ends", "y", "2024-02-18 12:00:00"),
    ("ends", "z", "2024-02-20 00:00:00"),
    # More than a month away, then back.
    ("returns", "x", "2024-02-13 12:00:00"),
    ("returns", "y", "2024-03-20 12:00:00"),
    # The leap day, with two types that differ in case only.
    ("leap", "x", "2024-02-29 08:00:00"),
    ("leap", "X", "2024-02-29 18:00:00"),
    # Given twice.
    ("twice", "x", "2024-03-05 10:00:00"),
    ("twice", "x", "2024-03-05 10:00:00"),
    # An id that looks like no id.
    ("null", "x", "2024-03-06 10:00:00"),
    # At a midnight and soon after it, each with a label just before or at that moment.
    ("midnight", "x", "2024-03-10 12:00:00"),
    ("midnight", "x", "2024-03-12 00:00:00"),
    ("night", "x", "2024-03-10 12:00:00"),
    ("night", "x", "2024-03-12 02:00:00"),
    # In UTC, the evening before.
    ("offset", "x", "2024-03-15T01:30:00+02:00"),
]

LABELS: list[tuple[str, float, str]] = [
    *(("ann", 1.0, f"2024-{day} 12:00:00") for day in ("02-14", "03-01", "03-02", "03-08")),
    # An event of the user follows on the same day.
    ("ann", 0.0, "2024-03-30 08:00:00"),
    ("leap", 1.0, "2024-02-29 12:00:00"),
    ("leap", 1.0, "2024-03-02 12:00:00"),
    # The same label three times.
    *[("twice", 1.0, "2024-03-06 12:00:00")] * 3,
    # Unknown, and long before anything was known.
    ("nobody", 0.0, "2024-03-30 12:00:00"),
    ("ann", 0.0, "2024-01-01 12:00:00"),
    ("early", 1.0, "2024-02-09 12:00:00"),
    # Before anything is known, before the closing row, on its day, and long after it.
    ("ends", 0.0, "2024-02-14 11:00:00"),
    ("ends", 1.0, "2024-03-10 12:00:00"),
    ("ends", 0.0, "2024-03-22 00:00:00"),
    ("ends", 0.0, "2024-03-29 12:00:00"),
    ("returns", 0.0, "2024-03-18 12:00:00"),
    ("returns", 1.0, "2024-03-21 00:00:00"),
    ("null", 1.0, "2024-03-07 12:00:00"),
    ("midnight", 1.0, "2024-03-12 00:00:00"),
    ("night", 1.0, "2024-03-12 01:00:00"),
    ("offset", 1.0, "2024-03-15 12:00:00"),
]


def _arriving(events: Iterable[Event]) -> list[Event]:
    """Let events arrive a second after they happen."""
    moments = [(event, datetime.fromisoformat(event[2])) for event in events]
    return [
        (*event, (at.astimezone(UTC) + timedelta(seconds=1)).isoformat())
        for event, at in ((e, at if at.tzinfo else at.replace(tzinfo=UTC)) for e, at in moments)
    ]


# Events that tell when they arrived.
ARRIVALS: list[Event] = [
    *_arriving(EVENTS),
    # Days late.
    ("late", "x", "2024-03-10 12:00:00", "2024-03-13 09:00:00"),
    ("late", "y", "2024-03-14 12:00:00", "2024-03-14 12:00:01"),
    # At the very moment at which the day becomes available, and some hours after it.
    ("edge", "x", "2024-03-10 12:00:00", "2024-03-11 00:00:00"),
    ("morning", "x", "2024-03-10 12:00:00", "2024-03-11 05:00:00"),
    # After its closing row.
    ("forgotten", "x", "2024-02-14 12:00:00", "2024-03-25 12:00:00"),
]

LATE_LABELS: list[tuple[str, float, str]] = [
    ("late", 1.0, "2024-03-12 12:00:00"),
    ("late", 1.0, "2024-03-15 12:00:00"),
    ("edge", 1.0, "2024-03-11 00:00:00"),
    ("edge", 1.0, "2024-03-12 00:00:00"),
    ("morning", 1.0, "2024-03-11 12:00:00"),
    ("forgotten", 1.0, "2024-03-28 12:00:00"),
]


def _run(project: Project, **variables: object) -> None:
    run = project.dbt("run", "--select", _MODELS, **variables)
    if run.code != 0:
        raise DbtFailed(run.output)


def _test(project: Project, **variables: object) -> Run:
    # With the vars of the run before it, dbt need not parse again.
    return project.dbt(
        "test", "--select", _MODELS, "--exclude-resource-type", "unit_test", **variables
    )


def _run_and_test(project: Project, **variables: object) -> Run:
    _run(project, **variables)
    return _test(project, **variables)


def _range_and_test(project: Project, start: str, end: str) -> Run:
    return _run_and_test(project, start_date=start, end_date=end)


def whole(project: Project) -> Run:
    """Build everything at once."""
    return _run_and_test(project)


def lag_of_six_hours(project: Project) -> Run:
    """Build everything with rows that become available at six in the morning."""
    return _run_and_test(project, availability_lag_hours=6)


def two_ranges(project: Project) -> Run:
    """Build all days as two ranges that meet."""
    _run(project, start_date=FIRST, end_date="2024-02-29")
    return _range_and_test(project, "2024-03-01", LAST)


def in_chunks(project: Project) -> Run:
    """Build everything ten days at a time."""
    return _run_and_test(project, backfill_chunk_days=10)


def in_small_chunks(project: Project) -> Run:
    """Build everything three days at a time: fewer than any window has."""
    return _run_and_test(project, backfill_chunk_days=3)


def hole(project: Project) -> Run:
    """Build two ranges with days missing between them; coverage is red, rightly."""
    _run(project, start_date=FIRST, end_date="2024-02-25")
    return _range_and_test(project, "2024-03-05", LAST)


def rebuilt(project: Project) -> Run:
    """Build everything, and some days again."""
    _run(project)
    return _range_and_test(project, "2024-03-01", "2024-03-10")


def emptied(project: Project) -> Run:
    """Build everything, take away the only event of the first days, build all days again."""
    _run(project)
    project.write_events(EVENTS[1:])
    return _range_and_test(project, FIRST, LAST)


def late(project: Project) -> Run:
    """Build everything, add an event of four weeks ago, build what is due."""
    _run(project)
    project.write_events([*EVENTS, ("ends", "late", "2024-03-02 15:00:00")])
    return _run_and_test(project)


def retyped(project: Project) -> Run:
    """Build everything, give an event another type, build what is due."""
    _run(project)
    project.write_events(
        [(user, "y" if kind == "z" else kind, *rest) for user, kind, *rest in EVENTS]
    )
    return _run_and_test(project)


def forgotten(project: Project) -> Run:
    """Build everything, keep the newer events only, build the last days again."""
    _run(project)
    project.write_events([event for event in EVENTS if event[2] >= "2024-02-25"])
    return _range_and_test(project, "2024-03-28", LAST)


def lag_changed(project: Project) -> Run:
    """Build everything, say that the push is done at six, build what is due."""
    _run(project)
    return _run_and_test(project, availability_lag_hours=6)


def two_clocks(project: Project) -> Run:
    """Build everything from events that tell when they arrived."""
    _with_arrivals(project)
    return _run_and_test(project)


def two_clocks_and_a_lag(project: Project) -> Run:
    """Build the same with rows that become available at six in the morning."""
    _with_arrivals(project)
    return _run_and_test(project, availability_lag_hours=6)


def _with_arrivals(project: Project) -> None:
    project.write_events(ARRIVALS)
    project.write_labels([*LABELS, *LATE_LABELS])


def witnessed(project: Project) -> Run:
    """Build everything, and insist on a witness, as on the sample."""
    _run(project)
    return _test(project, gate_requires_witness=True)


SCHEDULES: Mapping[str, Callable[[Project], Run]] = {
    schedule.__name__: schedule
    for schedule in (
        whole,
        lag_of_six_hours,
        two_ranges,
        in_chunks,
        in_small_chunks,
        hole,
        rebuilt,
        emptied,
        late,
        retyped,
        forgotten,
        lag_changed,
        two_clocks,
        two_clocks_and_a_lag,
        witnessed,
    )
}


def run_schedule(name: str, folder: Path) -> Run:
    """
    Run a schedule on the project in a folder, and give what the tests at its end said.

    Raises:
        DbtFailed: A command before the tests failed.
    """
    project = Project(folder, now=NOW, writes_artifacts=False, root=folder)
    project.write_events(EVENTS)
    project.write_labels(LABELS)
    return SCHEDULES[name](project)
