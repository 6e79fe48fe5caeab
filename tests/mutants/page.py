"""
Responsible for the table of mutants in the docs: `python -m tests.mutants.page` writes it again.

Does not run a mutant.
"""

from pathlib import Path

from tests.mutants.catalogue import read

PAGE = Path(__file__).parents[2] / "docs" / "maintainers" / "mutants.md"
_HEADER = "| mutant | what a user would suffer | caught by |\n|---|---|---|\n"


def text() -> str:
    """Return the page with its table made from `mutants.yml`."""
    before, _, after = PAGE.read_text(encoding="utf-8").partition(_HEADER)
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    rows = [
        f"| `{mutant.name}` | {' '.join(mutant.why.split())} | `{test_name(mutant.caught_by)}` |\n"
        for mutant in read()
    ]
    return "".join([before, _HEADER, *rows, *rest])


def test_name(node: str) -> str:
    """Return the name of a gate test, or of the function of a pytest node."""
    return node.rpartition("::")[2].partition("[")[0]


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
