"""
How much the tests try: little in `make test`, much in `make soak`.

Both run the same tests. A soak draws more examples, and other ones each time.
"""

import os

IS_SOAK = os.environ.get("TESTS_PROFILE") == "soak"


def examples(count: int, *, soak: int | None = None) -> int:
    """Return how many examples to draw: in a soak ten times as many, or *soak*."""
    if not IS_SOAK:
        return count
    return 10 * count if soak is None else soak
