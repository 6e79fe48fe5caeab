"""
What the commands share: their options, their types of options, and how they end.

Responsible for reading arguments, and for turning every error into one line and an exit code. Does
not know any command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import INTERRUPTED, UnknownGroup, as_ours
from materializer.registry import Registry

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command, with the options that all commands have."""

    settings: Settings
    console: Console
    project_dir: Path
    target: str | None

    def registry(self, groups: Sequence[str] = (), *, with_tables: bool = False) -> Registry:
        """
        Read the registry of the project; if groups are named, only these.

        Training sets and feature views are left out too then, unless *with_tables*.

        Raises:
            UsageError: There is no manifest, it was parsed for another target, or it lacks a group.
            BadRegistry: A model is not what its meta declares.
        """
        from materializer.registry.manifest import read_manifest

        # dbt too takes its target folder from this variable.
        folder = os.environ.get("DBT_TARGET_PATH") or "target"
        registry = read_manifest(self.project_dir / folder / "manifest.json")
        if self.target is not None:
            from materializer.profile import require_target

            require_target(registry, self.project_dir, self.target)
        for name in groups:
            if name not in registry.groups:
                raise UnknownGroup(name, list(registry.groups))
        if not groups:
            return registry
        registry = replace(registry, groups={name: registry.groups[name] for name in groups})
        return registry if with_tables else replace(registry, training_sets={}, views={})

    def with_warehouse(
        self, groups: Sequence[str], *, with_tables: bool = False
    ) -> tuple[Settings, Registry]:
        """Return the settings with the database of the target, and the registry."""
        from materializer.profile import at_target

        registry = self.registry(groups, with_tables=with_tables)
        return at_target(self.settings, registry, self.project_dir, self.target), registry


def age(text: str) -> timedelta:
    """Read a length of time: a number with its unit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not an age; write 26h, 90m or 2d")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def names(text: str) -> tuple[str, ...]:
    """Read names, separated by commas; each may be given once."""
    read = tuple(name.strip() for name in text.split(","))
    repeated = next((name for name in read if read.count(name) > 1), None)
    if "" in read or repeated:
        problem = f"names {repeated} twice" if repeated else "has an empty name"
        raise click.BadParameter(f"{text!r} {problem}; write a,b")
    return read


def key_column(text: str) -> tuple[str, str]:
    """Read KEY=COLUMN, a key and the label column that holds it."""
    key, _, column = text.partition("=")
    if not key or not column:
        raise click.BadParameter(f"{text!r} is not KEY=COLUMN; write user_id=sender_id")
    return key, column


def character(text: str) -> str:
    """Read one character, or none."""
    if len(text) > 1:
        raise click.BadParameter(f"{text!r} is more than one character")
    return text


def common(function: Callable[..., int]) -> Callable[..., int]:
    """Add the common options to a command, and turn its errors into a line and an exit code."""

    @click.option(
        "--project-dir",
        type=click.Path(path_type=Path),
        default=Path(),
        metavar="DIR",
        help="The dbt project, with its target/manifest.json (default: here).",
    )
    @click.option(
        "--target",
        metavar="NAME",
        help="The target of the project's profile (default: the profile's own).",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document, nothing else.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @wraps(function)
    def command(
        project_dir: Path, target: str | None, as_json: bool, debug: bool, **arguments: Any
    ) -> int:
        console = Console(as_json=as_json, debug=debug)
        problem: BaseException
        try:
            call = Call(Settings.from_env(), console, project_dir, target)
            return function(call, **arguments)
        except KeyboardInterrupt as interrupt:
            problem, code = interrupt, INTERRUPTED
            message = "interrupted; finished steps are kept, run it again to go on"
        except Exception as error:  # noqa: BLE001 - the last resort: one line, not a traceback
            problem, ours = error, as_ours(error)
            message, code = str(ours), ours.exit_code
        console.traceback(problem)
        console.error(f"materializer: {message}")
        console.result({"error": message, "exit_code": code})
        return code

    return command


file_option = partial(click.option, type=click.Path(path_type=Path), required=True, metavar="FILE")
group_option = click.option(
    "--group", "groups", multiple=True, metavar="NAME", help="Only this group; may be repeated."
)
wait_option = click.option(
    "--wait",
    type=float,
    default=60.0,
    metavar="SECONDS",
    help="How long to wait for a build that holds the warehouse (default: 60).",
)
take_over_option = click.option(
    "--take-over",
    is_flag=True,
    help="Replace what another warehouse published, or another store pushed.",
)
removals_option = click.option(
    "--allow-removals",
    is_flag=True,
    help="Publish even if a day, or more than 5% of a day's entities, would be removed.",
)
