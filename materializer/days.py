"""
Days in words: runs of consecutive ones, and the dbt command that builds a run.

Owns how many days become few lines, and the text of a run, in both directions. Refuses to join two
runs: a command must not build a day that nobody asked for, for its events may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayRange:
    """
    Consecutive days.

    Attributes:
        first: First day.
        last: Last day, the same for a run of one.
    """

    first: date
    last: date

    def __str__(self) -> str:
        """Name the days."""
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

    def __len__(self) -> int:
        """Count the days."""
        return (self.last - self.first).days + 1

    @classmethod
    def from_text(cls, text: str) -> DayRange:
        """
        Read what `str` wrote.

        Raises:
            ValueError: It is something else.
        """
        first, _, last = text.partition(" to ")
        return cls(date.fromisoformat(first), date.fromisoformat(last or first))

    @property
    def command(self) -> str:
        """The dbt command that builds the days."""
        return f"dbt build --vars '{{start_date: {self.first}, end_date: {self.last}}}'"


def day_ranges(days: Iterable[date]) -> list[DayRange]:
    """Put days, given in order, into runs."""
    found: list[DayRange] = []
    for day in days:
        if found and found[-1].last + _DAY == day:
            found[-1] = DayRange(found[-1].first, day)
        else:
            found.append(DayRange(day, day))
    return found
