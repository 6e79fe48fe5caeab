"""
What a command says while it works.

Owns the three ways of saying it: a bar for a person at a terminal, plain lines for cron, one JSON
document at the end for a machine. Everything but the result goes to standard error, so that a pipe
gets the result alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class Console:
    """
    Speak to whoever started the command.

    Args:
        as_json: Say nothing but one JSON document at the end.
        out: Where results go.
        err: Where progress and errors go.
    """

    def __init__(
        self, *, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._bar: tqdm[NoReturn] | None = None

    def print(self, line: str) -> None:
        """Say one line of result, unless a machine listens."""
        self._close_bar()
        if not self.as_json:
            self._out.write(line + "\n")
            self._out.flush()

    def note(self, line: str) -> None:
        """Say one line about what is going on."""
        self._close_bar()
        if not self.as_json:
            self._err.write(line + "\n")
            self._err.flush()

    def error(self, line: str) -> None:
        """Say one line about what went wrong, to everybody."""
        self._close_bar()
        self._err.write(line + "\n")
        self._err.flush()

    def result(self, document: Mapping[str, object]) -> None:
        """Write the JSON document, if that is what was asked for."""
        self._close_bar()
        if self.as_json:
            self._out.write(json.dumps(document, ensure_ascii=False) + "\n")
            self._out.flush()

    def progress(self, what: str, done: int, total: int, unit: str) -> None:
        """
        Tell how far a piece of work is; draws a bar on a terminal and nothing elsewhere.

        Args:
            what: Name of the work.
            done: Units done so far.
            total: Units in all.
            unit: Name of the unit, in the plural.
        """
        if self.as_json or not self._err.isatty():
            return
        bar = self._bar
        if bar is None or bar.desc != f"{what}: ":
            # Here, for few commands at a terminal come this far.
            from tqdm import tqdm

            self._close_bar()
            bar = tqdm(desc=what, total=total, unit=f" {unit}", file=self._err, leave=False)
            self._bar = bar
        bar.update(done - bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
