"""
The JSON text of every answer: one compact document, names in the order of their meaning.

Owns how an answer becomes text, by Flask and beside it. Refuses to sort, and to make an encoder for
each answer.
"""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider


class Compact(DefaultJSONProvider):
    """
    Flask's, with one encoder for all answers.

    Args:
        app: The application that answers.
    """

    compact = True

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._encode = JSONEncoder(separators=(",", ":"), default=self.default).encode

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write one document; nobody may ask for another form of it."""
        return self._encode(obj)
