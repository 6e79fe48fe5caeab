"""
The command line: `materializer publish | push | run | status | groups | get | ...`.

Owns arguments, exit codes and the one-line error. Refuses to import an engine before a command
needs one, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import (
    DONE,
    EXIT_CODES,
    FAILED,
    FeatureStoreError,
    UnknownGroup,
    UsageError,
)
from materializer.lock import run_lock
from materializer.registry import FeatureGroup, Registry, read_manifest

Command = Callable[[argparse.Namespace, Settings, Console], int]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_INTERRUPTED = 130
_ABOUT_RECEIPTS = """\
A publish writes a receipt beside each training file, and keeps every one under training/receipts/
in the home. A receipt has the SQL that built the set and the Iceberg snapshots of the labels and
features that went in; tags keep those snapshots from expiring. Here that SQL runs over those
snapshots again, and its rows are compared with what was published. Neither dbt nor the warehouse is
needed, and nothing is written.

It ends with 0 and `identical`, or with 1 and the first input that differs, looked at in this order:
the SQL, the vars, the labels, each feature group, the built days, the output, the Parquet file.

The receipt of a `materializer training-set` is verified the same way. Its labels are read again
from the file that it names, which must still be the same.
"""
_ABOUT_SETS = """\
Labels are a Parquet or CSV file with a time and the keys of the groups. Each row comes out once, in
its place, with the columns of each group as they were known at its time: first all label columns,
then those of the groups, in the order they are named. What was not known, or not true any more, is
null. Neither dbt nor the warehouse is needed. Beside the output OUT is OUT.receipt.json, from which
`materializer verify-training` makes the set again.

  materializer training-set --labels labels.csv --groups features_daily --out train.parquet

Groups that share the name of a column, such as `day`, need --prefix or a choice of columns:

  materializer training-set --labels views.parquet --time viewed_at \\
      --groups user_profile,item_feature --prefix --on user_id=viewer --out train.parquet
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: Arguments without the program's name; None for the process's own.

    Returns:
        The exit code, see `materializer --help`.
    """
    arguments = _parser().parse_args(argv)
    console = Console(as_json=arguments.json)
    try:
        command: Command = arguments.command
        return command(arguments, Settings.from_env(), console)
    except FeatureStoreError as error:
        if arguments.debug:
            traceback.print_exc()
        console.error(f"materializer: {error}")
        console.result({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    except KeyboardInterrupt:
        said = "interrupted; what is done is kept, run it again to go on"
        console.error(f"materializer: {said}")
        console.result({"error": said, "exit_code": _INTERRUPTED})
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: one line, not a traceback
        if arguments.debug:
            traceback.print_exc()
        said = " ".join(str(error).split())
        console.error(f"materializer: {type(error).__name__}: {said} (--debug shows where)")
        console.result({"error": str(error), "exit_code": FAILED})
        return FAILED


def _publish(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.outcome import exit_code
    from materializer.publish import publish

    registry = _registry(arguments)
    settings = _warehouse(arguments, settings, registry)
    with run_lock(settings, "materializer publish"):
        outcomes = publish(
            settings,
            registry,
            _groups(arguments, registry),
            console,
            wait=arguments.wait,
            allow_removals=arguments.allow_removals,
            training_sets=not arguments.group,
            project_dir=arguments.project_dir,
        )
    console.result({"steps": [outcome.to_dict() for outcome in outcomes]})
    return exit_code(outcomes)


def _push(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.outcome import exit_code
    from materializer.push import push

    registry = _registry(arguments)
    with run_lock(settings, "materializer push"):
        outcomes = push(
            settings,
            _groups(arguments, registry),
            console,
            everything=arguments.all,
            take_over=arguments.take_over,
            allow_older=arguments.allow_older,
            views=[] if arguments.group else list(registry.views.values()),
        )
    console.result({"steps": [outcome.to_dict() for outcome in outcomes]})
    return exit_code(outcomes)


def _run(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.outcome import exit_code
    from materializer.publish import publish
    from materializer.push import push

    registry = _registry(arguments)
    settings = _warehouse(arguments, settings, registry)
    groups = _groups(arguments, registry)
    with run_lock(settings, "materializer run"):
        outcomes = publish(
            settings,
            registry,
            groups,
            console,
            wait=arguments.wait,
            allow_removals=arguments.allow_removals,
            training_sets=not arguments.group,
            project_dir=arguments.project_dir,
        )
        # A refused publish leaves the last good rows, and those are pushed all the same.
        published = [
            group
            for group, outcome in zip(groups, outcomes, strict=False)
            if outcome.code == DONE or _was_published(settings, group)
        ]
        outcomes += push(
            settings,
            published,
            console,
            everything=False,
            take_over=False,
            allow_older=False,
            views=[] if arguments.group else list(registry.views.values()),
        )
    console.result({"steps": [outcome.to_dict() for outcome in outcomes]})
    return exit_code(outcomes)


def _was_published(settings: Settings, group: FeatureGroup) -> bool:
    from materializer.offline.catalog import open_catalog
    from materializer.offline.publish import last_published

    return last_published(open_catalog(settings), group.name) is not None


def _status(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.status import status

    registry = _registry(arguments)
    settings = _warehouse(arguments, settings, registry)
    return status(
        settings,
        registry,
        _groups(arguments, registry),
        console,
        wait=arguments.wait,
        max_age=arguments.max_age,
    )


def _list(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.describe import groups

    registry = _registry(arguments)
    return groups(registry, arguments.name, console, settings.now())


def _list_views(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.describe_views import list_views
    from materializer.offline.catalog import open_catalog
    from materializer.views.versions import versions

    registry = _registry(arguments)
    return list_views(registry, arguments.name, versions(open_catalog(settings)), console)


def _get(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.get import get

    registry = _registry(arguments)
    groups = [
        group
        for group in _groups(arguments, registry)
        if group.online and len(group.entity) == len(arguments.key)
    ]
    if len(groups) != 1:
        raise UsageError(
            f"{len(groups)} online groups have a key of {len(arguments.key)} part(s); "
            f"name one with --group: {', '.join(registry.groups)}"
        )
    return get(settings, groups[0], arguments.key, console)


def _training_set(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.training.build import training_set
    from materializer.training.request import TrainingSetRequest

    wanted = TrainingSetRequest(
        groups=arguments.groups,
        time=arguments.time,
        on=dict(arguments.on),
        columns=arguments.columns,
        prefix=arguments.prefix,
    )
    return training_set(
        settings, arguments.labels, wanted, arguments.out, console, force=arguments.force
    )


def _verify_training(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.training.verify import verify_training

    return verify_training(settings, arguments.receipt, console)


def _stop(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    from materializer.online import embedded

    stopped = embedded.stop(settings)
    console.print("stopped the embedded server" if stopped else "no embedded server is running")
    console.result({"stopped": stopped})
    return DONE


def _registry(arguments: argparse.Namespace) -> Registry:
    # dbt's own variable names another target folder.
    target = os.environ.get("DBT_TARGET_PATH") or "target"
    registry = read_manifest(arguments.project_dir / target / "manifest.json")
    if arguments.target is not None:
        from materializer.profile import require_target

        require_target(registry, arguments.project_dir, arguments.target)
    return registry


def _warehouse(arguments: argparse.Namespace, settings: Settings, registry: Registry) -> Settings:
    from materializer.profile import at_target

    return at_target(settings, registry, arguments.project_dir, arguments.target)


def _groups(arguments: argparse.Namespace, registry: Registry) -> list[FeatureGroup]:
    names = arguments.group or list(registry.groups)
    for name in names:
        if name not in registry.groups:
            raise UnknownGroup(name, list(registry.groups))
    return [registry.groups[name] for name in names]


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age; write 26h, 90m or 2d")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    twice = next((name for name in names if names.count(name) > 1), None)
    if "" in names or twice:
        problem = f"names {twice} twice" if twice else "has an empty name"
        raise argparse.ArgumentTypeError(f"{text!r} {problem}; write a,b")
    return names


def _pair(text: str) -> tuple[str, str]:
    key, _, column = text.partition("=")
    if not key or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is no pair; write user_id=sender_id")
    return key, column


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="materializer",
        description="Publish what passed the gate, and push it online.",
        epilog=f"exit codes:\n{codes}\n\nevery night:\n  dbt build; materializer run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        command: Command,
        text: str,
        *parents: argparse.ArgumentParser,
        more: str | None = None,
    ) -> None:
        one = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[*parents],
            # `run --all` would be taken for --allow-removals.
            allow_abbrev=False,
        )
        one.set_defaults(command=command)

    common = _common_options()
    groups = argparse.ArgumentParser(add_help=False)
    groups.add_argument(
        "--group", action="append", metavar="NAME", help="only this group; may be repeated"
    )
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for a build that holds the warehouse (default: 60)",
    )
    removals = argparse.ArgumentParser(add_help=False)
    removals.add_argument(
        "--allow-removals",
        action="store_true",
        help="publish even if a day, or more than 5%% of a day's entities, would be removed",
    )
    pushing = argparse.ArgumentParser(add_help=False)
    pushing.add_argument("--all", action="store_true", help="push every entity, changed or not")
    pushing.add_argument(
        "--take-over", action="store_true", help="write over the rows of another store"
    )
    pushing.add_argument("--allow-older", action="store_true", help="write over newer rows")
    ages = argparse.ArgumentParser(add_help=False)
    ages.add_argument(
        "--max-age",
        type=_age,
        metavar="AGE",
        help="exit 1 when a group's newest data are older, e.g. 26h; for alerting",
    )
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("name", nargs="?", metavar="NAME", help="the one to tell whole")
    keys = argparse.ArgumentParser(add_help=False)
    keys.add_argument("key", nargs="+", metavar="KEY", help="the entity's key, e.g. user1")
    receipts = argparse.ArgumentParser(add_help=False)
    receipts.add_argument(
        "receipt", type=Path, metavar="RECEIPT", help="e.g. training/training_data.receipt.json"
    )

    add(
        "publish",
        _publish,
        "copy what passed the gate from the warehouse to the offline store",
        common,
        groups,
        waiting,
        removals,
    )
    add("push", _push, "bring the newest published rows online", common, groups, pushing)
    add("run", _run, "publish, then push: what cron calls", common, groups, waiting, removals)
    add(
        "status",
        _status,
        "tell how far each group has come, how old it is, and what to run",
        common,
        groups,
        waiting,
        ages,
    )
    add("groups", _list, "list the feature groups, or tell one of them whole", common, named)
    add("views", _list_views, "list the feature views, or tell one of them whole", common, named)
    add("get", _get, "print the online row of one entity", common, groups, keys)
    add(
        "training-set",
        _training_set,
        "join any file of labels with published groups, as they were known at each label's time",
        common,
        _training_set_options(),
        more=_ABOUT_SETS,
    )
    add(
        "verify-training",
        _verify_training,
        "build a training set again from its receipt, and say whether it is identical",
        common,
        receipts,
        more=_ABOUT_RECEIPTS,
    )
    add("stop", _stop, "stop the embedded online store", common)
    return parser


def _training_set_options() -> argparse.ArgumentParser:
    sets = argparse.ArgumentParser(add_help=False)
    sets.add_argument(
        "--labels", type=Path, required=True, metavar="FILE", help="the labels, Parquet or CSV"
    )
    sets.add_argument(
        "--groups", type=_names, required=True, metavar="A,B", help="the published groups to join"
    )
    sets.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the Parquet file to write"
    )
    sets.add_argument(
        "--time",
        default="as_of_ts",
        metavar="COLUMN",
        help="the label column with the time; UTC unless it has an offset (default: as_of_ts)",
    )
    sets.add_argument(
        "--on",
        type=_pair,
        action="append",
        default=[],
        metavar="KEY=COLUMN",
        help="the label column that has a key, where it has another name; may be repeated, and KEY "
        "may be GROUP.KEY",
    )
    sets.add_argument(
        "--columns",
        type=_names,
        metavar="A,B",
        help="take these columns of the groups; a name may be GROUP.COLUMN (default: all but keys)",
    )
    sets.add_argument(
        "--prefix", action="store_true", help="call each column of a group GROUP__COLUMN"
    )
    sets.add_argument("--force", action="store_true", help="write over an existing output")
    return sets


def _common_options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--project-dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the dbt project, with its target/manifest.json (default: here)",
    )
    common.add_argument(
        "--target",
        metavar="NAME",
        help="the target of the project's profile (default: the profile's own)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON document, nothing else")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return common


if __name__ == "__main__":
    sys.exit(main())
