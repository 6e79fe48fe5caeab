"""The main job on the sample: `make demo`."""

from __future__ import annotations

import sys
from pathlib import Path

from examples.walk import Walk, walk

if __name__ == "__main__":
    print("dbt-feature-store: the main job on the sample, 30,000 events of 487 users in 90 days.")
    sys.exit(
        walk(
            Walk(
                home=Path(".feature_store/demo"),
                # The midnight after the sample's last event.
                now="2024-03-31T00:00:00Z",
                variables={},
                user="user1",
                as_of="2024-03-05T12:00:00Z",
            )
        )
    )
