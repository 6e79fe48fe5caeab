"""
A feature repository of Feast in a scratch folder, and the rows and labels it reads.

Owns the rows in the form that Feast can hold, and its configuration. Refuses to define features:
those are objects of Feast, made in `inside`. Feast has no type for a date, so `day` is a string of
it, which is also what it is in JSON on our side; the moment a row became available is its event
timestamp, which comes back next to every value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb

from benchmarks.offline_lookup import FIRST, Users
from benchmarks.training_set import write_labels

FEATURES = (
    "day",
    "event_count_7d",
    "event_count_30d",
    "last_event_days_ago",
    "event_type_counts",
)
# Names and types alike in every file, whichever of our writers it is from.
COLUMNS = """
    user_id,
    day::varchar as day,
    event_count_7d::bigint as event_count_7d,
    event_count_30d::bigint as event_count_30d,
    last_event_days_ago::bigint as last_event_days_ago,
    event_type_counts,
    available_at::timestamp as available_at
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """
    How Feast is set up, beyond what it requires.

    Attributes:
        offline: Type of the offline store: `duckdb`, or `dask`, which is Feast's default.
        batch: Rows of one write of a materialization; None writes all at once.
        skip_dedup: Write without reading each key's older time before.
    """

    offline: str = "duckdb"
    batch: int | None = None
    skip_dedup: bool = False


DEFAULT = Choice(offline="dask")
# Of batches from 50 rows to all at once, about 200 were fastest.
BEST = Choice(batch=200, skip_dedup=True)


def by_socket(path: str | Path) -> str:
    """Write Feast's connection string of a unix socket; the host and port in it are not used."""
    return f"localhost:0,unix_socket_path={path}"


def by_port(port: int) -> str:
    """Write Feast's connection string of a port on this machine."""
    return f"127.0.0.1:{port}"


def write_repository(folder: Path, rows: Path, online: str, choice: Choice = BEST) -> Path:
    """
    Write a repository's configuration.

    Args:
        folder: The repository; it is made.
        rows: The Parquet file of the one feature view.
        online: Connection string of Redis.
        choice: The settings.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True)
    (folder / "rows").symlink_to(rows.resolve())
    config = {
        "project": "peer",
        "provider": "local",
        # Nothing changes while it is measured, so the registry need never be read again.
        "registry": {"path": str(folder / "registry.db"), "cache_ttl_seconds": 0},
        "offline_store": {"type": choice.offline},
        "online_store": {
            "type": "redis",
            "connection_string": online,
            "skip_dedup": choice.skip_dedup,
        },
        "materialization": {"online_write_batch_size": choice.batch},
        "entity_key_serialization_version": 3,
    }
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(json.dumps(config, indent=2))
    return folder


def write_rows(files: Sequence[str | Path], out: Path) -> int:
    """Write all rows of our Parquet files into one, for the join; return how many."""
    return _copy(f"select {COLUMNS} from {_read(files)}", out)


def write_newest(files: Sequence[str | Path], out: Path) -> int:
    """Write each user's newest row, which is what a push writes; return how many."""
    newest = "qualify row_number() over (partition by user_id order by available_at desc) = 1"
    return _copy(f"select {COLUMNS} from {_read(files)} {newest}", out)


def made(folder: Path, users: int, days: int) -> list[Path]:
    """Write the rows of made users, one file a day, as the other benchmarks have them."""
    source = Users(users, days)
    folder.mkdir(parents=True)
    files = []
    for number in range(days):
        day = FIRST + timedelta(days=number)
        rows = source.day(day)
        files.append(folder / f"{day}.parquet")
        with duckdb.connect() as connection:
            connection.register("rows", rows)
            connection.execute(f"copy rows to '{files[-1]}' (format parquet)")
    return files


def made_labels(path: Path, users: int, days: int, labels: int) -> None:
    """Write labels of those users, as `training_set` has them."""
    source = Users(users, days)
    closed, active = (source.ids(closed=closed, count=users) for closed in (True, False))
    write_labels(path, [*active, *closed], labels, days)


def _read(files: Sequence[str | Path]) -> str:
    return f"read_parquet({[str(file) for file in files]!r}, hive_partitioning = false)"


def _copy(query: str, out: Path) -> int:
    with duckdb.connect() as connection:
        connection.execute(f"copy ({query}) to '{out}' (format parquet)")
        [(count,)] = connection.execute(f"select count(*) from '{out}'").fetchall()
    return int(count)
