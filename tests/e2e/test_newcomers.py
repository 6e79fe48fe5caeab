"""Pages for those who come from elsewhere: each command, request and snippet runs as it stands."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import serve
from tests.serve.support import FeatureServer
from tests.support import pages
from tests.support.dbt import ROOT, Project, python
from tests.support.store import Done, Store, copy, own_models

FEAST = pages.section("how-to/from-feast.md", "Feast's example, translated")
CLIENTS = (ROOT / "docs" / "how-to/clients.md").read_text()
LIBRARIES = ROOT / ".venv" / "clients"
ADDRESS = "http://127.0.0.1:8000"

# What a reader would look at after the last line of the page.
SHOW = """
import json
print(json.dumps({
    "online": online["features"], "offline": offline["features"], "missing": answer["missing"],
    "frame": frame.to_dict("index"), "types": [str(kind) for kind in frame.dtypes],
    "polars": frame_polars.to_dicts(), "training": training.to_dict("records"),
    "sets": [len(training_pandas), len(training_polars), len(training_duckdb)],
    "columns": [list(training_pandas.columns), training_polars.columns],
    "week": [
        sorted([user, str(day), int(count)] for user, day, count in rows)
        for rows in (week_pandas.itertuples(index=False), week_polars.iter_rows())
    ],
    "busiest": sorted(week_duckdb.fetchall()),
}, default=lambda value: None if value is pandas.NA else str(value)))
"""


@pytest.fixture(scope="module")
def store(small: Project, module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    project = copy(small, tmp_path_factory.mktemp("newcomers") / "project")
    own_models(project)
    seeds = project.folder / "seeds"
    seeds.unlink()
    seeds.mkdir()
    for path in (ROOT / "seeds").iterdir():
        (seeds / path.name).symlink_to(path)
    made = Store(project, module_url)
    made.do("run").assert_code(0)
    return made


@pytest.fixture(scope="module")
def followed(store: Store) -> list[Done]:
    """Do what the page about Feast shows, but for the requests; give what each command said."""
    pages.write(FEAST, store.project.folder)
    lines = [line for line in pages.commands(FEAST) if not line.startswith("curl")]
    return [pages.follow(store, line) for line in lines]


@pytest.fixture(scope="module")
def http(store: Store, followed: list[Done]) -> Iterator[FeatureServer]:
    server = serve(store)
    yield server
    server.close()


def curl(line: str, http: FeatureServer) -> Any:
    done = subprocess.run(
        line.replace(ADDRESS, f"http://127.0.0.1:{http.port}"),
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def requests(text: str) -> list[str]:
    return [line for line in pages.commands(text) if line.startswith("curl")]


def test_the_group_that_feast_would_describe_is_built_published_and_told(
    followed: list[Done],
) -> None:
    group = followed[-1].document["group"]

    assert (group["entity"], group["features"], group["last_run"]["status"]) == (
        ["driver_id"],
        ["day", "conv_rate", "daily_trips"],
        "success",
    )
    assert len(group["gate"]) == 4


def test_the_requests_beside_those_of_feast_are_answered_as_shown(http: FeatureServer) -> None:
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", FEAST, re.DOTALL)]

    assert [curl(line, http) for line in requests(FEAST)] == shown
    assert len(shown) == 2


def test_the_event_timestamp_as_the_time_of_knowing_turns_the_gate_red(
    store: Store, followed: list[Done], tmp_path: Path
) -> None:
    project = copy(store.project, tmp_path / "project")
    (name,) = (name for name in pages.files(FEAST) if name.endswith(".sql"))
    model = project.folder / name
    model.write_text(model.read_text().replace("created as avail", "event_timestamp as avail"))

    run = project.build("--select", "driver_stats")

    assert run.statuses["driver_stats_knows_no_future"] == "fail", run.output
    assert run.statuses["driver_stats_is_unique"] == "pass"


def test_each_request_of_the_page_of_clients_is_answered_with_a_row(http: FeatureServer) -> None:
    answers = [curl(line, http) for line in requests(CLIENTS)]

    assert [answer["source"] for answer in answers] == ["online", "offline", "online"]
    assert [answer["features"]["day"] for answer in answers] == [
        "2024-03-30",
        "2024-03-04",
        "2024-03-30",
    ]


@pytest.fixture(scope="module")
def said(http: FeatureServer, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run every snippet of the page of clients, in order, in a process that has the libraries."""
    assert LIBRARIES.is_dir(), "pandas and polars are missing; run: make setup"
    folder = tmp_path_factory.mktemp("client")
    (folder / ".feature_store").symlink_to(store.home)
    script = "\n".join(re.findall(r"^```python\n(.*?)^```", CLIENTS, re.DOTALL | re.MULTILINE))
    done = subprocess.run(
        python("-c", script.replace(ADDRESS, f"http://127.0.0.1:{http.port}") + SHOW),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(LIBRARIES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_requests_gets_the_rows_that_the_server_has(said: Any, http: FeatureServer) -> None:
    assert said["online"] == http.online("user1").body["features"]
    assert said["offline"] == http.offline("user1", "2024-03-05T12:00:00Z").body["features"]


def test_a_batch_is_a_data_frame_in_which_integers_stay_integers(
    said: Any, http: FeatureServer
) -> None:
    rows = {user: http.online(user).body["features"] for user in ("user1", "user2")}
    nobody = dict.fromkeys(rows["user1"])

    assert said["frame"] == {**rows, "nobody": nobody}
    assert said["types"][1:4] == ["Int64", "Int64", "Int64"]
    assert said["polars"] == [*rows.values(), nobody]


def test_labels_become_training_rows_each_at_its_own_time(said: Any, http: FeatureServer) -> None:
    labels = [("user1", "2024-03-05T12:00:00Z", 1), ("user2", "2024-03-20T18:00:00Z", 0)]

    assert said["training"] == [
        {"user_id": user, "as_of": at, "label": label, **http.offline(user, at).body["features"]}
        for user, at, label in labels
    ]


def test_every_library_reads_the_training_set(said: Any, store: Store) -> None:
    rows = store.project.training()
    with_events = [row for row in rows if row[5]]

    assert said["sets"] == [len(rows), len(rows), len(with_events)]
    assert said["columns"][0] == said["columns"][1]
    assert said["columns"][0][:3] == ["user_id", "label", "as_of_ts"]


def test_every_library_reads_the_published_table(said: Any, store: Store) -> None:
    week = [
        [user, str(day), count]
        for user, day, count, *_ in store.offline()
        if date(2024, 3, 1) <= day < date(2024, 3, 8)
    ]
    most = {user: max(row[2] for row in week if row[0] == user) for user, *_ in week}

    assert said["week"] == [sorted(week), sorted(week)]
    assert said["busiest"] == sorted([user, count] for user, count in most.items())


def test_the_page_of_clients_lists_no_path_of_the_store_that_is_not_there(store: Store) -> None:
    for path in set(re.findall(r"\.feature_store/([\w/.]+)", CLIENTS)):
        assert (store.home / Path(path)).is_file(), path
