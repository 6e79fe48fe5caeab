"""Spans: always what a full recomputation over all rows would give."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materializer.offline import activity as spans
from materializer.offline.activity import extend_spans, merge_spans
from materializer.offline.catalog import (
    described_snapshot,
    metadata_location,
    spans_name,
    table_name,
)
from materializer.offline.write import SORTER_MEMORY
from materializer.sql import open_engine
from tests.materializer.offline_fixtures import GROUP, day_of, publish, store, update
from tests.support.profile import examples

Presence = Mapping[str, frozenset[int]]
Span = tuple[str, int, int]

SCHEMA = pa.schema(
    [("user_id", pa.large_string()), ("first_day", pa.date32()), ("last_day", pa.date32())]
)

_days = st.frozensets(st.integers(0, 11))
_presence = st.dictionaries(st.sampled_from(["a", "b", "ab", "c'"]), _days)


def spans_of(presence: Presence) -> list[Span]:
    """Recompute all spans the plain way."""
    found = []
    for entity, days in presence.items():
        for first in sorted(days):
            if first - 1 in days:
                continue
            last = first
            while last + 1 in days:
                last += 1
            found.append((entity, first, last))
    return sorted(found)


def stream(schema: pa.Schema, rows: Iterable[Sequence[object]]) -> pa.RecordBatchReader:
    columns: list[Sequence[object]] = [*zip(*rows, strict=True)] or [[]] * len(schema)
    return pa.table(columns, schema=schema).to_reader()


def span_stream(spans: Iterable[Span]) -> pa.RecordBatchReader:
    return stream(SCHEMA, [(entity, day_of(a), day_of(b)) for entity, a, b in spans])


def replaced(
    old: Iterable[Span], changed: Sequence[int], rows: Iterable[tuple[str, int]]
) -> list[Span]:
    new = list(rows)
    row_schema = pa.schema([("user_id", pa.large_string()), ("day", pa.date32())])
    # In two parts, as a long history is.
    parts = (
        stream(row_schema, [(e, day_of(d)) for e, d in part]) for part in (new[::2], new[1::2])
    )
    days = [day_of(n) for n in changed]
    with open_engine(SORTER_MEMORY) as (connection, _):
        batches = list(merge_spans(connection, ["user_id"], span_stream(old), days, parts))
    return in_days(row for batch in batches for row in batch.to_pylist())


def in_days(rows: Iterable[Mapping[str, Any]]) -> list[Span]:
    return [
        (r["user_id"], (r["first_day"] - day_of(0)).days, (r["last_day"] - day_of(0)).days)
        for r in rows
    ]


@settings(max_examples=examples(150), deadline=None)
@given(before=_presence, after=_presence, changed=_days)
def test_cutting_and_merging_equals_a_full_recomputation(
    before: Presence, after: Presence, changed: frozenset[int]
) -> None:
    now = {
        entity: (before.get(entity, frozenset()) - changed)
        | (after.get(entity, frozenset()) & changed)
        for entity in {*before, *after}
    }
    rows = [(e, d) for e, days in sorted(after.items()) for d in sorted(days & changed)]

    assert replaced(spans_of(before), sorted(changed), rows) == spans_of(now)


@settings(max_examples=examples(100), deadline=None)
@given(before=_presence, after=st.lists(st.sampled_from(["a", "b", "ab", "c'", "new"])))
def test_one_more_day_equals_a_full_recomputation(before: Presence, after: list[str]) -> None:
    now = {
        entity: before.get(entity, frozenset()) | ({12} if entity in after else frozenset())
        for entity in {*before, *after}
    }
    rows = stream(pa.schema([SCHEMA.field("user_id")]), [(entity,) for entity in after])
    with open_engine(SORTER_MEMORY) as (connection, _):
        old = span_stream(spans_of(before))
        batches = list(extend_spans(connection, ["user_id"], old, rows, day_of(12)))
    assert in_days(row for batch in batches for row in batch.to_pylist()) == spans_of(now)


def published_spans(home: Path) -> list[Span]:
    return in_days(store(home).load_table(spans_name(GROUP.name)).scan().to_arrow().to_pylist())


@settings(max_examples=examples(8), deadline=None)
@given(steps=st.lists(st.tuples(_presence, _days), min_size=1, max_size=3))
def test_after_any_publishes_the_spans_table_is_that_of_all_rows(
    steps: list[tuple[Presence, frozenset[int]]],
) -> None:
    now: dict[str, frozenset[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for number, (presence, days) in enumerate(steps):
            history = {
                day_of(n): {e: n for e, there in presence.items() if n in there} for n in days
            }
            publish(store(home), history, sequence=number)
            now = {
                e: (now.get(e, frozenset()) - days) | (presence.get(e, frozenset()) & days)
                for e in {*now, *presence}
            }
            if any(d for _, d in steps[: number + 1]):
                assert published_spans(home) == spans_of(now)


def test_a_long_history_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_CHUNK", 3)

    publish(store(tmp_path), {day_of(n): {"a": 1, "b": 1} for n in range(7) if n != 4})

    assert published_spans(tmp_path) == [("a", 0, 3), ("a", 5, 6), ("b", 0, 3), ("b", 5, 6)]


def test_spans_name_the_snapshot_they_describe_and_follow_foreign_commits(tmp_path: Path) -> None:
    catalog = store(tmp_path)
    publish(catalog, {day_of(0): {"a": 1}, day_of(1): {"a": 1}})
    table = catalog.load_table(table_name(GROUP.name))
    table.delete(f"day = '{day_of(0)}'")

    update(catalog)
    location = metadata_location(catalog, spans_name(GROUP.name))
    update(catalog)
    assert metadata_location(catalog, spans_name(GROUP.name)) == location
    assert published_spans(tmp_path) == [("a", 1, 1)]
    current = catalog.load_table(table_name(GROUP.name)).current_snapshot()
    assert current is not None
    described = described_snapshot(catalog.load_table(spans_name(GROUP.name)))
    assert described == current.snapshot_id


def test_spans_are_made_again_when_what_they_described_was_expired(tmp_path: Path) -> None:
    catalog = store(tmp_path)
    publish(catalog, {day_of(0): {"a": 1}, day_of(1): {"a": 1}})
    first = catalog.load_table(table_name(GROUP.name)).current_snapshot()
    assert first is not None
    catalog.load_table(table_name(GROUP.name)).delete(f"day = '{day_of(0)}'")
    table = catalog.load_table(table_name(GROUP.name))
    table.maintenance.expire_snapshots().by_id(first.snapshot_id).commit()

    update(catalog)
    assert published_spans(tmp_path) == [("a", 1, 1)]


def test_a_day_without_rows_between_two_ends_the_spans(tmp_path: Path) -> None:
    publish(store(tmp_path), {day_of(0): {"a": 1, "b": 1}, day_of(1): {"a": 1}})
    publish(store(tmp_path), {day_of(3): {"a": 1, "c": 1}}, sequence=2)
    publish(store(tmp_path), {day_of(4): {"a": 1, "b": 1}}, sequence=3)

    assert published_spans(tmp_path) == [
        *[("a", 0, 1), ("a", 3, 4), ("b", 0, 0), ("b", 4, 4), ("c", 3, 3)]
    ]


def test_only_the_newest_spans_stay_on_disk(tmp_path: Path) -> None:
    for number in range(8):
        publish(store(tmp_path), {day_of(number): {"a": 1}}, sequence=number)

    folder = tmp_path / "iceberg" / "data" / "feature_store" / f"_spans_{GROUP.name}"
    assert len(list((folder / "data").iterdir())) == 3
    assert len(store(tmp_path).load_table(spans_name(GROUP.name)).snapshots()) == 3
    assert published_spans(tmp_path) == [("a", 0, 7)]
