"""The whole way of the sample: dbt build, materializer run, feature-server, and both lookups."""

import csv
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from materializer.config import format_time, parse_time
from tests.e2e.conftest import serve
from tests.serve.support import FeatureServer
from tests.support import conformance, oracle
from tests.support.dbt import ROOT, Project
from tests.support.server import Server
from tests.support.store import Store, copy

NOW = "2024-03-31T00:00:00Z"
FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(90)]

History = dict[str, list[oracle.FeatureRow]]


@pytest.fixture(scope="module")
def rows() -> History:
    """Compute every user's feature rows from the events, in plain Python."""
    events: dict[str, list[oracle.Event]] = {}
    with (ROOT / "seeds" / "events_raw.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            at = parse_time(row["ts"]).replace(tzinfo=None)
            events.setdefault(row["user_id"], []).append((row["user_id"], row["event_type"], at))
    return {user: oracle.features(mine, DAYS) for user, mine in events.items()}


@pytest.fixture(scope="module")
def store(sample: Project, redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give the sample, published and pushed by one command."""
    made = Store(copy(sample, tmp_path_factory.mktemp("store") / "project"), redis_server.url)
    made.command("run").assert_code(0)
    return made


@pytest.fixture(scope="module")
def http(store: Store) -> Iterator[FeatureServer]:
    server = serve(store)
    yield server
    server.close()


def _features(row: oracle.FeatureRow) -> dict[str, Any]:
    return {
        "day": row[1].isoformat(),
        "event_count_7d": row[2],
        "event_count_30d": row[3],
        "last_event_days_ago": row[4],
        "event_type_counts": row[5],
    }


def test_online_and_offline_over_http_say_of_every_user_what_the_events_say(
    http: FeatureServer, rows: History
) -> None:
    for user, mine in rows.items():
        expected = {
            "user_id": user,
            "as_of": NOW,
            "features": _features(mine[-1]),
            "available_at": mine[-1][6].isoformat() + "Z",
            "stale": mine[-1][6] < datetime(2024, 3, 29, 18),
        }
        assert http.online(user).body == {**expected, "source": "online"}
        assert http.offline(user, NOW).body == {**expected, "source": "offline"}


def test_offline_over_http_says_of_any_time_what_the_events_before_it_say(
    http: FeatureServer, rows: History
) -> None:
    draw = random.Random(17)
    for user in draw.sample(sorted(rows), 60):
        as_of = datetime(2024, 1, 2) + timedelta(seconds=draw.randrange(89 * 86_400))
        known = [row for row in rows[user] if row[6] <= as_of]

        answer = http.offline(user, f"{as_of.isoformat()}Z")

        if known:
            assert answer.body["features"] == _features(known[-1])
        else:
            assert (answer.status, answer.code) == (404, "not_yet_available")


def test_every_answer_conforms_to_the_document_of_the_server(
    http: FeatureServer, rows: History, tmp_path: Path
) -> None:
    users = sorted(rows)[:10]
    times = ["2024-02-01T12:00:00Z", "2024-03-30", "2024-03-31T01:30:00+02:00"]
    known = {"id": users, "user_id": users, "group": ["features_daily"], "as_of": times}

    conformance.assert_conforms(http.port, tmp_path, known, empty=["/feature-views/{view}"])


def test_the_published_training_set_is_what_the_events_say(store: Store, rows: History) -> None:
    table = pq.read_table(store.home / "training" / "training_data.parquet").to_pylist()
    with (ROOT / "seeds" / "labels.csv").open(newline="") as file:
        labels = [
            (row["user_id"], float(row["label"]), parse_time(row["as_of_ts"]).replace(tzinfo=None))
            for row in csv.DictReader(file)
        ]
    # Every day is built, so the newest row that was available is the one that was seen.
    expected = [
        (*label, *(known[-1][1:] if known else [None] * 7))
        for label in labels
        for known in [[row for row in rows.get(label[0], []) if row[6] <= label[2]]]
    ]
    assert sorted(map(repr, (tuple(row.values()) for row in table))) == sorted(map(repr, expected))


def test_the_published_training_set_is_built_again_from_its_receipt(store: Store) -> None:
    receipt = store.home / "training" / "training_data.receipt.json"

    done = store.command("verify-training", str(receipt)).assert_code(0)

    assert ": identical, 2,000 rows rebuilt from 2 snapshots, " in done.out


def test_units_windows_and_nulls_are_told_alike_by_the_registry_and_over_http(
    store: Store, http: FeatureServer
) -> None:
    document = store.do("groups", "features_daily", "--json").assert_code(0).document
    answer = http.get("/feature-groups/features_daily").body

    for columns in (document["group"]["columns"], answer["columns"]):
        assert {
            column["name"]: (column["unit"], column["window_days"], column["null_means"])
            for column in columns
        } == {
            "user_id": (None, None, None),
            "day": (None, None, None),
            "event_count_7d": ("events", 7, None),
            "event_count_30d": ("events", 30, None),
            "last_event_days_ago": ("days", 30, "no event in the window"),
            "event_type_counts": ("event types", 30, None),
            "available_at": ("UTC", None, None),
            "max_event_ts": ("UTC", 30, "no event in the window"),
        }


def test_a_training_set_on_demand_is_the_one_that_dbt_built(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "set.parquet"
    labels = ("--labels", str(ROOT / "seeds" / "labels.csv"), "--groups", "features_daily")

    store.command("training-set", *labels, "--out", str(out)).assert_code(0)

    made = pq.read_table(out)
    built = pq.read_table(store.home / "training" / "training_data.parquet")
    assert made.column_names == built.column_names
    rows = [{**row, "label": float(row["label"])} for row in made.to_pylist()]
    assert sorted(map(repr, rows)) == sorted(map(repr, built.to_pylist()))
    receipt = str(tmp_path / "set.parquet.receipt.json")
    assert ": identical, 2,000 rows " in store.do("verify-training", receipt).assert_code(0).out


def test_status_says_that_everything_is_there(store: Store) -> None:
    done = store.do("status", "--json", "--max-age", "1h").assert_code(0)
    (group,) = done.document["groups"]
    newest = {"day": "2024-03-30", "age_hours": 0.0, "problem": None}
    assert (group["gate"], group["run"]) == ([], [])
    assert [group[name] for name in ("built", "published", "pushed")] == [newest] * 3
    assert done.document["now"] == format_time(parse_time(NOW))
