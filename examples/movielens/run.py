"""The main job on MovieLens 100k, data from elsewhere: `make movielens`."""

from __future__ import annotations

import sys
from pathlib import Path

from examples.movielens.prepare import TERMS, prepare
from examples.steps import heading
from examples.walk import Walk, walk
from materializer.config import format_time
from materializer.errors import FeatureStoreError

ROOT = Path(__file__).resolve().parents[2]
# Among the most active of the last weeks.
USER = "655"


def main() -> int:
    """Prepare the data, then walk the whole way."""
    heading(0, "Turn ratings into events and labels")
    try:
        data = prepare(Path(__file__).parent / "data")
    except FeatureStoreError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    span = f"{data.first:%Y-%m-%d} to {data.last:%Y-%m-%d}"
    print(f"  {data.event_rows:,} events of {data.users:,} users, {span}")
    print(f"  {data.label_rows:,} labels, {data.active_share:.1%} of them 1.0")
    print(f"  {TERMS}")
    return walk(
        Walk(
            home=Path(".feature_store/movielens"),
            now=format_time(data.now),
            variables={
                "events_path": str(data.events.relative_to(ROOT)),
                "labels_path": str(data.labels.relative_to(ROOT)),
            },
            user=USER,
            as_of="1998-03-02T12:00:00Z",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
