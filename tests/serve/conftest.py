"""Stores filled once for the tests that only read, and a server on them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.serve.payments import fill
from tests.serve.support import FIRST, PAIRS, FeatureServer, Store, days_of, pair, row

BIG = 2**53 + 1

# Ids that a path could garble.
ODD_IDS = [
    "a/b",
    "/a",
    "a/",
    "//a//b//",
    "/",
    ".",
    "..",
    "../../health",
    "a?b=c&d#e",
    "%41",
    "100%",
    "%2F",
    "a b",
    "a+b",
    " ",
    "a;b=c",
    "a:b",
    "features:_meta:features_daily",
    'quote"\\back',
    "<script>",
    "tab\tline\nend\r\n",
    "\x00",
    "\x7f\x85\u2028",
    "é",
    "e\u0301",
    "日本語",
    "😀👩‍👩‍👧",
    "null",
    "007",
    "x" * 10_000,
    "😀" * 2_500,
]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give published days of two groups that were pushed. Only read them."""
    store = Store(tmp_path_factory.mktemp("filled"))
    store.publish(
        [
            *days_of("user1"),
            *days_of("late", date(2024, 1, 5)),
            *days_of("closed", last=date(2024, 1, 3)),
            row("nulls", date(2024, 1, 7), last_event_days_ago=None, event_count_30d=0),
            row("big", date(2024, 1, 7), event_count_30d=BIG),
            *(row(odd, date(2024, 1, 7), event_count_30d=n) for n, odd in enumerate(ODD_IDS)),
            *(row(f"many{n}", FIRST, event_count_30d=n) for n in range(50)),
        ]
    )
    store.push()
    store.publish(
        [
            *(pair("user1", item, date(2024, 1, day)) for item in (1, 2) for day in (5, 6, 7)),
            pair("old", 1, date(2024, 1, 2)),
            *(pair(odd, n, date(2024, 1, 7)) for n, odd in enumerate(ODD_IDS)),
        ],
        PAIRS,
    )
    # The clock of the tests is years behind the one by which Redis drops keys.
    store.push(replace(PAIRS, ttl_days=None))
    yield store
    store.redis.close()


@pytest.fixture(scope="session")
def http(filled: Store) -> Iterator[FeatureServer]:
    """Give the real server on the filled stores. Only ask it."""
    with filled.server() as server:
        yield server


@pytest.fixture(scope="session")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give both stores with a feature view and its groups. Only read them."""
    store = Store(tmp_path_factory.mktemp("payments"))
    fill(store.home, store.redis.client())
    yield store
    store.redis.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Give empty stores of the test's own."""
    made = Store(tmp_path)
    yield made
    made.redis.close()
