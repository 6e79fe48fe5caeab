"""
The outcome of one model in one step of a command.

Responsible for turning the error of a step into its outcome, so that one model's red gate does not
keep another from being published, and for the exit code of several outcomes. Does not print what
was done: each step does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from materializer.console import Console
from materializer.errors import (
    DONE,
    FAILED,
    LOCKED,
    REFUSED,
    UNAVAILABLE,
    USAGE,
    as_ours,
)

_T = TypeVar("_T")

# Of several outcomes the first of these is the exit code of the command.
_GRAVITY = (FAILED, USAGE, LOCKED, UNAVAILABLE, REFUSED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One model, one step.

    Attributes:
        step: `publish` or `push`.
        code: Exit code of this step alone.
        status: `done`, `up to date`, or the error.
        facts: Figures of the step, for `--json`.
    """

    step: str
    model: str
    code: int
    status: str
    facts: dict[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        return {"step": self.step, "model": self.model, "status": self.status, **self.facts}


def attempt(step: str, model: str, console: Console, work: Callable[[], _T]) -> _T | Outcome:
    """Return the result of a step; print its error, and return that as outcome."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the other models must not wait for this one
        ours = as_ours(error)
        # Errors of this project name the model.
        text = str(ours) if ours is error else f"{model}: {ours}"
        console.traceback(error)
        console.error(text)
        return Outcome(step, model, ours.exit_code, text)


def finish(outcomes: Sequence[Outcome], console: Console) -> int:
    """Print the outcomes of a command as JSON, and return its exit code."""
    console.result({"steps": [outcome.to_dict() for outcome in outcomes]})
    codes = {outcome.code for outcome in outcomes}
    return next((code for code in _GRAVITY if code in codes), DONE)
