"""The parts that decide without a store: as_of, staleness, the default group, patience."""

import json
import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st

from materializer.config import format_time, parse_time
from materializer.errors import (
    Expired,
    NotMaterialized,
    NotYetAvailable,
    OfflineStoreUnavailable,
    OnlineStoreUnavailable,
    UnknownEntity,
)
from materializer.registry.validity import why_no_row
from serve.errors import ApiError, Overloaded
from serve.limits import Deadline
from serve.log import Repeats
from serve.requests.as_of import read_query_time
from serve.responses import CompactJson, is_stale
from serve.stores.breaker import Breaker
from serve.stores.directory import Directory
from tests.serve.support import until
from tests.support.group import GROUP, make_group

AVAILABLE = datetime(2024, 1, 8, tzinfo=UTC)
FAR = datetime(9999, 12, 31, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DOWN = OnlineStoreUnavailable("somewhere", "refused")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))
def test_as_of_is_the_same_instant_in_utc(moment: datetime) -> None:
    read = read_query_time([moment.isoformat()], now=FAR)

    # Converted first: Python calls a time that a clock shows twice unequal to every other zone's.
    assert read == moment.astimezone(UTC)
    assert read.utcoffset() == timedelta(0)
    assert parse_time(format_time(read)) == read


TEXT = st.text(st.characters())  # with the lone halves of surrogate pairs that a body may hold
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOAT | TEXT,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(TEXT, one, max_size=3),
    max_leaves=8,
)


@given(JSON)
@example("\ud800")
@example(10**100)
@example({"\udc00": [2**64, -(2**63) - 1]})
def test_every_answer_can_be_written_and_reads_back_the_same(answer: object) -> None:
    assert json.loads(CompactJson(Flask("test")).write(answer)) == answer


@given(st.text())
def test_whatever_as_of_holds_is_answered(text: str) -> None:
    try:
        read_query_time([text], now=FAR)
    except ApiError as error:
        assert error.status == 400


@pytest.mark.parametrize(
    ("text", "explained"),
    [
        ("2024-01-05T12:00:00 02:00", True),
        ("2024-01-05T12:00 0200", True),
        ("2024-01-05 12:00:00.5 02:00", True),
        ("2024-01-05T12:00:00 02", True),
        ("2024-01-05T12:00:00 noon", False),
        ("soon", False),
    ],
)
def test_only_a_lost_plus_is_explained(text: str, explained: bool) -> None:
    with pytest.raises(ApiError) as caught:
        read_query_time([text], now=FAR)

    assert caught.value.code == "bad_as_of"
    assert ("%2B" in str(caught.value)) is explained


def test_a_row_is_stale_after_max_age_and_not_at_it() -> None:
    border = AVAILABLE + timedelta(hours=30)

    assert not is_stale(GROUP, AVAILABLE, border)
    assert is_stale(GROUP, AVAILABLE, border + MICROSECOND)
    assert not is_stale(replace(GROUP, max_age_hours=None), AVAILABLE, FAR)


@pytest.mark.parametrize(
    ("rules", "built_since", "hours"),
    [
        ({"ttl_days": 2}, 0, 48),
        ({"fresh_hours": 30}, 0, 30),
        ({"fresh_hours": 30}, 3, 30 + 72),
        ({"fresh_hours": 30, "ttl_days": 2}, 3, 48),
    ],
)
def test_a_row_holds_before_its_end_and_not_at_it(
    rules: dict[str, Any], built_since: int, hours: int
) -> None:
    group = make_group(**rules)
    end = AVAILABLE + timedelta(hours=hours)

    assert why_no_row(group, AVAILABLE, AVAILABLE - MICROSECOND, built_since) is NotYetAvailable
    assert why_no_row(group, AVAILABLE, AVAILABLE, built_since) is None
    assert why_no_row(group, AVAILABLE, end - MICROSECOND, built_since) is None
    assert why_no_row(group, AVAILABLE, end, built_since) is Expired
    assert why_no_row(GROUP, AVAILABLE, FAR, built_since) is None


def test_the_default_group_is_the_single_key_one_with_the_short_prefix() -> None:
    pair = replace(GROUP, name="pair", entity=("user_id", "day"))
    other = replace(GROUP, name="other", key_prefix="features:other")
    groups = {"pair": pair, "other": other, GROUP.name: GROUP}

    assert Directory(lambda: groups).default() is GROUP
    with pytest.raises(ApiError) as caught:
        Directory(lambda: {"pair": pair, "other": other}).default()
    assert caught.value.code == "unknown_group"
    assert "other, pair" in str(caught.value)


def test_the_directory_answers_from_memory_and_reads_again_meanwhile() -> None:
    known = {GROUP.name: GROUP}
    newer = {GROUP.name: replace(GROUP, owner="someone")}
    answers = [known, newer]
    directory = Directory(lambda: answers.pop(0), fresh_for=0.05)

    assert directory.default() == GROUP
    assert directory.default() == GROUP
    assert len(answers) == 1
    until(lambda: directory.default().owner == "someone", seconds=5)


def test_a_directory_without_requests_for_long_is_read_first() -> None:
    answers = [{GROUP.name: GROUP}, {GROUP.name: replace(GROUP, owner="someone")}]
    directory = Directory(lambda: answers.pop(0), fresh_for=0.01, old_after=0.05)
    directory.default()

    time.sleep(0.1)

    assert directory.default().owner == "someone"


def test_a_directory_keeps_what_it_knows_when_it_cannot_read() -> None:
    reads = []

    def read() -> dict[str, object]:
        reads.append(1)
        if len(reads) > 1:
            raise OfflineStoreUnavailable("somewhere", "gone")
        return {GROUP.name: GROUP}

    directory = Directory(read, fresh_for=0.01, old_after=0.02)  # type: ignore[arg-type]
    directory.default()
    time.sleep(0.05)

    assert directory.default() is GROUP
    assert len(reads) == 2


class Store:
    """A store that fails on demand, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.failure: Exception | None = None

    def answer(self) -> str:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return "answer"


def test_after_a_failure_no_call_is_made_for_a_while_and_then_one_does() -> None:
    store, breaker = Store(), Breaker(pause=0.1)
    store.failure = DOWN
    with pytest.raises(OnlineStoreUnavailable):
        breaker.call(store.answer)

    with pytest.raises(ApiError) as caught:
        breaker.call(store.answer)
    assert (caught.value.code, str(caught.value)) == ("store_unavailable", str(DOWN))
    assert store.calls == 1

    time.sleep(0.15)
    store.failure = None
    assert breaker.call(store.answer) == "answer"
    assert breaker.call(store.answer) == "answer"


def test_only_one_request_tries_a_store_that_hangs() -> None:
    breaker, release = Breaker(pause=0.01), threading.Event()
    with pytest.raises(OnlineStoreUnavailable):
        breaker.call(lambda: _raise(DOWN))
    time.sleep(0.05)
    asking = threading.Thread(target=lambda: breaker.call(release.wait))
    asking.start()
    time.sleep(0.05)

    try:
        with pytest.raises(ApiError):
            breaker.call(lambda: "answer")
    finally:
        release.set()
        asking.join()

    assert breaker.call(lambda: "answer") == "answer"


@pytest.mark.parametrize("miss", [NotMaterialized("g"), UnknownEntity("g", ["x"]), KeyError("x")])
def test_a_store_that_answers_no_is_there(miss: Exception) -> None:
    store, breaker = Store(), Breaker(pause=60)
    store.failure = miss

    for _ in range(2):
        with pytest.raises(type(miss)):
            breaker.call(store.answer)

    assert store.calls == 2


def test_a_call_that_overruns_is_left_and_its_place_comes_back() -> None:
    release = threading.Event()
    deadline = Deadline(0.1, most=1, overrun=_unavailable, crowded=Overloaded)

    with pytest.raises(OnlineStoreUnavailable, match=r"no answer within 0\.1 s"):
        deadline.call(release.wait)
    with pytest.raises(Overloaded):
        deadline.call(lambda: "answer")
    assert deadline.left == 1
    release.set()

    until(lambda: deadline.left == 0, seconds=5)
    until(lambda: deadline.call(lambda: "answer") == "answer", seconds=5)


def test_a_deadline_hands_on_what_was_raised() -> None:
    deadline = Deadline(5, most=1, overrun=_unavailable, crowded=Overloaded)

    with pytest.raises(KeyError):
        deadline.call(lambda: _raise(KeyError("x")))
    assert deadline.call(lambda: None) is None


def _unavailable(problem: str) -> OnlineStoreUnavailable:
    return OnlineStoreUnavailable("there", problem)


def _raise(error: Exception) -> str:
    raise error


def test_the_same_line_is_written_once_in_a_while_with_a_count() -> None:
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())

    handler, logger = Handler(), logging.Logger("test")
    logger.addHandler(handler)
    handler.addFilter(Repeats(pause=0.2))
    for _ in range(5):
        logger.error("it failed: %s", "again")
    logger.error("it failed: %s", "otherwise")
    assert written == ["it failed: again", "it failed: otherwise"]
    time.sleep(0.25)
    logger.error("it failed: %s", "again")

    assert written[2:] == ["it failed: again (and 4 times since the last such line)"]
