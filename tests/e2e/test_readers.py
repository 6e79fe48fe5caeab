"""Training sets, lookups of both stores, vectors and `get`: one answer, that of plain Python."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from materializer.registry import Column, FeatureGroup
from tests.support.dbt import ROOT, Project
from tests.support.profile import examples
from tests.support.readers import Question, Readers
from tests.support.server import SERVERS, Server
from tests.support.sets import DAY, USERS, Row

# Far enough ahead that Redis, which knows only the real clock, removes no key.
FIRST = date(2090, 2, 26)
DAYS = [FIRST + n * DAY for n in range(7)]
PEOPLE = ["ann", "bob", "cid"]
MICRO = timedelta(microseconds=1)
CLOSING = "clicks = 0"
RULES: list[dict[str, Any]] = [
    {"fresh_hours": fresh, "closing_row": closing, "ttl_days": ttl, "event_time": event}
    for fresh, closing in [(None, None), (20, None), (24, CLOSING), (50, CLOSING)]
    for ttl in (None, 2)
    for event in (None, "happened")
]
GROUPS = [
    replace(
        USERS,
        name=f"group_{number}",
        unique_id=f"model.feature_store.group_{number}",
        key_prefix=f"group_{number}",
        max_age_hours=None,
        columns=(*USERS.columns, Column("happened", "timestamp")),
        **rules,
    )
    for number, rules in enumerate(RULES)
]
_GROUP = """
select
    'u' as user_id, date '2024-01-01' as day, 1 as clicks, timestamp '2024-01-02' as available_at,
    timestamp '2024-01-01' as happened
"""
_JOIN = """
{{{{ point_in_time_join(
    spine=ref('stg_labels'), time='as_of_ts', columns=['user_id', 'as_of_ts'],
    groups=[{{'group': '{name}', 'on': {{'user_id': 'user_id'}}, 'columns': ['clicks']}}],
) }}}}
"""


@pytest.fixture(scope="module")
def join_sql(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Give the SQL of dbt's join with a group, by the group's name."""
    project = Project(tmp_path_factory.mktemp("joins"))
    folder = project.folder / "dbt_project"
    folder.unlink()
    shutil.copytree(ROOT / "dbt_project", folder)
    for group in GROUPS:
        meta = {key: getattr(group, key) for key in RULES[0]}
        model = {"name": group.name, "config": {"meta": {"feature_group": meta}}}
        (folder / "models" / f"{group.name}.yml").write_text(json.dumps({"models": [model]}))
        (folder / "models" / f"{group.name}.sql").write_text(_GROUP)
        (folder / "models" / f"join_{group.name}.sql").write_text(_JOIN.format(name=group.name))
    project.dbt("compile", "--select", "join_group_*").assert_done()
    compiled = project.target / "compiled" / "feature_store" / "dbt_project" / "models"
    return lambda name: (compiled / f"join_{name}.sql").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(SERVERS["valkey"], tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@dataclass(frozen=True)
class History:
    """
    What becomes known of a group.

    Attributes:
        states: What is published one after the other: rows, and the days that are built.
        places: Of each state, where in its times the online store is asked.
    """

    group: FeatureGroup = field(repr=False)
    states: Sequence[tuple[Sequence[Row], Sequence[date]]]
    places: Sequence[int]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw some days that are built, then more of them, with rows of some users on each."""
    group = draw(st.sampled_from(GROUPS))
    lag = draw(st.sampled_from([0, 6]))
    rows: list[Row] = []
    built = draw(st.lists(st.sampled_from(DAYS), min_size=3, unique=True))
    for day in built:
        # The first is published, so it has a row.
        least = int(day == built[0])
        for user in draw(st.lists(st.sampled_from(PEOPLE[:2]), unique=True, min_size=least)):
            # Some rows are known later than they should, and after those of later days.
            hours = lag + draw(st.sampled_from([0, 0, -3, 30]))
            at = datetime(day.year, day.month, day.day) + DAY + timedelta(hours=hours)
            row = {"user_id": user, "day": day, "available_at": at}
            # Of each event there may be a later word.
            row["happened"] = at - timedelta(hours=draw(st.sampled_from([1, 1, 40, 90])))
            row["clicks"] = draw(st.sampled_from([0, 0, len(rows) + 1]))
            if all((r["user_id"], r["available_at"]) != (user, at) for r in rows):
                rows.append(row)
    cut = draw(st.integers(1, len(built)))
    early = [row for row in rows if row["day"] in built[:cut]]
    places = draw(st.lists(st.integers(0, 10**6), min_size=2, max_size=2))
    return History(group, [(early, built[:cut]), (rows, built)], places)


def edges(group: FeatureGroup, rows: Sequence[Row]) -> list[datetime]:
    """Tell every time at which an answer may change, and the microsecond before each."""
    hours = [0, 24 * (group.ttl_days or 0)]
    if group.fresh_hours:
        hours += [group.fresh_hours + 24 * days for days in range(len(DAYS))]
    starts = {row["available_at"] for row in rows}
    times = {start + timedelta(hours=h) for start, h in itertools.product(starts, hours)}
    return sorted({time - step for time in times for step in (timedelta(), MICRO)})


def _row(user: str, day: int, clicks: int, known_after: int = 0, happened: int = 1) -> Row:
    at = datetime(FIRST.year, FIRST.month, FIRST.day) + (day + 1) * DAY
    return {
        "user_id": user,
        "day": DAYS[day],
        "clicks": clicks,
        "available_at": at + timedelta(hours=known_after),
        "happened": at - timedelta(hours=happened),
    }


def _history(rules: Mapping[str, Any], built: Sequence[int], *rows: Row) -> History:
    group = next(one for one in GROUPS if all(getattr(one, k) == v for k, v in rules.items()))
    state = rows, [DAYS[day] for day in built]
    # Pushed before the last row is available, and once it is.
    times = edges(group, rows)
    last = times.index(max(row["available_at"] for row in rows))
    return History(group, [state, state], [last - 1, last])


_PLAIN: Mapping[str, Any] = dict.fromkeys(RULES[0])
# A closing row, another that is last, and a day that is missing.
CLOSED = _history(
    {**_PLAIN, "fresh_hours": 24, "closing_row": CLOSING},
    [0, 1, 2, 3, 5],
    *(_row("ann", 0, 7), _row("ann", 1, 0), _row("bob", 1, 9)),
)
# The row of an older day becomes known after that of a newer one, which it replaces.
LATE = _history(_PLAIN, [0, 1], _row("ann", 0, 1, known_after=60), _row("ann", 1, 2))
# It does not where its event is older.
CORRECTED = _history(
    {**_PLAIN, "event_time": "happened"},
    [0, 1, 2],
    *(_row("ann", 0, 1), _row("ann", 1, 2), _row("ann", 2, 3, happened=40)),
)
# The clock is set back, to when a row that was removed still held.
BACK = replace(_history({**_PLAIN, "ttl_days": 2}, [0], _row("ann", 0, 1)), places=[3, 1])


@settings(
    max_examples=examples(8, soak=400),
    deadline=None,
    # An example takes a second, and a smaller one is no easier to read.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
@example(history=CLOSED)
@example(history=LATE)
@example(history=CORRECTED)
@example(history=BACK)
def test_every_reader_answers_what_plain_python_says(
    history: History,
    server: Server,
    join_sql: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    group = history.group
    server.client().flushall()
    readers = Readers(tmp_path_factory.mktemp("home"), group, server, join_sql(group.name))
    published: Sequence[Row] = []
    for (rows, built), place in zip(history.states, history.places, strict=True):
        readers.publish(rows, built, [row["day"] for row in rows if row not in published])
        published = rows
        times = edges(group, rows)
        # A push is followed by lookups until the next row becomes available.
        pushed = times[place % len(times)]
        until = min((r["available_at"] for r in rows if r["available_at"] > pushed), default=None)
        asked = [at for at in times if pushed <= at and (until is None or at < until)][:6]
        readers.push(pushed.replace(tzinfo=UTC))
        expected, _ = readers.expected(rows, built, list(itertools.product(PEOPLE, asked)))
        for reader, answers in readers.online(asked, PEOPLE):
            assert answers == {question: expected[question] for question in answers}, reader

    questions: list[Question] = list(itertools.product(PEOPLE, times))
    expected, codes = readers.expected(rows, built, questions)
    for reader, answers in readers.trained(rows, built, questions):
        assert answers == expected, reader
    told = {question: (expected[question], codes[question]) for question in questions}
    some = questions[:: 1 + len(questions) // 40]
    for reader, answers in readers.offline(max(times), some):
        assert answers == {question: told[question] for question in answers}, reader
