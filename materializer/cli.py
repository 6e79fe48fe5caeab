"""
The command line: one function for each command of `materializer`.

Responsible for what a command is called and which options it has. Does not do the work, and imports
no engine before a command needs one, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from materializer.cli_options import (
    Call,
    age,
    character,
    common,
    file_option,
    group_option,
    key_column,
    names,
    removals_option,
    take_over_option,
    wait_option,
)
from materializer.errors import DONE, EXIT_CODES, USAGE, UsageError
from materializer.lock import run_lock
from materializer.outcome import finish

_EXIT_CODES = "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())
# \b keeps click from filling the lines below it.
_EPILOG = f"\b\nExit codes:\n{_EXIT_CODES}\n\n\b\nEvery night:\n  dbt build; materializer run"


class _InOrder(click.Group):
    """List the commands in the order of this file, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="dbt-feature-store", prog_name="materializer")
def program() -> None:
    """Publish what passed the gate, and push it online."""


@program.command()
@group_option
@wait_option
@removals_option
@take_over_option
@common
def publish(
    call: Call, groups: Sequence[str], wait: float, allow_removals: bool, take_over: bool
) -> int:
    """Copy what passed the gate to the offline store."""
    from materializer.publish import publish

    settings, registry = call.with_warehouse(groups)
    with run_lock(settings, "materializer publish"):
        outcomes = publish(
            settings,
            registry,
            call.console,
            wait=wait,
            allow_removals=allow_removals,
            take_over=take_over,
            project_dir=call.project_dir,
        )
    return finish(outcomes, call.console)


@program.command()
@group_option
@click.option("--all", "everything", is_flag=True, help="Push every entity, changed or not.")
@take_over_option
@click.option("--allow-older", is_flag=True, help="Overwrite newer rows.")
@common
def push(
    call: Call, groups: Sequence[str], everything: bool, take_over: bool, allow_older: bool
) -> int:
    """Bring the newest published rows online."""
    from materializer.online.push import PushOptions
    from materializer.push import push

    registry = call.registry(groups)
    options = PushOptions(everything, take_over, allow_older)
    with run_lock(call.settings, "materializer push"):
        outcomes = push(call.settings, registry, call.console, options=options)
    return finish(outcomes, call.console)


@program.command()
@group_option
@wait_option
@removals_option
@take_over_option
@common
def run(
    call: Call, groups: Sequence[str], wait: float, allow_removals: bool, take_over: bool
) -> int:
    """Publish, then push: what cron calls."""
    from materializer.online.push import PushOptions
    from materializer.publish import publish
    from materializer.push import push

    settings, registry = call.with_warehouse(groups)
    with run_lock(settings, "materializer run"):
        outcomes = publish(
            settings,
            registry,
            call.console,
            wait=wait,
            allow_removals=allow_removals,
            take_over=take_over,
            project_dir=call.project_dir,
        )
        # A refused publish leaves the last good rows, and those are pushed all the same.
        options = PushOptions(take_over=take_over)
        outcomes += push(settings, registry, call.console, options=options, skip_unpublished=True)
    return finish(outcomes, call.console)


@program.command()
@group_option
@wait_option
@click.option(
    "--max-age",
    type=age,
    metavar="AGE",
    help="Exit with 1 when a group's newest data are older, e.g. 26h; for alerting.",
)
@click.option(
    "--check-files",
    is_flag=True,
    help="Read every published data file, and exit with 1 when one is damaged.",
)
@common
def status(
    call: Call,
    groups: Sequence[str],
    wait: float,
    max_age: timedelta | None,
    check_files: bool,
) -> int:
    """Show how far each group is, and what to run."""
    from materializer.status import status

    settings, registry = call.with_warehouse(groups, with_tables=True)
    return status(
        settings, registry, call.console, wait=wait, max_age=max_age, check_files=check_files
    )


@program.command()
@click.argument("name", required=False)
@common
def groups(call: Call, name: str | None) -> int:
    """List the feature groups, or describe one."""
    from materializer.describe import describe_groups

    return describe_groups(call.registry(), name, call.console, call.settings.now())


@program.command()
@click.argument("name", required=False)
@common
def views(call: Call, name: str | None) -> int:
    """List the feature views, or describe one."""
    from materializer.describe import describe_views
    from materializer.offline.catalog import open_catalog
    from materializer.offline.snapshot import published_definitions
    from materializer.views.versions import read_versions

    registry, catalog = call.registry(), open_catalog(call.settings)
    versions, definitions = read_versions(catalog), published_definitions(catalog)
    return describe_views(registry, name, versions, definitions, call.console)


@program.command()
@group_option
@click.argument("key", nargs=-1, required=True)
@common
def get(call: Call, groups: Sequence[str], key: Sequence[str]) -> int:
    """Print the online row of one entity, found by its KEY."""
    from materializer.get import get

    registry = call.registry(groups)
    matching = [
        group
        for group in registry.groups.values()
        if group.online and len(group.entity) == len(key)
    ]
    if len(matching) != 1:
        raise UsageError(
            f"{len(matching)} online groups have a key of {len(key)} part(s); "
            f"name one with --group: {', '.join(registry.groups)}"
        )
    return get(call.settings, matching[0], key, call.console)


@program.command("training-set")
@file_option("--labels", help="The labels, Parquet or CSV.")
@click.option(
    "--groups",
    type=names,
    required=True,
    metavar="A,B",
    help="The published groups to join, each as GROUP or NAME=GROUP.",
)
@file_option("--out", help="The Parquet file to write.")
@click.option(
    "--time",
    default="as_of_ts",
    metavar="COLUMN",
    help="The label column with the time; UTC unless it has an offset (default: as_of_ts).",
)
@click.option(
    "--on",
    type=key_column,
    multiple=True,
    metavar="KEY=COLUMN",
    help="The label column that holds a key, where its name differs; may be repeated, and KEY may "
    "be GROUP.KEY.",
)
@click.option(
    "--columns",
    type=names,
    metavar="A,B",
    help="Take these columns of the groups; a name may be GROUP.COLUMN (default: all but keys).",
)
@click.option(
    "--prefix",
    is_flag=True,
    help="Name every column NAME__COLUMN; without it, those whose names are taken.",
)
@click.option(
    "--delimiter",
    type=character,
    metavar="CHARACTER",
    help="What separates the fields of a CSV file (default: a comma, in a .tsv a tab).",
)
@click.option(
    "--quote",
    type=character,
    metavar="CHARACTER",
    help='What encloses a field of a CSV file that has a delimiter in it (default: ").',
)
@click.option("--force", is_flag=True, help="Overwrite an existing output.")
@common
def training_set(call: Call, labels: Path, out: Path, force: bool, **request: Any) -> int:
    """
    Join a file of labels with published groups.

    Labels are a Parquet or CSV file with a time and the keys of the groups. The rows come out once
    each, in the same order, with the columns of each group as they were known at that time: first
    the label columns, then those of the groups, in the order they are named. What was not known, or
    no longer true, is null. Neither dbt nor the warehouse is needed. Next to the output OUT is
    OUT.receipt.json, from which `materializer verify-training` builds the set again.

    \b
      materializer training-set --labels labels.csv --groups features_daily --out train.parquet

    A column whose name is taken, such as `day` of two groups, is called NAME__COLUMN. A group that
    is joined twice has two names:

    \b
      materializer training-set --labels views.parquet --time viewed_at \\
          --groups sender=profile,receiver=profile --on sender.user_id=sender_id \\
          --on receiver.user_id=receiver_id --out train.parquet
    """  # noqa: D301 - click marks text to be left as it is with this character
    from materializer.training.build import training_set
    from materializer.training.request import TrainingSetRequest

    resolved = TrainingSetRequest(**{**request, "on": dict(request["on"])})
    return training_set(call.settings, labels, resolved, out, call.console, force=force)


@program.command("verify-training")
@click.argument("receipt", type=click.Path(path_type=Path))
@click.option(
    "--time-limit",
    type=float,
    default=3600.0,
    metavar="SECONDS",
    help="How long its SQL may run (default: 3600).",
)
@common
def verify_training(call: Call, receipt: Path, time_limit: float) -> int:
    """
    Build a training set again from its receipt.

    RECEIPT is e.g. training/training_data.receipt.json. A publish writes one next to each training
    file, and keeps all of them under training/receipts/ in the home. A receipt has the SQL that
    built the set and the Iceberg snapshots of the labels and features that went in; tags keep those
    snapshots from expiring. Here that SQL runs over those snapshots again, and its rows are
    compared with what was published. Neither dbt nor the warehouse is needed, and nothing is
    written.

    It ends with 0 and `identical`, or with 1 and the first input that differs, checked in this
    order: the SQL, the vars, the labels, each feature group, the built days, the output, the
    Parquet file.

    The receipt of a `materializer training-set` is verified the same way. Its labels are read again
    from the file that it names, which must be unchanged.
    """
    from materializer.training.verify import verify_training

    return verify_training(call.settings, receipt, call.console, time_limit=time_limit)


@program.command()
@common
def stop(call: Call) -> int:
    """Stop the embedded online store."""
    from materializer.online import embedded

    stopped = embedded.stop(call.settings)
    line = "stopped the embedded server" if stopped else "no embedded server is running"
    call.console.print(line)
    call.console.result({"stopped": stopped})
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the process, and return its exit code."""
    try:
        code = program.main(argv, prog_name="materializer", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        # Of `--help | head`; Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return int(code or DONE)
