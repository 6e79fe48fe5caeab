"""
The types of a contract, and what each is called elsewhere.

Responsible for the mapping from a declared SQL type to the name in a contract, and from that to
DuckDB's. Refuses a type without an exact published form. Imports no engine: other modules make
their own objects of these names.

    string      varchar, text, uuid (its canonical text)
    int64       every integer that fits
    double      double, float; without NaN and infinities
    decimal(p,s), boolean, date
    timestamp   a time without an offset, in UTC, or an instant
    array<t>    a list of one of these, of any length or a fixed one
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DECLARED: Mapping[str, str] = {
    **dict.fromkeys(("varchar", "string", "text", "uuid"), "string"),
    **dict.fromkeys(("bigint", "int", "integer", "smallint", "tinyint"), "int64"),
    **dict.fromkeys(("uinteger", "usmallint", "utinyint"), "int64"),
    **dict.fromkeys(("double", "float", "real"), "double"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("timestamp", "timestamptz", "timestamp with time zone"), "timestamp"),
    "date": "date",
}
_DUCKDB: Mapping[str, str] = {"string": "varchar", "int64": "bigint"}
_DECIMAL = re.compile(r"decimal\(\d+, ?\d+\)")
_LIST = re.compile(r"(.+)\[\d*\]")
_ARRAY = re.compile(r"array<(.+)>")


def published_type(declared: str) -> str | None:
    """Return the contract's type of a declared SQL type, None when it has no published form."""
    text = declared.strip().lower()
    if of := _LIST.fullmatch(text):
        element = published_type(of[1])
        return None if element is None or element_type(element) else f"array<{element}>"
    if _DECIMAL.fullmatch(text):
        return text.replace(" ", "")
    return _DECLARED.get(text)


def element_type(kind: str) -> str | None:
    """Return the type of an array's elements, None for a type that is not an array."""
    array = _ARRAY.fullmatch(kind)
    return array[1] if array else None


def duckdb_type(kind: str) -> str:
    """Return the DuckDB type in which a contract's type is published."""
    element = element_type(kind)
    return f"{duckdb_type(element)}[]" if element else _DUCKDB.get(kind, kind)
