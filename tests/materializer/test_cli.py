"""The command line: usage, exit codes, what is printed where, and what is not imported."""

import errno
import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from materializer.console import Console
from materializer.errors import EXIT_CODES, UNAVAILABLE
from materializer.outcome import Outcome, attempt
from tests.support.dbt import ROOT, Project, python
from tests.support.store import Store, finish

COMMANDS = (
    *("publish", "push", "run", "status", "groups", "views", "get"),
    *("training-set", "verify-training", "stop"),
)
ENGINES = {"duckdb", "pyarrow", "pyiceberg", "redis", "hiredis", "dbt", "sqlalchemy", "flask"}


@pytest.fixture
def empty(tmp_path: Path, redis_url: str) -> Store:
    """Give a store in which nothing ever ran."""
    return Store(Project(tmp_path / "empty"), redis_url)


def test_help_tells_every_command_and_every_exit_code(empty: Store) -> None:
    done = empty.command("--help").assert_code(0)

    assert re.findall(r"^  ([a-z][a-z-]*)  ", done.out, re.MULTILINE) == list(COMMANDS)
    assert re.findall(r"^    (\d)  (.*)$", done.out, re.MULTILINE) == [
        (str(code), meaning) for code, meaning in EXIT_CODES.items()
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(empty: Store, command: str) -> None:
    done = empty.do(command, "--help").assert_code(0)
    assert "--project-dir DIR" in done.out


def assert_no_engine_is_imported(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str]
) -> list[str]:
    """Run a command that is to end well without an engine, and return the lines it prints."""
    script = (
        "import atexit, sys; atexit.register(lambda: print('|'.join(sys.modules))); "
        "from materializer.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        python("-c", script, *arguments),
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, last = done.stdout.splitlines()
    modules = {name.split(".")[0] for name in last.split("|")}
    assert "materializer" in modules
    assert modules & ENGINES == set()
    return lines


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_no_engine_is_imported_before_a_command_needs_it(arguments: list[str]) -> None:
    assert_no_engine_is_imported(arguments, Path.cwd(), os.environ)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("backfill",),
        ("run", "--no-such-option"),
        ("run", "--wait", "soon"),
        ("run", "--all"),
        ("get",),
        ("verify-training",),
        ("status", "--max-age", "26"),
        ("status", "--max-age", "-1h"),
        ("status", "--max-age", "a day"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_how_to_call(
    empty: Store, arguments: tuple[str, ...]
) -> None:
    done = empty.command(*arguments).assert_code(2)
    assert done.out == ""
    assert done.err.startswith("Usage: materializer")
    if "--max-age" in arguments:
        assert f"'{arguments[-1]}' is not an age; write 26h, 90m or 2d" in done.err


def test_the_version_is_that_of_the_package(empty: Store) -> None:
    done = empty.command("--version").assert_code(0)

    assert done.out == f"materializer, version {version('dbt-feature-store')}\n"


@pytest.mark.parametrize("command", ["publish", "push", "run", "status", "groups", "get"])
def test_without_a_manifest_a_command_ends_with_2_and_says_what_to_run(
    empty: Store, command: str
) -> None:
    done = empty.do(command, *(["user1"] if command == "get" else [])).assert_code(2)
    manifest = empty.project.target / "manifest.json"
    assert done.err == f"materializer: {manifest} does not exist; run: dbt build (or dbt parse)\n"


def test_a_manifest_that_dbt_is_writing_is_told(store: Store) -> None:
    manifest = store.project.target / "manifest.json"
    manifest.write_text(manifest.read_text()[:1000])
    done = store.do("run").assert_code(2)
    assert done.err == (
        f"materializer: {manifest} is not a complete manifest; "
        "when no dbt command is writing it, run: dbt parse\n"
    )


def test_dbts_own_variable_names_another_target_folder(store: Store) -> None:
    elsewhere = store.project.folder / "elsewhere"
    store.project.target.rename(elsewhere)
    store.do("status").assert_code(2)

    done = store.command("status", DBT_TARGET_PATH="elsewhere").assert_code(0)

    assert done.err == ""


@pytest.mark.parametrize("command", ["publish", "push", "run", "status"])
def test_an_unknown_group_ends_with_2_and_the_known_ones(store: Store, command: str) -> None:
    done = store.do(command, "--group", "clicks").assert_code(2)
    assert done.err == ("materializer: no feature group 'clicks'; known: features_daily\n")


@pytest.mark.parametrize("command", ["publish", "run"])
def test_without_a_warehouse_a_command_ends_with_4_and_says_what_to_run(
    store: Store, command: str
) -> None:
    store.project.warehouse.unlink()
    done = store.do(command).assert_code(4)
    assert done.err == (f"materializer: {store.project.warehouse} does not exist; run: dbt build\n")


def test_a_warehouse_that_is_none_is_no_lock_to_wait_for(store: Store) -> None:
    # The home's name has the word that DuckDB uses of a lock.
    home = store.project.folder / "lock"
    home.mkdir()
    (home / "warehouse.duckdb").write_text("this is no database, but long enough to look like one")
    done = store.command("publish", timeout=30, FEATURE_STORE_HOME=str(home)).assert_code(4)
    assert f"{home / 'warehouse.duckdb'} cannot be read" in done.err


def test_a_clock_that_is_no_time_ends_with_2(store: Store) -> None:
    store.project.now = "tomorrow"
    done = store.do("status").assert_code(2)
    assert done.err == (
        "materializer: FEATURE_STORE_NOW='tomorrow' is not an ISO time; "
        "write 2024-03-31T00:00:00Z\n"
    )


def test_an_error_is_one_line_and_a_traceback_only_with_debug(store: Store) -> None:
    store.project.warehouse.unlink()
    assert store.do("publish").err.count("\n") == 1
    debugged = store.do("publish", "--debug").assert_code(4).err
    assert debugged.startswith("Traceback (most recent call last):")
    assert debugged.endswith("does not exist; run: dbt build\n")


def test_what_nobody_foresaw_is_one_line_too(store: Store) -> None:
    # A folder where the lock file should be.
    (store.home / "run.lock").mkdir()
    done = store.do("publish").assert_code(4)
    assert done.err.startswith("materializer: ")
    assert done.err.endswith("run.lock'; move it away\n")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document_and_nothing_else(
    published: Store, command: str, tmp_path: Path
) -> None:
    receipt = str(published.home / "training" / "training_data.receipt.json")
    labels = published.project.folder / "labels.csv"
    sets = ["--labels", str(labels), "--groups", "features_daily", "--out", str(tmp_path / "set")]
    needed = {"get": ["user1"], "training-set": sets, "verify-training": [receipt]}
    done = published.do(command, "--json", *needed.get(command, []))

    assert isinstance(done.assert_code(0).document, dict)
    assert done.err == ""


def test_json_is_all_that_the_process_prints(store: Store) -> None:
    # A process of its own: libraries in C print past Python's own output.
    done = store.command("run", "--json").assert_code(0)

    assert [step["status"] for step in done.document["steps"]] == ["done"] * 3
    assert done.err == ""


@pytest.mark.parametrize("command", ["publish", "run"])
def test_json_of_a_refusal_is_one_document_with_the_reason(store: Store, command: str) -> None:
    store.query("delete from feature_store.gate_verdicts where test like '%features_daily%'")

    done = store.do(command, "--json").assert_code(3)

    step = done.document["steps"][0]
    assert (step["step"], step["model"]) == ("publish", "features_daily")
    assert step["status"].startswith("features_daily: not published: ")
    assert done.err.splitlines()[0] == step["status"]


def test_json_of_an_error_is_one_document_with_its_exit_code(store: Store) -> None:
    store.project.warehouse.unlink()
    done = store.do("run", "--json").assert_code(4)
    assert done.document == {
        "error": f"{store.project.warehouse} does not exist; run: dbt build",
        "exit_code": 4,
    }


def test_without_a_terminal_there_are_plain_lines_and_no_bars(store: Store) -> None:
    done = store.command("run").assert_code(0)
    assert "\r" not in done.out + done.err
    assert "\x1b" not in done.out + done.err
    assert done.err == ""
    assert len(done.out.splitlines()) == 3


def test_a_person_at_a_terminal_sees_bars_and_a_pipe_gets_the_result_alone(store: Store) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = store.start("run", stderr=theirs)
    os.close(theirs)
    shown = _read(ours)
    done = finish(process).assert_code(0)

    assert "publish features_daily:" in shown
    assert re.search(r"\d+/45 ", shown)
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "published features_daily",
        "published training_data",
        "pushed features_daily",
    ]


def _read(terminal: int) -> str:
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError as error:
        # What Linux says at the end of a terminal.
        assert error.errno == errno.EIO
    finally:
        os.close(terminal)
    return shown.decode()


def test_stop_ends_the_embedded_server_and_says_so(store: Store) -> None:
    store.redis_url = None
    try:
        store.do("run").assert_code(0)
    finally:
        stopped = store.do("stop")

    assert stopped.assert_code(0).out == "stopped the embedded server\n"
    assert store.do("stop").assert_code(0).out == "no embedded server is running\n"


def test_what_a_stopped_server_held_is_there_when_it_is_next_needed(store: Store) -> None:
    store.redis_url = None
    try:
        store.do("run").assert_code(0)
        store.do("stop").assert_code(0)
        done = store.do("get", "user1", "--json").assert_code(0)
    finally:
        store.do("stop")

    assert done.document["row"]["day"] == "2024-03-30"


def test_stop_needs_no_project(empty: Store) -> None:
    assert empty.do("stop", "--json").assert_code(0).document == {"stopped": False}


def test_a_reader_that_has_enough_is_no_error(empty: Store) -> None:
    for command in (["--help"], ["status"], ["groups"]):
        process = empty.start(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        done = finish(process)
        assert "Traceback" not in done.err
        assert "BrokenPipe" not in done.err
        assert "Exception ignored" not in done.err


def test_output_that_cannot_be_written_is_one_line(published: Store) -> None:
    with Path("/dev/full").open("w") as full:
        done = finish(published.start("status", stdout=full))

    assert done.code == UNAVAILABLE
    assert done.err.startswith("materializer: [Errno 28] No space left on device; free some space")
    assert done.err.count("\n") == 1


def test_an_error_that_nobody_expected_keeps_no_other_model_from_its_step() -> None:
    console = Console()

    outcome = attempt("publish", "users", console, lambda: 1 // 0)

    assert isinstance(outcome, Outcome)
    assert (outcome.code, outcome.model) == (1, "users")
    assert outcome.status.startswith("users: ZeroDivisionError: ")
