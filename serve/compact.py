"""
The JSON text of every answer: one compact document, names in the order of their meaning.

Owns how an answer becomes text, by Flask and beside it, and that every answer does: what a client
sent may stand in it, a lone half of a surrogate pair or a number of a hundred digits. Refuses to
sort.
"""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

import orjson
from flask import Flask
from flask.json.provider import DefaultJSONProvider


class Compact(DefaultJSONProvider):
    """
    Flask's, with orjson, which takes a tenth of the time.

    Args:
        app: The application that answers.
    """

    compact = True

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._any = JSONEncoder(separators=(",", ":"), default=self.default).encode

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write one document; nobody may ask for another form of it."""
        return self.write(obj).decode()

    def write(self, obj: Any) -> bytes:
        """Write one document as UTF-8."""
        try:
            return orjson.dumps(obj, self.default, orjson.OPT_PASSTHROUGH_DATETIME)
        except orjson.JSONEncodeError:
            # Python's own writes the rest as ASCII.
            return self._any(obj).encode()
