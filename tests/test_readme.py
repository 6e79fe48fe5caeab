"""The commands of README and tutorial, run as written in a copy of the project."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.dbt import DBT_FOLDER, ROOT, SERVER, server_address

README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
PROGRAMS = ROOT / ".venv" / "bin"
# The demo runs the unit tests of the SQL; once is enough.
NO_UNIT_TESTS = {"DBT_EXCLUDE_RESOURCE_TYPES": "unit_test"}
NEEDED = (
    "dbt_project",
    "dbt_project.yml",
    "examples",
    "materializer",
    "profiles.yml",
    "seeds",
    "serve",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a user has, with the installed environment beside it."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            # A link to the package would be followed, and the whole copied into itself.
            ignored = shutil.ignore_patterns("data", ".dbt_packages", ".feature_store", "target")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy2(source, tmp_path / name)
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    # The pages run dbt many times; the demo runs the real command.
    activate.write_text(f"source {PROGRAMS}/activate\nPATH={DBT_FOLDER}:$PATH\n")
    return tmp_path


def _do(command: list[str], checkout: Path, **env: str) -> str:
    """Run a command that must succeed, with no setting of this store's, and return its output."""
    ours = ("FEATURE_STORE_", "REDIS_URL", "DBT_", "PYICEBERG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command,
        cwd=checkout,
        env={**kept, SERVER: server_address(), **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _stop(checkout: Path, home: str) -> None:
    _do([f"{PROGRAMS}/materializer", "stop"], checkout, FEATURE_STORE_HOME=home)


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def _run(page: str, checkout: Path) -> str:
    """Run every command of a page, in order, and return what they printed."""
    script = "\n".join(_blocks(page, "sh"))
    return _do(["bash", "-e", "-m", "-c", script], checkout, **NO_UNIT_TESTS)


def test_the_commands_of_the_readme_run_in_order_and_print_what_it_shows(checkout: Path) -> None:
    try:
        output = _run(README, checkout)
    finally:
        _stop(checkout, ".feature_store/readme")

    (response,) = _blocks(README, "json")
    assert response in output
    leaks = re.search(r"FAIL training_data_sees_no_future \((\d+)\)", output)
    shown = re.search(r"(\d+) of the sample's 2,000 labels would have seen", README)
    assert leaks is not None
    assert shown is not None
    assert leaks[1] == shown[1]


def test_the_tutorial_runs_in_order_and_prints_what_it_shows(checkout: Path) -> None:
    try:
        output = _run(TUTORIAL, checkout)
    finally:
        _stop(checkout, ".feature_store/tutorial")

    assert [text for text in _blocks(TUTORIAL, "(?:json|text)") if text not in output] == []
    assert "FAIL training_data_sees_no_future (1)" in output
    assert not (checkout / ".feature_store" / "tutorial").exists()


def test_make_knows_every_target_the_readme_names() -> None:
    told = subprocess.run(
        ["make", "help"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout
    targets = set(re.findall(r"^  make (\w+)", told, re.MULTILINE))
    assert targets >= set(re.findall(r"`?make (\w+)", README)) - {"and"}
    assert targets >= {"setup", "demo", "test", "lint", "serve", "bench", "clean"}


def test_the_demo_tells_the_whole_way_and_a_second_one_works(checkout: Path) -> None:
    demo, path = [f"{PROGRAMS}/python", "-m", "examples.demo"], f"{PROGRAMS}:{os.environ['PATH']}"
    try:
        first = _do(demo, checkout, PATH=path)
        second = _do(demo, checkout, PATH=f"{DBT_FOLDER}:{path}", **NO_UNIT_TESTS)
    finally:
        _stop(checkout, ".feature_store/demo")

    for words in (
        "90 days whole build, 2024-01-01 to 2024-03-30",
        "pass     training_data_sees_no_future",
        "published features_daily: 33,621 rows in 90 days",
        "pushed features_daily: 487 rows, day 2024-03-30",
        '/features/online/user1\n{"user_id":"user1"',
        'as_of=2024-03-05T12:00:00Z\'\n{"user_id":"user1"',
        "export FEATURE_STORE_HOME=.feature_store/demo",
    ):
        assert words in first
    assert "every finished day is built and no event changed" in second
    assert "published features_daily: up to date" in second
