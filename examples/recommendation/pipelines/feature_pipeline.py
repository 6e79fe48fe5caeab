"""
The feature pipeline: CSV files in; features gated, published and pushed.

    python pipelines/feature_pipeline.py
    python pipelines/feature_pipeline.py --activity A.csv --profiles P.csv --items I.csv \
        --train-until 2025-06-01

Owns the order of the steps, each a command that is printed before it runs. A red test stops it with
exit code 3: nothing of that build is published, and the stores keep the last good state.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Run as a file, only its own folder is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from examples.building import build
from examples.recommendation.pipelines.place import EXAMPLE, SAMPLE_NOW, home, shown
from examples.steps import Shell, heading
from materializer.errors import FeatureStoreError, UsageError

INPUTS = ("activity", "profiles", "items")


def main(argv: Sequence[str] | None = None) -> int:
    """Run every step; 0, or the exit code of what failed."""
    try:
        _run(_parser().parse_args(argv))
    except FeatureStoreError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Read activity, profiles and items, build the features, and publish and push "
        "them when every test is green."
    )
    for name in INPUTS:
        parser.add_argument(
            f"--{name}", metavar="CSV", type=Path, help=f"instead of seeds/{name}.csv"
        )
    parser.add_argument(
        "--train-until", metavar="DATE", help="rows before it are for training (2024-02-10)"
    )
    return parser


def _run(given: argparse.Namespace) -> None:
    files = _files(given)
    settings = _settings(own_data=bool(files))
    variables = {f"{name}_path": str(path) for name, path in files.items()}
    if given.train_until:
        variables["train_until"] = given.train_until
    shell = Shell(EXAMPLE, settings, variables)
    heading(1, "Read the files, and build the features and the training set")
    for name in INPUTS:
        print(f"  {name:<9} {shown(files.get(name, EXAMPLE / 'seeds' / f'{name}.csv'))}")
    if Path.cwd() != EXAMPLE:
        print(f"$ cd {shown(EXAMPLE)}")
    print(f"$ export {' '.join(f'{name}={value}' for name, value in settings.items())}")
    if not (EXAMPLE / ".dbt_packages" / "feature_store").exists():
        shell.run(["dbt", "deps", "--quiet"])
    built = build(shell)
    built.print_counts()
    heading(2, "The gate's verdict")
    built.print_verdicts()
    heading(3, "Publish what passed, and push it online")
    shell.run(["materializer", "run"])


def _files(given: argparse.Namespace) -> Mapping[str, Path]:
    """
    Return the files of one's own.

    Raises:
        UsageError: Some are given and some not, or one is not there.
    """
    files = {name: getattr(given, name) for name in INPUTS if getattr(given, name) is not None}
    if files and len(files) < len(INPUTS):
        # Real activity joined to made-up items would look like a result.
        raise UsageError("--activity, --profiles and --items go together")
    for path in files.values():
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
    return {name: path.resolve() for name, path in files.items()}


def _settings(*, own_data: bool) -> dict[str, str]:
    settings = {"FEATURE_STORE_HOME": str(home())}
    now = os.environ.get("FEATURE_STORE_NOW") or (None if own_data else SAMPLE_NOW)
    return {**settings, "FEATURE_STORE_NOW": now} if now else settings


if __name__ == "__main__":
    sys.exit(main())
