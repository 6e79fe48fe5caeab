"""The process that runs dbt: imported once by the fork server, then forked for each command."""

from __future__ import annotations

import os
import sys

import dbt.adapters.duckdb
import dbt.include.duckdb
from dbt.cli.main import dbtRunner

_PRELOADED = (dbt.adapters.duckdb, dbt.include.duckdb)


def run(args: list[str], env: dict[str, str], project_dir: str, output: str) -> None:
    """Become a dbt command: its environment, its folder, its output, its exit code."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(project_dir)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    result = dbtRunner().invoke(args)
    sys.stdout.flush()
    if result.exception is not None:
        os.write(1, str(result.exception).encode())
    sys.exit(0 if result.success else 1)
