"""
The versions of the feature views that are online, each read once.

Owns how a request finds its version and the rows it needs in one round trip: the rows are asked for
by the version that was the newest a moment ago, together with the key that says which is the newest
now. Refuses to serve a version that this key names no more, and to keep anything of what clients
send: only what was found online, and only while it is named there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from materializer.errors import UnreadableValue
from materializer.online import codec
from materializer.registry import ViewVersion
from materializer.views.vector import Vectors
from serve.errors import ApiError, quoted
from serve.stores.online import OnlineStore

# A colon would lead from the key of a view to that of a version.
_VIEW = re.compile(r"[A-Za-z0-9_]+")

# From a version to the keys of the rows that a request needs.
Keys = Callable[[Vectors], Sequence[str]]


class ViewVersions:
    """
    The versions of every view; thread-safe.

    Args:
        store: Where they are.
    """

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Vectors] = {}
        self._newest: dict[str, str] = {}

    def __len__(self) -> int:
        """Tell how many versions are kept here."""
        return len(self._known)

    def read(
        self, view: str, wanted: str | None, keys: Keys
    ) -> tuple[Vectors, list[bytes | None]] | None:
        """
        Find a version, and read the rows that it needs; in one round trip once it is known.

        Args:
            view: Name of the view.
            wanted: Id of the version; None takes the newest.
            keys: Tells the keys of the rows.

        Returns:
            The version, and the value of each key, None where there is none; None when no version
            of the view is online.

        Raises:
            ApiError: `version_gone`: there is no such version, or not any more.
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: What is stored there is not ours.
        """
        if not _VIEW.fullmatch(view):
            return None
        while True:
            guess = wanted or self._newest.get(view)
            vectors = self._known.get((view, guess)) if guess else None
            names = [] if vectors is None else keys(vectors)
            raw, *rows = self._store.read([codec.view_key(view), *names])
            if raw is None:
                return None
            meta = codec.ViewMeta.from_json(raw)
            if wanted is not None and wanted not in meta.versions:
                raise ApiError(
                    "version_gone",
                    f"feature view {view} has no version {quoted(wanted)}, or not any more; there "
                    f"are {', '.join(meta.versions)}",
                )
            self._newest[view] = meta.version
            if vectors is not None and guess == (wanted or meta.version):
                return vectors, rows
            self._load(view, wanted or meta.version)
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
