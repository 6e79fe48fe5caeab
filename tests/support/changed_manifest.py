"""A manifest that dbt wrote, read after a change to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from materializer.errors import BadRegistry
from materializer.registry import Registry
from materializer.registry.manifest import read_manifest

Manifest = dict[str, Any]
Change = Callable[[Manifest], object]
Problem = Callable[[Change], str]


class Read:
    """
    Reads the manifest after a change to it.

    Args:
        text: The manifest as it is.
        folder: Where the changed one is written.
    """

    def __init__(self, text: str, folder: Path) -> None:
        self._text = text
        self._path = folder / "manifest.json"

    def __call__(self, change: Change) -> Registry:
        body = json.loads(self._text)
        change(body)
        self._path.write_text(json.dumps(body))
        return read_manifest(self._path)

    def problem(self, change: Change) -> str:
        """Return why the manifest is refused after a change to it."""
        with pytest.raises(BadRegistry) as refused:
            self(change)
        return str(refused.value)
