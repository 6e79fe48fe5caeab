"""
What a feature means, once more, in plain Python: a loop over days, a look at every event.

Shares nothing with the SQL. Slow on purpose; read it next to the definition of the features.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import TypeAlias

# User, type, when it happened, and where it is known, when it arrived.
Event: TypeAlias = "tuple[str, str, datetime] | tuple[str, str, datetime, datetime]"
Label = tuple[str, float, datetime]
FeatureRow = tuple[str, date, int, int, int | None, str, datetime, datetime | None]
TrainingRow = tuple[object, ...]

DAY = timedelta(days=1)
FRESH = timedelta(hours=36)


def snapshot(
    user: str, day: date, events: Iterable[Event], lag: timedelta = timedelta()
) -> FeatureRow | None:
    """Compute one user's features of one day, or None when there is no row."""
    available_at = datetime.combine(day + DAY, time()) + lag
    mine = [
        (event[1], event[2])
        for event in events
        if event[0] == user and (len(event) == 3 or event[3] < available_at)
    ]
    near = [at for _, at in mine if day - 30 * DAY <= at.date() <= day]
    if not near:
        return None
    in_30d = [(kind, at) for kind, at in mine if day - 29 * DAY <= at.date() <= day]
    in_7d = [at for _, at in mine if day - 6 * DAY <= at.date() <= day]
    latest = max((at for _, at in in_30d), default=None)
    return (
        user,
        day,
        len(in_7d),
        len(in_30d),
        None if latest is None else (day - latest.date()).days,
        str(len({kind for kind, _ in in_30d})),
        available_at,
        latest,
    )


def features(
    events: Sequence[Event], days: Iterable[date], lag: timedelta = timedelta()
) -> list[FeatureRow]:
    """Compute every row of the given days, ordered by day and user."""
    users = sorted({event[0] for event in events})
    rows = [snapshot(user, day, events, lag) for day in sorted(days) for user in users]
    return [row for row in rows if row is not None]


def training(
    labels: Iterable[Label],
    events: Sequence[Event],
    built: Iterable[date],
    lag: timedelta = timedelta(),
) -> list[TrainingRow]:
    """Compute every training row, given the days that are built, in the order of the labels."""
    days = set(built)
    snapshots = features(events, days, lag)
    return [_seen(label, snapshots, days, lag) for label in labels]


def _seen(
    label: Label, snapshots: Iterable[FeatureRow], built: set[date], lag: timedelta
) -> TrainingRow:
    user, _, as_of = label
    known = [row for row in snapshots if row[0] == user and row[6] <= as_of]
    if not known:
        return (*label, *[None] * 7)
    newest = max(known, key=lambda row: row[6])
    last = newest[1]
    # A closing row holds as long as one of the last day that was built since without a gap.
    while newest[3] == 0 and last + DAY in built:
        last += DAY
    holds = as_of < datetime.combine(last + DAY, time()) + lag + FRESH
    return (*label, *(newest[1:] if holds else [None] * 7))
