"""
Which feature groups there are, as the published data says, and which one the short routes serve.

Owns the server's copy of the registry: read when first needed, read again when it is older than a
few seconds, kept when the catalog cannot be reached. Refuses to read dbt's manifest, and to know a
group by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from materializer.errors import StoreUnavailable
from materializer.registry import FeatureGroup
from serve.errors import ApiError, quoted

DEFAULT_PREFIX = "features"
FRESH_FOR = 2.0
OLD_AFTER = 60.0

Groups = Mapping[str, FeatureGroup]


def default_group(groups: Groups) -> FeatureGroup:
    """
    Pick the group of `/features/online` and `/features/offline`.

    It is the one with a single key column and `key_prefix: features`. There is one at most, since
    no two groups may share a prefix.

    Raises:
        ApiError: `not_materialized` when nothing is published, `unknown_group` when none fits.
    """
    for group in groups.values():
        if has_short_routes(group):
            return group
    if not groups:
        raise nothing_published()
    raise ApiError(
        "unknown_group",
        f"no published group has one key column and key_prefix {DEFAULT_PREFIX!r}, which this "
        f"route serves; published: {', '.join(sorted(groups))}",
    )


def named_group(groups: Groups, name: str) -> FeatureGroup:
    """
    Pick a group by its name.

    Raises:
        ApiError: `not_materialized` when nothing is published, `unknown_group` naming what is.
    """
    if name in groups:
        return groups[name]
    if not groups:
        raise nothing_published()
    raise ApiError(
        "unknown_group",
        f"no feature group {quoted(name)} was published; published: {', '.join(sorted(groups))}",
    )


def has_short_routes(group: FeatureGroup) -> bool:
    """Return whether `/features/online` and `/features/offline` serve this group."""
    return group.key_prefix == DEFAULT_PREFIX and len(group.entity) == 1


def nothing_published() -> ApiError:
    """Make the error of a store without data."""
    return ApiError("not_materialized", "nothing was published yet; run: materializer publish")


class Directory:
    """
    The published groups, refreshed while they are asked for; thread-safe.

    From *fresh_for* on they are read again on a thread beside the request, so that an online lookup
    never waits for the catalog; from *old_after* on, when nobody asked for long, the request waits.

    Args:
        read: Reads the groups from the offline store.
        fresh_for: Age [s] from which they are read again beside the requests.
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
        Pick the group of the short routes.

        Raises:
            ApiError: See `default_group`; `store_unavailable` as below.
            StoreUnavailable: The groups were never read, and cannot be.
        """
        return default_group(self.groups())

    def named(self, name: str) -> FeatureGroup:
        """
        Pick a group by its name; one that is not known is looked for anew before it is refused.

        Raises:
            ApiError: See `named_group`; `store_unavailable` as below.
            StoreUnavailable: The groups cannot be read.
        """
        known = self.groups()
        if name not in known and time.monotonic() - self._read_at > self._fresh_for:
            known = self.refresh()
        return named_group(known, name)

    def groups(self) -> Groups:
        """
        Tell what is published.

        Raises:
            ApiError: `store_unavailable` as below.
            StoreUnavailable: The groups were never read, and cannot be.
        """
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
        """
        Read the groups now.

        Raises:
            ApiError: `store_unavailable`; the offline store failed a moment ago.
            StoreUnavailable: They cannot be read.
        """
        self._groups = self._read()
        self._read_at = time.monotonic()
        return self._groups

    def _refresh_quietly(self) -> None:
        # A catalog that is away must not stop online lookups: what is known stays in use, and the
        # offline route, /ready and the next read say what is wrong.
        try:
            self.refresh()
        except (ApiError, StoreUnavailable):
            self._read_at = time.monotonic()
        finally:
            self._reading.release()
