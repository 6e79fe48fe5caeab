"""
Ranges of consecutive days, and their text.

Responsible for turning many days into few lines. Does not join two ranges: a command that is made
from one must not build a day in between, whose events may be gone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayRange:
    """Consecutive days, the last one included."""

    first: date
    last: date

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    @classmethod
    def from_text(cls, text: str) -> DayRange:
        """Read what `str` wrote; raise ValueError for anything else."""
        first, _, last = text.partition(" to ")
        return cls(date.fromisoformat(first), date.fromisoformat(last or first))


def built_since(runs: Sequence[DayRange], day: date) -> int:
    """
    Return how many days were built since a day without a gap; 0 when it was not built itself.

    *runs* are the built days, in order.
    """
    number = bisect_right(runs, day, key=attrgetter("first")) - 1
    return max(0, (runs[number].last - day).days) if number >= 0 else 0


def day_ranges(days: Iterable[date]) -> list[DayRange]:
    """Return days, given in order, as ranges."""
    ranges: list[DayRange] = []
    for day in days:
        if ranges and ranges[-1].last + _DAY == day:
            ranges[-1] = DayRange(ranges[-1].first, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def count_days(count: int) -> str:
    """Return a number of days as text."""
    return f"{count:,} day{'' if count == 1 else 's'}"
