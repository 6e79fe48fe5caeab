"""
Responsible for what one process of the server works with: its settings and its stores.

Opens nothing before a request needs it: a server starts, and reports what is missing, also when no
store is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from flask import current_app

from materializer.config import Settings
from serve.stores.directory import Directory
from serve.stores.offline import OfflineStore
from serve.stores.online import OnlineStore
from serve.stores.view_versions import ViewVersions


@dataclass(frozen=True)
class Stores:
    """
    The stores of one process.

    Attributes:
        settings: Where the stores are, and the clock.
    """

    settings: Settings

    @cached_property
    def online(self) -> OnlineStore:
        """The Redis side."""
        return OnlineStore(self.settings)

    @cached_property
    def offline(self) -> OfflineStore:
        """The Iceberg side."""
        return OfflineStore(self.settings)

    @cached_property
    def versions(self) -> ViewVersions:
        """The pushed versions of the feature views."""
        return ViewVersions(self.online)

    @cached_property
    def directory(self) -> Directory:
        """The published groups."""
        return Directory(self.offline.groups)

    def close(self) -> None:
        """Close both sides."""
        self.online.close()
        self.offline.close()


def current_stores() -> Stores:
    """Return the stores of the application that answers this request."""
    return cast("Stores", current_app.extensions["stores"])
