"""
Responsible for the server's copy of the registry: which groups are published.

It is read when first needed, read again when it is older than a few seconds, and kept when the
catalog cannot be reached. Does not read dbt's manifest, and knows no group by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from materializer.errors import StoreUnavailable
from materializer.registry import FeatureGroup
from serve.errors import ApiError, quoted

# Ages [s]: from the first on, the groups are read again while requests go on with what is known;
# from the second on, when there was no request for long, a request waits for them.
FRESH_FOR = 2.0
OLD_AFTER = 60.0

SHORT_PREFIX = "features"

Groups = Mapping[str, FeatureGroup]


def has_short_routes(group: FeatureGroup) -> bool:
    """
    Return whether `/features/online` and `/features/offline` serve this group.

    It is the one with a single key column and `key_prefix: features`; no two groups may share a
    prefix.
    """
    return group.key_prefix == SHORT_PREFIX and len(group.entity) == 1


def nothing_published() -> ApiError:
    """Return the error of a store without data."""
    return ApiError("not_materialized", "nothing was published yet; run: materializer publish")


class Directory:
    """
    The published groups; thread-safe.

    Every method raises `ApiError` (`store_unavailable`) or `StoreUnavailable` when the groups were
    never read and cannot be.

    Args:
        read: Reads the groups from the offline store.
        fresh_for: Age [s] from which they are read again on a thread of their own, so that an
            online lookup never waits for the catalog.
        old_after: Age [s] from which a request waits for them.
    """

    def __init__(
        self,
        read: Callable[[], Groups],
        *,
        fresh_for: float = FRESH_FOR,
        old_after: float = OLD_AFTER,
    ) -> None:
        self._read = read
        self._fresh_for = fresh_for
        self._old_after = old_after
        self._reading = threading.Lock()
        self._groups: Groups = {}
        self._read_at = float("-inf")

    def default(self) -> FeatureGroup:
        """
        Return the group of the short routes.

        Raises:
            ApiError: `not_materialized` when nothing is published, `unknown_group` when none fits.
        """
        groups = self.groups()
        for group in groups.values():
            if has_short_routes(group):
                return group
        if not groups:
            raise nothing_published()
        raise ApiError(
            "unknown_group",
            f"no published group has one key column and key_prefix {SHORT_PREFIX!r}, which this "
            f"route serves; published: {', '.join(sorted(groups))}",
        )

    def named(self, name: str) -> FeatureGroup:
        """
        Return a group by its name; one that is not known is looked for again before it is refused.

        Raises:
            ApiError: `not_materialized` when nothing is published, `unknown_group` naming what is.
        """
        groups = self.groups()
        if name not in groups and time.monotonic() - self._read_at > self._fresh_for:
            groups = self.refresh()
        if name in groups:
            return groups[name]
        if not groups:
            raise nothing_published()
        raise ApiError(
            "unknown_group",
            f"no feature group {quoted(name)} was published; "
            f"published: {', '.join(sorted(groups))}",
        )

    def groups(self) -> Groups:
        """Return what is published, by name."""
        age = time.monotonic() - self._read_at
        if not self._groups:
            self.refresh()
        elif age > self._fresh_for and self._reading.acquire(blocking=False):
            if age > self._old_after:
                self._refresh_quietly()
            else:
                threading.Thread(target=self._refresh_quietly, daemon=True).start()
        return self._groups

    def refresh(self) -> Groups:
        """Read the groups now, and return them."""
        self._groups = self._read()
        self._read_at = time.monotonic()
        return self._groups

    def _refresh_quietly(self) -> None:
        # A catalog that is away must not stop online lookups: what is known stays in use, and the
        # offline route, /ready and the next read report the problem.
        try:
            self.refresh()
        except (ApiError, StoreUnavailable):
            self._read_at = time.monotonic()
        finally:
            self._reading.release()
