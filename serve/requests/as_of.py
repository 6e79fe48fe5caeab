"""
The reading of `as_of`.

Refuses to guess a time: an unreadable and a future `as_of` are errors of their own.
"""

from __future__ import annotations

import re
from datetime import datetime

from materializer.config import format_time, parse_time
from serve.errors import ApiError, quoted

EXAMPLE = "as_of=2024-01-05T12:00:00Z"

# What is wrong with a time.
TIME_CODES = ("missing_as_of", "bad_as_of", "as_of_in_future")

# What `+02:00` becomes when its plus is not percent-encoded.
_LOST_PLUS = re.compile(r"[T ]\S+ \d\d:?(\d\d)?$")


def read_as_of(given: list[str], *, now: datetime) -> datetime:
    """
    Read the `as_of` of a query: an ISO 8601 date or time; one without offset is UTC.

    Args:
        given: Every `as_of` of the query, percent-decoded.
        now: The clock [aware].

    Returns:
        The instant [aware, UTC].

    Raises:
        ApiError: `missing_as_of`, `bad_as_of`, `as_of_in_future`.
    """
    if not given or not given[0]:
        raise ApiError("missing_as_of", f"say at which time, for example ?{EXAMPLE}")
    if len(given) > 1:
        raise ApiError("bad_as_of", f"as_of is given {len(given)} times; give it once")
    if _LOST_PLUS.search(given[0]):
        raise ApiError(
            "bad_as_of",
            f"as_of {quoted(given[0])} has a space where an offset's + would be: in a URL, + means "
            "a space, so send it as %2B",
        )
    return read_moment(given[0], now=now)


def read_moment(text: str, *, now: datetime, example: str = EXAMPLE) -> datetime:
    """
    Read one time.

    Args:
        text: An ISO 8601 date or time; one without offset is UTC.
        now: The clock [aware].
        example: What to write instead of a text that is none.

    Returns:
        The instant [aware, UTC].

    Raises:
        ApiError: `bad_as_of`, `as_of_in_future`.
    """
    try:
        moment = parse_time(text)
    except (ValueError, OverflowError):
        raise ApiError(
            "bad_as_of", f"as_of {quoted(text)} is not an ISO 8601 date or time; write {example}"
        ) from None
    if moment > now:
        raise ApiError(
            "as_of_in_future",
            f"as_of {format_time(moment)} is later than the server's clock, {format_time(now)}",
        )
    return moment
