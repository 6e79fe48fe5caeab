"""
A feature store of a benchmark's own: made events, and dbt runs that tell what each node took.

Owns how a benchmark calls the generator and dbt. Refuses to time anything itself: seconds are
dbt's own for each node, so that start and parse do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import psutil

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Done:
    """
    What one dbt command did.

    Attributes:
        seconds: dbt's own time for each node, by its name [s].
        statuses: What dbt says of each, by its name.
        peak: Largest resident memory of the process [MB].
        output: What it printed.
    """

    seconds: Mapping[str, float]
    statuses: Mapping[str, str]
    peak: int
    output: str


def generate(
    folder: Path, *, users: int, days: int, events: int, labels: int, start: date
) -> Mapping[str, str]:
    """Write events, one Parquet file a day, and labels; return the vars that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"users": users, "days": days, "events": events, "labels": labels}
    subprocess.run(
        [
            *(sys.executable, str(ROOT / "seeds" / "generate.py"), "--format", "parquet"),
            *(part for name, value in sizes.items() for part in (f"--{name}", str(value))),
            *("--start", start.isoformat(), "--out", str(folder)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return {
        "events_path": str(folder / "events" / "*.parquet"),
        "labels_path": str(folder / "labels.parquet"),
    }


def dbt(folder: Path, now: date, *args: str, variables: Mapping[str, object]) -> Done:
    """
    Run a dbt command of this project on the store in *folder*.

    Args:
        folder: Home, target and logs are made in it.
        now: The store's clock, midnight UTC of that day.
        args: The command and its options.
        variables: dbt vars.
    """
    target = folder / "target"
    results = target / "run_results.json"
    results.unlink(missing_ok=True)
    process = psutil.Popen(
        [
            *(str(Path(sys.executable).with_name("dbt")), *args),
            *("--vars", json.dumps(dict(variables))),
            *("--target-path", str(target), "--log-path", str(folder / "logs")),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "DBT_USE_COLORS": "false",
            "FEATURE_STORE_HOME": str(folder / "home"),
            "FEATURE_STORE_NOW": now.isoformat(),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peaks = [0]
    watching = threading.Thread(target=_watch, args=(process, peaks))
    watching.start()
    output, _ = process.communicate()
    watching.join()
    if not results.is_file():
        sys.exit(output)
    nodes = json.loads(results.read_text())["results"]
    names = {node["unique_id"]: node["unique_id"].split(".")[2] for node in nodes}
    return Done(
        {names[node["unique_id"]]: float(node["execution_time"]) for node in nodes},
        {names[node["unique_id"]]: str(node["status"]) for node in nodes},
        peaks[0],
        output,
    )


def bare(query: str) -> float:
    """Run one statement in a DuckDB of its own, as many threads as dbt's; seconds."""
    with duckdb.connect(config={"threads": 2}) as connection:
        started = time.perf_counter()
        connection.execute(query).fetchall()
        return time.perf_counter() - started


def content(folder: Path, day: date) -> str:
    """Give the checksum of the rows that the store in *folder* last built of a day."""
    warehouse = str(folder / "home" / "warehouse.duckdb")
    with duckdb.connect(warehouse, read_only=True) as connection:
        ((found,),) = connection.execute(
            """
            select content from feature_store.build_ledger
            where model like '%.features_daily' and day = ?
            order by sequence desc
            limit 1
            """,
            [day],
        ).fetchall()
    return str(found)


def _watch(process: psutil.Popen, peaks: list[int]) -> None:
    while process.poll() is None:
        try:
            peaks[0] = max(peaks[0], process.memory_info().rss >> 20)
        except psutil.Error:
            return
        time.sleep(0.05)
