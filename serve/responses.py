"""
Responsible for the form of every answer: its JSON text, and what is reported of a row and a group.

An answer is one compact document with names in the order of their meaning: the key, `as_of`,
`features`, `source`, then `available_at` and `stale`. Does not compute a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Literal, TypeAlias

import orjson
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from materializer.config import format_time, parse_time
from materializer.errors import LookupMiss, UnreadableValue
from materializer.registry import FeatureGroup
from materializer.registry.validity import why_no_row
from materializer.registry.values import json_value

Source: TypeAlias = Literal["online", "offline"]
# A JSON document, and the headers that only this answer has.
Answer: TypeAlias = "tuple[dict[str, Any], dict[str, str]]"
# Since when a row is true, whether it is stale, and why it is none.
RowFacts: TypeAlias = "tuple[str, bool, type[LookupMiss] | None]"


class CompactJson(DefaultJSONProvider):
    """Flask's provider with orjson, which takes a tenth of the time."""

    compact = True

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        # It writes what orjson refuses, such as a lone half of a surrogate pair or a number of a
        # hundred digits, which a client may have sent.
        self._any = JSONEncoder(separators=(",", ":"), default=self.default).encode

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return one document as text, always in the same form."""
        return self.write(obj).decode()

    def write(self, obj: Any) -> bytes:
        """Return one document as UTF-8."""
        try:
            return orjson.dumps(obj, self.default, orjson.OPT_PASSTHROUGH_DATETIME)
        except orjson.JSONEncodeError:
            return self._any(obj).encode()


class Freshness:
    """
    Since when the rows of a group are true, whether they are stale, and whether they hold.

    Rows come from a few pushes and have a few times between them: each is worked out once.

    Args:
        group: The group.
        as_of: The time that the answer is for [aware].

    Attributes:
        as_of: That time as text.
    """

    def __init__(self, group: FeatureGroup, as_of: datetime) -> None:
        self.as_of = format_time(as_of)
        self._group = group
        self._as_of = as_of
        self._known: dict[object, RowFacts] = {}

    def read(self, available_at: object, built_since: int = 0) -> RowFacts:
        """
        Return since when a row is true, whether it is stale, and why it is none, None if it is one.

        Args:
            available_at: The row's value in the column that the group names `available_at`.
            built_since: See `registry.validity`.

        Raises:
            UnreadableValue: It is not a time.
        """
        try:
            return self._known[available_at, built_since]
        except (KeyError, TypeError):
            return self._work_out(available_at, built_since)

    def _work_out(self, available_at: object, built_since: int) -> RowFacts:
        group = self._group
        if not isinstance(available_at, (str, datetime)):
            raise UnreadableValue(f"{group.available_at} of a row is {available_at!r}")
        try:
            time = as_time(available_at)
        except ValueError as error:
            raise UnreadableValue(f"{group.available_at} of a row: {error}") from None
        facts = (
            format_time(time),
            is_stale(group, time, self._as_of),
            why_no_row(group, time, self._as_of, built_since),
        )
        self._known[available_at, built_since] = facts
        return facts


def lookup_answer(
    group: FeatureGroup,
    key: Sequence[str],
    row: Mapping[str, Any],
    *,
    as_of: datetime,
    source: Source,
    features: Sequence[str] | None = None,
) -> Answer:
    """
    Return the answer of a lookup from the online columns of a row of either store.

    It has the requested features in their order, None standing for all that the row has; one that a
    row of an older contract lacks is null.
    """
    names = features or [name for name in row if name != group.available_at]
    available_at = as_time(row[group.available_at])
    answer = {
        **dict(zip(group.entity, key, strict=True)),
        "as_of": format_time(as_of),
        "features": {name: json_value(row.get(name)) for name in names},
        "source": source,
        "available_at": format_time(available_at),
        "stale": is_stale(group, available_at, as_of),
    }
    return with_deprecation(group, answer)


def with_deprecation(group: FeatureGroup, answer: dict[str, Any]) -> Answer:
    """
    Return an answer about a group, and the headers that it has.

    A group's `deprecation_date` is a field, and the header of RFC 9745, which clients and proxies
    know without knowing us. `Sunset` (RFC 8594) would say that answers end then, which nobody
    promised.
    """
    if group.deprecation_date is None:
        return answer, {}
    seconds = int(parse_time(group.deprecation_date).timestamp())
    dated = {**answer, "deprecation_date": group.deprecation_date}
    return dated, {"Deprecation": f"@{seconds}"}


def is_stale(group: FeatureGroup, available_at: datetime, as_of: datetime) -> bool:
    """Return whether a row is older than the group's `max_age_hours`; without them none is."""
    if group.max_age_hours is None:
        return False
    return as_of > available_at + timedelta(hours=group.max_age_hours)


def as_time(value: datetime | str) -> datetime:
    """Read a time of either store [aware, UTC]; one without zone is UTC."""
    if isinstance(value, str):
        return _read_time(value)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


# The rows of one push have the same few times, and reading one takes as long as reading a row.
@lru_cache(maxsize=1024)
def _read_time(text: str) -> datetime:
    return parse_time(text)
