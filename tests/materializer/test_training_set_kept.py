"""Training sets on demand: what is refused, what is held still, and what a receipt proves."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from materializer.config import Settings
from materializer.errors import TrainingSetRefused
from materializer.lock import run_lock
from materializer.offline import snapshot
from materializer.offline.catalog import table_name
from materializer.offline.write import tag_snapshots
from materializer.registry import Column
from materializer.training import build as training_set
from materializer.training.build import require_conserved, require_no_future
from materializer.training.files import sha256_of
from materializer.training.receipt import read_receipt
from tests.materializer.offline_fixtures import OLD, publish
from tests.support.sets import DAY, USERS, VISITS, SetStore, clicks, visit
from tests.support.store import Store, held_warehouse, kill, start_to_point

FIRST = date(2024, 2, 25)
AT = datetime(2024, 3, 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SetStore]:
    """Give a store with two groups, `users` and `visits`."""
    made = SetStore(tmp_path)
    made.publish(USERS, [clicks("u1", FIRST, 1), clicks("u2", FIRST, 2)])
    made.publish(VISITS, [visit(7, FIRST, FIRST, 2.5, AT)])
    yield made
    made.close()


@pytest.fixture
def labels(store: SetStore) -> Path:
    return store.labels([{"user_id": "u1", "as_of_ts": AT}, {"user_id": "u2", "as_of_ts": AT}])


def assert_nothing_written(store: SetStore) -> None:
    assert [path.name for path in store.folder.iterdir() if "set" in path.name] == []
    assert store.tags("users") == {}


# Calls that are wrong

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no file": (("--labels", "none.csv"), "none.csv: there is no such file"),
    "no labels": (
        ("--labels", "labels.txt"),
        "labels.txt: it is neither Parquet (.parquet) nor CSV (.csv)",
    ),
    "no Parquet": (("--labels", "bad.parquet"), "bad.parquet: "),
    "no time": (
        ("--time", "at"),
        "labels.parquet: there is no column at; name it with --time COLUMN; it has user_id, "
        "as_of_ts",
    ),
    "another time": (
        ("--labels", "typed.parquet", "--on", "user_id=number"),
        "typed.parquet: column as_of_ts is BIGINT, and is to be a time; --time names another one",
    ),
    "no key": (
        ("--groups", "visits"),
        "labels.parquet: there is no column visitor; name it with --on visits.visitor=COLUMN; "
        "it has user_id, as_of_ts",
    ),
    "another key": (
        ("--labels", "typed.parquet", "--time", "at"),
        "typed.parquet: column user_id is DOUBLE, and users.user_id is string; write it as "
        "string, or as text",
    ),
    "unknown group": (
        ("--groups", "profiles"),
        "no feature group 'profiles'; known: users, visits",
    ),
    "unknown key": (
        ("--on", "id=user_id"),
        "--on: no key of these groups is called id; known: user_id",
    ),
    "unknown column": (
        ("--columns", "clicks,kicks"),
        "--columns: no column, apart from the keys, of these groups is called kicks; known: day, "
        "clicks, available_at",
    ),
    "nothing of a group": (
        ("--groups", "users,visits", "--columns", "clicks"),
        "--columns names no column of visits; name one, or leave the group out",
    ),
    "one name for two joins": (
        ("--groups", "users,users=visits"),
        "--groups: users,users=visits has two joins of one name, or an empty one; write "
        "sender=profile,receiver=profile",
    ),
    "two names in one case": (
        ("--labels", "cases.parquet"),
        "cases.parquet: column A differs from another one in case alone",
    ),
    "existing output": (
        ("--out", "there.parquet"),
        "--out there.parquet: there is such a file; name another one, or add --force",
    ),
    "labels as output": (
        ("--out", "labels.parquet", "--force"),
        "--out labels.parquet: it is the label file; name another one",
    ),
    "no folder": (("--out", "no/set.parquet"), "--out no/set.parquet: there is no folder no"),
    "pattern": (("--out", "set*.parquet"), "--out set*.parquet: a path with *, ? or [ "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_call_that_is_wrong_is_told_in_one_line_and_writes_nothing(
    store: SetStore, labels: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.folder)
    store.labels([{"user_id": 1.5, "number": 1, "as_of_ts": 3, "at": AT}], "typed")
    store.labels([{"user_id": "u1", "as_of_ts": AT, "Clicks": 1}], "named")
    store.labels([{"user_id": "u1", "as_of_ts": AT, "a": 1, "A": 2}], "cases")
    Path("labels.txt").write_text("user_id\n")
    Path("bad.parquet").write_text("user_id\n")
    Path("there.parquet").write_text("precious")
    arguments, said = WRONG[case]
    options = {"--labels": labels.name, "--groups": "users", "--out": "set.parquet"}
    given = [
        word for name, value in options.items() if name not in arguments for word in (name, value)
    ]

    done = store.do("training-set", *given, *arguments).assert_code(2)

    assert done.err.startswith(f"materializer: {said}")
    assert done.err.count("\n") == 1
    assert Path("there.parquet").read_text() == "precious"
    assert_nothing_written(store)


def test_a_store_in_which_nothing_is_published_ends_with_4(tmp_path: Path) -> None:
    empty = SetStore(tmp_path)
    path = empty.labels([{"user_id": "u1", "as_of_ts": AT}])

    done = empty.make(path, "users").assert_code(4)
    empty.close()

    assert done.err == "materializer: users was never published; run: materializer publish\n"


# Checks


def test_two_rows_of_one_entity_and_moment_are_refused(store: SetStore, labels: Path) -> None:
    twice = [clicks("u2", FIRST, 1), clicks("u2", FIRST, 2), clicks("u1", FIRST, 1)]
    store.publish(USERS, twice)
    said = (
        "materializer: no training set was written: users has several rows of u2 with one "
        "available_at, and which one holds is unknown; rebuild that day, and publish\n"
    )

    at_the_moment = store.make(labels, "users").assert_code(3)
    # Another day of other users, so that these are found by the ASOF join.
    store.publish(USERS, [clicks("u3", FIRST + DAY, 1)])
    later = store.make(labels, "users").assert_code(3)

    assert (at_the_moment.err, later.err) == (said, said)
    assert_nothing_written(store)


def test_a_row_that_was_not_available_yet_is_refused() -> None:
    with duckdb.connect() as connection:
        labels = "(values (0, timestamp '2024-03-01'), (1, timestamp '2024-03-02')) as labels"
        connection.execute(f"create table spine as select * from {labels} (n, label_time)")
        connection.execute("create table seen as select n, label_time as available_at from spine")

        require_no_future(connection, "users", "seen", "spine")
        connection.execute(
            "update seen set available_at = '2024-03-02 00:00:00.000001' where n = 1"
        )
        with pytest.raises(TrainingSetRefused) as refused:
            require_no_future(connection, "users", "seen", "spine")

    assert str(refused.value) == (
        "no training set was written: 1 labels see a row of users that was not available yet, such "
        "as the label of row 2"
    )


@pytest.mark.parametrize(
    "written",
    [
        "(1, 'a'), (2, 'b')",
        "(1, 'a'), (2, 'b'), (2, 'b'), (2, 'b')",
        "(1, 'a'), (2, 'b'), (2, 'c')",
        "(2, 'b'), (1, 'a'), (2, 'b')",
        "(1, 'a'), (2, 'b'), (2, null)",
    ],
    ids=["lost", "doubled", "changed", "moved", "null"],
)
def test_labels_that_do_not_come_out_as_they_went_in_are_refused(
    tmp_path: Path, written: str
) -> None:
    given = "(values (0, 1, 'a'), (1, 2, 'b'), (2, 2, 'b')) as labels (n, x, y)"
    query, path = f"select * from {given}", tmp_path / "set.parquet"
    columns = [Column("x", "integer"), Column("y", "varchar")]
    with duckdb.connect() as connection:
        good = f"select x, y from {given} order by n"
        connection.execute(f"copy ({good}) to '{path}' (format parquet)")
        checksum = require_conserved(connection, query, path, columns, ["x", "y"], '"n"')
        bad = f"select * from (values {written}) as labels (x, y)"
        connection.execute(f"copy ({bad}) to '{path}' (format parquet)")
        with pytest.raises(TrainingSetRefused, match="came out, and not each"):
            require_conserved(connection, query, path, columns, ["x", "y"], '"n"')

    assert checksum.startswith("3:")


def test_a_check_that_fails_leaves_the_old_set_as_it_was(
    store: SetStore, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make(labels, "users").assert_code(0)
    before = (store.out.read_bytes(), store.receipt.read_bytes(), store.tags("users"))

    def refuse(*_: object) -> str:
        raise TrainingSetRefused("so")

    monkeypatch.setattr(training_set, "require_conserved", refuse)
    store.make(labels, "users", "--force").assert_code(3)

    assert (store.out.read_bytes(), store.receipt.read_bytes(), store.tags("users")) == before
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(
        ["home", labels.name, store.out.name, store.receipt.name]
    )


# Beside others at work


def test_a_publish_that_stands_between_its_commits_is_not_seen_yet(tmp_path: Path) -> None:
    store = SetStore(tmp_path)
    publish(store.catalog, OLD)
    path = store.labels([{"user_id": "u1", "as_of_ts": datetime(2024, 1, 6)}])
    before = store.rows(path, "features_daily")
    child = ("-m", "tests.materializer.offline_child", str(store.home), "between")
    process = start_to_point(*child)

    during = store.rows(path, "features_daily")
    kill(process)
    store.close()

    assert during == before
    assert (during[0]["day"], during[0]["event_count_7d"]) == (date(2024, 1, 5), 41)


def test_groups_are_opened_as_of_one_moment(
    store: SetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_one, newest = snapshot.open_snapshot, dict[str, int]()

    def publish_behind_its_back(catalog: object, name: str) -> snapshot.GroupSnapshot:
        taken: snapshot.GroupSnapshot = open_one(store.catalog, name)
        if name == "users" and not newest:
            newest["users"] = store.publish(USERS, [clicks("u1", FIRST + DAY, 9)])
        return taken

    monkeypatch.setattr(snapshot, "open_snapshot", publish_behind_its_back)

    taken = snapshot.open_snapshots(store.catalog, ["users", "visits"])

    assert taken[0].snapshot_id == newest["users"]


def test_neither_a_lock_on_the_warehouse_nor_its_absence_matters(
    published: Store, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("user_id,as_of_ts\nuser1,2024-03-20 12:00:00\n")
    out = tmp_path / "set.parquet"
    call = ("--labels", str(path), "--groups", "features_daily", "--out", str(out))

    with held_warehouse(published):
        locked = published.command("training-set", *call, timeout=20)
    rows = pq.read_table(out).to_pylist()
    away = published.project.warehouse.rename(tmp_path / "away.duckdb")
    target = shutil.move(published.project.target, tmp_path / "target")
    try:
        missing = published.do("training-set", *call, "--force")
    finally:
        away.rename(published.project.warehouse)
        shutil.move(target, published.project.target)

    assert (locked.code, missing.code) == (0, 0)
    assert rows == pq.read_table(out).to_pylist()
    assert rows[0]["day"] == date(2024, 3, 19)


def test_the_snapshots_are_tagged_when_a_publish_has_ended(
    store: SetStore, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(store.home)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with run_lock(settings, "materializer publish"):
            held.set()
            over.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    monkeypatch.setattr(training_set, "_WAIT", 0.2)
    refused = store.make(labels, "users").assert_code(5)
    assert_nothing_written(store)
    monkeypatch.setattr(training_set, "_WAIT", 10.0)
    threading.Timer(0.3, over.set).start()
    done = store.make(labels, "users")
    holder.join()

    assert "\nmaterializer: another run holds the lock: materializer publish (" in refused.err
    done.assert_code(0)


# Receipts


def test_a_set_is_made_again_after_more_publishes_and_an_expiry(
    store: SetStore, labels: Path
) -> None:
    document = store.make(labels, "users", "--json").assert_code(0).document
    store.publish(USERS, [clicks("u1", FIRST, 5)])
    table = store.catalog.load_table(table_name("users"))
    soon = datetime.now() + timedelta(days=1)
    table.maintenance.expire_snapshots().older_than(soon).commit()

    done = store.verify().assert_code(0)

    assert store.tags("users") == {document["tag"]: int(document["snapshots"]["users"])}
    assert done.out.startswith(f"{document['tag']}: identical, 2 rows rebuilt from 1 snapshots, ")
    store.out.unlink()
    assert ": identical, " in store.verify().assert_code(0).out


def test_the_receipt_says_what_the_set_is_made_of(store: SetStore, labels: Path) -> None:
    store.make(labels, "users").assert_code(0)

    receipt = read_receipt(store.receipt)

    assert receipt.rows == 2
    assert receipt.label_file is not None
    assert receipt.label_file.model_dump() == {
        "path": str(labels),
        "sha256": sha256_of(labels),
        "relation": '"labels"',
        "time": "as_of_ts",
        "dialect": None,
    }
    assert {column.name: column.type for column in receipt.columns} == {
        "user_id": "VARCHAR",
        "as_of_ts": "TIMESTAMP",
        "day": "DATE",
        "clicks": "BIGINT",
        "available_at": "TIMESTAMP",
    }
    assert (receipt.parquet, receipt.parquet_sha256) == ("set.parquet", sha256_of(store.out))
    [users] = receipt.inputs
    assert (users.name, users.relation, users.on) == ("users", '"users"', {"user_id": "user_id"})
    assert (users.snapshot_id, users.checksum) == (store.tags("users")[receipt.tag], None)


def _untag(store: SetStore) -> None:
    table = store.catalog.load_table(table_name("users"))
    with table.manage_snapshots() as change:
        change.remove_tag(next(iter(store.tags("users"))))


def _edit(store: SetStore) -> None:
    body = json.loads(store.receipt.read_text())
    store.receipt.write_text(json.dumps({**body, "sql": body["sql"].replace("'", '"') + " -- so"}))


CHANGES: dict[str, tuple[Callable[[SetStore], object], str]] = {
    "labels": (
        lambda store: store.labels([{"user_id": "u3", "as_of_ts": AT}]),
        "labels: {folder}/labels.parquet is another file than the one that was joined",
    ),
    "file": (
        lambda store: store.out.write_bytes(b"x"),
        "set.parquet: the file next to the receipt is another one",
    ),
    "receipt": (_edit, "sql: the receipt does not say what was written"),
    "tag": (_untag, "users: its snapshot {snapshot} has no tag {tag}"),
}


@pytest.mark.parametrize("part", CHANGES)
def test_what_was_changed_since_is_named(store: SetStore, labels: Path, part: str) -> None:
    store.make(labels, "users").assert_code(0)
    [(tag, snapshot)] = store.tags("users").items()
    change, said = CHANGES[part]
    change(store)

    done = store.verify().assert_code(1)

    said = said.format(folder=store.folder, snapshot=snapshot, tag=tag)
    assert done.out == f"{tag}: differs: {said}\n"


def forge(store: SetStore, **changes: Any) -> None:
    """Change the receipt, and tag as if it had been written so."""
    forged = read_receipt(store.receipt).model_copy(update=changes).sealed()
    tag_snapshots(store.catalog, forged.tag, forged.snapshots)
    store.receipt.write_text(forged.to_json())


def test_other_rows_differ_and_another_duckdb_is_named(store: SetStore, labels: Path) -> None:
    store.make(labels, "users").assert_code(0)
    now, sql = duckdb.__version__, read_receipt(store.receipt).sql

    forge(store, checksum="2:17")
    same = store.verify().assert_code(1).out
    forge(store, duckdb="1.0.0")
    older = store.verify().assert_code(0).out
    forge(store, sql=f"select * replace (7 as clicks) from ({sql})")
    other = store.verify().assert_code(1).out
    store.out.unlink()
    alone = store.verify().assert_code(1).out

    assert ": differs: output: other rows came out; the rows of users are not compared\n" in same
    assert ": identical, " in older
    assert f": differs: output: other rows came out, by DuckDB {now} in place of 1.0.0\n" in other
    assert f"DuckDB {now} cannot compare with the checksum of DuckDB 1.0.0; put set.parq" in alone


def test_the_query_of_a_receipt_reaches_nothing_but_its_inputs(
    store: SetStore, labels: Path
) -> None:
    store.make(labels, "users").assert_code(0)
    secret = store.csv("user_id\nann\n")

    forge(store, sql=f"select * from '{secret}'")
    done = store.verify().assert_code(1)

    assert done.out == ""
    assert f'Cannot access file "{secret}"' in done.err


def test_the_receipt_of_another_store_and_a_missing_label_file_are_told(
    store: SetStore, labels: Path, tmp_path: Path
) -> None:
    store.make(labels, "users").assert_code(0)
    labels.unlink()

    gone = store.verify().assert_code(2)
    shutil.rmtree(store.home)
    other = store.verify().assert_code(2)

    assert gone.err == "materializer: labels.parquet: there is no such file\n"
    assert "was published in store" in other.err
