"""
Responsible for reading `as_of`, the time for which a request wants an answer.

Does not guess: a time that cannot be read and a time in the future are errors of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from materializer.config import format_time, parse_time
from serve.errors import ApiError, quoted

AS_OF = "as_of"
# What can be wrong with a time.
TIME_CODES = ("missing_as_of", "bad_as_of", "as_of_in_future")

_EXAMPLE = "as_of=2024-01-05T12:00:00Z"
# What `+02:00` becomes when its plus is not percent-encoded.
_LOST_PLUS = re.compile(r"[T ]\S+ \d\d:?(\d\d)?$")


def read_query_time(sent: Sequence[str], *, now: datetime) -> datetime:
    """
    Read the `as_of` of a query string, given every one that was sent, percent-decoded.

    Raises:
        ApiError: `missing_as_of`, `bad_as_of`, `as_of_in_future`.
    """
    if not sent or not sent[0]:
        raise ApiError("missing_as_of", f"say at which time, for example ?{_EXAMPLE}")
    if len(sent) > 1:
        raise ApiError("bad_as_of", f"as_of is given {len(sent)} times; give it once")
    if _LOST_PLUS.search(sent[0]):
        raise ApiError(
            "bad_as_of",
            f"as_of {quoted(sent[0])} has a space where an offset's + would be: in a URL, + means "
            "a space, so send it as %2B",
        )
    return read_time(sent[0], now=now, example=_EXAMPLE)


def read_body_time(sent: object, *, now: datetime, where: str = "") -> datetime:
    """
    Read an `as_of` of a JSON body; *where* names its row at the front of a message.

    Raises:
        ApiError: `bad_as_of`, `as_of_in_future`.
    """
    if not isinstance(sent, str):
        raise ApiError("bad_as_of", f"{where}as_of is not a string")
    return read_time(sent, now=now, where=where, example=f'"{AS_OF}": "{now:%Y-%m-%dT%H:%M:%SZ}"')


def read_time(text: str, *, now: datetime, example: str, where: str = "") -> datetime:
    """
    Read an ISO 8601 date or time; one without an offset is UTC.

    Returns:
        The instant [aware, UTC].

    Raises:
        ApiError: `bad_as_of`, `as_of_in_future`.
    """
    try:
        time = parse_time(text)
    except (ValueError, OverflowError):
        raise ApiError(
            "bad_as_of",
            f"{where}as_of {quoted(text)} is not an ISO 8601 date or time; write {example}",
        ) from None
    if time > now:
        raise ApiError(
            "as_of_in_future",
            f"{where}as_of {format_time(time)} is later than the server's clock, "
            f"{format_time(now)}",
        )
    return time
