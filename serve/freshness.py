"""
What an answer tells beside the values of a row: since when it is true, and whether it is too old.

Owns that for many rows of one group and one time. They come from a few pushes and so have a few
times between them: each is worked out once.
"""

from __future__ import annotations

from datetime import datetime

from materializer.config import format_time
from materializer.errors import UnreadableValue
from materializer.registry import FeatureGroup
from serve.answers import as_time, is_expired, is_stale


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
