"""Imports follow the table in docs/explanation/architecture.md; nothing is too long."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
MODULE_LINES = 400
FUNCTION_LINES = 50


def module_name(path: Path) -> str:
    name = path.relative_to(ROOT).with_suffix("").as_posix()
    return name.removesuffix("/__init__")


FILES = {
    module_name(path): path
    for package in ("materializer", "serve")
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imports(name: str) -> set[str]:
    """Return the modules that a module imports, also in functions and for types only."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{name}: a relative import"
            module = node.module.replace(".", "/")
            children = {f"{module}/{alias.name}" for alias in node.names}
            found |= (children & set(FILES)) or {module}
        elif isinstance(node, ast.Import):
            found |= {alias.name.replace(".", "/") for alias in node.names}
    return (found & set(FILES)) - {name}


IMPORTS = {name: imports(name) for name in FILES}


def table() -> dict[str, tuple[str, set[str]]]:
    """Return each part of the table, with its row and the parts that the row may import."""
    lines = PAGE.partition("| part | responsible for | imports |\n")[2].splitlines()[1:]
    rows = {}
    for line in lines[: next(n for n, line in enumerate(lines) if not line.startswith("|"))]:
        parts, _, allowed = line.strip("|").split(" | ")
        for part in re.findall(r"`([^`]+)`", parts):
            rows[part] = parts, set(re.findall(r"`([^`]+)`", allowed))
    return rows


TABLE = table()


# Of the stores, what only reads them.
FOR_READERS = {
    *("materializer/config", "materializer/errors", "materializer/scratch"),
    *("materializer/registry", "materializer/registry/types"),
    *("materializer/registry/validity", "materializer/registry/values"),
    *("materializer/offline/catalog", "materializer/offline/lookup"),
    *("materializer/online/codec", "materializer/online/connection", "materializer/online/facts"),
    "materializer/online/state",
    *("materializer/views/definition", "materializer/views/vector", "materializer/views/versions"),
}


def part_of(name: str) -> str:
    """Return the part of a module: the longest path in the table that it is at or below."""
    return max((part for part in TABLE if f"{name}/".startswith(f"{part}/")), key=len)


def forbidden() -> Iterator[str]:
    # What stands for itself may be imported by every part.
    shared = {part for part, (_, allowed) in TABLE.items() if not allowed and part.count("/")}
    for name, imported in IMPORTS.items():
        row, allowed = TABLE[part_of(name)]
        for other in imported:
            part = part_of(other)
            below = any(f"{part}/".startswith(f"{one}/") for one in allowed)
            if TABLE[part][0] != row and part not in shared and not below:
                yield f"{name} imports {other}"


def test_every_part_of_the_table_exists() -> None:
    assert [part for part in TABLE if part not in FILES] == []


def test_a_module_imports_only_what_the_table_allows() -> None:
    assert list(forbidden()) == []


def test_of_the_materializer_the_server_imports_only_what_readers_share() -> None:
    imported = {one for name in FILES if name.split("/")[0] == "serve" for one in IMPORTS[name]}

    assert {one for one in imported if one.startswith("materializer/")} == FOR_READERS


def cycles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Return the modules that can reach themselves, cycle by cycle."""
    reach = {name: set(imported) for name, imported in graph.items()}
    for middle in reach:
        for name in reach:
            if middle in reach[name]:
                reach[name] |= reach[middle]
    found: list[set[str]] = []
    for name in reach:
        cycle = {other for other in reach[name] if name in reach[other]}
        if cycle and cycle not in found:
            found.append(cycle)
    return found


def test_no_import_goes_in_a_cycle() -> None:
    assert cycles(IMPORTS) == []


def test_a_cycle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}

    assert cycles(graph) == [{"b", "c"}]


@pytest.mark.parametrize("name", FILES)
def test_no_module_and_no_function_is_too_long(name: str) -> None:
    functions = [
        node
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {
        function.name: lines
        for function in functions
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }

    assert len(FILES[name].read_text().splitlines()) <= MODULE_LINES
    assert long == {}


def test_no_macro_reads_a_record_as_an_input() -> None:
    """By `record(...)`, which no flag of dbt limits."""
    paths = (ROOT / "dbt_project" / "macros").rglob("*.sql")
    found = {path.name for path in paths if "source('records', '" in path.read_text()}
    assert found == set()


def test_macros_call_each_other_by_the_name_of_the_package() -> None:
    """In another project, dbt finds them by no other."""
    folders = (ROOT / "dbt_project" / "macros", ROOT / "dbt_project" / "tests" / "generic")
    paths = [path for folder in folders for path in folder.rglob("*.sql")]
    texts = {path.name: re.sub(r"{#.*?#}", "", path.read_text(), flags=re.DOTALL) for path in paths}
    definition = r"macro\s+(\w+)\("
    names = {name for text in texts.values() for name in re.findall(definition, text)}
    bare = {
        (file, name)
        for file, text in texts.items()
        for name in re.findall(r"(?<![\w.'])(\w+)\(", re.sub(definition, "", text))
        if name in names
    }

    assert bare == set()
