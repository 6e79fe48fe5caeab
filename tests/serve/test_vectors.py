"""Vectors over HTTP: exact values, what is refused, and what a store that is away or odd means."""

import json
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import redis

from materializer.online import codec
from materializer.registry import FeatureGroup
from materializer.views.definition import FittedStep, Join, ViewVersion
from serve.requests.batch import MOST_ROWS
from tests.serve.payments import (
    ACCOUNTS,
    DEVICES,
    FIRST_VERSION,
    JOINS,
    KEY,
    RECEIVER,
    ROUTE,
    SECOND_VERSION,
    SENDER,
    SENT,
    VIEW,
    put,
)
from tests.serve.support import NOW, Answer, Application, Http, Store, commands, until
from tests.serve.test_metrics import samples_of, scrape
from tests.support.server import SERVERS, Server

FIRST, SECOND = FIRST_VERSION.id, SECOND_VERSION.id
COLUMNS = [
    *("sender_balance", "sender_level__gold", "sender_level__tin", "sender_score"),
    *("sender_is_new", "sender_taste", "receiver_level__gold", "receiver_score", "uses"),
    *SENT,
]
AT = "2024-01-08T00:00:00Z"
VECTOR = [2.0, 1, 0, "1.50", True, [0.5, None], 0, 9.99, 7, *SENT.values()]


@pytest.fixture(scope="module")
def http(payments: Store) -> Iterator[Application]:
    """Give the application. Only ask it."""
    with payments.application() as application:
        yield application


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(SERVERS["valkey"], tmp_path_factory.mktemp("spare"))
    yield running
    running.close()


class Own(NamedTuple):
    """An online store of the test's own, and the application on it."""

    client: redis.Redis
    http: Application


@pytest.fixture
def own(payments: Store, spare: Server) -> Iterator[Own]:
    """Give an online store that is filled like the other."""
    source, client = payments.redis.client(), spare.client()
    client.flushall()
    for key in source.scan_iter():
        client.restore(key, 0, source.dump(key) or b"")
    with Application(payments.home, spare.url) as application:
        yield Own(client, application)


def _published(http: Application, group: FeatureGroup) -> FeatureGroup:
    return http.stores.directory.named(group.name)


def ask(http: Http, key: Mapping[str, Any] = KEY, **values: Any) -> Answer:
    """Ask for one vector, with a value of everything that only a request can bring."""
    return http.post(ROUTE, {"keys": key, "values": {**SENT, **values}})


def ask_many(http: Http, *keys: Mapping[str, Any], **more: Any) -> Answer:
    return http.post(ROUTE, {"keys": keys, "values": [SENT] * len(keys), **more})


def part(answer: Answer, name: str) -> Any:
    assert answer.status == 200, answer.body
    return answer.body["vector"][answer.body["columns"].index(name)]


# Answers


def test_one_vector_is_answered_whole(http: Application) -> None:
    fresh = {"available_at": AT, "stale": False, "missing": None}

    answer = ask(http)

    assert answer.status == 200, answer.body
    assert list(answer.body.items()) == [
        ("view", VIEW),
        ("version", FIRST),
        ("source", "online"),
        ("as_of", NOW),
        ("columns", COLUMNS),
        (
            "dtypes",
            [
                *("double", "int64", "int64", "decimal(9,2)", "boolean", "array<double>"),
                *("int64", "double", "int64", "double", "string", "int64", "decimal(9,2)"),
                *("boolean", "date", "timestamp", "array<string>"),
            ],
        ),
        ("vector", VECTOR),
        ("groups", {SENDER: fresh, RECEIVER: fresh, "devices": fresh}),
    ]


def test_many_vectors_keep_order_and_duplicates(http: Application) -> None:
    other = {**KEY, "sender": "nil"}

    answer = ask_many(http, KEY, other, KEY)

    odd = [None, 0, 0, None, None, None, *VECTOR[6:]]
    assert answer.body["vectors"] == [VECTOR, odd, VECTOR]
    assert answer.body["missing"] == [None] * 3
    assert answer.body["groups"][SENDER] == {
        "available_at": [AT, "2024-01-06T00:00:00Z", AT],
        "stale": [False, True, False],
        "missing": [None] * 3,
    }


def test_a_group_joined_twice_is_read_for_each_of_its_keys(http: Application) -> None:
    answer = ask(http, {"sender": "bob", "receiver": "ann", "device": 1})

    assert (part(answer, "sender_level__tin"), part(answer, "receiver_level__gold")) == (1, 1)
    assert (part(answer, "sender_score"), part(answer, "receiver_score")) == ("9.99", 1.5)


def test_a_number_as_a_key_may_be_sent_as_its_text(http: Application) -> None:
    assert ask(http, {**KEY, "device": "1"}).body == ask(http).body


def test_no_keys_have_no_vectors(http: Application) -> None:
    answer = ask_many(http)

    assert (answer.status, answer.body["vectors"], answer.body["missing"]) == (200, [], [])
    assert answer.body["columns"] == COLUMNS


def test_ten_thousand_rows_are_answered_and_one_more_is_refused(http: Application) -> None:
    most = ask_many(http, *[KEY] * MOST_ROWS)
    more = ask_many(http, *[KEY] * (MOST_ROWS + 1))

    assert most.body["vectors"] == [VECTOR] * MOST_ROWS
    assert more.refused(400, "too_many_rows") == "10001 keys; send 10000 at most in one batch"


@pytest.mark.parametrize("rows", [1, 500])
def test_a_warm_server_reads_everything_with_one_command(
    payments: Store, http: Application, rows: int
) -> None:
    ask(http)

    with commands(payments.redis) as sent:
        ask_many(http, *[KEY] * rows)

    assert sent == {"mget": 1}


# As of a time


def test_as_of_answers_from_the_rows_that_were_available_then(http: Application) -> None:
    body = {"keys": KEY, "values": SENT, "as_of": "2024-01-04T00:00:00Z"}

    answer = http.post(ROUTE, body)

    assert (answer.body["source"], answer.body["as_of"]) == ("offline", "2024-01-04T00:00:00Z")
    assert answer.body["vector"] == [0.0, *VECTOR[1:8], 3, *VECTOR[9:]]


def test_now_is_the_same_from_both_stores(http: Application) -> None:
    keys = [
        {"sender": sender, "receiver": receiver, "device": 1}
        for sender in ("ann", "bob", "nil", "nobody")
        for receiver in ("ann", "bob", "nil", "nobody")
    ]

    online, offline = (ask_many(http, *keys, as_of=as_of).body for as_of in (None, NOW))

    assert (online["source"], offline["source"]) == ("online", "offline")
    assert {**online, "source": "offline"} == offline


@pytest.mark.parametrize(
    ("as_of", "code"),
    [
        ("2024-01-09T00:00:00Z", "as_of_in_future"),
        ("noon", "bad_as_of"),
        ("", "bad_as_of"),
        (5, "bad_as_of"),
    ],
)
def test_a_time_that_cannot_be_is_reported(http: Application, as_of: object, code: str) -> None:
    answer = http.post(ROUTE, {"keys": KEY, "values": SENT, "as_of": as_of})

    assert (answer.status, answer.code) == (400, code)


# Rows that are missing


def test_a_missing_row_under_null_is_null_through_the_transforms(http: Application) -> None:
    answer = ask(http, {**KEY, "sender": "nobody"})

    assert answer.body["vector"] == [None, 0, 0, None, None, None, *VECTOR[6:]]
    assert answer.body["groups"][SENDER] == {
        "available_at": None,
        "stale": None,
        "missing": "unknown_entity",
    }


def test_a_missing_row_under_impute_leaves_nothing_null(http: Application) -> None:
    answer = ask(http, {**KEY, "receiver": "nobody"})

    assert (part(answer, "receiver_level__gold"), part(answer, "receiver_score")) == (0, 2.5)


@pytest.mark.parametrize(
    ("number", "as_of", "code", "said"),
    [
        (3, None, "unknown_entity", "devices: no entity '3'"),
        # Its row is past the group's ttl_days, and still in Redis.
        (2, None, "expired", "devices: the newest row of '2' does not hold any more at"),
        (3, NOW, "unknown_entity", "devices: no entity '3'"),
        (2, NOW, "expired", "devices: the newest row of '2' does not hold any more at"),
        (1, "2024-01-01", "not_yet_available", "devices: '1' has no row that was available at"),
    ],
)
def test_a_missing_row_under_error_is_no_vector(
    http: Application, number: int, as_of: str | None, code: str, said: str
) -> None:
    bad = {**KEY, "device": number}

    one = http.post(ROUTE, {"keys": bad, "values": SENT, "as_of": as_of})
    many = ask_many(http, bad, as_of=as_of)

    assert one.refused(404, code).startswith(said)
    assert (many.status, many.body["vectors"], many.body["missing"]) == (200, [None], [code])
    assert many.body["groups"]["devices"]["missing"] == [code]


def test_among_many_only_the_row_without_its_group_has_no_vector(http: Application) -> None:
    answer = ask_many(http, KEY, {**KEY, "device": 3}, KEY)

    assert answer.body["vectors"] == [VECTOR, None, VECTOR]
    assert answer.body["missing"] == [None, "unknown_entity", None]


def test_a_row_is_not_missing_when_the_request_brings_all_of_it(http: Application) -> None:
    answer = ask(http, {**KEY, "device": 3}, uses=4)

    assert part(answer, "uses") == 4
    assert answer.body["groups"]["devices"]["missing"] == "unknown_entity"


# Values of the request


LOWEST, HIGHEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("name", "sent", "reported"),
    [
        ("sender_balance", 17, 2.0),
        ("sender_balance", 2**62, (2.0**62 - 13) / 2),
        ("sender_balance", None, None),
        ("amount", math.e - 1, 1.0),
        ("amount", -1, None),
        ("count", LOWEST, LOWEST),
        ("count", HIGHEST, HIGHEST),
        ("count", None, None),
        ("fee", "1.5", "1.50"),
        ("fee", "-0.05", "-0.05"),
        ("fee", 2, "2.00"),
        ("fee", 9_999_999, "9999999.00"),
        ("receiver_score", "0.1", 0.1),
        ("receiver_score", None, 2.5),
        ("is_first", True, True),
        ("paid_on", "2024-02-29", "2024-02-29"),
        ("paid_at", "2024-01-08T14:00:00+02:00", NOW),
        ("paid_at", "2024-01-08", AT),
        ("memo", "", ""),
        ("memo", "\x00\u2028😀", "\x00\u2028😀"),
        ("tags", [], []),
        ("tags", ["a", None, ""], ["a", None, ""]),
        ("sender_taste", [1, 2.5, None], [1.0, 2.5, None]),
    ],
)
def test_a_value_of_a_request_counts_in_its_published_form(
    http: Application, name: str, sent: Any, reported: object
) -> None:
    value = part(ask(http, **{name: sent}), name)

    assert (value, type(value)) == (reported, type(reported))


def test_a_category_of_a_request_counts(http: Application) -> None:
    vectors = [ask(http, sender_level=level).body["vector"][1:3] for level in ("tin", "lead", None)]

    assert vectors == [[0, 1], [0, 0], [0, 0]]


A_NUMBER, A_WHOLE = "a finite number", "a whole number of 64 bits"
A_DECIMAL = "a decimal(9,2), as a string or a whole number"


@pytest.mark.parametrize(
    ("name", "sent", "form"),
    [
        ("amount", "1", A_NUMBER),
        ("amount", True, A_NUMBER),
        ("amount", "NaN", A_NUMBER),
        ("amount", float("nan"), A_NUMBER),
        ("amount", float("inf"), A_NUMBER),
        ("amount", 10**400, A_NUMBER),
        ("count", HIGHEST + 1, A_WHOLE),
        ("count", LOWEST - 1, A_WHOLE),
        ("count", 1.0, A_WHOLE),
        ("count", True, A_WHOLE),
        ("count", "1", A_WHOLE),
        ("fee", 1.5, A_DECIMAL),
        ("fee", True, A_DECIMAL),
        ("fee", "NaN", A_DECIMAL),
        ("fee", "1e3", A_DECIMAL),
        ("fee", "1_000", A_DECIMAL),
        ("fee", " 1", A_DECIMAL),
        ("fee", "\u0661", A_DECIMAL),
        ("fee", "", A_DECIMAL),
        # Digits that no row of this type has.
        ("fee", "0.125", A_DECIMAL),
        ("fee", 10_000_000, A_DECIMAL),
        ("fee", 10**5000 // 10**4000, A_DECIMAL),
        ("is_first", 1, "true or false"),
        ("is_first", "true", "true or false"),
        ("paid_on", "2024-2-9", "a date such as 2024-02-29"),
        ("paid_on", "2023-02-29", "a date such as 2024-02-29"),
        ("paid_on", "20240229", "a date such as 2024-02-29"),
        ("paid_on", "2024-02-29T00:00:00Z", "a date such as 2024-02-29"),
        ("paid_at", "noon", "a time such as 2024-02-29T12:00:00Z"),
        ("paid_at", "0001-01-01T00:00:00+01:00", "a time such as 2024-02-29T12:00:00Z"),
        ("paid_at", 5, "a time such as 2024-02-29T12:00:00Z"),
        ("memo", 5, "a string"),
        ("memo", "\ud800", "a string"),
        ("memo", {"a": 1}, "a string"),
        ("tags", "a", "a list of type array<string>"),
        ("tags", [1], "a list of type array<string>"),
        ("tags", [["a"]], "a list of type array<string>"),
        ("sender_taste", [float("nan")], "a list of type array<double>"),
    ],
)
def test_a_value_that_a_feature_cannot_have_is_refused(
    http: Application, name: str, sent: Any, form: str
) -> None:
    answer = ask(http, **{name: sent})

    assert answer.refused(400, "bad_request") == f"values: {name} is not {form}"


def test_a_feature_that_no_group_has_must_be_sent(http: Application) -> None:
    rest = {name: value for name, value in SENT.items() if name != "memo"}

    answer = http.post(ROUTE, {"keys": KEY, "values": rest})

    assert (answer.status, answer.code) == (400, "bad_request")
    assert answer.message == ("no group has memo: send it in values, null where it is not known")


# Bodies


ONE = {"keys": KEY, "values": SENT}
MANY = {"keys": [KEY], "values": [SENT]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**ONE, "key": 1}, "unknown field 'key'; known: keys, values, version, as_of"),
        ({**ONE, "keys": None}, "keys is not an object"),
        ({**ONE, "keys": "ann"}, "keys is not an object"),
        ({**MANY, "keys": [None]}, "keys[0] is not an object"),
        ({**ONE, "values": [SENT]}, "values is not an object"),
        ({**MANY, "values": SENT}, "values is not a list as long as keys"),
        ({**MANY, "values": []}, "values is not a list as long as keys"),
        ({**MANY, "values": [5]}, "values[0] is not an object"),
        ({**ONE, "version": 5}, "version is not a string"),
        (
            {**ONE, "keys": {**KEY, "x": 1}},
            'keys has an unknown field \'x\'; send {"sender": "..."',
        ),
        ({**ONE, "keys": {"sender": "ann"}}, "keys: key column receiver is missing"),
        ({**ONE, "keys": {**KEY, "sender": ""}}, "keys: key column sender is empty"),
        ({**ONE, "keys": {**KEY, "sender": 1}}, "keys: key column sender is not a string"),
        ({**ONE, "keys": {**KEY, "sender": "\ud800"}}, "keys: key column sender is not Unicode"),
        (
            {**ONE, "keys": {**KEY, "device": True}},
            "keys: key column device is not a string or a whole number",
        ),
        (
            {**ONE, "keys": {**KEY, "device": 1.0}},
            "keys: key column device is not a string or a whole number",
        ),
        ({**MANY, "keys": [{**KEY, "device": None}]}, "keys[0]: key column device is not"),
        ({**ONE, "values": {**SENT, "x": 1}}, "values: unknown feature 'x'; there are sender_bal"),
        ({**MANY, "values": [{**SENT, "count": "x"}]}, "values[0]: count is not a whole number"),
        ([], "the body is not a JSON object"),
    ],
)
def test_a_body_that_cannot_be_answered_is_refused(
    http: Application, body: object, said: str
) -> None:
    answer = http.post(ROUTE, body)

    assert answer.refused(400, "bad_request").startswith(said)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"keys":' * 50_000, b"{", b"\xff", b"1" * 9999])
def test_a_body_that_is_no_json_is_refused(http: Application, raw: bytes) -> None:
    answer = http.post(ROUTE, raw)

    assert len(answer.refused(400, "bad_request")) < 200


def test_a_message_does_not_repeat_a_long_name(http: Application) -> None:
    long = "x" * 100_000
    answers = [
        http.post(ROUTE, {**ONE, "version": long}),
        http.post(ROUTE, {**ONE, "values": {**SENT, long: 1}}),
        http.post(ROUTE, {**ONE, long: 1}),
        http.post(f"/feature-views/{long[:50_000]}/vector", ONE),
        ask(http, {**KEY, "device": long}),
    ]

    assert [answer.status for answer in answers] == [409, 400, 400, 404, 404]
    assert max(len(answer.message) for answer in answers) < 500


def test_a_number_beyond_64_bits_is_no_key_of_any_row(http: Application) -> None:
    key = {**KEY, "device": 10**30}

    answers = [ask_many(http, key, as_of=as_of) for as_of in (None, NOW)]

    assert [answer.body["missing"] for answer in answers] == [["unknown_entity"]] * 2


# Views and versions


@pytest.mark.parametrize(
    "name", ["nothing", f"{VIEW}:{FIRST}", "_meta", "a%20b", "%00", "%F0%9F%98%80", "payments%0A"]
)
def test_a_view_that_is_not_there_is_reported(http: Application, name: str) -> None:
    answer = http.post(f"/feature-views/{name}/vector", ONE)

    assert answer.refused(404, "unknown_view").endswith("was pushed; published: payments")


@pytest.mark.parametrize("wanted", ["00000000", "", "x:y", "\ud800", "*"])
def test_a_version_that_is_not_there_is_a_conflict(http: Application, wanted: str) -> None:
    answer = http.post(ROUTE, {**ONE, "version": wanted})

    assert answer.refused(409, "version_gone") == (
        f"feature view payments has no version {wanted!r}, or not any more; there are {FIRST}"
    )


def test_what_clients_send_is_not_kept(own: Own) -> None:
    _, http = own
    ask(http)
    known = http.stores.versions

    for n in range(50):
        http.post(ROUTE, {**ONE, "version": f"{n:08}"})
        http.post(f"/feature-views/view{n}/vector", ONE)

    assert len(known) == 1


def test_a_newer_version_answers_from_the_next_request_on_and_the_pinned_ones_as_before(
    own: Own,
) -> None:
    client, http = own
    before = ask(http).body
    put(client, FIRST_VERSION, SECOND_VERSION)

    after = ask(http).body
    pinned = [http.post(ROUTE, {**ONE, "version": one}).body for one in (FIRST, SECOND)]

    assert (before["version"], after["version"]) == (FIRST, SECOND)
    assert after["vector"] == [0.0, *VECTOR[1:]]
    assert pinned == [before, after]


def test_a_version_that_is_forgotten_is_gone_at_once(own: Own) -> None:
    client, http = own
    ask(http)
    put(client, SECOND_VERSION)

    answers = [http.post(ROUTE, {**ONE, "version": one}) for one in (FIRST, SECOND)]

    assert [answer.status for answer in answers] == [409, 200]
    assert len(http.stores.versions) == 1


def test_every_answer_is_of_one_version_while_it_changes(own: Own) -> None:
    client, http = own
    # The shapes differ too, so that a mixture could not be missed.
    levels = {"categories": ["gold", "lead", "tin"]}
    wider = _with_step(SECOND_VERSION, "sender_level", "one_hot_encode", levels)
    vectors = {FIRST: VECTOR, wider.id: [0.0, 1, 0, *VECTOR[2:]]}
    put(client, FIRST_VERSION, wider)
    seen: list[tuple[Answer, Answer]] = []
    ended = threading.Event()

    def go_on_asking() -> None:
        while not ended.is_set():
            seen.append((ask(http), http.post(ROUTE, {**ONE, "version": FIRST})))

    askers = [threading.Thread(target=go_on_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    rounds = 0
    try:
        while rounds < 8 or {newest.body["version"] for newest, _ in list(seen)} != set(vectors):
            put(client, wider, FIRST_VERSION)
            put(client, FIRST_VERSION, wider)
            rounds += 1
            assert rounds < 1000
    finally:
        ended.set()
    for asker in askers:
        asker.join()

    answers = [answer for pair in seen for answer in pair]
    assert {answer.status for answer in answers} == {200}
    assert {newest.body["version"] for newest, _ in seen} == set(vectors)
    assert {pinned.body["version"] for _, pinned in seen} == {FIRST}
    assert all(answer.body["vector"] == vectors[answer.body["version"]] for answer in answers)


def _with_step(
    version: ViewVersion, name: str, transform: str, parameters: Mapping[str, Any]
) -> ViewVersion:
    step = FittedStep(transform, parameters)
    features = [
        replace(feature, steps=(step,)) if feature.name == name else feature
        for feature in version.features
    ]
    return replace(version, features=tuple(features))


# Stores that are away, empty or odd


def test_a_server_that_is_away_is_reported_and_is_found_again(own: Own, spare: Server) -> None:
    _, http = own
    warm = ask(http)
    spare.kill()
    away = [ask(http), http.post(ROUTE, {**ONE, "as_of": NOW})]
    spare.start()

    assert [(answer.status, answer.code) for answer in away] == [(503, "store_unavailable")] * 2
    until(lambda: ask(http).status == 200, seconds=5)
    assert ask(http).body == warm.body


@pytest.mark.parametrize("as_of", [None, NOW])
def test_an_emptied_server_holds_no_view(own: Own, as_of: str | None) -> None:
    client, http = own
    ask(http)
    client.flushall()

    answer = http.post(ROUTE, {**ONE, "as_of": as_of})

    assert (answer.status, answer.code) == (503, "not_materialized")
    assert answer.message == "payments was never pushed; run: materializer push"


NOBODY = {**KEY, "sender": "nobody"}


@pytest.mark.parametrize("keys", [NOBODY, [], [KEY, NOBODY]])
def test_a_group_whose_first_push_did_not_end_is_never_null(own: Own, keys: object) -> None:
    client, http = own
    client.delete(codec.meta_key("accounts"))
    values = [SENT] * len(keys) if isinstance(keys, list) else SENT

    answer = http.post(ROUTE, {"keys": keys, "values": values})

    assert (answer.status, answer.code) == (503, "not_materialized")
    assert answer.message == "accounts was never pushed; run: materializer push"
    assert ask(http).body["vector"] == VECTOR


def test_a_group_that_was_never_published_is_reported(own: Own) -> None:
    client, http = own
    other = Join("ghosts", "ghosts", {"device": "device"}, "null")
    put(client, replace(FIRST_VERSION, joins=(*JOINS, other)))

    answer = ask(http)

    assert answer.refused(404, "unknown_group") == (
        "no feature group 'ghosts' was published; published: accounts, devices"
    )


@pytest.mark.parametrize("is_contract", [True, False])
def test_a_lost_contract_or_version_is_reported(own: Own, is_contract: bool) -> None:
    client, http = own
    key, said = (
        codec.version_key(VIEW, FIRST),
        f"version {FIRST} of payments; run: materializer push -",
    )
    if is_contract:
        contract = _published(http, DEVICES).contract.id
        key, said = codec.contract_key(contract), f"contract {contract}, which its"
    client.delete(key)

    message = ask(http).refused(503, "not_materialized")

    assert message.startswith(f"the online store lost {said}")


def test_a_row_without_a_column_that_the_version_needs_is_never_null(own: Own) -> None:
    client, http = own
    fewer = tuple(column for column in ACCOUNTS.columns if column.name != "balance")
    older = replace(_published(http, ACCOUNTS), columns=fewer)
    text = older.contract.text
    row = [older.contract.id, "2024-01-07", "gold", "1.50", "2023-05-06", True, [], AT]
    client.set(codec.contract_key(older.contract.id), text)
    client.set(codec.key("features:accounts", ["ann"]), json.dumps(row))

    without, given = ask(http), ask(http, sender_balance=17)

    assert without.refused(503, "not_materialized") == (
        f"the rows of accounts that are there have no column balance, which version {FIRST} of "
        "payments needs; run: materializer push --all"
    )
    assert part(given, "sender_balance") == 2.0


@pytest.mark.parametrize("more", [{}, {"as_of": "2024-01-07T00:00:00Z"}, {"version": FIRST}])
@pytest.mark.parametrize("many", [False, True])
def test_rows_of_another_definition_than_the_version_was_fitted_on_are_not_served(
    own: Own, more: dict[str, str], many: bool
) -> None:
    client, http = own
    joins = (replace(JOINS[0], definition="then"), *JOINS[1:])
    older = replace(FIRST_VERSION, joins=joins)
    put(client, older, FIRST_VERSION)
    key: Any = [KEY] if many else KEY
    values: Any = [SENT] if many else SENT
    body = {"keys": key, "values": values, **more}

    fine = http.post(ROUTE, body)
    outdated = http.post(ROUTE, {**body, "version": older.id})

    assert older.id != FIRST
    assert (fine.status, fine.body["version"]) == (200, FIRST)
    assert (outdated.status, outdated.code) == (409, "version_outdated")
    assert outdated.message == (
        f"version {older.id} of payments was fitted on another definition of accounts than the "
        "rows have now; request a newer version, with a model trained on it; if there is none: "
        "dbt build --select payments_training+, materializer run"
    )


def test_missing_rows_are_of_a_definition_too(own: Own) -> None:
    client, http = own
    joins = (replace(JOINS[0], definition="then"), *JOINS[1:])
    put(client, replace(FIRST_VERSION, joins=joins))

    answer = ask(http, {**KEY, "sender": "nobody"})

    assert (answer.status, answer.code) == (409, "version_outdated")


ODD_TEXTS = [
    *("", "{", "[]", "{}", "null", "5", '"text"', '{"versions": 5}', '{"versions": ["a"]}'),
    *('{"view": "payments"}', '{"keys": [], "joins": [{"on": []}], "features": []}'),
    FIRST_VERSION.text.replace('"scale"', '"sqrt"', 1),
    FIRST_VERSION.text.replace('"mean":13.0,', ""),
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_what_is_no_version_is_reported_and_a_push_writes_it_again(own: Own, text: str) -> None:
    client, http = own
    client.set(codec.version_key(VIEW, FIRST), text)

    odd = ask(http)
    put(client, FIRST_VERSION, everything=True)

    assert odd.refused(500, "internal_error").startswith("an online value cannot be read: ")
    assert ask(http).body["vector"] == VECTOR


@pytest.mark.parametrize("text", [*ODD_TEXTS[:-4], FIRST_VERSION.text])
def test_what_is_no_state_of_a_view_is_reported(own: Own, text: str) -> None:
    client, http = own
    client.set(codec.view_key(VIEW), text)

    answer = ask(http)

    assert answer.refused(500, "internal_error").startswith("an online value cannot be read: ")


@pytest.mark.parametrize(
    ("place", "value"),
    [(2, "much"), (2, [1]), (2, {}), (4, "1,5"), (8, "noon"), (8, None), (8, [])],
)
def test_a_value_that_its_column_cannot_have_is_reported(
    own: Own, place: int, value: object
) -> None:
    client, http = own
    contract = _published(http, ACCOUNTS).contract.id
    row = [contract, "2024-01-07", 17.0, "gold", "1.50", "2023-05-06", True, [], AT]
    row[place] = value
    client.set(codec.key("features:accounts", ["ann"]), json.dumps(row))

    answer = ask(http, {**KEY, "receiver": "ann"})

    assert answer.refused(500, "internal_error").startswith("an online value cannot be read: ")


# Who may ask, and what is counted


def test_requests_are_counted_by_route_and_missing_rows_by_group(
    payments: Store,
) -> None:
    with payments.application() as http:
        ask(http)
        ask(http, {**KEY, "device": 3})
        ask_many(http, KEY, {**KEY, "sender": "nobody", "device": 3})
        ask_many(http, {**KEY, "device": 2}, KEY, as_of=NOW)
        http.post("/feature-views/payments/vector", {**ONE, "version": "00000000"})
        http.post("/feature-views/nothing/vector", ONE)
        http.get("/feature-views/payments")
        scraped = scrape(http)

    # In order of the labels' names.
    route = "/feature-views/<view>/vector"
    assert samples_of(scraped, "feature_server_requests_total") == {
        ("POST", route, "200"): 3,
        ("POST", route, "404"): 2,
        ("POST", route, "409"): 1,
        ("GET", "/feature-views/<view>", "200"): 1,
    }
    assert samples_of(scraped, "feature_server_misses_total") == {
        ("devices", "unknown_entity", "online"): 2,
        ("accounts", "unknown_entity", "online"): 1,
        ("devices", "expired", "offline"): 1,
    }
    assert samples_of(scraped, "feature_server_vectors_total") == {
        ("online", FIRST, VIEW): 2,
        ("offline", FIRST, VIEW): 1,
    }
