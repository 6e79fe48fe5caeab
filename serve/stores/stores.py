"""
Responsible for what one process of the server works with: its settings and its stores.

Opens nothing before a request needs it: a server starts, and reports what is missing, also when no
store is there.
"""

from __future__ import annotations

from typing import cast

from flask import current_app

from materializer.config import Settings
from serve.stores.directory import Directory
from serve.stores.offline import OfflineStore
from serve.stores.online import OnlineStore
from serve.stores.view_versions import ViewVersions


class Stores:
    """
    The stores of one process.

    Attributes:
        settings: Where the stores are, and the clock.
        online: The Redis side.
        offline: The Iceberg side.
        versions: The pushed versions of the feature views.
        directory: The published groups.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.online = OnlineStore(settings)
        self.offline = OfflineStore(settings)
        self.versions = ViewVersions(self.online)
        self.directory = Directory(self.offline.groups)

    def close(self) -> None:
        """Close both sides."""
        self.online.close()
        self.offline.close()


def current_stores() -> Stores:
    """Return the stores of the application that answers this request."""
    return cast("Stores", current_app.extensions["stores"])
