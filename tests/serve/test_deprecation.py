"""What answers say of a group that has a `deprecation_date`, and of one that has none."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime

import pytest

from tests.serve.support import (
    NOW,
    PAIRS,
    Answer,
    Application,
    Store,
    days_of,
    pair,
)
from tests.support.group import GROUP, make_group

DATE = "2024-06-01T00:00:00Z"
SECONDS = int(datetime.fromisoformat("2024-06-01T00:00:00+00:00").timestamp())


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Ask for a group that is to go, and for one that stays."""
    store = Store(tmp_path_factory.mktemp("retired"))
    retired, stays = make_group(deprecation_date=DATE), replace(PAIRS, ttl_days=None)
    store.publish(days_of("user1"), retired)
    store.publish([pair("user1", 1, date(2024, 1, 7))], stays)
    for group in (retired, stays):
        store.push(group)
    with store.application() as made:
        yield made
    store.redis.close()


def ask(http: Application, kind: str, name: str) -> Answer:
    key = {"user_id": "user1"} if name == GROUP.name else {"user_id": "user1", "item_id": "1"}
    path = f"/feature-groups/{name}"
    query = "&".join(f"{column}={value}" for column, value in key.items())
    return {
        "online": lambda: http.get(f"{path}/online?{query}"),
        "offline": lambda: http.get(f"{path}/offline?{query}&as_of={NOW}"),
        "batch online": lambda: http.post(f"{path}/online", {"keys": [key]}),
        "batch offline": lambda: http.post(f"{path}/offline", {"keys": [key], "as_of": NOW}),
        "short online": lambda: http.online("user1"),
        "short offline": lambda: http.offline("user1"),
    }[kind]()


KINDS = ("online", "offline", "batch online", "batch offline")


@pytest.mark.parametrize("kind", [*KINDS, "short online", "short offline"])
def test_an_answer_reports_the_date_of_a_group_that_has_one(http: Application, kind: str) -> None:
    answer = ask(http, kind, GROUP.name)

    assert answer.status == 200
    assert answer.body["deprecation_date"] == DATE
    # RFC 9745, section 2.1: a date of RFC 9651, which is an @ and seconds.
    assert answer.headers["deprecation"] == f"@{SECONDS}"
    assert "sunset" not in answer.headers


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_reports_nothing_of_a_group_without_a_date(http: Application, kind: str) -> None:
    answer = ask(http, kind, PAIRS.name)

    assert answer.status == 200
    assert "deprecation_date" not in answer.body
    assert "deprecation" not in answer.headers


def test_the_document_marks_the_routes_of_a_group_that_has_a_date(http: Application) -> None:
    paths = http.get("/openapi.json").body["paths"]

    marked = {
        path
        for path, methods in paths.items()
        if any(one.get("deprecated") for one in methods.values())
    }
    answer = paths["/features/online/{id}"]["get"]["responses"]["200"]
    fields = answer["content"]["application/json"]["schema"]

    assert marked == {
        "/features/online/{id}",
        "/features/offline/{id}",
        f"/feature-groups/{GROUP.name}/online",
        f"/feature-groups/{GROUP.name}/offline",
    }
    assert fields["properties"]["deprecation_date"]["const"] == DATE
    assert "deprecation_date" in fields["required"]
    assert answer["headers"]["Deprecation"]["required"] is True
