"""`/feature-groups`: what was published, and whatever the registry knows of it."""

from dataclasses import fields

from materializer.registry import Column, FeatureGroup
from serve.routes.feature_groups import PRIVATE, describe
from tests.serve.support import (
    PAIRS,
    FeatureServer,
    Store,
    days_of,
    until,
)
from tests.support.group import GROUP, make_group


def test_a_group_is_reported_with_its_keys_columns_and_limits(http: FeatureServer) -> None:
    answer = http.get("/feature-groups/pairs")
    published = answer.body.pop("published")

    assert answer.status == 200
    assert (
        answer.body.items()
        >= {
            "name": "pairs",
            "description": "One row per (user_id, item_id, day).",
            "entity": [
                {"name": "user_id", "type": "string"},
                {"name": "item_id", "type": "int64"},
            ],
            "available_at": "known_at",
            "availability_lag_hours": 6,
            "partition": "day",
            "online": True,
            "key_prefix": "pairs",
            "ttl_days": 3,
            "max_age_hours": None,
            "owner": "growth-ml",
            "features": ["day", "clicks", "share"],
        }.items()
    )
    reported = [
        (column["name"], column["type"], column["online"]) for column in answer.body["columns"]
    ]
    assert reported == [(column.name, column.type, column.online) for column in PAIRS.columns]
    assert published.pop("snapshot_id").isdigit()
    assert published == {"day": "2024-01-07", "available_at": "2024-01-08T06:00:00Z"}


def test_the_list_holds_every_group_by_name(http: FeatureServer) -> None:
    each = [http.get(f"/feature-groups/{name}").body for name in (GROUP.name, PAIRS.name)]

    assert http.get("/feature-groups").body == {"feature_groups": each}


def test_an_unknown_group_is_reported_the_known_ones(http: FeatureServer) -> None:
    answer = http.get("/feature-groups/nope")

    assert "published: features_daily, pairs" in answer.refused(404, "unknown_group")


def test_nothing_is_listed_before_the_first_publish_and_a_new_group_is_found(store: Store) -> None:
    with store.application() as http:
        assert http.get("/feature-groups").body == {"feature_groups": []}
        assert http.get(f"/feature-groups/{GROUP.name}").code == "not_materialized"

        store.publish(days_of("a"), make_group(owner="someone"))

        def owner() -> object:
            return http.get(f"/feature-groups/{GROUP.name}").body.get("owner")

        until(lambda: owner() == "someone", seconds=5)


def test_every_field_of_the_registry_is_reported_but_names_of_the_warehouse() -> None:
    reported = describe(PAIRS)

    assert set(reported) == {field.name for field in fields(FeatureGroup)} - PRIVATE | {"features"}
    for column in reported["columns"]:
        assert set(column) == {field.name for field in fields(Column)}
