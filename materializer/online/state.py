"""
The state of the online store: which snapshot of a group it holds, and of which offline store.

Responsible for the form of these states, and for reading and writing them and the contracts of
rows. Does not guess: an unknown text is an error, not an empty store.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Self, cast

import redis
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from materializer.days import DayRange, built_since
from materializer.errors import FeatureStoreError, UnreadableValue
from materializer.online import codec
from materializer.online.connection import translate_errors
from materializer.registry import Contract


class State(BaseModel):
    """A document of the online store, and the JSON in which it is kept."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read what `text` returned; raise `UnreadableValue` for anything else."""
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(map(str, problem["loc"]))
            raise UnreadableValue(": ".join(filter(None, [field, problem["msg"]]))) from None

    @classmethod
    def read(cls, client: redis.Redis, key: str, *, ignore_unreadable: bool = False) -> Self | None:
        """
        Read the state under a key, or None when nothing was pushed there.

        Raises:
            OnlineStoreUnavailable: The server cannot be reached.
            UnreadableValue: The value is not ours, unless *ignore_unreadable*.
        """
        with translate_errors(client):
            raw = cast("bytes | None", client.get(key))
        try:
            return None if raw is None else cls.from_json(raw)
        except UnreadableValue:
            if ignore_unreadable:
                return None
            raise

    def write(self, client: redis.Redis, key: str) -> None:
        """Write the state under a key."""
        client.set(key, self.text)

    @property
    def text(self) -> str:
        """The JSON in which it is kept."""
        return self.model_dump_json(exclude_defaults=True)


class Meta(State):
    """
    The state of one group online.

    Attributes:
        store_id: The offline store whose rows these are.
        snapshot_id: Iceberg snapshot of the group's table, as a decimal text.
        day: Newest partition with a row that was available, or None.
        rows: Rows written by the last push that wrote any.
        contract: Id of the contract those rows were written with.
        pushed_at: Clock of the last push [UTC].
        key_prefix: Prefix of the group's keys.
        ttl_days: The group's `ttl_days` at that push.
        event_time: Likewise; None without.
        fresh_hours: Likewise.
        closing_row: Likewise; None unless rows may hold longer by it.
        built_days: The runs of built days in which a closing row may hold, as texts of `DayRange`.
        run_id: Of the server after that push, None if it was not to be known.
        evicted_keys: Those that the server had evicted by then.
        unfinished: A push began after this was written and did not end: rows may be newer.
    """

    store_id: str
    snapshot_id: Annotated[str, Field(pattern=r"^\d+$")]
    day: date | None
    rows: int
    contract: str
    pushed_at: AwareDatetime
    key_prefix: str
    ttl_days: int | None
    event_time: str | None = None
    fresh_hours: int | None = None
    closing_row: str | None = None
    built_days: tuple[str, ...] = ()
    run_id: str | None = None
    evicted_keys: int | None = None
    unfinished: bool = False

    def built_since(self, contract: Contract, day: object) -> int:
        """Return how many days were built since the day of a closing row; 0 for any other row."""
        if not contract.closing or not isinstance(day, str):
            return 0
        return built_since(self._runs, date.fromisoformat(day))

    @cached_property
    def _runs(self) -> tuple[DayRange, ...]:
        return tuple(map(DayRange.from_text, self.built_days))


class ViewMeta(State):
    """
    The state of one feature view online.

    Attributes:
        store_id: The offline store whose versions these are.
        version: The newest version, which answers a request that names none.
        versions: Every version that is online, the newest last.
        pushed_at: Clock of the last push that changed it [UTC].
    """

    store_id: str
    version: str
    versions: tuple[str, ...]
    pushed_at: AwareDatetime

    @model_validator(mode="after")
    def _names_its_version(self) -> Self:
        if self.version not in self.versions:
            raise ValueError(f"{self.version} is none of its versions")
        return self


def write_contract(client: redis.Redis, contract: Contract) -> None:
    """Write how to read the rows, unless another contract has the same id."""
    key = codec.contract_key(contract.id)
    if client.set(key, contract.text, nx=True):
        return
    stored = cast("bytes | None", client.get(key)) or b""
    if stored != contract.text.encode():
        raise FeatureStoreError(
            f"contract id {contract.id} already names {stored.decode(errors='replace')}, so "
            f"{contract.text} cannot use it; rename a column or the group"
        )


def read_contract(client: redis.Redis, contract_id: str) -> Contract | None:
    """Read the contract that names the values of a row; None when it is not there."""
    text = cast("bytes | None", client.get(codec.contract_key(contract_id)))
    return None if text is None else Contract.from_text(text.decode())
