"""
A feature view for the serving tests: payments, made of two groups of which one is joined twice.

The versions are published and pushed as the materializer does it, their parameters are round
numbers; so each vector can be worked out by hand.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import redis

from materializer.config import parse_time
from materializer.online.push import PushOptions
from materializer.registry import Column
from materializer.views.definition import Feature, FittedStep, Join, ViewVersion
from materializer.views.push import push_view
from materializer.views.versions import PublishedVersion, record_version
from tests.serve.support import NOW, publish, push_all
from tests.support.group import make_group
from tests.support.offline import catalog_at

VIEW = "payments"
STORE = "store-1"
ROUTE = f"/feature-views/{VIEW}/vector"

ACCOUNTS = make_group(
    "accounts",
    {
        "account": "string",
        "day": "date",
        "balance": "double",
        "level": "string",
        "score": "decimal(9,2)",
        "opened": "date",
        "is_new": "boolean",
        "taste": "array<double>",
        "available_at": "timestamp",
    },
    entity=("account",),
)
# A second group, with a number as its key and a limit.
DEVICES = make_group(
    "devices",
    {"device": "int64", "day": "date", "uses": "int64", "available_at": "timestamp"},
    entity=("device",),
    ttl_days=3,
    max_age_hours=None,
)


def account(name: str, day: date, **changed: object) -> dict[str, object]:
    """One row of `ACCOUNTS`, available at the midnight after its day."""
    return {
        "account": name,
        "day": day,
        "balance": 10.0 + day.day,
        "level": "gold",
        "score": Decimal("1.50"),
        "opened": date(2023, 5, 6),
        "is_new": True,
        "taste": [0.5, None],
        "available_at": datetime(day.year, day.month, day.day + 1),
        **changed,
    }


def device(number: int, day: date, **changed: object) -> dict[str, object]:
    """One row of `DEVICES`, available at the midnight after its day."""
    return {
        "device": number,
        "day": day,
        "uses": day.day,
        "available_at": datetime(day.year, day.month, day.day + 1),
        **changed,
    }


SENDER, RECEIVER = "sender_accounts", "receiver_accounts"
JOINS = (
    Join(SENDER, "accounts", {"account": "sender"}, "null"),
    Join(RECEIVER, "accounts", {"account": "receiver"}, "impute"),
    Join("devices", "devices", {"device": "device"}, "error"),
)
# What only a request can bring, and a value of each.
SENT: Mapping[str, Any] = {
    "amount": 0.0,
    "memo": "rent",
    "count": 7,
    "fee": "0.10",
    "is_first": False,
    "paid_on": "2024-01-08",
    "paid_at": "2024-01-08T12:00:00Z",
    "tags": ["a"],
}
_SENT_TYPES = {
    "amount": "double",
    "memo": "string",
    "count": "int64",
    "fee": "decimal(9,2)",
    "is_first": "boolean",
    "paid_on": "date",
    "paid_at": "timestamp",
    "tags": "array<string>",
}


def _feature(name: str, kind: str, join: str, *steps: tuple[str, Mapping[str, Any]]) -> Feature:
    column = name.partition("_")[2]
    return Feature(name, kind, join, column, tuple(FittedStep(*step) for step in steps))


FIRST_VERSION = ViewVersion(
    view=VIEW,
    description="Is a payment a fraud?",
    owner="risk",
    training_set="payments_training",
    label="is_fraud",
    train_until="2024-01-01",
    fitted_on_rows=100,
    keys=(Column("sender", "string"), Column("receiver", "string"), Column("device", "int64")),
    joins=JOINS,
    features=(
        _feature("sender_balance", "double", SENDER, ("scale", {"mean": 13.0, "scale": 2.0})),
        _feature(
            "sender_level", "string", SENDER, ("one_hot_encode", {"categories": ["gold", "tin"]})
        ),
        _feature("sender_score", "decimal(9,2)", SENDER),
        _feature("sender_is_new", "boolean", SENDER),
        _feature("sender_taste", "array<double>", SENDER),
        _feature(
            "receiver_level", "string", RECEIVER, ("one_hot_encode", {"categories": ["gold"]})
        ),
        _feature("receiver_score", "decimal(9,2)", RECEIVER, ("impute", {"value": 2.5})),
        Feature("uses", "int64", "devices", "uses"),
        Feature("amount", "double", None, None, (FittedStep("log1p", {}),)),
        *(Feature(name, _SENT_TYPES[name], None, None) for name in SENT if name != "amount"),
    ),
)
# What the parameters become when they are fitted again.
SECOND_VERSION = replace(
    FIRST_VERSION,
    train_until="2024-01-05",
    features=(
        replace(
            FIRST_VERSION.features[0], steps=(FittedStep("scale", {"mean": 17.0, "scale": 1.0}),)
        ),
        *FIRST_VERSION.features[1:],
    ),
)

KEY: Mapping[str, Any] = {"sender": "ann", "receiver": "bob", "device": 1}


def fill(home: Path, client: redis.Redis) -> None:
    """Publish and push both groups and the first version."""
    days = [date(2024, 1, day) for day in range(1, 8)]
    publish(
        home,
        [
            *(account("ann", day) for day in days),
            *(account("bob", day, level="tin", score=Decimal("9.99")) for day in days),
            # Known from the fifth on, and nothing is known of him.
            account("nil", days[4], balance=None, level=None, score=None, is_new=None, taste=None),
        ],
        ACCOUNTS,
    )
    publish(
        home,
        [
            *(device(1, day) for day in days),
            # Available on the fourth, so it expires on the seventh.
            device(2, days[2]),
        ],
        DEVICES,
    )
    push_all(home, client, ACCOUNTS)
    # The clock of the tests is years behind the one by which Redis drops keys.
    push_all(home, client, replace(DEVICES, ttl_days=None))
    _record(home, FIRST_VERSION)
    put(client, FIRST_VERSION)


def put(client: redis.Redis, *some: ViewVersion, everything: bool = False) -> None:
    """Make these the versions that are online, the newest last, as `materializer push` does."""
    at = parse_time(NOW)
    push_view(
        VIEW,
        [
            PublishedVersion(VIEW, one.id, at.replace(tzinfo=None), "build-1", one.text)
            for one in some
        ],
        client,
        store_id=STORE,
        now=at,
        options=PushOptions(everything=everything),
    )


def _record(home: Path, version: ViewVersion) -> None:
    fitted_at = parse_time(NOW).replace(tzinfo=None)
    new = PublishedVersion(VIEW, version.id, fitted_at, "build-1", version.text)
    with catalog_at(home) as catalog:
        record_version(catalog, new, keep=None)
