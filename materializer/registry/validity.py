"""
Which row is the newest, and how long it holds: one rule, as a plain comparison and as SQL.

Responsible for the rule, which docs/explanation/point-in-time.md states and every reader asks; in
dbt it is the macros `newest_candidates` and `row_holds`. Of the rows of an entity that are known at
a time the newest is the only candidate: when it does not hold there is no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from materializer.config import format_time
from materializer.errors import Expired, LookupMiss, NotYetAvailable
from materializer.registry.model import FeatureGroup
from materializer.sql import quoted, quoted_list


def lifetime(group: FeatureGroup, built_since: int = 0) -> timedelta | None:
    """
    Return how long a row holds from its `available_at` on; None for ever.

    *built_since* is of a closing row the number of days built since its own without a gap, see
    `days.built_since`; of any other row 0.
    """
    hours = [24 * group.ttl_days] if group.ttl_days else []
    if group.fresh_hours:
        hours.append(group.fresh_hours + 24 * built_since)
    return timedelta(hours=min(hours)) if hours else None


def why_no_row(
    group: FeatureGroup, available_at: datetime, as_of: datetime, built_since: int = 0
) -> type[LookupMiss] | None:
    """Return why a row is none at a time; None when it holds. Both times are aware, or neither."""
    age, holds_for = as_of - available_at, lifetime(group, built_since)
    if age < timedelta(0):
        return NotYetAvailable
    return None if holds_for is None or age < holds_for else Expired


def require_row(
    group: FeatureGroup,
    key: Sequence[str],
    available_at: datetime,
    as_of: datetime,
    built_since: int = 0,
) -> None:
    """Raise the `LookupMiss` of a row that is none at a time; both times are aware."""
    if miss := why_no_row(group, available_at, as_of, built_since):
        raise miss(group.name, key, format_time(as_of))


def candidates_sql(group: FeatureGroup, rows: str) -> str:
    """
    Return the relation of the rows of a relation that are the newest at some time.

    With an `event_time`, a row that became known after one with a later event never is; without it,
    the newest known row by `available_at` is the newest by event too.
    """
    if group.event_time is None:
        return rows
    event, available_at = quoted(group.event_time), quoted(group.available_at)
    # Rows of one moment are of one frame.
    latest = f"max({event}) over (partition by {quoted_list(group.entity)} order by {available_at})"
    return f"(select * from {rows} qualify {event} >= {latest})"


def holds_sql(group: FeatureGroup, time: str, available_at: str, built_since: str) -> str | None:
    """Return the SQL of whether a row that is known at a time holds; None when it always does."""
    conditions = []
    if group.fresh_hours:
        hours = str(group.fresh_hours)
        if group.has_closing_rows:
            hours = f"({hours} + 24 * {built_since})"
        conditions.append(f"{time} < {available_at} + {hours} * interval 1 hour")
    if end := removal_sql(group, available_at):
        conditions.append(f"{time} < {end}")
    return " and ".join(conditions) or None


def built_since_sql(is_closing: str, day: str, last_day: str) -> str:
    """Return the SQL of `built_since`: *last_day* ends the run of built days that has *day*."""
    days = f"coalesce(cast({last_day} - {day} as integer), 0)"
    return f"case when {is_closing} then {days} else 0 end"


def removal_sql(group: FeatureGroup, available_at: str) -> str | None:
    """Return the SQL of the time at which `ttl_days` removes a row online; None for never."""
    if group.ttl_days is None:
        return None
    return f"{available_at} + {24 * group.ttl_days} * interval 1 hour"


def removed_until(group: FeatureGroup, now: int) -> int | None:
    """Return up to which `available_at` rows are removed at a time [microseconds]; or None."""
    return None if group.ttl_days is None else now - group.ttl_days * 24 * 3600 * 1_000_000
