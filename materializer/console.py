"""
The output of a command.

Responsible for its three forms: lines with a progress bar at a terminal, plain lines elsewhere, and
one JSON document at the end with `--json`. Everything but the result goes to standard error, so
that a pipe gets the result alone.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class Console:
    """The output of one command; with *as_json* only errors and one JSON document at the end."""

    def __init__(
        self, *, as_json: bool = False, debug: bool = False, out: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self._debug = debug
        self._out = out or sys.stdout
        self._err = sys.stderr
        self._bar: tqdm[NoReturn] | None = None

    def print(self, line: str) -> None:
        """Print a line of the result, unless the result is JSON."""
        if not self.as_json:
            self._write(self._out, line)

    def note(self, line: str) -> None:
        """Print a line about the progress, unless the result is JSON."""
        if not self.as_json:
            self._write(self._err, line)

    def error(self, line: str) -> None:
        """Print a line about an error."""
        self._write(self._err, line)

    def traceback(self, error: BaseException) -> None:
        """Print where an error came from, with `--debug`."""
        if self._debug:
            self._write(self._err, "".join(traceback.format_exception(error)).rstrip())

    def result(self, document: Mapping[str, object]) -> None:
        """Print the JSON document, if the result is JSON."""
        if self.as_json:
            self._write(self._out, json.dumps(document, ensure_ascii=False))

    def progress(self, work: str, done: int, total: int, unit: str) -> None:
        """Show the progress of some work, as a bar at a terminal and not at all elsewhere."""
        if self.as_json or not self._err.isatty():
            return
        bar = self._bar
        if bar is None or bar.desc != f"{work}: ":
            # Imported here: few commands need it.
            from tqdm import tqdm

            self._close_bar()
            bar = tqdm(desc=work, total=total, unit=f" {unit}", file=self._err, leave=False)
            self._bar = bar
        bar.update(done - bar.n)

    def _write(self, stream: TextIO, line: str) -> None:
        self._close_bar()
        # A program that was started without the stream has none.
        if stream is None:
            return
        try:
            stream.write(line + "\n")
            stream.flush()
        except OSError as error:
            # What is still in its buffer would raise again at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            # Whoever read it has enough, as in `status | head`; the work goes on.
            if not isinstance(error, BrokenPipeError):
                raise

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def table(rows: Sequence[Sequence[str | int | None]]) -> list[str]:
    """Return rows of equally many cells as lines, in columns; None is a dash."""
    texts = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]
