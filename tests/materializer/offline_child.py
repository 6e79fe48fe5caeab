"""
A publish in a process of its own, to be killed.

    python -m tests.materializer.offline_child HOME POINT

It prints one line when it reaches POINT and then waits: `writing` (half of the days are written),
`between` (the group is committed, the spans are not), `never` (it runs to its end).
"""

import sys
import time
from datetime import date
from pathlib import Path

import pyarrow as pa

from materializer.offline import publish as publishing
from tests.materializer.offline_fixtures import GROUP, NEW, rows_of, store


def wait_here() -> None:
    sys.stdout.write("here\n")
    sys.stdout.flush()
    time.sleep(60)


def rows(day: date) -> pa.Table:
    if sys.argv[2] == "writing" and day == sorted(NEW)[len(NEW) // 2]:
        wait_here()
    return rows_of(NEW)(day)


def main() -> None:
    if sys.argv[2] == "between":
        setattr(publishing, "update_spans", lambda *_: wait_here())  # noqa: B010
    if sys.argv[2] == "never":
        sys.stdout.write("here\n")
        sys.stdout.flush()
    publishing.publish_days(
        store(Path(sys.argv[1])),
        GROUP,
        days=NEW,
        rows=rows,
        warehouse_id="warehouse-1",
        ledger_sequence=2,
        allow_removals=True,
    )


if __name__ == "__main__":
    main()
