"""What a page of the docs tells a reader to do, so that a test can do it to the letter."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from tests.support.dbt import ROOT
from tests.support.store import Done, Store


def section(page: str, title: str) -> str:
    """Read the part of a page under a heading of the second level."""
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


def files(text: str) -> Mapping[str, str]:
    """List the files that a text shows: a line with the path, then a block."""
    return dict(re.findall(r"^`([^`\s]+)`:\n\n```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def write(text: str, folder: Path) -> None:
    """Write every file that a text shows."""
    for name, body in files(text).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)


def commands(text: str) -> list[str]:
    """List the command lines that a text shows, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line]


def follow(store: Store, line: str) -> Done:
    """Run one command line; it must succeed. No unit tests; the materializer speaks in JSON."""
    program, *arguments = shlex.split(line)
    if program == "dbt":
        if arguments[0] == "build":
            arguments += ["--exclude-resource-type", "unit_test"]
        run = store.project.dbt(*arguments)
        return Done(run.code, run.output, "").assert_code(0)
    assert program == "materializer", line
    return store.do(*arguments, "--json").assert_code(0)
