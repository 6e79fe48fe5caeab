"""
Who owns what in the online store: the keys of each group, and the versions of each feature view.

Responsible for the hash in which every owner has a field, and for refusing to push over another's.
Does not touch a row.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

import redis

from materializer.errors import PushRefused
from materializer.online import codec
from materializer.online.connection import address
from materializer.online.state import State
from materializer.registry import FeatureGroup

Kind: TypeAlias = Literal["group", "view"]


class Owner(State):
    """
    An owner, under its kind and name.

    Attributes:
        store_id: Its offline store.
        key_prefix: Prefix of a group's keys; empty for a view, whose keys have its name.
        key_columns: How many parts follow the prefix.
    """

    store_id: str
    key_prefix: str = ""
    key_columns: int = 0

    def may_share_keys(self, other: Owner) -> bool:
        """Return whether both could make the same key."""
        ours, theirs = self.key_prefix.split(":"), other.key_prefix.split(":")
        common = min(len(ours), len(theirs))
        same_length = len(ours) + self.key_columns == len(theirs) + other.key_columns
        is_group = self.key_columns > 0 and other.key_columns > 0
        return is_group and same_length and ours[:common] == theirs[:common]


def group_owner(group: FeatureGroup, store_id: str) -> Owner:
    """Return the owner of a group's keys."""
    columns = len(group.entity)
    return Owner(store_id=store_id, key_prefix=group.key_prefix, key_columns=columns)


def claim(client: redis.Redis, kind: Kind, name: str, new: Owner, *, take_over: bool) -> bool:
    """
    Make a store the owner of a group or view, and of all keys that it can have.

    Returns:
        Whether another owner lost something.

    Raises:
        PushRefused: It is another's, unless *take_over*; or two claim it at this moment.
        UnreadableValue: The value is not ours.
    """
    field = f"{kind}:{name}"
    # Atomic, and before the look at all others: of two that claim the same, each sees the other.
    is_new = client.hsetnx(codec.OWNERS_KEY, field, new.text)
    owners = read_owners(client)
    losers = {
        other: owner
        for other, owner in owners.items()
        if (owner.store_id != new.store_id if other == field else owner.may_share_keys(new))
    }
    if losers and not take_over:
        if is_new:
            client.hdel(codec.OWNERS_KEY, field)
        raise _refusal(name, *next(iter(losers.items())), new, address(client))
    with client.pipeline() as together:
        for other in losers:
            together.hdel(codec.OWNERS_KEY, other)
            if other != field:
                # Its server then knows that it has no rows, and its next push that it has to ask.
                together.delete(codec.meta_key(other.partition(":")[2]))
        together.hset(codec.OWNERS_KEY, field, new.text)
        together.execute()
    return bool(losers)


def release(client: redis.Redis, kind: Kind, name: str) -> None:
    """Leave a group or view to whoever claims it next."""
    client.hdel(codec.OWNERS_KEY, f"{kind}:{name}")


def read_owners(client: redis.Redis) -> dict[str, Owner]:
    """Return every owner, by kind and name."""
    found = cast("dict[bytes, bytes]", client.hgetall(codec.OWNERS_KEY))
    return {field.decode(): Owner.from_json(raw) for field, raw in found.items()}


def _refusal(name: str, field: str, owner: Owner, new: Owner, server: str) -> PushRefused:
    what = field.replace(":", " ", 1)
    is_own = owner.store_id == new.store_id
    store = "this store" if is_own else f"another store ({owner.store_id})"
    keys = f", whose keys begin with {owner.key_prefix}" if owner.key_prefix else ""
    return PushRefused(
        f"{name}: not pushed: {server} holds {what} of {store}{keys}; to replace it: --take-over"
    )
