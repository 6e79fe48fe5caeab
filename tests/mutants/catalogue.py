"""
The mutants as data: which expression of which file becomes what, and the test that must notice.

Owns `mutants.yml` and the applying of a patch. Refuses a patch whose text occurs in the file never
or twice: then the code has moved on, and the mutant would prove nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

CATALOGUE = Path(__file__).with_name("mutants.yml")


class NoLongerFits(Exception):
    """The text to be replaced does not occur exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One small bug.

    Attributes:
        name: What the bug does, as an identifier.
        why: What a user would suffer, in one line.
        file: The file it is in, from the root of the project.
        find: The text that is replaced; it occurs exactly once.
        replace: What takes its place.
        caught_by: The one test that must turn red: a gate test of dbt, by name, or a pytest node.
        schedule: For a gate test, the dbt commands after which it must be red; see `schedules`.
    """

    name: str
    why: str
    file: str
    find: str
    replace: str
    caught_by: str
    schedule: str = "whole"

    @property
    def is_for_pytest(self) -> bool:
        """Whether the test is one of pytest."""
        return "::" in self.caught_by

    def patched(self, root: Path) -> str:
        """
        Give the text of the file with the bug in it.

        Args:
            root: The project.

        Raises:
            NoLongerFits: The text to be replaced does not occur exactly once.
        """
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        count = text.count(self.find)
        if count != 1:
            raise NoLongerFits(f"the patch no longer fits: its text occurs {count} times")
        return text.replace(self.find, self.replace)


def read(path: Path = CATALOGUE) -> list[Mutant]:
    """Read every mutant, in the order of the file."""
    return [Mutant(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def chosen(mutants: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    """
    Take the mutants of these names; all of them when none is given.

    Raises:
        KeyError: There is no mutant of that name.
    """
    if not names:
        return list(mutants)
    known = {mutant.name: mutant for mutant in mutants}
    return [known[name] for name in names]
