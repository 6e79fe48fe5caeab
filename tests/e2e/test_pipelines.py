"""The pipelines of the example, as its page shows them: what was trained is what is predicted."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from examples.recommendation.pipelines import inference_pipeline, training_pipeline
from examples.recommendation.pipelines.lookup import ask
from examples.recommendation.pipelines.model_files import Card, load_model, probability, read_card
from examples.recommendation.pipelines.place import SAMPLE_NOW, VIEW
from materializer.config import format_time
from tests.serve.support import FeatureServer, environment
from tests.support import pages
from tests.support.dbt import DBT_FOLDER, ROOT, SERVER, server_address
from tests.support.server import free_port
from tests.support.store import Done

PAGE = (ROOT / "examples" / "recommendation" / "README.md").read_text()
SEEDS = ROOT / "examples" / "recommendation" / "seeds"
TOKEN = "a-token"

# Long looks before train_until: the mean and the deviation of duration_sec change, and the median.
MORE = [f"{user},101,2024-02-0{user % 9 + 1} 12:00:00,{300 + user},1" for user in range(50, 90)]

Row = dict[str, Any]


class Checkout:
    """What a user has after a clone: the example beside the package, and no store yet."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        left = shutil.ignore_patterns("target", "logs", ".dbt_packages", ".feature_store", "data")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=left)
        for name in ("dbt_project", "dbt_project.yml"):
            (folder / name).symlink_to(ROOT / name)
        self.folder = folder / "examples" / "recommendation"
        self.home = folder / ".feature_store" / "recommendation"
        self.redis_url = redis_url

    def run(self, line: str) -> Done:
        """Run a command line in the example's folder, the store and its clock untold."""
        kept = environment(self.home, self.redis_url, now=None)
        del kept["FEATURE_STORE_HOME"]
        # The pipelines run dbt many times, each by its name.
        folders = [DBT_FOLDER, Path(sys.executable).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, folders))
        done = subprocess.run(
            line,
            shell=True,
            cwd=self.folder,
            env={**kept, "PATH": path, "FEATURE_SERVER_TOKEN": TOKEN, SERVER: server_address()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def models(self) -> Path:
        """Where models and cards are."""
        return self.home / "models"

    def rows(self) -> list[Row]:
        """Read the training file, as a training job does."""
        return list(pq.read_table(self.home / "training" / f"{VIEW}.parquet").to_pylist())


def _shown(program: str) -> list[str]:
    """List the command lines of the page that run a pipeline."""
    return [line for line in pages.commands(PAGE) if line.startswith(f"python pipelines/{program}")]


@pytest.fixture(scope="module")
def checkout(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = Checkout(tmp_path_factory.mktemp("clone"), module_url)
    for line in (_shown("feature_pipeline")[0], _shown("training_pipeline")[0]):
        made.run(line).assert_code(0)
    return made


@pytest.fixture(scope="module")
def http(checkout: Checkout) -> Iterator[FeatureServer]:
    with FeatureServer(
        checkout.home, checkout.redis_url, now=SAMPLE_NOW, FEATURE_SERVER_TOKEN=TOKEN
    ) as server:
        yield server


@pytest.fixture
def url(http: FeatureServer, checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the server's address, with the environment of one who asks it."""
    monkeypatch.setenv("FEATURE_STORE_HOME", str(checkout.home))
    monkeypatch.setenv("FEATURE_SERVER_TOKEN", TOKEN)
    return f"http://127.0.0.1:{http.port}"


@pytest.fixture(scope="module")
def card(checkout: Checkout) -> Card:
    """Give the card of the first model."""
    first, _ = sorted(checkout.models.glob("*.json"), key=lambda path: path.stat().st_mtime)[:2]
    return read_card(first)


def _key(row: Row) -> dict[str, str]:
    return {"user_id": str(row["user_id"]), "item_id": str(row["item_id"])}


def _predict(*args: str, keys: tuple[str, str] = ("1", "102")) -> int:
    return inference_pipeline.main(["--user_id", keys[0], "--item_id", keys[1], *args])


def test_every_row_trained_on_is_predicted_alike_over_http(
    url: str, checkout: Checkout, card: Card
) -> None:
    model, rows = load_model(card, checkout.models), checkout.rows()

    differing = []
    for row in rows:
        vector = ask(url, card, _key(row), {}, format_time(row["available_at"]))
        trained = probability(model, [row[name] for name in card.columns])
        if (probability(model, vector.values), vector.columns) != (trained, card.columns):
            differing.append(row)

    assert (len(rows), differing) == (400, [])
    assert len({probability(model, [row[name] for name in card.columns]) for row in rows}) > 300


def _last_change(name: str, key: str) -> dict[int, datetime]:
    with (SEEDS / f"{name}.csv").open(newline="") as file:
        changes = [(int(row[key]), row["changed_at"]) for row in csv.DictReader(file)]
    return {one: datetime.fromisoformat(at) for one, at in sorted(changes)}


def test_rows_that_nothing_came_after_are_predicted_alike_online(
    url: str, checkout: Checkout, card: Card
) -> None:
    users, items = _last_change("profiles", "user_id"), _last_change("items", "item_id")
    newest: dict[tuple[int, int], Row] = {}
    for row in sorted(checkout.rows(), key=lambda row: row["available_at"]):
        newest[row["user_id"], row["item_id"]] = row
    never = datetime.min
    settled = [
        row
        for row in newest.values()
        if users.get(row["user_id"], never) <= row["available_at"]
        and items.get(row["item_id"], never) <= row["available_at"]
    ]
    model = load_model(card, checkout.models)

    online = [ask(url, card, _key(row), {}) for row in settled]

    assert len(settled) > 100
    assert {vector.source for vector in online} == {"online"}
    assert [probability(model, vector.values) for vector in online] == [
        probability(model, [row[name] for name in card.columns]) for row in settled
    ]


def test_the_pages_commands_answer_as_the_page_shows(
    url: str, checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = re.findall(r"^user 1, item 102: conversion [\d.]+%$", PAGE, re.MULTILINE)
    first, *others = _shown("inference_pipeline")

    told = [checkout.run(f"{first} --url {url}").assert_code(0).out]
    # The same program, without the second that its imports take.
    for line in others:
        assert inference_pipeline.main([*shlex.split(line)[2:], "--url", url]) == 0
        told.append(capsys.readouterr().out)

    assert len(answers) >= 3
    assert [answer for answer in answers if not any(answer in one for one in told)] == []


def test_a_second_training_on_the_same_rows_is_up_to_date(
    url: str, checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(checkout.models.iterdir())

    assert training_pipeline.main([]) == 0

    assert "up to date: " in capsys.readouterr().out
    assert sorted(checkout.models.iterdir()) == before


def test_a_prediction_says_what_it_rests_on(
    url: str, card: Card, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _predict("--value", "duration_sec=12.5", "--json", "--url", url) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["user_id"], told["source"], told["as_of"]) == ("1", "online", SAMPLE_NOW)
    assert (told["model"], told["parameter_version"]) == (card.model, card.parameter_version)
    assert told["values"] == {"duration_sec": 12.5}
    assert told["groups"]["user_activity"]["missing"] == "unknown_entity"
    assert told["groups"]["user_profile"]["available_at"] == "2024-01-11T00:23:39Z"
    assert 0 < told["probability_of_conversion"] < 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"parameter_version": "00000000"},
            "409 version_gone: feature view recommendation_model_v1 has no version '00000000', .*; "
            "train again: python pipelines/training_pipeline.py",
        ),
        (
            {"view": "no_such_view"},
            "404 unknown_view: .*; publish and push it: python pipelines/feature_pipeline.py",
        ),
        ({"columns": ("price",)}, "the columns of version .* are not those of .*"),
        ({"model_sha256": "0"}, ".* is not the model of its card; train again: .*"),
        ({"scikit_learn": "1.0"}, ".* is of scikit-learn 1.0, and .* is installed; train again.*"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_in_one_line(
    url: str,
    checkout: Checkout,
    card: Card,
    changed: dict[str, Any],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(checkout.models / card.model, tmp_path)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(asdict(replace(card, **changed))))

    code = _predict("--model", str(other), "--url", url)

    told = capsys.readouterr()
    assert (code, told.out) == (1, "")
    assert re.fullmatch(f"{said}\n", told.err), told.err


def test_without_a_server_the_line_says_how_to_start_one(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"

    assert _predict("--url", nobody) == 4

    assert re.fullmatch(
        f"no server at {nobody} \\(.*\\); start it: feature-server\n", capsys.readouterr().err
    )


def test_without_its_token_the_server_answers_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEATURE_SERVER_TOKEN")

    assert _predict("--url", url) == 1

    told = capsys.readouterr().err
    assert told.startswith("401 unauthorized: ")
    assert told.endswith("; set FEATURE_SERVER_TOKEN to the server's\n")


def test_without_a_model_or_a_training_file_the_line_says_what_to_run(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURE_STORE_HOME", str(tmp_path))

    codes = (_predict("--url", url), training_pipeline.main([]))

    card = tmp_path / "models" / f"{VIEW}.json"
    assert codes == (2, 4)
    assert capsys.readouterr().err.splitlines() == [
        f"no model yet: {card} does not exist; run: python pipelines/training_pipeline.py",
        f"{VIEW} was never published; run: materializer publish",
    ]


def test_a_training_file_that_is_not_its_receipts_is_refused(
    checkout: Checkout,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(checkout.home / "training", tmp_path / "training")
    with (tmp_path / "training" / f"{VIEW}.parquet").open("ab") as file:
        file.write(b"more")
    monkeypatch.setenv("FEATURE_STORE_HOME", str(tmp_path))

    assert training_pipeline.main([]) == 1

    assert "is not the file of its receipt" in capsys.readouterr().err


def _own_files(folder: Path, activity: list[str]) -> str:
    """Write files of one's own, and give the options that name them."""
    for name in ("profiles", "items"):
        shutil.copy(SEEDS / f"{name}.csv", folder)
    seed = (SEEDS / "activity.csv").read_text()
    (folder / "activity.csv").write_text(seed + "".join(f"{line}\n" for line in activity))
    return " ".join(f"--{name} {folder}/{name}.csv" for name in ("activity", "profiles", "items"))


# Last, since they change the store.


def test_a_red_gate_stops_the_feature_pipeline_with_its_reason(
    checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "own"
    folder.mkdir()
    own = _own_files(folder, ["7,101,,12.5,0"])
    receipt = checkout.home / "training" / f"{VIEW}.receipt.json"
    before = receipt.read_text()

    done = checkout.run(f"python pipelines/feature_pipeline.py {own}").assert_code(3)

    assert "input row (user_id: 7, item_id: 101, conversion: 0, started_at: missing" in done.out
    assert "materializer run" not in done.out
    assert done.err == "red: stg_activity_is_well_formed; nothing was published\n"
    assert receipt.read_text() == before


def test_a_model_goes_on_with_its_version_when_the_data_changed_and_another_was_trained(
    url: str,
    checkout: Checkout,
    card: Card,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.getbasetemp() / "own"
    folder.mkdir(exist_ok=True)
    own = _own_files(folder, MORE)
    first = checkout.models / card.model.replace(".skops", ".json")
    assert _predict("--json", "--url", url) == 0
    before = json.loads(capsys.readouterr().out)

    checkout.run(f"python pipelines/feature_pipeline.py {own}").assert_code(0)
    assert training_pipeline.main([]) == 0
    capsys.readouterr()
    assert _predict("--json", "--url", url) == 0
    after = json.loads(capsys.readouterr().out)
    assert _predict("--json", "--url", url, "--model", str(first)) == 0
    pinned = json.loads(capsys.readouterr().out)

    assert pinned == before
    assert after["parameter_version"] != before["parameter_version"]
    assert after["probability_of_conversion"] != before["probability_of_conversion"]
    assert read_card(checkout.models / f"{VIEW}.json").metrics["train"]["rows"] == 261 + len(MORE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--activity seeds/activity.csv", "--activity, --profiles and --items go together\n"),
        (
            "--activity seeds/activity.csv --profiles seeds/none.csv --items seeds/items.csv",
            "seeds/none.csv: no such file\n",
        ),
    ],
)
def test_files_that_cannot_be_meant_are_refused(
    checkout: Checkout, options: str, said: str
) -> None:
    done = checkout.run(f"python pipelines/feature_pipeline.py {options}").assert_code(2)

    assert done.err == said
