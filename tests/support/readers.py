"""
Every reader of one group, asked the same: what is the row of an entity at a time?

An answer is the row's clicks, or None where there is no row. Offline lookups also say why: their
answers are checked against the code that the oracle expects.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from werkzeug.test import Client

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.get import get
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import publish_days
from materializer.offline.snapshot import open_snapshot
from materializer.online.push import PushOptions, push_group
from materializer.registry import FeatureGroup
from materializer.training.build import training_set
from materializer.training.request import TrainingSetRequest
from materializer.training.verify import verify_training
from materializer.views.definition import Feature, Join, ViewVersion
from materializer.views.push import push_view
from materializer.views.versions import PublishedVersion, record_version
from serve import create_app
from serve.errors import MISSES
from serve.stores.stores import Stores
from tests.support.group import rows_table
from tests.support.server import Server
from tests.support.sets import Row, row_at

VIEW = "asked"
# An entity and a time.
Question = tuple[str, datetime]
Answers = dict[Question, Any]


@dataclass
class Readers:
    """
    Both stores of one group, and everything that reads them.

    Attributes:
        compiled: The SQL of dbt's join of `labels` with the group.
        ledger: The relations in which that SQL finds group, labels and built days.
    """

    home: Path
    group: FeatureGroup
    server: Server
    compiled: str

    def publish(self, rows: Sequence[Row], built: Sequence[date], changed: Sequence[date]) -> None:
        """Publish the rows of some days, and which days are built."""
        with self._catalog() as catalog:
            publish_days(
                catalog,
                self.group,
                days=changed,
                rows=lambda day: rows_table(self.group, [r for r in rows if r["day"] == day]),
                warehouse_id="warehouse",
                ledger_sequence=1,
                built_days=sorted(built),
                allow_removals=True,
            )

    def push(self, now: datetime) -> None:
        """Push the group, and a view that has its clicks."""
        with self._catalog() as catalog:
            snapshot, options = (
                open_snapshot(catalog, self.group.name),
                PushOptions(allow_older=True),
            )
            push_group(snapshot, self.server.client(), now=now, options=options)
            join = Join(self.group.name, self.group.name, {"user_id": "user_id"}, "null")
            clicks = Feature("clicks", "int64", self.group.name, "clicks")
            version = ViewVersion(
                VIEW, "", None, "set", "label", "2024-01-01", 1, self.group.keys, (join,), (clicks,)
            )
            kept = PublishedVersion(VIEW, version.id, datetime(2024, 1, 1), "", version.text)
            record_version(catalog, kept, keep=None)
            push_view(VIEW, [kept], self.server.client(), store_id="store", now=now)

    @contextmanager
    def _catalog(self) -> Iterator[Any]:
        catalog = open_catalog(Settings(self.home), environ={})
        try:
            yield catalog
        finally:
            catalog.close()

    def expected(
        self, rows: Sequence[Row], built: Sequence[date], questions: Sequence[Question]
    ) -> tuple[Answers, dict[Question, str | None]]:
        """Return what plain Python answers, and the code of why there is no row."""
        found = {
            (user, at): row_at(self.group, [r for r in rows if r["user_id"] == user], at, built)
            for user, at in questions
        }
        answers = {
            key: row["clicks"] if isinstance(row, dict) else None for key, row in found.items()
        }
        codes = {key: None if isinstance(row, dict) else MISSES[row] for key, row in found.items()}
        return answers, codes

    # Training

    def trained(
        self, rows: Sequence[Row], built: Sequence[date], questions: Sequence[Question]
    ) -> Iterator[tuple[str, Answers]]:
        """Ask what labels see."""
        labels = pa.table(
            {
                "user_id": [user for user, _ in questions],
                "label": [1.0] * len(questions),
                "as_of_ts": pa.array([at for _, at in questions], pa.timestamp("us")),
            }
        )
        yield "dbt", self._join_of_dbt(rows, built, labels)
        path, out = self.home / "labels.parquet", self.home / "set.parquet"
        pq.write_table(labels, path)
        settings, console = Settings(self.home), Console(as_json=True, out=io.StringIO())
        request = TrainingSetRequest((self.group.name,), "as_of_ts", {}, ("clicks",), prefix=False)
        assert training_set(settings, path, request, out, console, force=True) == 0
        yield "training-set", _answers(pq.read_table(out).to_pylist())
        receipt = out.with_name(f"{out.name}.receipt.json")
        # It runs the plain SQL of the receipt.
        assert verify_training(settings, receipt, console) == 0, "verify-training"

    def _join_of_dbt(self, rows: Sequence[Row], built: Sequence[date], labels: pa.Table) -> Answers:
        with duckdb.connect() as connection:
            connection.execute(
                "attach ':memory:' as warehouse; create schema warehouse.feature_store"
            )
            ledger = pa.table(
                {
                    "model": [self.group.unique_id] * len(built),
                    "sequence": [1] * len(built),
                    "reason": ["missing"] * len(built),
                    "day": pa.array(list(built), pa.date32()),
                }
            )
            tables = {
                self.group.name: rows_table(self.group, rows),
                "stg_labels": labels,
                "build_ledger": ledger,
            }
            for name, table in tables.items():
                connection.register("given", table)
                connection.execute(f"create table warehouse.feature_store.{name} as from given")
            rows_of_set = connection.execute(self.compiled).fetchall()
            return {(user, at): clicks for user, at, clicks in rows_of_set}

    # Lookups of the offline store

    def offline(self, now: datetime, questions: Sequence[Question]) -> Iterator[tuple[str, Any]]:
        """Ask the offline routes; each answer with its code."""
        with self._application(now) as (_, fast, _):
            route, keys = f"/feature-groups/{self.group.name}/offline", []
            single = {}
            for user, at in questions:
                as_of = _text(at)
                keys.append({"user_id": user, "as_of": as_of})
                body = fast.get(route, query_string={"user_id": user, "as_of": as_of}).json
                single[user, at] = _one(body)
            yield "GET offline", single
            body = fast.post(route, json={"keys": keys}).json
            yield "POST offline", _many(body, questions)
            vectors: dict[Question, Any] = {}
            some: dict[Question, Any] = {}
            for at in {at for _, at in questions}:
                users = [user for user, time in questions if time == at]
                sent = {"keys": [{"user_id": user} for user in users], "as_of": _text(at)}
                body = fast.post(f"/feature-views/{VIEW}/vector", json=sent).json
                vectors |= _vectors(body, self.group.name, users, at)
                some |= {(users[0], at): self._vector(fast, users[0], at)}
            yield "vectors offline", vectors
            yield "vector offline", {**vectors, **some}

    # Lookups of the online store

    def online(
        self, times: Sequence[datetime], users: Sequence[str]
    ) -> Iterator[tuple[str, Answers]]:
        """Ask everything that reads the online store, at some times; without codes."""
        with self._application(times[0]) as (stores, *ways):
            for at in times:
                stores.settings = Settings(self.home, at.replace(tzinfo=UTC), self.server.url)
                for way, client in zip(("fast path", "Flask"), ways, strict=True):
                    yield from self._online(way, client, at, users)
                yield "get", {(user, at): self._get(user, stores.settings) for user in users}

    def _online(
        self, way: str, client: Client, at: datetime, users: Sequence[str]
    ) -> Iterator[tuple[str, Answers]]:
        route, keys = f"/feature-groups/{self.group.name}/online", [{"user_id": u} for u in users]
        questions = [(user, at) for user in users]
        yield (
            f"GET online, {way}",
            {
                (user, at): _one(client.get(route, query_string={"user_id": user}).json)[0]
                for user in users
            },
        )
        found = _many(client.post(route, json={"keys": keys}).json, questions)
        yield f"POST online, {way}", {question: value for question, (value, _) in found.items()}
        body = client.post(f"/feature-views/{VIEW}/vector", json={"keys": keys}).json
        vectors = _vectors(body, self.group.name, users, at)
        yield "vectors online", {question: value for question, (value, _) in vectors.items()}
        yield "vector online", {(user, at): self._vector(client, user, None)[0] for user in users}

    def _get(self, user: str, settings: Settings) -> Any:
        out = io.StringIO()
        get(settings, self.group, [user], Console(as_json=True, out=out))
        row = json.loads(out.getvalue())["row"]
        return None if row is None else row["clicks"]

    def _vector(self, client: Client, user: str, at: datetime | None) -> tuple[Any, str | None]:
        sent = {"keys": {"user_id": user}, **({"as_of": _text(at)} if at else {})}
        body: Any = client.post(f"/feature-views/{VIEW}/vector", json=sent).json
        return body["vector"][0], body["groups"][self.group.name]["missing"]

    @contextmanager
    def _application(self, now: datetime) -> Iterator[tuple[Stores, Client, Client]]:
        """Give clients of the application, with the fast path in front of it and without."""
        stores = Stores(Settings(self.home, now.replace(tzinfo=UTC), self.server.url))
        app = create_app(stores=stores)
        try:
            yield stores, Client(app), Client(app.wsgi_app.flask)  # type: ignore[attr-defined]
        finally:
            stores.close()


def _text(at: datetime) -> str:
    return format_time(at.replace(tzinfo=UTC))


def _answers(rows: Sequence[Mapping[str, Any]]) -> Answers:
    return {(row["user_id"], row["as_of_ts"]): row["clicks"] for row in rows}


def _one(body: Any) -> tuple[Any, str | None]:
    if "error" in body:
        assert body["error"]["code"] in MISSES.values(), body
        return None, body["error"]["code"]
    return body["features"]["clicks"], None


def _many(body: Any, questions: Sequence[Question]) -> dict[Question, tuple[Any, str | None]]:
    index = body["columns"].index("clicks")
    values = [row[index] for row in body["rows"]]
    return dict(zip(questions, zip(values, body["missing"], strict=True), strict=True))


def _vectors(
    body: Any, group: str, users: Sequence[str], at: datetime
) -> dict[Question, tuple[Any, str | None]]:
    values = [vector[0] for vector in body["vectors"]]
    missing = body["groups"][group]["missing"]
    questions = [(user, at) for user in users]
    return dict(zip(questions, zip(values, missing, strict=True), strict=True))
