"""
The values that the warehouse's records are read into.

Responsible for their types. Does not read them, and judges nothing: that is done in SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """
    One built day of a model, as the view `day_status` has it.

    Attributes:
        day: UTC day.
        sequence: Number of the build that wrote it.
        rows: Rows written.
        content: Number of its rows and the sum of a hash of each.
        reason: Why it was built.
        lag_hours: Availability lag under which its rows were stamped [h].
        built_at: When that build began [aware, UTC].
        is_frozen: It rests on events that the source no longer holds.
        is_older_sql: Other SQL built it than the newest build has, and it is not frozen.
    """

    day: date
    sequence: int
    rows: int
    content: str
    reason: str
    lag_hours: int
    built_at: datetime
    is_frozen: bool
    is_older_sql: bool


@dataclass(frozen=True, slots=True)
class Build:
    """
    The newest build of a model that is not built by day.

    Attributes:
        sequence: Its number.
        build_id: dbt's invocation id.
        rows: Rows written.
        content: As for a day.
        built_at: When it began [aware, UTC].
        sql: The compiled SQL, empty if somebody deleted it from the records.
        vars: The vars of the dbt command and of the project.
    """

    sequence: int
    build_id: str
    rows: int
    content: str
    built_at: datetime
    sql: str
    vars: Mapping[str, Any]
