"""`materializer get`: the online row of one entity."""

import json

from tests.support.store import Store, expected, newest


def test_get_prints_one_row(published: Store) -> None:
    names = (
        "day",
        "event_count_7d",
        "event_count_30d",
        "last_event_days_ago",
        "event_type_counts",
        "available_at",
    )
    row = dict(zip(names, newest(expected())["user1"], strict=True))

    done = published.do("get", "user1").assert_code(0)

    assert [line.split(None, 1) for line in done.out.splitlines()] == [
        [name, json.dumps(value)] for name, value in row.items()
    ]
    assert published.do("get", "user1", "--json").assert_code(0).document == {
        "group": "features_daily",
        "entity": {"user_id": "user1"},
        "row": row,
    }


def test_get_of_an_unknown_user_ends_with_1(published: Store) -> None:
    done = published.do("get", "nobody").assert_code(1)

    assert (done.out, done.err) == ("", "features_daily: no entity 'nobody'\n")
    assert published.do("get", "nobody", "--json").assert_code(1).document["row"] is None


def test_get_before_the_first_push_says_what_to_run(store: Store) -> None:
    done = store.do("get", "user1").assert_code(4)
    assert done.err == ("materializer: features_daily was never pushed; run: materializer push\n")


def test_get_with_more_keys_than_any_group_has_is_a_usage_error(store: Store) -> None:
    done = store.do("get", "user1", "item1").assert_code(2)
    assert "0 online groups have a key of 2 part(s)" in done.err
