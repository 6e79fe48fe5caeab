"""
What the online store says about itself: which snapshot of a group it holds, and whose.

Responsible for the form of these states, and for reading and writing them. A push writes them last,
so they never promise more than is there. Does not guess: a text that is not ours is an error, not
an empty store.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, TypeVar, cast

import redis
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from materializer.errors import UnreadableValue
from materializer.online import codec
from materializer.online.connection import address, translate_errors

_S = TypeVar("_S", bound="_State")


class _State(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def to_json(self) -> str:
        """Write the text that is stored."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_json(cls: type[_S], raw: bytes) -> _S:
        """
        Read what `to_json` wrote.

        Raises:
            UnreadableValue: It is something else.
        """
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"]))
            raise UnreadableValue(": ".join(filter(None, [place, problem["msg"]]))) from None


class Meta(_State):
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
    unfinished: bool = False


class ViewMeta(_State):
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
    def _names_its_version(self) -> ViewMeta:
        if self.version not in self.versions:
            raise ValueError(f"{self.version} is none of its versions")
        return self


def read_meta(client: redis.Redis, group: str) -> Meta | None:
    """
    Read the state of a group, or None when it was never pushed.

    Raises:
        OnlineStoreUnavailable: The server cannot be reached.
        UnreadableValue: What is stored there is not ours.
    """
    with translate_errors(address(client)):
        raw = cast("bytes | None", client.get(codec.meta_key(group)))
    return None if raw is None else Meta.from_json(raw)


def write_meta(client: redis.Redis, group: str, meta: Meta) -> None:
    """
    Write the state of a group.

    Raises:
        OnlineStoreUnavailable: The server cannot be reached.
        OnlineWriteFailed: It refuses.
    """
    with translate_errors(address(client)):
        client.set(codec.meta_key(group), meta.to_json())
