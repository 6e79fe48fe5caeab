"""
The server of dbt commands: it has dbt imported and warm, and forks itself for each.

A new process spends more time on imports, and on code that dbt generates when it is first used,
than on a small build. Does not decide what is run: see `tests.support.dbt`.

    python -m tests.support.dbt_server ADDRESS
"""

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dbt.adapters.duckdb
import dbt.include.duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from tests.support.dbt import PROJECT_FILES, Project, Request
from tests.support.fork_server import become, serve

_PRELOADED = (dbt.adapters.duckdb, dbt.include.duckdb)
_PARTIAL_PARSE = "partial_parse.msgpack"

# The static parser has threads, which a fork does not have: it would wait for them for ever.
_FLAGS = ("--no-static-parser",)

# Manifests that are kept: those of the mutants come once each.
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Parsed:
    """
    What dbt has parsed.

    Attributes:
        manifest: The manifest.
        file: The file that dbt's partial parsing starts from.
    """

    manifest: Any
    file: Path


class Manifests:
    """The manifests that were parsed, one for a project and the vars that parsing depends on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[tuple[str, str], Parsed] = {}
        self._count = 0

    def parse(self, request: Request) -> Parsed | None:
        """Return what dbt parses for a command; None if it cannot be known, or dbt fails."""
        if request.root is None:
            return None
        key = (request.root, json.dumps(request.parse_variables, sort_keys=True))
        if key not in self._kept:
            parsed = self._parse(Path(request.root), request)
            if parsed is None:
                return None
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = parsed
        return self._kept[key]

    def _parse(self, root: Path, request: Request) -> Parsed | None:
        self._count += 1
        folder = self._folder / str(self._count)
        (folder / "target").mkdir(parents=True)
        for name in PROJECT_FILES:
            (folder / name).symlink_to(root / name)
        parsed = folder / "target" / _PARTIAL_PARSE
        if (root / "target" / _PARTIAL_PARSE).is_file():
            shutil.copy(root / "target" / _PARTIAL_PARSE, parsed)
        become(request.env, folder)
        variables = json.dumps(request.parse_variables)
        result = dbtRunner().invoke([*_FLAGS, "--no-write-json", "parse", "--vars", variables])
        return Parsed(result.result, parsed) if result.success else None


def warm_up(folder: Path) -> None:
    """
    Build a small store, so that whatever dbt makes at its first use is made.

    Raises:
        RuntimeError: The build failed.
    """
    project = Project(folder)
    project.write_events([("a", "x", "2024-03-30 12:00:00")])
    project.write_labels([("a", 1.0, "2024-03-30 12:00:00")])
    become(project.env, folder)
    command = [*_FLAGS, "build", "--exclude-resource-type", "unit_test"]
    result = dbtRunner().invoke([*command, "--vars", json.dumps(project.variables)])
    # DuckDB has threads, which a fork would not have.
    _close_warehouse()
    if not result.success:
        raise RuntimeError("dbt cannot build the project")
    gc.collect()
    gc.freeze()


def _close_warehouse() -> None:
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


def _run(request: Request, parsed: Parsed | None) -> tuple[int, dict[str, Any]]:
    """Run the command in this process; return its exit code and the status of every node."""
    become(request.env, request.folder, request.output)
    file = Path("target", _PARTIAL_PARSE)
    if parsed is not None and not file.exists():
        file.parent.mkdir(exist_ok=True)
        shutil.copy(parsed.file, file)
    manifest = None if parsed is None or request.parses else parsed.manifest
    variables = (
        ["--vars", json.dumps(request.variables, ensure_ascii=False)] if request.variables else []
    )
    args = [*_FLAGS, *request.args, *variables]
    result = dbtRunner(manifest=manifest).invoke(args)
    _close_warehouse()
    if result.exception is not None:
        sys.stdout.write(str(result.exception))
    results = getattr(result.result, "results", ())
    statuses = {item.node.unique_id.split(".")[2]: str(item.status) for item in results}
    return (0 if result.success else 1), {"statuses": statuses}


def main(address: str) -> None:
    """Serve dbt commands until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="dbt-server-") as folder:
        manifests = Manifests(Path(folder))
        warm_up(Path(folder) / "warm")

        def prepare(line: dict[str, Any]) -> Callable[[], tuple[int, dict[str, Any]]]:
            request = Request(**line)
            return partial(_run, request, manifests.parse(request))

        serve(address, prepare)
    # Without the reports of native modules about what they did not free.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
