"""
The online format: how a key is written, and how a row becomes one value and back.

Responsible for every online key and every byte of a value: the texts that Python makes and reads,
and the DuckDB expressions that make the same texts, as Redis commands, for millions of rows.
Does not read a table or touch a connection.

    key      <prefix>:<part>[:<part>...]     parts percent-encoded, RFC 3986
    value    [<contract id>, v1, v2, ...]    one JSON array; its values as in `registry.values`
    nulls    are stored; NaN and infinity are never published
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any
from urllib.parse import quote

import orjson

from materializer.errors import ContractMismatch, RowOfAnother, UnreadableValue
from materializer.registry import Column, Contract, FeatureGroup
from materializer.registry.values import JSON, json_sql
from materializer.sql import literal, quoted

RESERVED_PREFIX = "features:_"
# The key of all owners; see `materializer.online.owners`.
OWNERS_KEY = f"{RESERVED_PREFIX}store:owners"

# What a key holds without an escape; most ids are only this.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")
_NAME = attrgetter("name")


def key(prefix: str, parts: Sequence[str]) -> str:
    """
    Return the online key of one entity: *parts* are its key columns as text, in key order.

    Raises:
        UnicodeEncodeError: A part holds half of a surrogate pair, which no UTF-8 text can.
    """
    plain = [part if _PLAIN.fullmatch(part) else quote(part, safe="") for part in parts]
    return ":".join([prefix, *plain])


def keys(prefix: str, entities: Sequence[Sequence[str]]) -> list[str]:
    """Return the online keys of many entities, each as `key` returns it."""
    if _PLAIN.fullmatch("".join(map("".join, entities))):
        return [f"{prefix}:{':'.join(parts)}" for parts in entities]
    return [key(prefix, parts) for parts in entities]


def contract_key(contract_id: str) -> str:
    """Return the key of a contract's text."""
    return f"{RESERVED_PREFIX}contract:{contract_id}"


def meta_key(group: str) -> str:
    """Return the key that says which snapshot of a group is online."""
    return f"{RESERVED_PREFIX}meta:{group}"


def view_key(view: str) -> str:
    """Return the key that says which versions of a feature view are online."""
    return f"{RESERVED_PREFIX}view:{view}"


def version_key(view: str, version: str) -> str:
    """Return the key of one version of a feature view."""
    return f"{view_key(view)}:{version}"


def decode_value(raw: bytes) -> tuple[str, list[JSON]]:
    """Read one online value: the id of its contract, and the values."""
    decoded = decode_array(raw)
    return decoded[0], decoded[1:]


def decode_array(raw: bytes) -> list[Any]:
    """
    Read one online value as one array: the id of its contract, then the values.

    Raises:
        UnreadableValue: The bytes are not a JSON array that begins with a contract id.
    """
    try:
        decoded = orjson.loads(raw)
    except ValueError as error:
        raise UnreadableValue(f"not JSON ({error})") from None
    # Comparing types is faster than isinstance, and JSON has no subclasses.
    if type(decoded) is not list or not decoded or type(decoded[0]) is not str:
        raise UnreadableValue("not an array that begins with a contract id")
    return decoded


def row(contract: Contract, values: Sequence[JSON]) -> dict[str, JSON]:
    """Return the values of one online row by column."""
    check_length(contract, len(values))
    return dict(zip(map(_NAME, contract.columns), values, strict=True))


def check_group(contract: Contract, group: FeatureGroup) -> None:
    """Raise `RowOfAnother` unless rows of a contract are those of a published group."""
    if not contract.is_of(group):
        raise RowOfAnother(group.name, contract.group, contract.store_id)


def check_length(contract: Contract, values: int) -> None:
    """Raise `ContractMismatch` unless a row has as many values as its contract has columns."""
    if values != len(contract.columns):
        raise ContractMismatch(
            group=contract.group,
            problem=f"an online row has {values} values, its contract {contract.id} names "
            f"{len(contract.columns)}",
        )


def key_sql(prefix: str, entity: Sequence[Column]) -> str:
    """Return the DuckDB expression of a row's key, as `key` makes it; null if a part of it is."""
    parts = [f"url_encode({json_sql(c.type, quoted(c.name))}::varchar)" for c in entity]
    return " || ':' || ".join([literal(prefix), *parts])


def value_sql(contract: Contract, closing_row: str | None = None) -> str:
    """Return the DuckDB expression of a row's value, as text, never null."""
    contract_id = literal(contract.id)
    if closing_row is not None:
        closing_id = literal(replace(contract, closing=True).id)
        contract_id = f"case when {closing_row} then {closing_id} else {contract_id} end"
    elements = [contract_id, *(json_sql(c.type, quoted(c.name)) for c in contract.columns)]
    return f"json_array({', '.join(elements)})::varchar"


def command_sql(name: str, *arguments: str) -> str:
    """Return the DuckDB expression of a Redis command, as text; its arguments are expressions."""
    # RESP counts bytes, as strlen() does; length() counts characters. concat() makes a text once,
    # while a chain of || copies it at every link; but concat() skips nulls. A null must make the
    # command null, which the sender refuses: one of a wrong length would break all that follow.
    head = f"*{1 + len(arguments)}\\r\\n${len(name)}\\r\\n{name}"
    pieces = [f"E'{head}'"]
    for argument in arguments:
        pieces += ["E'\\r\\n$'", f"strlen({argument})", "E'\\r\\n'", argument]
    complete = " and ".join(f"{argument} is not null" for argument in arguments)
    return f"case when {complete} then concat({', '.join(pieces)}, E'\\r\\n') end"
