"""
What a group costs that is only declared: how parsing, the registry and the first list grow.

Makes dbt projects of 1, 20 and 200 groups, each group a model with a contract, meta and three gate
tests, on this project as a package. Times `dbt parse` from nothing and with what was parsed before,
dbt's start hook, which looks for the gate tests of every group, `materializer groups` whole, the
reading of the manifest inside it, and the first `GET /feature-groups` of a server that has just
started, with every group published. The bar: reading 200 groups takes at most 50 ms.

    python -m benchmarks.registry --groups 1 20 200
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks.report import Bar, print_bars
from materializer.config import Settings
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import publish_days
from materializer.registry.manifest import read_manifest
from serve import create_app
from serve.stores.stores import Stores

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
BAR = {("read the manifest", 200): 50.0}
DAY = date(2024, 1, 1)

PROJECT = """
name: many
version: 1.0.0
config-version: 2
profile: many
models: {feature_store: {+enabled: false}}
seeds: {feature_store: {+enabled: false}}
data_tests: {feature_store: {+enabled: false}}
unit_tests: {feature_store: {+enabled: false}}
flags: {send_anonymous_usage_stats: false}
on-run-start: ["{{ feature_store.create_records() }}"]
on-run-end: ["{{ feature_store.record_verdicts(results) }}"]
"""
PROFILE = """
many:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: many.duckdb
      schema: many
      settings: {TimeZone: UTC}
      plugins: [{module: materializer.warehouse_folder}]
"""
SQL = """
select
    user_id,
    cast(seen_at as date) as day,
    count(*) as events,
    cast(cast(seen_at as date) + 1 as timestamp) as available_at
from {{ ref('events') }}
group by 1, 2, 4
"""
YAML = """
models:
  - name: NAME
    description: One row per (user_id, day) with an event.
    config:
      materialized: table
      contract: {enforced: true}
      post_hook: "{{ feature_store.record_build(partition='day') }}"
      meta: {feature_group: {entity: [user_id], online: true, max_age_hours: 30, owner: somebody}}
    data_tests:
      - feature_store.unique_snapshot:
          name: NAME_is_unique
          arguments: {entity: [user_id]}
          config: {tags: [gate]}
      - feature_store.rows_are_known:
          name: NAME_rows_are_known
          config: {tags: [gate]}
      - feature_store.is_as_built:
          name: NAME_is_as_built
          config: {tags: [gate]}
      - feature_store.knows_no_future:
          name: NAME_knows_no_future
          arguments: {entity: [user_id], inputs: {events: seen_at}}
          config: {tags: [gate]}
    columns:
      - {name: user_id, data_type: varchar, description: The user.}
      - {name: day, data_type: date, description: The day.}
      - name: events
        data_type: bigint
        description: Events of the day.
        config: {meta: {unit: events, window_days: 1}}
      - {name: available_at, data_type: timestamp, description: When it may be used.}
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 20, 200])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, dict[int, list[float]]] = {}
    for groups in options.groups:
        scratch = Path(tempfile.mkdtemp(prefix="registry-"))
        try:
            for name, values in _measure(make(scratch, groups), options.runs).items():
                report.setdefault(name, {})[groups] = values
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    compared = bars(report)
    print_bars(compared, options.json)
    return 0


def make(folder: Path, groups: int) -> Path:
    """Write a project with so many groups, and get its package."""
    for name in ("models", "seeds"):
        (folder / name).mkdir()
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILE)
    (folder / "packages.yml").write_text(f"packages: [{{local: {ROOT}}}]\n")
    (folder / "seeds" / "events.csv").write_text("user_id,seen_at\nann,2024-01-01 10:00:00\n")
    for number in range(groups):
        name = f"group_{number:03}"
        (folder / "models" / f"{name}.sql").write_text(SQL)
        (folder / "models" / f"{name}.yml").write_text(YAML.replace("NAME", name))
    _run(folder, "dbt", "deps")
    return folder


def _measure(folder: Path, runs: int) -> Mapping[str, list[float]]:
    """Time every step [ms]: of a whole command its CPU, else the time that passed."""
    manifest = folder / "target" / "manifest.json"
    taken = {
        "dbt parse, from nothing": _repeat(
            runs, lambda: _run(folder, "dbt", "parse", "--no-partial-parse")
        ),
        "dbt parse, nothing changed": _repeat(runs, lambda: _run(folder, "dbt", "parse")),
        "dbt's start hook": _repeat(runs, lambda: _start_hook(folder)),
        "materializer groups": _repeat(runs, lambda: _run(folder, "materializer", "groups")),
        "read the manifest": _repeat(runs, lambda: _read(manifest)),
    }
    _publish(folder)
    return {
        **taken,
        "first GET /feature-groups": _repeat(runs, lambda: _first_list(folder)),
    }


def _repeat(runs: int, once: Callable[[], float]) -> list[float]:
    return [once() for _ in range(runs)]


def _run(folder: Path, program: str, *args: str) -> float:
    """Run a command, and report its CPU [ms]."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(BIN / program), *args],
        cwd=folder,
        env={**os.environ, "FEATURE_STORE_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _start_hook(folder: Path) -> float:
    """Run one seed, and tell dbt's own time for the hook before it [ms]."""
    _run(folder, "dbt", "build", "--select", "events", "--exclude-resource-type", "test")
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    (hook,) = (one for one in results if "on-run-start" in one["unique_id"])
    return 1000 * float(hook["execution_time"])


def _read(manifest: Path) -> float:
    """Read a manifest in a process of its own, as a command does, and return the time [ms]."""
    script = (
        "import sys, time; from pathlib import Path; "
        "from materializer.registry.manifest import read_manifest; "
        "began = time.perf_counter(); read_manifest(Path(sys.argv[1])); "
        "print(1000 * (time.perf_counter() - began))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(manifest)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _publish(folder: Path) -> None:
    rows = pa.table(
        {
            "user_id": ["ann"],
            "day": pa.array([DAY], pa.date32()),
            "events": pa.array([1], pa.int64()),
            "available_at": pa.array([datetime(2024, 1, 2)], pa.timestamp("us")),
        }
    )
    catalog = open_catalog(Settings(folder / "home"))
    try:
        for group in read_manifest(folder / "target" / "manifest.json").groups.values():
            publish_days(
                catalog,
                group,
                days=[DAY],
                rows=lambda _: rows,
                warehouse_id="benchmark",
                ledger_sequence=1,
            )
    finally:
        catalog.close()


def _first_list(folder: Path) -> float:
    """Ask an application that has just been made; the answer must hold every group [ms]."""
    groups = len(list((folder / "models").glob("*.sql")))
    stores = Stores(Settings(folder / "home"))
    client = create_app(stores=stores).test_client()
    started = time.perf_counter()
    body = client.get("/feature-groups").get_json()
    taken = 1000 * (time.perf_counter() - started)
    stores.close()
    if len(body["feature_groups"]) != groups:
        sys.exit(f"{len(body['feature_groups'])} of {groups} groups were listed")
    return taken


def bars(report: Mapping[str, Mapping[int, list[float]]]) -> list[Bar]:
    """Compare each size with the smallest; reading the manifest has a bar of its own."""
    found = []
    for name, by_size in report.items():
        smallest = min(by_size)
        for size, values in by_size.items():
            what = f"{name}, {size} groups"
            if (name, size) in BAR:
                found.append(Bar(what, "ms", values, limit=BAR[name, size]))
            elif size != smallest:
                peer = f"{smallest} group{'s' if smallest > 1 else ''}"
                found.append(Bar(what, "ms", values, peer, by_size[smallest]))
    return found


if __name__ == "__main__":
    sys.exit(main())
