"""The run lock: who holds it is told, and a holder that died holds nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from materializer.config import Settings, parse_time
from materializer.errors import AnotherRun
from materializer.lock import run_lock
from tests.support.store import kill, start_to_point

_HOLD = """
import sys
from pathlib import Path
from materializer.config import Settings
from materializer.lock import run_lock
with run_lock(Settings(Path(sys.argv[1])), "materializer push"):
    print("here", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "not yet" / "there")


def _holder(settings: Settings) -> subprocess.Popen[str]:
    return start_to_point("-c", _HOLD, str(settings.home))


def test_who_comes_second_is_told_the_command_the_process_and_the_time(settings: Settings) -> None:
    process = _holder(settings)
    note = json.loads((settings.home / "run.json").read_text())

    with pytest.raises(AnotherRun) as refused, run_lock(settings, "materializer run"):
        pass

    process.communicate()
    assert str(refused.value) == (
        f"another run holds the lock: materializer push (process {process.pid}), "
        f"since {note['since']}"
    )
    assert refused.value.exit_code == 5


def test_the_time_is_the_real_one_whatever_the_clock_of_the_store_says(tmp_path: Path) -> None:
    fixed = parse_time("2024-03-31T00:00:00Z")
    settings = Settings(tmp_path, fixed_now=fixed)
    with run_lock(settings, "materializer run"):
        since = json.loads((tmp_path / "run.json").read_text())["since"]
    assert parse_time(since) > fixed


def test_a_lock_is_free_when_its_holder_is_done(settings: Settings) -> None:
    _holder(settings).communicate()

    with run_lock(settings, "materializer run"):
        pass

    assert not (settings.home / "run.json").exists()


def test_a_lock_is_free_when_its_holder_was_killed_and_left_its_note(settings: Settings) -> None:
    process = _holder(settings)
    kill(process)
    assert (settings.home / "run.json").exists()

    with run_lock(settings, "materializer run"):
        pass


def test_a_lock_is_free_after_an_error(settings: Settings) -> None:
    with pytest.raises(KeyError), run_lock(settings, "materializer run"):
        raise KeyError
    with run_lock(settings, "materializer run"):
        pass


def test_a_holder_without_a_note_is_told_as_one_that_just_began(settings: Settings) -> None:
    process = _holder(settings)
    (settings.home / "run.json").unlink()

    with (
        pytest.raises(AnotherRun, match="a run that just began, since now"),
        run_lock(settings, "materializer run"),
    ):
        pass

    process.communicate()


def test_two_homes_have_two_locks(tmp_path: Path) -> None:
    with run_lock(Settings(tmp_path / "a"), "a"), run_lock(Settings(tmp_path / "b"), "b"):
        pass
