"""
What runs in Feast's environment: apply, materialize, join, and answers to check.

Owns the definitions of the feature view and the calls of Feast. Refuses everything else: it gets
JSON, prints JSON as its last line, and imports nothing of this project.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Int64, String

VIEW = "features_daily"
SERVICE = "served"
TYPES = {
    "day": String,
    "event_count_7d": Int64,
    "event_count_30d": Int64,
    "last_event_days_ago": Int64,
    "event_type_counts": String,
}
# Feast asks for a start and an end, and every row is meant.
START = datetime(2000, 1, 1, tzinfo=UTC)


def apply(repository: str) -> FeatureStore:
    """Register the entity, the view of the repository's rows, and a service of all features."""
    store = FeatureStore(repo_path=repository)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[user],
        schema=[
            Field(name="user_id", dtype=String),
            *(Field(name=name, dtype=dtype) for name, dtype in TYPES.items()),
        ],
        source=FileSource(
            path=str((Path(repository) / "rows").resolve()),
            file_format=ParquetFormat(),
            timestamp_field="available_at",
        ),
    )
    store.apply([user, view, FeatureService(name=SERVICE, features=[view])])
    return store


def registered(options: dict[str, Any]) -> dict[str, Any]:
    """Apply alone."""
    apply(options["repository"])
    return {}


def push(options: dict[str, Any]) -> dict[str, Any]:
    """Apply and materialize; the time is that of the materialization."""
    store = apply(options["repository"])
    # Of no rows, so that what Feast loads late is loaded.
    store.materialize(START, START + timedelta(days=1))
    started = time.perf_counter()
    store.materialize(START, datetime.now(UTC))
    return {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}


def join(options: dict[str, Any]) -> dict[str, Any]:
    """Join labels into a Parquet file several times; the first one also imports, and is dropped."""
    store = apply(options["repository"])
    features = [f"{VIEW}:{name}" for name in TYPES]
    whole, joins = [], []
    for _ in range(options["runs"] + 1):
        started = time.perf_counter()
        labels = pd.read_parquet(options["labels"]).rename(columns={"as_of_ts": "event_timestamp"})
        read = time.perf_counter()
        job = store.get_historical_features(entity_df=labels, features=features)
        table = job.to_arrow() if options["form"] == "arrow" else job.to_df()
        joined = time.perf_counter()
        if options["form"] == "arrow":
            pq.write_table(table, options["out"])
        else:
            table.to_parquet(options["out"], coerce_timestamps="us")
        whole.append(time.perf_counter() - started)
        joins.append(joined - read)
    return {"seconds": whole[1:], "join_seconds": joins[1:], "peak_mb": peak_mb()}


def answers(options: dict[str, Any]) -> dict[str, Any]:
    """Read some users' features from the online store."""
    store = FeatureStore(repo_path=options["repository"])
    found = store.get_online_features(
        features=[f"{VIEW}:{name}" for name in TYPES],
        entity_rows=[{"user_id": user} for user in options["users"]],
    )
    answer: dict[str, Any] = found.to_dict()
    return answer


def peak_mb() -> float:
    """Return this process's largest resident size [MB]."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux carries ru_maxrss over from the parent when a process is started from it.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    command = {"apply": registered, "push": push, "join": join, "answers": answers}[sys.argv[1]]
    print(json.dumps(command(json.loads(sys.argv[2]))))
