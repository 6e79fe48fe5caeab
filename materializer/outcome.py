"""
What became of one model in one step of a command.

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
    FeatureStoreError,
)

_T = TypeVar("_T")

# A failure outweighs a store that is away, which outweighs a refusal.
_GRAVITY = (FAILED, USAGE, LOCKED, UNAVAILABLE, REFUSED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One model, one step.

    Attributes:
        step: `publish` or `push`.
        model: Its name.
        code: Exit code of this step alone.
        status: `done`, `up to date`, or why not.
        facts: Figures of the step, for machines.
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
    """Do one step; an error of this project is printed, and becomes its outcome."""
    try:
        return work()
    except FeatureStoreError as error:
        console.error(str(error))
        return Outcome(step, model, error.exit_code, str(error))


def finish(outcomes: Sequence[Outcome], console: Console) -> int:
    """Print the outcomes of a command as JSON, and return the gravest exit code."""
    console.result({"steps": [outcome.to_dict() for outcome in outcomes]})
    codes = {outcome.code for outcome in outcomes}
    return next((code for code in _GRAVITY if code in codes), DONE)
