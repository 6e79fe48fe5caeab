"""
The verdict on a receipt: identical, or the first thing that differs.

Owns how it is said, for a training set that dbt built and for one made on demand.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.catalog import Catalog

from materializer.console import Console
from materializer.errors import DONE, FAILED, UsageError
from materializer.offline.catalog import store_id


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Why a training set is not what its receipt says.

    Attributes:
        what: The input, or the part of the receipt, that differs.
        why: How, in words.
    """

    what: str
    why: str


def gone(name: str, snapshot_id: int | None) -> Difference:
    """Say that a snapshot is not there any more."""
    return Difference(name, f"its snapshot {snapshot_id} is gone")


def require_store(tag: str, theirs: str, catalog: Catalog) -> None:
    """
    Refuse the receipt of another store.

    Raises:
        UsageError: It is one.
    """
    ours = store_id(catalog)
    if theirs != ours:
        raise UsageError(
            f"{tag} was published in store {theirs}, and this is "
            f"{'an empty one' if ours is None else f'store {ours}'}; "
            "set FEATURE_STORE_HOME, or the catalog"
        )


def say_verdict(
    path: Path,
    tag: str,
    rows: int,
    snapshots: int,
    difference: Difference | None,
    started: float,
    console: Console,
) -> int:
    """
    Say whether a training set is what its receipt says.

    Args:
        path: The receipt.
        tag: Name of the set.
        rows: How many it has.
        snapshots: From how many it was built again.
        difference: The first thing that differs, None when it is identical.
        started: When the work began, as `time.perf_counter` tells it [s].
        console: Told the verdict.

    Returns:
        0 when it is identical, 1 when it differs.
    """
    seconds = time.perf_counter() - started
    if difference is None:
        console.print(
            f"{tag}: identical, {rows:,} rows rebuilt from {snapshots} snapshots, {seconds:.1f} s"
        )
    else:
        console.print(f"{tag}: differs: {difference.what}: {difference.why}")
    console.result(
        {
            "receipt": str(path),
            "tag": tag,
            "rows": rows,
            "verdict": "identical" if difference is None else "differs",
            "differs": None if difference is None else difference.what,
            "why": None if difference is None else difference.why,
            "seconds": round(seconds, 3),
        }
    )
    return DONE if difference is None else FAILED
