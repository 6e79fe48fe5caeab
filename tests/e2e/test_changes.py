"""What changes in the input goes all the way: a late event, and a user who is no more."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.e2e.conftest import serve
from tests.serve.support import Answer, FeatureServer
from tests.support.dbt import Project
from tests.support.server import Server
from tests.support.store import USERS, Store, copy, expected, history, newest, write_inputs

LATE = ("user3", "a new type", datetime(2024, 3, 10, 12))
GONE = "user5"


CHANGED = [event for event in history() if event[0] != GONE] + [LATE]
NOW = "2024-03-31T00:00:00Z"
# Within the 30-day window of the late event, and before it.
SEES_IT, BEFORE_IT = "2024-03-12T12:00:00Z", "2024-03-09T12:00:00Z"

Answers = Mapping[tuple[str, str], Answer]


@dataclass(frozen=True)
class Walk:
    """One store after its input changed, and the answers over HTTP before and after."""

    store: Store
    before: Answers
    after: Answers


@pytest.fixture(scope="module")
def walk(small: Project, redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Walk the whole way, change the input, and walk it again under a server that goes on."""
    store = Store(copy(small, tmp_path_factory.mktemp("store") / "project"), redis_server.url)
    store.do("run").assert_code(0)
    with serve(store) as http:
        before = _ask(http)
        write_inputs(store.project, CHANGED)
        store.project.build().assert_done()
        store.do("run", "--allow-removals").assert_code(0)
        # A server looks for a new state of the offline store once a second.
        time.sleep(1.1)
        return Walk(store, before, _ask(http))


def _ask(http: FeatureServer) -> Answers:
    online = {(user, "online"): http.online(user) for user in USERS}
    offline = {
        (user, as_of): http.offline(user, as_of)
        for user in USERS
        for as_of in (NOW, SEES_IT, BEFORE_IT)
    }
    return {**online, **offline}


def _features(answer: Answer) -> tuple[object, ...]:
    assert answer.status == 200, answer.body
    return (*answer.body["features"].values(), answer.body["available_at"])


def _told(answers: Answers, when: str) -> dict[str, tuple[object, ...]]:
    return {user: _features(answers[user, when]) for user in USERS if user != GONE}


def test_a_late_event_goes_through_to_online(walk: Walk) -> None:
    was, is_now = newest(expected()), newest(expected(CHANGED))
    assert was["user3"] != is_now["user3"]

    assert _told(walk.before, "online") == {u: row for u, row in was.items() if u != GONE}
    assert _told(walk.after, "online") == is_now


def test_a_late_event_heals_the_days_that_see_it_and_no_other(walk: Walk) -> None:
    assert _features(walk.before["user3", SEES_IT]) != _features(walk.after["user3", SEES_IT])
    assert _features(walk.before["user3", BEFORE_IT]) == _features(walk.after["user3", BEFORE_IT])
    assert _told(walk.after, NOW) == newest(expected(CHANGED))


def test_a_user_whose_events_were_removed_is_unknown_everywhere(walk: Walk) -> None:
    assert walk.before[GONE, "online"].status == 200
    for when in ("online", NOW, SEES_IT):
        answer = walk.after[GONE, when]
        assert (answer.status, answer.code) == (404, "unknown_entity")


def test_warehouse_offline_and_online_hold_the_same_in_the_end(walk: Walk) -> None:
    assert walk.store.project.features() == expected(CHANGED)
    assert walk.store.offline() == expected(CHANGED)
    assert walk.store.online() == newest(expected(CHANGED))
