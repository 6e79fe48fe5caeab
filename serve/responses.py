"""
The one shape of a lookup's answer, and what every answer of a retired group says beside it.

Owns names, order and nesting: the key, `as_of`, `features`, `source`, then `available_at` and
`stale`; and the JSON form of every value. Refuses to compute a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Literal

import orjson
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from materializer.config import format_time, parse_time
from materializer.errors import UnreadableValue
from materializer.registry import FeatureGroup


def lookup_answer(
    group: FeatureGroup,
    key: Sequence[str],
    row: Mapping[str, Any],
    *,
    as_of: datetime,
    source: Literal["online", "offline"],
    features: Sequence[str] | None = None,
) -> dict[str, Any]:
    """
    Shape one row.

    Args:
        group: The group it is of.
        key: The entity's key, in key order.
        row: Online columns by name; times and dates as values or as text.
        as_of: The time the answer is true for [aware].
        source: The store it came from.
        features: The features to tell, in that order; None tells all the row has. One that a row
            of an older contract lacks is null.
    """
    names = features or [name for name in row if name != group.available_at]
    available_at = as_time(row[group.available_at])
    return {
        **dict(zip(group.entity, key, strict=True)),
        "as_of": format_time(as_of),
        "features": {name: value_as_json(row.get(name)) for name in names},
        "source": source,
        "available_at": format_time(available_at),
        "stale": is_stale(group, available_at, as_of),
    }


def of_group(group: FeatureGroup, answer: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """
    Give an answer about a group, and the headers that it has.

    A group's `deprecation_date` is told as a field, and as the header of RFC 9745, which clients
    and proxies know without knowing us. `Sunset` (RFC 8594) would say that answers end then, which
    nobody promised.
    """
    if group.deprecation_date is None:
        return answer, {}
    seconds = int(parse_time(group.deprecation_date).timestamp())
    told = {**answer, "deprecation_date": group.deprecation_date}
    return told, {"Deprecation": f"@{seconds}"}


def is_stale(group: FeatureGroup, available_at: datetime, as_of: datetime) -> bool:
    """Tell whether a row is older than the group's `max_age_hours`; without them none is."""
    if group.max_age_hours is None:
        return False
    return as_of > available_at + timedelta(hours=group.max_age_hours)


def is_expired(group: FeatureGroup, available_at: datetime, as_of: datetime) -> bool:
    """Tell whether a row is past the group's `ttl_days`; without them none is."""
    if group.ttl_days is None:
        return False
    return as_of >= available_at + timedelta(days=group.ttl_days)


def as_time(value: datetime | str) -> datetime:
    """Read a time of either store [aware, UTC]; one without zone is UTC."""
    if isinstance(value, str):
        return _read_time(value)
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


# The rows of one push have the same few times, and reading one takes as long as reading a row.
@lru_cache(maxsize=1024)
def _read_time(text: str) -> datetime:
    return parse_time(text)


def value_as_json(value: Any) -> Any:
    """Write one value of either store as JSON can hold it."""
    if isinstance(value, datetime):
        return format_time(as_time(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [value_as_json(one) for one in value]
    return str(value) if isinstance(value, Decimal) else value


class Freshness:
    """
    The rows of one group at one time.

    Args:
        group: The group.
        as_of: The time the answer is for [aware].
    """

    def __init__(self, group: FeatureGroup, as_of: datetime) -> None:
        self._group = group
        self._as_of = as_of
        self._known: dict[object, tuple[str, bool, bool]] = {}

    def of(self, available_at: object) -> tuple[str, bool, bool]:
        """
        Tell since when a row is true, whether it is stale, and whether it is past its `ttl_days`.

        Args:
            available_at: What the row has in the group's column of that meaning.

        Raises:
            UnreadableValue: It is no time.
        """
        try:
            return self._known[available_at]
        except (KeyError, TypeError):
            return self._work_out(available_at)

    def _work_out(self, available_at: object) -> tuple[str, bool, bool]:
        if not isinstance(available_at, (str, datetime)):
            raise UnreadableValue(f"{self._group.available_at} of a row is {available_at!r}")
        try:
            at = as_time(available_at)
        except ValueError as error:
            raise UnreadableValue(f"{self._group.available_at} of a row: {error}") from None
        tests = is_stale(self._group, at, self._as_of), is_expired(self._group, at, self._as_of)
        told = self._known[available_at] = (format_time(at), *tests)
        return told


class Compact(DefaultJSONProvider):
    """
    Flask's, with orjson, which takes a tenth of the time.

    Args:
        app: The application that answers.
    """

    compact = True

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._any = JSONEncoder(separators=(",", ":"), default=self.default).encode

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write one document; nobody may ask for another form of it."""
        return self.write(obj).decode()

    def write(self, obj: Any) -> bytes:
        """Write one document as UTF-8."""
        try:
            return orjson.dumps(obj, self.default, orjson.OPT_PASSTHROUGH_DATETIME)
        except orjson.JSONEncodeError:
            # Python's own writes the rest as ASCII.
            return self._any(obj).encode()
