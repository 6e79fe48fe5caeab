"""What the serving tests share: a group, its history in both stores, and ways to ask a server."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psutil
import pyarrow.compute as pc
import redis

from materializer.config import Settings, parse_time
from materializer.offline.publish import publish_days
from materializer.offline.snapshot import open_snapshot
from materializer.online.push import PushOptions, push_group
from materializer.registry import FeatureGroup
from serve import create_app
from serve.stores.stores import Stores
from tests.support.group import GROUP, make_group, rows_table
from tests.support.offline import catalog_at
from tests.support.server import SERVERS, Server, free_port

ROOT = Path(__file__).resolve().parents[2]

# The clock of the tests: the day after the newest one in the stores.
NOW = "2024-01-08T12:00:00Z"
FIRST = date(2024, 1, 1)
LAST = date(2024, 1, 7)

# A second group: two key columns, one of them a number, and its limits.
PAIRS = make_group(
    "pairs",
    {
        "user_id": "string",
        "item_id": "int64",
        "day": "date",
        "clicks": "int64",
        "share": "double",
        "known_at": "timestamp",
    },
    description="One row per (user_id, item_id, day).",
    entity=("user_id", "item_id"),
    available_at="known_at",
    availability_lag_hours=6,
    key_prefix="pairs",
    ttl_days=3,
    max_age_hours=None,
    owner="growth-ml",
)

Rows = Sequence[Mapping[str, object]]


def row(user: str, day: date, **changed: object) -> dict[str, object]:
    """One row, available at the midnight after its day."""
    midnight = datetime(day.year, day.month, day.day)
    return {
        "user_id": user,
        "day": day,
        "event_count_7d": 5,
        "event_count_30d": 15,
        "last_event_days_ago": 0,
        "event_type_counts": "3",
        "available_at": midnight + timedelta(days=1),
        "max_event_ts": midnight + timedelta(hours=9),
        **changed,
    }


def days_of(user: str, first: date = FIRST, last: date = LAST, **changed: object) -> Rows:
    """One row a day, each with its own `event_count_30d`: ten more than the day of the month."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [row(user, day, **{"event_count_30d": 10 + day.day, **changed}) for day in days]


def pair(user: str, item: int, day: date, **changed: object) -> dict[str, object]:
    """One row of `PAIRS`, available six hours after its day."""
    midnight = datetime(day.year, day.month, day.day)
    return {
        "user_id": user,
        "item_id": item,
        "day": day,
        "clicks": day.day,
        "share": 0.5,
        "known_at": midnight + timedelta(days=1, hours=6),
        **changed,
    }


def publish(home: Path, rows: Iterable[Mapping[str, object]], group: FeatureGroup = GROUP) -> None:
    """Replace the days of *rows*, as `materializer publish` does."""
    table = rows_table(group, rows)
    with catalog_at(home) as catalog:
        publish_days(
            catalog,
            group,
            days=sorted(set(table["day"].to_pylist())),
            rows=lambda day: table.filter(pc.field("day") == day),
            warehouse_id="warehouse-1",
            ledger_sequence=1,
            allow_removals=True,
        )


def push_all(
    home: Path, client: redis.Redis, group: FeatureGroup = GROUP, *, now: str = NOW
) -> None:
    """Bring everything online, as `materializer push --all` does."""
    with catalog_at(home) as catalog:
        snapshot = open_snapshot(catalog, group.name)
        snapshot = replace(snapshot, group=replace(group, store_id=snapshot.group.store_id))
        push_group(snapshot, client, now=parse_time(now), options=PushOptions(everything=True))


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @cached_property
    def body(self) -> Any:
        """The JSON of the answer; None for an answer without a body."""
        return json.loads(self.text) if self.text else None

    @property
    def code(self) -> str:
        """The error's code."""
        assert list(self.body) == ["error"], self.body
        assert list(self.body["error"]) == ["code", "message"], self.body
        code: str = self.body["error"]["code"]
        return code

    @property
    def message(self) -> str:
        """The error's message."""
        message: str = self.body["error"]["message"]
        return message

    def refused(self, status: int, code: str) -> str:
        """Fail unless this is that error, and return its message."""
        assert (self.status, self.code) == (status, code), self.text
        return self.message


class Http:
    """Requests, for whatever can answer them."""

    def send(self, target: str, method: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        raise NotImplementedError

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        return self.send(target, method, None, headers)

    def post(self, target: str, body: object, content_type: str = "application/json") -> Answer:
        """Send a body, as JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(target, "POST", raw, {"Content-Type": content_type})

    def online(self, user: str) -> Answer:
        return self.get(f"/features/online/{quote(user, safe='')}")

    def offline(self, user: str, as_of: str = NOW) -> Answer:
        return self.get(f"/features/offline/{quote(user, safe='')}?as_of={quote(as_of, safe='')}")


class Application(Http):
    """The application on real stores, in this process: for what does not depend on the server."""

    def __init__(
        self, home: Path, redis_url: str | None, *, now: str = NOW, token: str | None = None
    ) -> None:
        self.stores = Stores(Settings(home, parse_time(now), redis_url))
        self._app = create_app(stores=self.stores, token=token)

    def send(self, target: str, method: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        # A client of its own for each request, because threads may send them.
        client = self._app.test_client()
        response = client.open(target, method=method, data=body, headers=headers)
        known = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, known, response.get_data(as_text=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stores.close()


class FeatureServer(Http):
    """The real server, as `feature-server` starts it, in a process of its own."""

    def __init__(
        self,
        home: Path,
        redis_url: str | None,
        *options: str,
        patch: str = "",
        **env: str,
    ) -> None:
        self.port = free_port()
        self.output: list[str] = []
        # With a patch, such as another timeout, the same by another way.
        run = ["-c", f"{patch}\nimport sys, serve.__main__ as m; sys.exit(m.main())"]
        self._process = subprocess.Popen(
            [
                *(sys.executable, *(run if patch else ["-m", "serve"])),
                *("--port", str(self.port), *options),
            ],
            cwd=ROOT,
            env=environment(home, redis_url, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for("listening on")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, text: str, seconds: float = 20) -> None:
        until(lambda: text in "".join(self.output), seconds, lambda: "".join(self.output))

    def send(self, target: str, method: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Send one request, the target exactly as it is."""
        return ask(self.port, target, method=method, body=body, headers=headers)

    def terminate(self) -> int:
        """Stop it as an init system does, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.join()

    def join(self, seconds: float = 20) -> int:
        code = self._process.wait(seconds)
        self._reader.join(seconds)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        if self._process.returncode is None:
            self.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Store:
    """Both stores of one home: what is published there, and the Redis server it is pushed to."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.redis = Server(SERVERS["valkey"], folder / "server")

    def publish(self, rows: Iterable[Mapping[str, object]], group: FeatureGroup = GROUP) -> None:
        publish(self.home, rows, group)

    def push(self, group: FeatureGroup = GROUP, *, now: str = NOW) -> None:
        push_all(self.home, self.redis.client(), group, now=now)

    def application(self, *, now: str = NOW, token: str | None = None) -> Application:
        return Application(self.home, self.redis.url, now=now, token=token)

    def server(self, *options: str, patch: str = "", **env: str) -> FeatureServer:
        return FeatureServer(self.home, self.redis.url, *options, patch=patch, **env)


@contextmanager
def commands(server: Server) -> Iterator[dict[str, int]]:
    """Count the commands that a server is sent meanwhile, by their names."""
    watcher, sent = server.client(), dict[str, int]()
    watcher.config_resetstat()
    yield sent
    for name, stat in watcher.info("commandstats").items():
        if not name.startswith("cmdstat_config"):
            sent[name.removeprefix("cmdstat_")] = stat["calls"]


def environment(
    home: Path, redis_url: str | None, *, now: str | None = NOW, **env: str
) -> dict[str, str]:
    """The environment of a server on these stores, and of no others."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("PYICEBERG_", "FEATURE_", "REDIS_URL", "PROMETHEUS_"))
    }
    wanted = {"FEATURE_STORE_HOME": str(home), "FEATURE_STORE_NOW": now, "REDIS_URL": redis_url}
    return {**kept, **{name: value for name, value in wanted.items() if value}, **env}


def ask(
    port: int,
    target: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 20,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        raw = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, raw.decode())
    finally:
        connection.close()


def until(
    true: Callable[[], object], seconds: float = 20, explain: Callable[[], str] = lambda: ""
) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, explain() or "it did not become true in time"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_worker(server: FeatureServer) -> None:
    """Kill the one worker of a server, and wait until another answers."""
    (worker,) = children(server.pid)
    os.kill(worker, 9)

    def answers() -> bool:
        try:
            return server.online("user1").status == 200
        except OSError:
            return False

    until(lambda: children(server.pid) not in ([], [worker]), seconds=10)
    until(answers, seconds=10)
