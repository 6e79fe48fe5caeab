"""
What a build must make of the table, once more in plain Python: which days, and what they then hold.

Beside the oracle, which says what a day means, this says when a day is built, and so on which
events it rests until it is built again. It knows no fingerprint: it keeps the events themselves.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

from tests.support import oracle
from tests.support.oracle import DAY, Event, FeatureRow

WINDOW = 30 * DAY


@dataclass(frozen=True, slots=True)
class Built:
    """
    One built day.

    Attributes:
        rows: What the table holds.
        window: The events that it was built on, and how often each was given.
        first: Day of the first event there was then, None when there was none.
        lag: Availability lag that its rows are stamped with.
    """

    rows: Sequence[FeatureRow]
    window: Counter[Event]
    first: date | None
    lag: timedelta


@dataclass
class Shadow:
    """
    A table that is built by the rules of the documentation.

    Attributes:
        days: Every built day.
    """

    days: dict[date, Built] = field(default_factory=dict)

    @property
    def rows(self) -> list[FeatureRow]:
        """Every row of the table, ordered by day and user."""
        return [row for day in sorted(self.days) for row in self.days[day].rows]

    def missing_or_dirty(
        self, events: Sequence[Event], last: date, lag: timedelta, horizon: int
    ) -> set[date]:
        """Tell which days a plain build makes."""
        first = first_day(events)
        if first is None:
            return set()
        found = set()
        for day in span(first, last):
            built = self.days.get(day)
            if built is None or (
                day > last - horizon * DAY
                and not self.is_frozen(day, events)
                and window(day, events, lag) != built.window
            ):
                found.add(day)
        return found

    def is_frozen(self, day: date, events: Sequence[Event]) -> bool:
        """Tell whether a built day rests on events that are no longer kept."""
        first, then = first_day(events), self.days[day].first
        return first is not None and then is not None and day - WINDOW < first and then < first

    def not_over(self, events: Sequence[Event], last: date) -> set[date]:
        """Tell which days a build without a range removes: they were built too early."""
        if not events:
            return set()
        return {day for day in self.days if day > last and not self.is_frozen(day, events)}

    def of_another_lag(self, lag: timedelta) -> set[date]:
        """Tell which days a build with this lag stamps anew, unless it builds them."""
        return {day for day, built in self.days.items() if built.lag != lag}

    def build(self, days: Iterable[date], events: Sequence[Event], lag: timedelta) -> None:
        """Replace days by what the events give."""
        for day in days:
            self.days[day] = Built(
                oracle.features(events, [day], lag),
                window(day, events, lag),
                first_day(events),
                lag,
            )

    def stamp(self, days: Collection[date], lag: timedelta) -> None:
        """Set `available_at` of days by another lag."""
        for day in days:
            rows = [(*row[:6], available_at(day, lag), row[7]) for row in self.days[day].rows]
            self.days[day] = replace(self.days[day], rows=rows, lag=lag)


def window(day: date, events: Iterable[Event], lag: timedelta) -> Counter[Event]:
    """Tell the events that a snapshot may know, and how often each was given."""
    return Counter(
        event
        for event in events
        if day - WINDOW <= event[2].date() <= day
        and (len(event) == 3 or event[3] < available_at(day, lag))
    )


def available_at(day: date, lag: timedelta) -> datetime:
    """Tell when a snapshot may be used."""
    return datetime.combine(day + DAY, time()) + lag


def first_day(events: Iterable[Event]) -> date | None:
    """Tell the day of the first event, None when there is none."""
    return min((event[2].date() for event in events), default=None)


def span(first: date, last: date) -> list[date]:
    """List the days from one to another, both included."""
    return [first + n * DAY for n in range((last - first).days + 1)]
