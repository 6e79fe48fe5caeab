"""
Responsible for the versions of the feature views that are online, each read once.

A request finds its version and its rows in one round trip: the rows are read by the version that
was the newest a moment ago, together with the key that names the newest one now. Does not serve a
version that this key no longer names, and keeps nothing of what clients send: only what was read
online, and only while it is named there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from materializer.errors import UnreadableValue
from materializer.online import codec
from materializer.online.state import ViewMeta
from materializer.views.definition import ViewVersion
from materializer.views.vector import Vectors
from serve.errors import ApiError, quoted
from serve.stores.online import OnlineStore

# A colon would lead from the key of a view to that of a version.
_VIEW = re.compile(r"[A-Za-z0-9_]+")


class ViewVersions:
    """The versions of every view in the online store; thread-safe."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Vectors] = {}
        self._newest: dict[str, str] = {}

    def __len__(self) -> int:
        """Return how many versions are kept."""
        return len(self._known)

    def read(
        self, view: str, version: str | None, row_keys: Callable[[Vectors], Sequence[str]]
    ) -> tuple[Vectors, list[bytes | None]] | None:
        """
        Read a version, None for the newest, and its rows; in one round trip once it is known.

        Returns:
            The version, and the value of each key, None where there is none; None when no version
            of the view is online.

        Raises:
            ApiError: `version_gone`: there is no such version, or not any more.
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: This project did not write what is stored there.
        """
        if not _VIEW.fullmatch(view):
            return None
        while True:
            guess = version or self._newest.get(view)
            vectors = self._known.get((view, guess)) if guess else None
            names = [] if vectors is None else row_keys(vectors)
            raw, *rows = self._store.read([codec.view_key(view), *names])
            if raw is None:
                return None
            meta = ViewMeta.from_json(raw)
            if version is not None and version not in meta.versions:
                raise ApiError(
                    "version_gone",
                    f"feature view {view} has no version {quoted(version)}, or not any more; there "
                    f"are {', '.join(meta.versions)}",
                )
            self._newest[view] = meta.version
            if vectors is not None and guess == (version or meta.version):
                return vectors, rows
            self._load(view, version or meta.version)
            self._forget(view, meta.versions)

    def _load(self, view: str, version: str) -> None:
        if (view, version) in self._known:
            return
        [text] = self._store.read([codec.version_key(view, version)])
        if text is None:
            raise ApiError(
                "not_materialized",
                f"the online store lost version {version} of {view}; run: materializer push --all",
            )
        try:
            self._known[view, version] = Vectors(ViewVersion.from_text(text.decode()))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnreadableValue(f"version {version} of {view}: {error!r}") from None

    def _forget(self, view: str, named: Sequence[str]) -> None:
        for known in list(self._known):
            if known[0] == view and known[1] not in named:
                self._known.pop(known, None)
