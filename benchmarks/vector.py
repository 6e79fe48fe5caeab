"""
What a vector costs over HTTP, next to a server that does nothing but read the same keys.

Publishes and pushes three groups and a view of 20 features over them, all through the materializer,
starts the server, and drives it with `wrk`, which must be on PATH. The bare server is the same
process model on the same Redis: one MGET of the same keys, their bytes as they are. Times are seen
by the client; CPU is that of all the server's processes, without Redis and without `wrk`.

    python -m benchmarks.vector --users 20000
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pyarrow as pa

from benchmarks.offline_lookup import FIRST
from benchmarks.report import Bar, print_bars
from benchmarks.serve import drive, running
from materializer.config import Settings
from materializer.offline.catalog import ensure_store, open_catalog
from materializer.offline.publish import publish_days
from materializer.offline.snapshot import open_snapshot
from materializer.online import codec, embedded
from materializer.online.connection import connect
from materializer.online.push import push_group
from materializer.registry import Column, FeatureGroup
from materializer.views.definition import Feature, FittedStep, Join, ViewVersion
from materializer.views.push import push_view
from materializer.views.versions import PublishedVersion
from tests.support.group import GROUP

VIEW = "bench"
ROUTE = f"/feature-views/{VIEW}/vector"
BODIES = 500
Runs = Mapping[str, Sequence[Mapping[str, float]]]
LEVELS = ["bronze", "gold", "silver"]


def group(name: str, key: str, numbers: int, levels: int) -> FeatureGroup:
    """Make a group of one key column, with so many doubles and texts."""
    columns = [
        *(Column(f"{name}_n{n}", "double") for n in range(numbers)),
        *(Column(f"{name}_l{n}", "string") for n in range(levels)),
    ]
    return replace(
        GROUP,
        name=name,
        entity=(key,),
        key_prefix=f"features:{name}",
        columns=(
            Column(key, "string"),
            Column("day", "date"),
            *columns,
            Column("available_at", "timestamp"),
        ),
    )


GROUPS = (
    group("profile", "user_id", 5, 2),
    group("activity", "user_id", 7, 0),
    group("item", "item_id", 4, 2),
)


def rows(of: FeatureGroup, count: int) -> pa.Table:
    """Make one row for each of so many entities."""
    key = of.entity[0]
    made = [
        f"printf('{key[0]}%07d', i) as {key}",
        f"date '{FIRST}' as day",
        *(
            f"hash(i, '{column.name}') % 100000 / 7.0 as {column.name}"
            if column.type == "double"
            else f"{LEVELS}[(1 + hash(i, '{column.name}') % 3)::bigint] as {column.name}"
            for column in of.columns[2:-1]
        ),
        f"timestamp '{FIRST}' + interval 1 day as available_at",
    ]
    with duckdb.connect() as connection:
        return connection.sql(
            f"select {', '.join(made)} from range({count}) as t (i)"
        ).to_arrow_table()


def version() -> ViewVersion:
    """Make the view: doubles are scaled, some after their logarithm; levels become columns."""
    scaled = FittedStep("scale", {"mean": 7000.0, "scale": 4000.0})
    log = FittedStep("log1p", {})
    features = []
    for one in GROUPS:
        for number, column in enumerate(one.columns[2:-1]):
            steps: tuple[FittedStep, ...] = (scaled,) if number % 3 else (log, scaled)
            if column.type == "string":
                steps = (FittedStep("one_hot_encode", {"categories": LEVELS}),)
            features.append(Feature(column.name, column.type, one.name, column.name, steps))
    return ViewVersion(
        view=VIEW,
        description="",
        owner=None,
        training_set="bench_training",
        label="label",
        train_until="2024-01-01",
        fitted_on_rows=1,
        keys=(Column("user_id", "string"), Column("item_id", "string")),
        joins=tuple(
            Join(one.name, one.name, {one.entity[0]: one.entity[0]}, "null") for one in GROUPS
        ),
        features=tuple(features),
    )


def fill(settings: Settings, users: int) -> None:
    """Publish and push the groups, and push the view."""
    catalog = open_catalog(settings, environ={})
    now = settings.now()
    new = version()
    try:
        with connect(settings, timeout=60) as client:
            for one in GROUPS:
                table = rows(one, users)

                def whole(day: date, table: pa.Table = table) -> pa.Table:
                    return table

                publish_days(
                    catalog,
                    one,
                    days=[FIRST],
                    rows=whole,
                    warehouse_id="benchmark",
                    ledger_sequence=1,
                )
                push_group(open_snapshot(catalog, one.name), client, now=now)
            at = now.replace(tzinfo=None)
            published = PublishedVersion(VIEW, new.id, at, "bench", new.text)
            push_view(VIEW, [published], client, store_id=ensure_store(catalog), now=now)
    finally:
        catalog.close()


@dataclass(frozen=True, slots=True)
class Load:
    """
    One kind of request.

    Attributes:
        name: What it asks for.
        target: Route of the server.
        bodies: Bodies, sent in turn.
        keys: Of each body, the online keys that it needs.
    """

    name: str
    target: str
    bodies: Sequence[Any]
    keys: Sequence[Sequence[str]]


def loads(users: int) -> list[Load]:
    """Make every kind of request, for entities picked at random."""
    chance = random.Random(1)

    def one(user: int | None = None) -> dict[str, str]:
        user = chance.randrange(users) if user is None else user
        return {"user_id": f"u{user:07}", "item_id": f"i{chance.randrange(users):07}"}

    def vectors(name: str, bodies: Sequence[Any]) -> Load:
        request = [{"keys": body} for body in bodies]
        return Load(name, ROUTE, request, [_vector_keys(body) for body in bodies])

    crowds = [chance.randrange(users) for _ in range(BODIES // 5)]
    batches = [[{"user_id": one()["user_id"]} for _ in range(1000)] for _ in range(BODIES // 20)]
    return [
        vectors("1 vector", [one() for _ in range(BODIES)]),
        vectors("100 vectors", [[one() for _ in range(100)] for _ in crowds]),
        vectors("100 items of 1 user", [[one(user) for _ in range(100)] for user in crowds]),
        Load(
            "1,000 rows of a group",
            "/feature-groups/profile/online",
            [{"keys": some} for some in batches],
            [[codec.key("features:profile", [key["user_id"]]) for key in some] for some in batches],
        ),
    ]


def _vector_keys(body: Any) -> list[str]:
    keys = body if isinstance(body, list) else [body]
    needed = [codec.view_key(VIEW)]
    for one in GROUPS:
        distinct = dict.fromkeys(key[one.entity[0]] for key in keys)
        needed.append(codec.meta_key(one.name))
        needed += [codec.key(one.key_prefix, [key]) for key in distinct]
    return needed


def check(port: int) -> None:
    """Stop unless a vector is whole."""
    body = json.dumps({"keys": {"user_id": "u0000001", "item_id": "i0000001"}}).encode()
    request = Request(f"http://127.0.0.1:{port}{ROUTE}", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        body = json.loads(answer.read())
    if len(body["vector"]) != len(body["columns"]) or None in body["vector"]:
        raise SystemExit(f"a vector is not whole: {body}")


def measure(
    settings: Settings, server: str, load: Sequence[Load], options: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Drive a server with every kind of request, several times each; the runs of each kind."""
    figures = {}
    with running(settings, server, 1) as (pid, _, port):
        if server != "bare":
            check(port)
        for one in load:
            bodies = one.keys if server == "bare" else one.bodies
            targets = [f"{one.target}\t{json.dumps(body)}" for body in bodies]
            # Before the clock starts, so that it measures a server that runs for a while.
            drive(port, targets, connections=1, seconds=1, pid=pid)
            runs = [
                drive(port, targets, connections=1, seconds=options.seconds, pid=pid)
                for _ in range(options.runs)
            ]
            if any(run["failed"] for run in runs):
                raise SystemExit(f"{server}: {one.name}: some requests failed")
            figures[one.name] = runs
    return figures


def bars(ours: Runs, bare: Runs) -> list[Bar]:
    """Compare CPU and the median time with the bare server's; there is no bar for them."""
    return [
        Bar(
            f"{name}, {what}",
            unit,
            [run[figure] for run in runs],
            "bare WSGI, the same keys",
            [run[figure] for run in bare[name]],
        )
        for name, runs in ours.items()
        for what, figure, unit in (
            ("CPU of a request", "cpu_us_per_request", "us"),
            ("p50", "p50_ms", "ms"),
        )
    ]


def main() -> None:
    """Measure and print; of each figure the median, the smallest and the largest of all runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=20_000, help="and as many items")
    parser.add_argument("--seconds", type=int, default=3, help="for each run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not on PATH")
    now = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=1)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder), fixed_now=now)
        try:
            fill(settings, options.users)
            load = loads(options.users)
            ours, bare = (
                measure(settings, server, load, options) for server in ("granian", "bare")
            )
        finally:
            embedded.stop(settings)
    compared = bars(ours, bare)
    print_bars(compared, options.json)


if __name__ == "__main__":
    main()
