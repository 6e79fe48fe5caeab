"""
`GET /features/offline/<id>?as_of=`: the row of one entity as it could be known at a time.

Owns the route and the reading of `as_of`. Refuses to guess a time: a missing, unreadable or future
`as_of` is an error of its own.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from flask import Blueprint, request

from materializer.config import format_time, parse_time
from serve import stores
from serve.answers import lookup_answer
from serve.errors import ApiError
from serve.ids import check_id

EXAMPLE = "as_of=2024-01-05T12:00:00Z"

# What `+02:00` becomes when its plus is not percent-encoded.
_LOST_PLUS = re.compile(r"[T ]\S+ \d\d:?(\d\d)?$")

blueprint = Blueprint("offline", __name__)


@blueprint.get("/features/offline/<id:user_id>")
def lookup(user_id: str) -> dict[str, Any]:
    """
    Answer the newest row of one entity that was available at `as_of`.

    Raises:
        ApiError: `bad_request`, `missing_as_of`, `bad_as_of`, `as_of_in_future`,
            `not_materialized`, `unknown_group`, `store_unavailable`.
        LookupMiss: There is no such row.
        StoreUnavailable: The store cannot be reached, or was never filled.
    """
    check_id(user_id)
    here = stores.current()
    as_of = read_as_of(request.args.getlist("as_of"), now=here.settings.now())
    group = here.directory.default()
    row = here.offline.lookup(group.name, (user_id,), as_of)
    # What online answers too. Just after a publish the row may be of a newer contract.
    names = [column.name for column in group.contract.columns if column.name in row]
    shown = {name: row[name] for name in names}
    return lookup_answer(group, (user_id,), shown, as_of=as_of, source="offline")


def read_as_of(given: list[str], *, now: datetime) -> datetime:
    """
    Read `as_of`: an ISO 8601 date or time; one without offset is UTC.

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
    text = given[0]
    try:
        moment = parse_time(text)
    except (ValueError, OverflowError):
        raise ApiError("bad_as_of", _explain(text)) from None
    if moment > now:
        raise ApiError(
            "as_of_in_future",
            f"as_of {format_time(moment)} is later than the server's clock, {format_time(now)}",
        )
    return moment


def _explain(text: str) -> str:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    if _LOST_PLUS.search(text):
        return (
            f"as_of {shown!r} has a space where an offset's + would be: in a URL, + means a space, "
            "so send it as %2B"
        )
    return f"as_of {shown!r} is not an ISO 8601 date or time; write {EXAMPLE}"
