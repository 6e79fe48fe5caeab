"""What the server may import: of the materializer, only what readers share."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.serve.support import ROOT

ALLOWED = {
    "materializer.online.codec",
    "materializer.online.facts",
    "materializer.online.state",
    "materializer.config",
    "materializer.errors",
    "materializer.offline.catalog",
    "materializer.offline.lookup",
    "materializer.views.versions",
    "materializer.online.connection",
    "materializer.registry",
    "materializer.views.definition",
    "materializer.registry.types",
    "materializer.registry.validity",
    "materializer.registry.values",
    "materializer.views.vector",
}
# From a room of the server to the rooms it may use; its own is always allowed.
TOP = {"serve.auth", "serve.errors", "serve.responses"}
ARROWS = {
    "serve.openapi": {"serve.errors", "serve.requests", "serve.responses", "serve.stores"},
    "serve.requests": {"serve.errors", "serve.limits"},
    "serve.routes": {*TOP, "serve.openapi", "serve.requests", "serve.stores", "serve.vector_rows"},
    "serve.stores": {"serve.errors", "serve.limits"},
}
MODULES = sorted((ROOT / "serve").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            base = node.module or ""
            for alias in node.names:
                below = f"{base}.{alias.name}"
                yield below if is_module(below) else base


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_only_what_readers_share_is_imported(path: Path) -> None:
    ours = {name for name in imported(path) if name.split(".")[0] == "materializer"}

    assert ours <= ALLOWED


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_uses_only_rooms_below_it(room: str) -> None:
    used = {
        ".".join(name.split(".")[:2])
        for path in (ROOT / room.replace(".", "/")).glob("*.py")
        for name in imported(path)
        if name.startswith("serve.")
    }

    assert used - {room} <= ARROWS[room]


def test_no_module_imports_itself_over_others() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    graph = {name: set(imported(path)) & set(names) for name, path in names.items()}

    TopologicalSorter(graph).prepare()


def test_the_walk_sees_imports() -> None:
    everything = {name for path in MODULES for name in imported(path)}

    assert {
        "materializer.online.codec",
        "materializer.online.facts",
        "materializer.online.connection",
        "serve.stores.online",
    } <= everything


def test_the_command_line_does_not_load_the_stores_into_the_parent() -> None:
    code = (
        "import sys, serve.__main__; heavy = {'flask', 'pyarrow', 'pyiceberg', 'duckdb'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
