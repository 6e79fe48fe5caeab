"""
What the build records say, as values.

Owns their types alone; the warehouse reads them, and the gate and `status` judge by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What one gate test said of one model it guards.

    Attributes:
        test: dbt's id of the test.
        model: dbt's id of the model.
        model_sequence: Ledger sequence of the model when the test ran, None without a ledger.
        status: `pass`, `warn`, `fail`, `error` or `skipped`.
        failures: Offending rows, None when the test did not run.
        sample_share: Share of the label rows that it looked at, 1 for all of them.
    """

    test: str
    model: str
    model_sequence: int | None
    status: str
    failures: int | None
    sample_share: float = 1.0


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """
    One day of a model, as its newest ledger entry has it.

    Attributes:
        day: UTC day.
        sequence: Number of the build that wrote it.
        rows: Rows written.
        checksum: Hash of the SQL that built it.
        content: Number of its rows and the sum of a hash of each, None when an older version of
            this project built it.
        first_event: UTC day of the first event that the source held then.
        built_at: When that build began [aware, UTC].
    """

    day: date
    sequence: int
    rows: int
    checksum: str
    content: str | None
    first_event: date | None
    built_at: datetime


@dataclass(frozen=True, slots=True)
class BuiltWhole:
    """
    The newest build of a model that is not built by day.

    Attributes:
        sequence: Its number.
        rows: Rows written.
        content: As for a day.
        built_at: When it began [aware, UTC].
    """

    sequence: int
    rows: int
    content: str | None
    built_at: datetime


@dataclass(frozen=True, slots=True)
class LastBuild:
    """
    The newest build of a model that is built by day.

    Attributes:
        built_at: When it began [aware, UTC].
        reasons: How many days were built for which reason, in the order of the days.
    """

    built_at: datetime
    reasons: Mapping[str, int]
