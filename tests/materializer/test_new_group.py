"""A group is added by SQL and YAML alone, as the steps of docs/how-to/new-group.md have it."""

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import oracle, pages
from tests.support.dbt import Project
from tests.support.store import (
    FIRST,
    LAST,
    Done,
    Store,
    history,
    keep_inputs,
    own_models,
    write_inputs,
)

STEPS = pages.section("how-to/new-group.md", "A daily group, step by step")
NAMES = {"x": "click", "y": "search", "z": "view"}
EVENTS: list[oracle.Event] = [(user, NAMES[kind], at) for user, kind, at, *_ in history()]


@pytest.fixture(scope="module")
def followed(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Done]]:
    """Give the store after every step, and what each command said."""
    project = Project(tmp_path_factory.mktemp("new") / "project")
    own_models(project)
    write_inputs(project, EVENTS)
    keep_inputs(project)
    pages.write(STEPS, project.folder)
    store = Store(project, module_url)
    return store, [pages.follow(store, line) for line in pages.commands(STEPS)]


def rows() -> list[tuple[object, ...]]:
    """Compute every row of the group from the events, in plain Python."""
    events = Counter((user, kind, at.date()) for user, kind, at, *_ in EVENTS)
    found: list[tuple[object, ...]] = []
    for n in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        seen = {(user, kind) for user, kind, on in events if 0 <= (day - on).days <= 7}
        for user, kind in sorted(seen):
            count = sum(events[user, kind, day - timedelta(days=back)] for back in range(7))
            found.append((user, kind, day, count, midnight_after(day)))
    return found


def midnight_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(days=1)


def test_the_steps_need_sql_and_yaml_alone() -> None:
    assert [Path(name).suffix for name in pages.files(STEPS)] == [".sql", ".yml"]
    assert [line.split()[0] for line in pages.commands(STEPS)] == ["dbt", *["materializer"] * 3]


def test_every_row_is_published(followed: tuple[Store, list[Done]]) -> None:
    store, _ = followed
    published = store.table("user_event_types")
    assert sorted(published, key=lambda row: (row[2], row[0], row[1])) == rows()


def test_the_group_is_shown_as_it_was_declared(followed: tuple[Store, list[Done]]) -> None:
    _, said = followed
    group = said[-2].document["group"]
    assert (group["entity"], group["key_prefix"], group["features"]) == (
        ["user_id", "event_type"],
        "features:user_event_types",
        ["day", "event_count_7d"],
    )
    assert group["columns"][3] == {
        "name": "event_count_7d",
        "type": "int64",
        "online": True,
        "description": "Events of this type on the day and the 6 days before it.",
        "unit": "events",
        "window_days": 7,
        "null_means": None,
        "may_be_future": False,
        "warehouse_type": None,
    }


def test_the_newest_row_is_online(followed: tuple[Store, list[Done]]) -> None:
    _, said = followed
    newest = [row for row in rows() if row[:2] == ("user1", "click")][-1]
    assert said[-1].document == {
        "group": "user_event_types",
        "entity": {"user_id": "user1", "event_type": "click"},
        "row": {
            "day": str(newest[2]),
            "event_count_7d": newest[3],
            "available_at": f"{newest[4]:%Y-%m-%dT%H:%M:%SZ}",
        },
    }
