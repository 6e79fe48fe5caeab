"""
Responsible for the online store as a request sees it: connections, timeouts, and decoded rows.

Opens nothing before a request needs it, and opens it again after it was away. Does not answer HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias, cast

from materializer.config import Settings
from materializer.online import codec
from materializer.online.facts import facts_from
from materializer.online.state import Meta
from materializer.registry import Contract, FeatureGroup
from serve.errors import ApiError
from serve.stores.lane import Lane

# Time [s] that one answer may take, of up to so many keys, and of more.
ONLINE_TIMEOUT = 1.0
FEW = 100
MANY_TIMEOUT = 3.0
# Keys of one command, and time [s] for all commands of a request.
MOST_KEYS = 1000
MANY_PATIENCE = 10.0

# So many states of groups are kept decoded.
_MOST_METAS = 100

Row: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """
    One row.

    Attributes:
        values: JSON values by column, in contract order.
        built_since: Of a closing row, how many days were built since its own; else 0.
        definition: That of the group whose rows were pushed.
    """

    values: Row
    built_since: int
    definition: str | None


class OnlineStore:
    """
    The Redis side; thread-safe.

    Every method raises `StoreUnavailable` when the server cannot be reached, and `UnreadableValue`
    when a key holds what this project did not write.
    """

    def __init__(self, settings: Settings) -> None:
        self._few = Lane(settings, ONLINE_TIMEOUT)
        # What is read in pieces must not keep anybody from looking one row up: it may take longer,
        # and has connections and a memory of failures of its own.
        self._many = Lane(settings, MANY_TIMEOUT)
        # A user who may not ask for facts may look rows up.
        self._asked = Lane(settings, ONLINE_TIMEOUT)
        self._contracts: dict[str, Contract] = {}
        self._metas: dict[bytes, Meta] = {}

    def row(self, group: FeatureGroup, key: Sequence[str]) -> OnlineRow | None:
        """
        Read one entity's row, in one round trip once its contract is known.

        Returns:
            None when there is no such key.

        Raises:
            ApiError: `not_materialized`: the contract of the value is gone.
            RowOfAnother: The value is not of this group.
        """
        name, meta = codec.key(group.key_prefix, key), None
        if group.has_closing_rows:
            raw, meta = self.read([name, codec.meta_key(group.name)])
        else:
            raw = self._get(name)
        return None if raw is None else self.decode(raw, group, meta)

    def rows(
        self, group: FeatureGroup, keys: Sequence[Sequence[str]]
    ) -> tuple[list[list[Any] | None], Mapping[str, Contract], bytes | None]:
        """
        Read the rows of many keys, in as few round trips as `read` once their contract is known.

        Returns:
            For each key, in their order, the id of the row's contract and then its values, or None
            when there is no such key; the contracts by id; and the state of the group as it is
            stored, None when rows are missing and no push of its store ever ended.

        Raises:
            ApiError: `not_materialized`: the contract of a value is gone.
            RowOfAnother: A value is not of this group.
        """
        names = codec.keys(group.key_prefix, keys)
        names.append(codec.meta_key(group.name))
        *raw, meta = self.read(names)
        rows = [None if value is None else codec.decode_array(value) for value in raw]
        contracts = {}
        # Seldom more than one: a push writes all rows by one contract.
        for contract_id, size in {(row[0], len(row)) for row in rows if row is not None}:
            contracts[contract_id] = self.contract(group, contract_id)
            codec.check_length(contracts[contract_id], size - 1)
        if None in rows and self._own_meta(group, meta) is None:
            meta = None
        return rows, contracts, meta

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """
        Read the values of many keys, in one round trip for each 1,000.

        A server serves nobody else meanwhile, so it is not asked for all at once.
        """
        lane = self._few if len(keys) <= FEW else self._many
        values: list[bytes | None] = []
        deadline = time.monotonic() + MANY_PATIENCE
        for first in range(0, len(keys), MOST_KEYS):
            if first and time.monotonic() > deadline:
                raise lane.unavailable(f"no answer within {MANY_PATIENCE:g} s")
            values += lane.execute("MGET", *keys[first : first + MOST_KEYS])
        return values

    def decode(self, raw: bytes, group: FeatureGroup, meta: bytes | None) -> OnlineRow:
        """Decode one row of a group whose state is *meta*; see `row`."""
        contract_id, values = codec.decode_value(raw)
        contract = self.contract(group, contract_id)
        row = codec.row(contract, values)
        days = self.built_since(contract, row.get(group.partition), meta)
        return OnlineRow(row, days, contract.definition)

    def built_since(self, contract: Contract, day: object, meta: bytes | None) -> int:
        """Return how many days were built since the *day* of a closing row; 0 for another row."""
        if not contract.closing or meta is None:
            return 0
        return self._meta(meta).built_since(contract, day)

    def definition(self, group: FeatureGroup, meta: bytes) -> str | None:
        """Return the definition of the rows of a group whose state is *meta*."""
        return self.contract(group, self._meta(meta).contract).definition

    def is_pushed(self, *groups: FeatureGroup) -> bool:
        """Return whether a push of any of these groups, from their store, ever ended."""
        metas = self.read([codec.meta_key(group.name) for group in groups])
        pairs = zip(groups, metas, strict=True)
        return any(self._own_meta(group, meta) is not None for group, meta in pairs)

    def newest_day(self, group: FeatureGroup) -> date | None:
        """Return the newest day that is online, None when there is none or nothing was pushed."""
        meta = self._own_meta(group, self._get(codec.meta_key(group.name)))
        return None if meta is None else meta.day

    def evicted(self, group: FeatureGroup) -> int | None:
        """Return how many keys its server evicted since a group's push; None if unknown."""
        meta = self._own_meta(group, self._get(codec.meta_key(group.name)))
        if meta is None:
            return None
        info = cast("bytes", self._asked.execute("INFO")).decode(errors="replace")
        pairs = (line.partition(":") for line in info.splitlines())
        return facts_from({name: value for name, _, value in pairs}).evicted_since(meta)

    def answers(self) -> bool:
        """Return True if the server answers lookups; it need not permit a ping."""
        self._get(codec.meta_key(""))
        return True

    def close(self) -> None:
        """Close the connections; the next command opens one again."""
        self._few.close()
        self._many.close()
        self._asked.close()

    def _own_meta(self, group: FeatureGroup, raw: bytes | None) -> Meta | None:
        """Return the state of a group; None without one, or when another store pushed it."""
        meta = None if raw is None else self._meta(raw)
        return meta if meta is not None and meta.store_id == group.store_id else None

    def _meta(self, raw: bytes) -> Meta:
        # It changes with a push, and is read with every row.
        meta = self._metas.get(raw)
        if meta is None:
            if len(self._metas) >= _MOST_METAS:
                self._metas.clear()
            meta = self._metas[raw] = Meta.from_json(raw)
        return meta

    def contract(self, group: FeatureGroup, contract_id: str) -> Contract:
        """Return a contract of a group; see `row`."""
        contract = self._contracts.get(contract_id) or self._read_contract(contract_id)
        codec.check_group(contract, group)
        return contract

    def _read_contract(self, contract_id: str) -> Contract:
        text = self._get(codec.contract_key(contract_id))
        if text is None:
            raise ApiError(
                "not_materialized",
                f"the online store lost contract {contract_id}, which its values name; "
                "run: materializer push --all",
            )
        contract = self._contracts[contract_id] = Contract.from_text(text.decode())
        return contract

    def _get(self, key: str) -> bytes | None:
        return cast("bytes | None", self._few.execute("GET", key))
