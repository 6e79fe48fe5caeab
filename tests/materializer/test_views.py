"""A feature view on its way out: published with its version, refused, kept, and pushed."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
import redis

from materializer.config import format_time, parse_time
from materializer.online import codec
from materializer.online.owners import Owner, claim
from materializer.online.state import ViewMeta
from materializer.registry.values import json_value
from materializer.views.definition import ViewVersion
from materializer.views.vector import Vectors
from materializer.views.versions import PublishedVersion, read_versions
from serve.responses import as_time
from tests.serve.support import Application
from tests.support.server import Server
from tests.support.store import Done, Store
from tests.support.transfers import NOW, Transfers, built_transfers
from tests.support.view_project import VIEW

PARAMETERS = f"{VIEW}_parameters"
CARRIED = ("sender", "receiver", "asked_at", "label", "split")
# What a file, an SQL identifier, a JSON text and a nested field would each garble.
ODD_LEVELS = [
    *("a.b", 'say "hi"', "it's", "two words", "😀", "", "100%", "a\nb", "a\\b", "{{ 1 }}", "null"),
    *("__", "é", "e\u0301", ";--", "\t", "x" * 300),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Transfers:
    """Give the project, built and past its gate. Only copy it."""
    return built_transfers(tmp_path_factory)


@pytest.fixture
def store(made: Transfers, tmp_path: Path, redis_url: str) -> Store:
    """Give a store of the test's own, built and never published."""
    shutil.copytree(made.folder, tmp_path / "project", symlinks=True)
    return Store(Transfers(tmp_path / "project", now=NOW), redis_url)


@pytest.fixture(scope="module")
def strict(made: Transfers, tmp_path_factory: pytest.TempPathFactory) -> Transfers:
    """Give the project after another build, of a view that has no vector without its sender."""
    folder = tmp_path_factory.mktemp("strict") / "project"
    shutil.copytree(made.folder, folder, symlinks=True)
    project = Transfers(folder, now=NOW)
    project.declare(missing={"sender_facts": "error"})
    project.dbt("build", "--select", PARAMETERS, VIEW).assert_done()
    return project


@pytest.fixture
def client(valkey: Server) -> redis.Redis:
    return valkey.client()


@pytest.fixture(scope="module")
def asked(made: Transfers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give a store that was published and pushed to a server of its own. Only read it."""
    folder = tmp_path_factory.mktemp("asked")
    shutil.copytree(made.folder, folder / "project", symlinks=True)
    store = Store(Transfers(folder / "project", now=NOW), None)
    store.do("run").assert_code(0)
    yield store
    store.do("stop")


def declare(store: Store, **meta: object) -> None:
    store.declare(f"model.views.{VIEW}", "feature_view", **meta)


def declare_group(store: Store, **meta: object) -> None:
    store.declare("model.views.facts", "feature_group", **meta)


def replace_build(store: Store, built: Transfers) -> None:
    """Give a store the warehouse and the manifest of another build of its project."""
    store.replace_warehouse(built)
    shutil.copy(built.target / "manifest.json", store.project.target)


def known(store: Store) -> list[PublishedVersion]:
    with store.catalog() as catalog:
        return read_versions(catalog)


def receipt(store: Store) -> Path:
    return store.receipt(VIEW)


def version_in(path: Path) -> str:
    return str(json.loads(path.read_text())["parameter_version"])


def rows(store: Store) -> list[dict[str, Any]]:
    """Give the published rows, sorted: a set has no order of its own."""
    found = pq.read_table(store.home / "training" / f"{VIEW}.parquet").to_pylist()
    return sorted(found, key=repr)


def verify(store: Store, path: Path) -> str:
    """Say whether a receipt holds: `identical`, or what differs."""
    done = store.do("verify-training", str(path), "--json")
    return str(done.document["differs"] or done.document["verdict"])


def refused(done: Done) -> str:
    """Give the line that says why the view was not published; it is the only such line."""
    done.assert_code(3)
    [line] = done.err.splitlines()
    return line


# What is published


def test_rows_version_and_receipt_go_out_together(asked: Store) -> None:
    [one] = known(asked)
    version = ViewVersion.from_text(one.document)
    training = json.loads(asked.receipt("training").read_text())

    assert (one.view, one.version, one.training_tag) == (VIEW, version.id, training["tag"])
    assert version_in(receipt(asked)) == one.version
    assert list(rows(asked)[0]) == [*CARRIED, *(c.name for c in Vectors(version).columns)]
    assert sorted(map(str, asked.table(VIEW))) == sorted(
        str(tuple(row.values())) for row in rows(asked)
    )
    assert {row["split"] for row in rows(asked)} == {"train", "holdout"}


def test_a_receipt_of_a_view_is_verified_like_any_other(asked: Store, tmp_path: Path) -> None:
    text = receipt(asked).read_text()
    verdicts = []
    for old, new in [
        ("", ""),
        (version_in(receipt(asked)), "00000000"),
        ("2.6026896854443837", "2.6026896854443838"),
        ('"rows": 60', '"rows": 60 '),
        ("sender_balance", "sender_score"),
    ]:
        changed = tmp_path / "changed.json"
        changed.write_text(text.replace(old, new))
        verdicts.append(verify(asked, changed))

    assert verdicts == ["identical", "parameter_version", "identical", "identical", "columns"]


def test_a_publish_without_a_build_changes_nothing(store: Store) -> None:
    store.do("publish").assert_code(0)
    before = known(store), receipt(store).read_text()

    output = store.do("publish").assert_code(0).out

    assert f"published {VIEW}: up to date\n" in output
    assert (known(store), receipt(store).read_text()) == before


def test_a_rule_that_changes_makes_a_version_of_the_same_rows(
    store: Store, strict: Transfers
) -> None:
    store.do("publish").assert_code(0)
    first = receipt(store).read_text()
    replace_build(store, strict)

    store.do("publish").assert_code(0)

    older, newest = known(store)
    assert newest.version == version_in(receipt(store)) != older.version
    assert json.loads(newest.document)["joins"][0]["missing"] == "error"
    assert json.loads(first)["checksum"] == json.loads(receipt(store).read_text())["checksum"]
    assert [verify(store, path) for path in receipt(store).parent.glob("receipts/*.json")] == (
        ["identical"] * 3
    )


def test_the_command_tells_what_is_declared_and_what_is_published(asked: Store) -> None:
    [view] = asked.do("views", "--json").assert_code(0).document["views"]

    assert (view["name"], view["version"]) == (VIEW, version_in(receipt(asked)))
    assert asked.do("views", VIEW).assert_code(0).out.splitlines()[0] == VIEW
    assert asked.do("views", "x").assert_code(2).err == (
        f"materializer: no feature view 'x'; known: {VIEW}\n"
    )


# What is refused


def _edit(relation: str, change: str) -> Callable[[Store], None]:
    def edit(store: Store) -> None:
        store.query(f"update feature_store.{relation} set {change}")

    return edit


def _verdict(test: str) -> Callable[[Store], None]:
    red = "status = 'fail', failures = 3"
    return _edit("gate_verdicts", f"{red} where test like 'test.views.{test}.%'")


EDITED = "its rows are not those that the build wrote (edited by hand?); run: dbt build"
AGAIN = f"run: dbt build --select +{VIEW}"


@pytest.mark.parametrize(
    ("harm", "model", "reason"),
    [
        (
            _verdict(f"{PARAMETERS}_fitted_on_training_rows"),
            PARAMETERS,
            f"{PARAMETERS}_fitted_on_training_rows failed (3 rows); see: dbt test --select "
            f"{PARAMETERS}_fitted_on_training_rows",
        ),
        (_edit(VIEW, "amount = amount + 1 where label = 1"), VIEW, EDITED),
        # None of the rows has this level, so that no row would come out otherwise.
        (
            _edit(PARAMETERS, 'parameters = replace(parameters, \'"tin"\', \'"tin", "lead"\')'),
            PARAMETERS,
            EDITED,
        ),
        (_edit(PARAMETERS, "fitted_on_rows = 59"), PARAMETERS, EDITED),
        *(
            (partial(declare, **meta), VIEW, f"its meta was changed since it was built; {AGAIN}")
            for meta in (
                {"train_until": "2024-02-02"},
                {"features": ["amount"], "transforms": []},
                {"missing": {"sender_facts": "error"}},
            )
        ),
        (
            partial(declare_group, online=False),
            VIEW,
            f"sender_facts does not serve balance any more; {AGAIN}",
        ),
    ],
    ids=["gate", "rows", "category", "count", "until", "features", "rule", "offline"],
)
def test_what_did_not_pass_is_not_published(
    store: Store, harm: Callable[[Store], object], model: str, reason: str
) -> None:
    harm(store)

    assert refused(store.do("publish")) == f"{model}: not published: {reason}"
    assert known(store) == []
    assert not receipt(store).exists()


def test_a_view_of_a_training_set_that_was_refused_is_refused(store: Store) -> None:
    _verdict("training_conserves")(store)

    done = store.do("publish").assert_code(3)

    assert done.err.splitlines()[1:] == [
        f"{VIEW}: not published: it was built on training, which was not published"
    ]


def test_a_red_test_of_the_view_holds_back_both_models_that_it_guards(store: Store) -> None:
    test = f"{VIEW}_conserves"
    _verdict(test)(store)

    done = store.do("publish").assert_code(3)

    assert done.err.splitlines() == [
        f"{model}: not published: {test} failed (3 rows); see: dbt test --select {test}"
        for model in ("training", VIEW)
    ]


def test_rows_that_serving_would_make_otherwise_are_refused(store: Store) -> None:
    view = f"feature_store.{VIEW}"
    store.query(f"update {view} set sender_balance = sender_balance + 1e-12 where label = 1")
    # And the ledger says so too, as if the SQL had made it.
    names = [
        f'"{name}"' for (name,) in store.project.query(f"select column_name from (describe {view})")
    ]
    store.query(
        "update feature_store.build_ledger set content = ("
        f"select concat(count(*), ':', sum(hash({', '.join(names)}))) from {view}"
        f") where model = 'model.views.{VIEW}'"
    )

    output = refused(store.do("publish"))

    assert output.startswith(f"{VIEW}: not published: serving makes ")
    assert output.endswith(f"; {AGAIN}")
    assert known(store) == []


def test_a_training_set_that_lookups_would_not_give_is_refused(store: Store) -> None:
    # Its rows are as they were built, and those of the group are others by now.
    facts, day = "feature_store.facts", "date '2024-01-20'"
    store.query(f"update {facts} set balance = balance + 1 where day = {day}")
    names = [name for (name,) in store.project.query(f"select column_name from (describe {facts})")]
    store.query(
        "update feature_store.build_ledger set content = ("
        f"select concat(count(*), ':', sum(hash({', '.join(map(str, names))}))) from {facts} "
        f"where day = {day}) where model = 'model.views.facts' and day = {day}"
    )

    output = refused(store.do("publish"))

    assert output.startswith(f"{VIEW}: not published: a lookup of sender_facts at 2024-01-2")
    assert "finds sender_balance " in output
    assert output.endswith(f"; {AGAIN}")


def _build_again(store: Store, model: str) -> None:
    """Leave the records of a later build of one model alone, with a green gate."""
    later, of = "+ 100", f"where model = 'model.views.{model}'"
    store.query(f'update feature_store.build_ledger set "sequence" = "sequence" {later} {of}')
    store.query(
        f"update feature_store.gate_verdicts set model_sequence = model_sequence {later} {of}"
    )


def test_parameters_that_are_older_than_the_training_set_are_refused(store: Store) -> None:
    _build_again(store, "training")
    _build_again(store, VIEW)

    assert refused(store.do("publish")) == (
        f"{PARAMETERS}: not published: it was fitted before training was last built; "
        f"run: dbt build --select {PARAMETERS} {VIEW}"
    )


def test_a_view_that_is_older_than_its_parameters_is_refused(store: Store) -> None:
    _build_again(store, PARAMETERS)

    assert refused(store.do("publish")) == (
        f"{VIEW}: not published: it was built before {PARAMETERS} was last built; "
        f"run: dbt build --select {VIEW}"
    )


# Versions


def _training(store: Store) -> list[dict[str, Any]]:
    return list(pq.read_table(store.home / "training" / "training.parquet").to_pylist())


def _assert_every_row_is_served(store: Store) -> None:
    made = {(row["sender"], row["asked_at"]): row for row in rows(store)}
    with Application(store.home, store.redis_url, now=NOW) as http:
        for row in _training(store):
            body = {
                "keys": {"sender": row["sender"], "receiver": row["receiver"]},
                "values": {"amount": row["amount"]},
                "as_of": format_time(as_time(row["asked_at"])),
            }
            answer = http.post(f"/feature-views/{VIEW}/vector", body)
            vector = dict(zip(answer.body["columns"], answer.body["vector"], strict=True))
            expected = made[row["sender"], row["asked_at"]]
            assert vector == {
                name: json_value(value) for name, value in expected.items() if name not in CARRIED
            }


def test_other_columns_are_a_second_version_and_the_first_fit_again_is_the_first(
    store: Store, client: redis.Redis
) -> None:
    project = store.project
    assert isinstance(project, Transfers)
    store.do("run").assert_code(0)
    first, old = version_in(receipt(store)), rows(store)
    project.write_transfers(ODD_LEVELS)
    project.build().assert_done()
    store.do("run", "--allow-removals").assert_code(0)
    second = version_in(receipt(store))

    made = {name.partition("__")[2] for name in rows(store)[0] if "level__" in name}
    assert made == {row["sender_level"] for row in _training(store)} - {None}
    assert sorted(map(repr, store.table(VIEW))) == sorted(
        repr(tuple(row.values())) for row in rows(store)
    )
    _assert_every_row_is_served(store)

    project.write_transfers()
    project.build().assert_done()
    declare(store, keep_versions=2)
    store.do("run", "--allow-removals").assert_code(0)

    assert (version_in(receipt(store)), rows(store)) == (first, old)
    assert [one.version for one in known(store)] == [second, first]
    assert _online(client).versions == (second, first)
    receipts = list(receipt(store).parent.glob(f"receipts/{VIEW}-*.json"))
    assert sorted(map(version_in, receipts)) == sorted([first, second, first])
    assert [verify(store, path) for path in receipts] == ["identical"] * 3


def test_only_the_newest_versions_are_kept(
    store: Store, client: redis.Redis, made: Transfers, strict: Transfers
) -> None:
    output = []
    for built in (made, strict, made, strict):
        replace_build(store, built)
        declare(store, keep_versions=1)
        output.append(store.do("run").assert_code(0).err)
    [one] = known(store)

    assert one.version == version_in(receipt(store))
    assert _online(client).versions == (one.version,)
    assert client.keys("features:_view:*:*") == [codec.version_key(VIEW, one.version).encode()]
    assert [text.count("is forgotten") for text in output] == [0, 1, 1, 1]


# Online


def _values(client: redis.Redis) -> dict[bytes, bytes | None]:
    """Read every key of the view."""
    keys = client.scan_iter(f"{codec.view_key(VIEW)}*")
    return {key: client.get(key) for key in keys}  # type: ignore[misc]


def _online(client: redis.Redis) -> ViewMeta:
    return ViewMeta.from_json(cast("bytes", client.get(codec.view_key(VIEW))))


def test_a_push_of_what_is_there_writes_nothing(store: Store, client: redis.Redis) -> None:
    store.do("run").assert_code(0)
    before = _values(client)
    store.project.now = "2024-03-02T00:00:00Z"

    output = store.do("push").assert_code(0).out

    assert f"pushed {VIEW}: up to date, version {version_in(receipt(store))}\n" in output
    assert _values(client) == before


def test_an_emptied_server_gets_every_version_again(
    store: Store, client: redis.Redis, strict: Transfers
) -> None:
    store.do("run").assert_code(0)
    replace_build(store, strict)
    store.do("run").assert_code(0)
    before = _values(client)
    client.flushall()

    store.do("push").assert_code(0)

    assert _values(client) == before
    assert len(before) == 3


def test_a_version_that_is_lost_is_written_again(store: Store, client: redis.Redis) -> None:
    store.do("run").assert_code(0)
    before = _values(client)
    client.delete(codec.version_key(VIEW, version_in(receipt(store))))

    store.do("push").assert_code(0)

    assert _values(client) == before


def test_the_view_of_another_store_is_taken_over_only_on_request(
    store: Store, client: redis.Redis
) -> None:
    other = ViewMeta(
        store_id="another",
        version="11111111",
        versions=("00000000", "11111111"),
        pushed_at=parse_time(NOW),
    )
    other.write(client, codec.view_key(VIEW))
    claim(client, "view", VIEW, Owner(store_id="another"), take_over=False)
    for name in other.versions:
        client.set(codec.version_key(VIEW, name), "theirs")

    done = store.do("run").assert_code(3)
    kept = _values(client)
    store.do("push", "--take-over").assert_code(0)

    assert done.err.endswith("(another); to replace it: --take-over\n")
    assert kept[codec.version_key(VIEW, "00000000").encode()] == b"theirs"
    version = version_in(receipt(store))
    assert set(_values(client)) == {
        codec.view_key(VIEW).encode(),
        codec.version_key(VIEW, version).encode(),
    }


def _answers(store: Store, version: str | None) -> list[tuple[int, str | None]]:
    """Ask for vectors: online, offline, and many at once."""
    keys = {"sender": "a1", "receiver": "a4"}
    bodies: list[dict[str, Any]] = [{"keys": keys}, {"keys": keys, "as_of": NOW}]
    bodies += [{"keys": [keys, {**keys, "receiver": "nobody"}]}]
    with Application(store.home, store.redis_url, now=NOW) as http:
        route = f"/feature-views/{VIEW}/vector"
        values = {"amount": 1.0}
        answers = []
        for body in bodies:
            many = len(body["keys"]) if isinstance(body["keys"], list) else None
            sent = {**body, "values": [values] * many if many else values}
            answers.append(
                http.post(route, sent if version is None else {**sent, "version": version})
            )
    return [(answer.status, None if answer.status == 200 else answer.code) for answer in answers]


def _change_facts(store: Store, old: str, new: str) -> None:
    facts = store.project.folder / "models" / "facts.sql"
    text = facts.read_text()
    assert text.count(old) == 1
    facts.write_text(text.replace(old, new))
    store.project.build("--select", "facts").assert_done()


def test_no_version_is_served_rows_of_other_sql_than_it_was_fitted_on(store: Store) -> None:
    store.do("run").assert_code(0)
    old = version_in(receipt(store))
    # Rows that are the same again are of the same definition.
    _change_facts(store, "select id", "-- The same.\nselect id")
    store.do("run").assert_code(0)
    assert version_in(receipt(store)) == old
    assert _answers(store, old) == _answers(store, None) == [(200, None)] * 3

    _change_facts(store, 'cast("balance" as double)', '100 * cast("balance" as double)')
    done = store.do("run").assert_code(3)

    assert done.err == (
        f"{VIEW}: not published: its training set was built on another definition of facts than "
        "the published; run: dbt build --select training+\n"
    )
    assert _answers(store, old) == _answers(store, None) == [(409, "version_outdated")] * 3
    note = "not served, facts has another definition now"
    assert f"  version    {old}; {note}\n" in store.do("status").out
    [view] = store.do("status", "--json").document["training_sets"][1:]
    assert (view["version"], view["outdated_groups"]) == (old, ["facts"])
    assert f"; {note}\n" in store.do("views", VIEW).out

    store.project.build("--select", "training+").assert_done()
    store.do("run").assert_code(0)

    new = version_in(receipt(store))
    assert new != old
    assert _answers(store, new) == _answers(store, None) == [(200, None)] * 3
    assert _answers(store, old) == [(409, "version_outdated")] * 3
    with Application(store.home, store.redis_url, now=NOW) as http:
        versions = http.get(f"/feature-views/{VIEW}").body["versions"]
    assert [(v["version"], v["outdated_groups"]) for v in versions] == [(old, ["facts"]), (new, [])]


def _allow(client: redis.Redis, *keys: str) -> None:
    client.execute_command("ACL", "SETUSER", "default", "resetkeys", *keys)  # type: ignore[no-untyped-call]


def test_a_push_that_ended_before_the_pointer_leaves_the_older_version_in_use(
    store: Store, client: redis.Redis, strict: Transfers
) -> None:
    store.do("run").assert_code(0)
    before = _values(client)
    replace_build(store, strict)
    declare(store, keep_versions=1)
    store.do("publish").assert_code(0)
    # The server takes everything but the pointer, as if the push had been killed before it.
    _allow(client, "%R~*", f"%W~{codec.view_key(VIEW)}:*", f"%W~{codec.OWNERS_KEY}")
    try:
        cut = store.do("push")
        between = _values(client)
    finally:
        _allow(client, "allkeys")
    store.do("push").assert_code(0)

    new = codec.version_key(VIEW, version_in(receipt(store))).encode()
    assert cut.code != 0
    assert {key: value for key, value in between.items() if key != new} == before
    assert new in between
    assert set(_values(client)) == {codec.view_key(VIEW).encode(), new}


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}'])
def test_what_is_no_state_of_a_view_stops_a_push_until_everything_is_to_be_written(
    store: Store, client: redis.Redis, text: str
) -> None:
    client.set(codec.view_key(VIEW), text)

    done = store.do("run").assert_code(1)
    store.do("push", "--all").assert_code(0)

    assert "an online value cannot be read" in done.err
    assert _online(client).version == version_in(receipt(store))
