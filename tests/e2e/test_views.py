"""A feature view over HTTP: every vector is the row that training saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis

from materializer.config import format_time
from tests.e2e.conftest import serve
from tests.e2e.test_recommendation import NOW, Recommendation
from tests.serve.support import FeatureServer
from tests.support.server import SERVERS, Server
from tests.support.store import Store

VIEW = "recommendation_model_v1"
ROUTE = f"/feature-views/{VIEW}/vector"
CARRIED = ("user_id", "item_id", "available_at", "conversion", "split")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(SERVERS["valkey"], tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, running: Server) -> Store:
    project = Recommendation(tmp_path_factory.mktemp("views") / "project", now=NOW)
    made = Store(project, running.url)
    project.dbt("deps").assert_done()
    project.dbt("build").assert_done()
    made.do("run").assert_code(0)
    return made


@pytest.fixture(scope="module")
def http(store: Store) -> Iterator[FeatureServer]:
    server = serve(store)
    yield server
    server.close()


@pytest.fixture(scope="module")
def rows(store: Store) -> list[dict[str, Any]]:
    """Read the training file, as a training job does."""
    path = store.project.home / "training" / f"{VIEW}.parquet"
    return list(pq.read_table(path).to_pylist())


@pytest.fixture(scope="module")
def version(store: Store) -> str:
    receipt = store.project.home / "training" / f"{VIEW}.receipt.json"
    return str(json.loads(receipt.read_text())["parameter_version"])


def _key(row: dict[str, Any]) -> dict[str, Any]:
    return {"user_id": row["user_id"], "item_id": row["item_id"]}


def _features(row: dict[str, Any]) -> list[Any]:
    return [value for name, value in row.items() if name not in CARRIED]


def test_every_training_row_is_the_vector_of_its_time(
    http: FeatureServer, rows: list[dict[str, Any]], version: str
) -> None:
    assert len(rows) == 400
    for row in rows:
        as_of = format_time(row["available_at"])
        answer = http.post(ROUTE, {"keys": _key(row), "version": version, "as_of": as_of})

        assert answer.status == 200, answer.body
        assert answer.body["columns"] == [name for name in row if name not in CARRIED]
        assert answer.body["vector"] == _features(row)


def test_every_pair_has_the_same_vector_from_both_stores(
    http: FeatureServer, rows: list[dict[str, Any]]
) -> None:
    users, items = ({row[name] for row in rows} for name in ("user_id", "item_id"))
    keys = [{"user_id": user, "item_id": item} for user in users for item in items]

    online, offline = (
        http.post(ROUTE, {"keys": keys, "as_of": as_of}).body for as_of in (None, NOW)
    )

    assert len(online["vectors"]) == len(users) * len(items)
    assert {**online, "source": "offline"} == offline


def test_a_value_of_the_request_counts_in_place_of_the_groups(
    http: FeatureServer, rows: list[dict[str, Any]]
) -> None:
    [place] = [n for n, name in enumerate(_names(rows[0])) if name == "duration_sec"]
    row = rows[0]

    given, nothing = (
        http.post(ROUTE, {"keys": [_key(row)], "values": [{"duration_sec": value}]}).body
        for value in (42.5, None)
    )

    assert given["vectors"][0][place] != nothing["vectors"][0][place]
    assert given["vectors"][0][place + 1 :] == nothing["vectors"][0][place + 1 :]


def _names(row: dict[str, Any]) -> list[str]:
    return [name for name in row if name not in CARRIED]


def test_many_are_the_same_as_one_by_one_and_cost_one_round_trip(
    http: FeatureServer, rows: list[dict[str, Any]], running: Server
) -> None:
    keys = [_key(row) for row in rows[:50]] + [{"user_id": 999, "item_id": 999}]
    one_by_one = [http.post(ROUTE, {"keys": key}).body["vector"] for key in keys]
    client = redis.Redis.from_url(running.url)
    client.config_resetstat()

    answer = http.post(ROUTE, {"keys": keys}).body

    calls = {name: stat["calls"] for name, stat in client.info("commandstats").items()}
    assert answer["vectors"] == one_by_one
    assert {name: n for name, n in calls.items() if "config" not in name} == {"cmdstat_mget": 1}
    assert answer["groups"]["user_profile"]["missing"][-1] == "unknown_entity"
    assert answer["missing"] == [None] * len(keys)


def test_a_version_that_is_not_there_is_a_conflict(http: FeatureServer, version: str) -> None:
    answer = http.post(ROUTE, {"keys": {"user_id": 1, "item_id": 102}, "version": "00000000"})

    assert (answer.status, answer.body["error"]) == (
        409,
        {
            "code": "version_gone",
            "message": f"feature view {VIEW} has no version '00000000', or not any more; there are "
            f"{version}",
        },
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"keys": {"user_id": 1}}, "keys: key column item_id is missing"),
        ({"keys": [{"user_id": 1, "item_id": 2}], "values": []}, "values is not a list as long"),
        (
            {"keys": {"user_id": 1, "item_id": 2, "x": 3}},
            "keys has an unknown field 'x'; send ",
        ),
        (
            {"keys": {"user_id": 1, "item_id": 2}, "values": {"duration_sec": "long"}},
            "values: duration_sec is not a finite number",
        ),
        (
            {"keys": {"user_id": 1, "item_id": 2}, "values": {"height": 1}},
            "values: unknown feature 'height'; there are duration_sec,",
        ),
        ({"key": {}}, "unknown field 'key'; known: keys, values, version, as_of"),
    ],
)
def test_a_wrong_body_is_told(http: FeatureServer, body: dict[str, Any], said: str) -> None:
    answer = http.post(ROUTE, body)

    assert (answer.status, answer.body["error"]["code"]) == (400, "bad_request")
    assert answer.body["error"]["message"].startswith(said)


def test_views_are_listed_with_their_versions(http: FeatureServer, version: str) -> None:
    [listed] = http.get("/feature-views").body["feature_views"]

    assert listed == http.get(f"/feature-views/{VIEW}").body
    assert (listed["view"], listed["version"]) == (VIEW, version)
    assert [one["version"] for one in listed["versions"]] == [version]
    assert http.get("/feature-views/nothing").body["error"]["code"] == "unknown_view"


def test_a_view_verifies_like_any_training_set(store: Store) -> None:
    receipt = store.project.home / "training" / f"{VIEW}.receipt.json"

    store.do("verify-training", str(receipt)).assert_code(0)


def test_parameters_fitted_again_on_other_rows_are_a_version_beside_the_first(
    store: Store, http: FeatureServer, rows: list[dict[str, Any]], version: str
) -> None:
    yaml = store.project.folder / "models" / "views" / f"{VIEW}.yml"
    text = yaml.read_text()
    key = _key(rows[0])
    before = http.post(ROUTE, {"keys": key}).body
    yaml.write_text(text.replace("'2024-02-10'", "'2024-01-20'"))
    try:
        store.project.dbt("build", "--select", f"{VIEW}_parameters", VIEW).assert_done()
        store.do("run").assert_code(0)
        after = http.post(ROUTE, {"keys": key}).body
        pinned = http.post(ROUTE, {"keys": key, "version": version}).body
    finally:
        yaml.write_text(text)

    assert before["version"] == version != after["version"]
    assert pinned == before
    assert after["vector"] != before["vector"]
