"""Temporary folders of killed processes are removed, and nobody else's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from materializer.scratch import ScratchFolder, remove_abandoned
from tests.support.dbt import python
from tests.support.store import kill

CHILD = (
    "import sys; from materializer.scratch import ScratchFolder; "
    "print(ScratchFolder('ours-', sys.argv[1]).path, flush=True); sys.stdin.read()"
)


def start(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    command = python("-c", CHILD, str(parent))
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().rstrip("\n"))


def test_only_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead, abandoned = start(tmp_path)
    (abandoned / "large").write_bytes(b"x")
    alive, used = start(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    (tmp_path / "ours-link").symlink_to(elsewhere)
    (tmp_path / "ours-but-without-a-lock").mkdir()

    remove_abandoned(tmp_path, "ours-")
    assert {abandoned, used} <= set(tmp_path.iterdir())
    kill(dead)
    with ScratchFolder("ours-", str(tmp_path)) as own:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {own.name, used.name, "elsewhere", "ours-link", "ours-but-without-a-lock"}
    kill(alive)

    assert not own.exists()
    assert (elsewhere / ".lock").exists()
