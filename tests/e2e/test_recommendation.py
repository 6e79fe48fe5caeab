"""The second domain: groups of every kind, in a project of its own, through every station."""

import csv
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from materializer.config import format_time
from materializer.training.receipt import read_receipt
from tests.e2e.conftest import serve
from tests.serve.support import FeatureServer
from tests.support import conformance, pages
from tests.support.dbt import ROOT, Project
from tests.support.store import Store

EXAMPLE = ROOT / "examples" / "recommendation"
NOW = "2024-03-01T00:00:00Z"
VIEW = "recommendation_model_v1"

# The stock list as the second run finds it: one row changed, one gone, one new.
FIRST_SEEN = "2024-02-20T06:00:00Z"
CHANGED = {"101": "101,9,2", "103": None, "109": "109,5,1"}

Row = dict[str, Any]


class Recommendation(Project):
    """A copy of the example, beside a link to the package."""

    shares_parsing = False

    def __post_init__(self) -> None:
        """Copy it."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        left = shutil.ignore_patterns("target", "logs", ".dbt_packages", ".feature_store")
        shutil.copytree(EXAMPLE, self.folder, ignore=left)
        (self.folder / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")


@pytest.fixture(scope="module")
def store(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    project = Recommendation(tmp_path_factory.mktemp("example") / "project", now=NOW)
    made = Store(project, module_url)
    project.dbt("deps").assert_done()
    _see_the_stock_before_it_changes(project)
    project.dbt("build").assert_done()
    made.do("run").assert_code(0)
    return made


def _see_the_stock_before_it_changes(project: Project) -> None:
    project.now = FIRST_SEEN
    project.dbt("build", "--select", "stock", "stock_seen").assert_done()
    project.now = NOW
    _write_stock(project, CHANGED)


def _write_stock(project: Project, changes: dict[str, str | None]) -> None:
    path = project.folder / "seeds" / "stock.csv"
    rows = {line.split(",")[0]: line for line in path.read_text().splitlines()} | changes
    path.write_text("".join(f"{row}\n" for row in rows.values() if row))


@pytest.fixture
def copied(store: Store, tmp_path: Path) -> Project:
    """Give the project and its warehouse, built, to change."""
    project = Recommendation(tmp_path / "project", now=NOW)
    shutil.copytree(store.project.folder, project.folder, symlinks=True, dirs_exist_ok=True)
    return project


@pytest.fixture(scope="module")
def http(store: Store) -> Iterator[FeatureServer]:
    server = serve(store)
    yield server
    server.close()


def _read(name: str) -> list[dict[str, str]]:
    with (EXAMPLE / "seeds" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _newest(rows: list[dict[str, str]], as_of: datetime, time: str) -> dict[str, str] | None:
    known = [row for row in rows if _at(row[time]) <= as_of]
    return max(known, key=lambda row: _at(row[time])) if known else None


def _item(row: dict[str, str]) -> Row:
    return {
        "day": row["changed_at"][:10],
        "category": row["category"],
        "price": row["price"] or None,
        "is_new": row["is_new"] == "true",
        "restocked_at": row["restocked_at"].replace(" ", "T") + "Z"
        if row["restocked_at"]
        else None,
        "tags": row["tags"].split("|") if row["tags"] else None,
        "embedding": [float(n) for n in row["embedding"].split("|")] if row["embedding"] else None,
    }


def test_the_newest_row_of_every_item_is_online_in_every_type(http: FeatureServer) -> None:
    items = _read("items")
    for item_id in {row["item_id"] for row in items}:
        mine = [row for row in items if row["item_id"] == item_id]
        newest = _newest(mine, _at("2024-03-01"), "changed_at")
        assert newest is not None

        online = http.get(f"/feature-groups/item_feature/online?item_id={item_id}")
        offline = http.get(f"/feature-groups/item_feature/offline?item_id={item_id}&as_of={NOW}")

        assert online.body["features"] == offline.body["features"] == _item(newest)


def test_a_profile_is_the_one_that_held_at_the_time(http: FeatureServer) -> None:
    profiles = _read("profiles")
    for user_id in ("1", "7", "23"):
        mine = [row for row in profiles if row["user_id"] == user_id]
        for as_of in ("2024-01-05T00:00:00", "2024-01-20T12:00:00", "2024-02-20T00:00:00"):
            answer = http.get(
                f"/feature-groups/user_profile/offline?user_id={user_id}&as_of={as_of}Z"
            )
            held = _newest(mine, _at(as_of), "changed_at")
            if held is None:
                assert answer.code == "not_yet_available"
            else:
                shown = {name: held[name] or None for name in ("user_level", "country")}
                assert answer.body["features"] | shown == answer.body["features"]


def test_an_event_is_found_by_both_parts_of_its_key(http: FeatureServer) -> None:
    activity = _read("activity")
    last = activity[-1]
    key = f"user_id={last['user_id']}&item_id={last['item_id']}"

    answer = http.get(f"/feature-groups/user_activity/online?{key}")

    assert answer.body["features"] == {
        "day": last["started_at"][:10],
        "duration_sec": float(last["duration_sec"]) if last["duration_sec"] else None,
        "conversion": int(last["conversion"]),
    }


def test_every_answer_conforms_to_the_document_of_the_server(
    http: FeatureServer, tmp_path: Path
) -> None:
    last = _read("activity")[-1]
    known: dict[str, list[Any]] = {
        "user_id": [int(last["user_id"])],
        "item_id": [int(last["item_id"])],
        "group": ["item_feature", "user_activity", "user_profile"],
        "view": [VIEW],
        "as_of": [NOW, "2024-03-01", "2024-02-29T22:30:00-00:30"],
    }

    # The edges are those of the sample; here it is the types.
    conformance.assert_conforms(http.port, tmp_path, known, phases=("fuzzing",))


def test_the_training_set_joins_both_groups_as_they_were(store: Store) -> None:
    path = store.home / "training" / "recommendation_training.parquet"
    rows = pq.read_table(path).to_pylist()
    profiles, items = _read("profiles"), _read("items")
    expected = []
    for view in _read("activity"):
        at = _at(view["started_at"])
        users = [row for row in profiles if row["user_id"] == view["user_id"]]
        user = _newest(users, at, "changed_at")
        those = [row for row in items if row["item_id"] == view["item_id"]]
        item = _newest(those, at, "changed_at")
        seen = _item(item) if item else {}
        expected.append(
            {
                "user_id": int(view["user_id"]),
                "item_id": int(view["item_id"]),
                "available_at": at,
                "duration_sec": float(view["duration_sec"]) if view["duration_sec"] else None,
                "conversion": int(view["conversion"]),
                "user_level": (user["user_level"] or None) if user else None,
                "country": user["country"] if user else None,
                "changes_so_far": sum(_at(row["changed_at"]) <= at for row in users) - 1
                if user
                else None,
                "category": seen.get("category"),
                "price": Decimal(seen["price"]) if seen.get("price") else None,
                "is_new": seen.get("is_new"),
                "embedding": seen.get("embedding"),
            }
        )
    assert sorted(rows, key=repr) == sorted(expected, key=repr)


# The feature view: every vector is the row that training saw


VECTORS = f"/feature-views/{VIEW}/vector"
CARRIED = ("user_id", "item_id", "available_at", "conversion", "split")


@pytest.fixture(scope="module")
def rows(store: Store) -> list[Row]:
    """Read the training file, as a training job does."""
    return list(pq.read_table(store.home / "training" / f"{VIEW}.parquet").to_pylist())


@pytest.fixture(scope="module")
def version(store: Store) -> str:
    return str(read_receipt(store.receipt(VIEW)).parameter_version)


def test_every_training_row_is_the_vector_of_its_time(
    http: FeatureServer, rows: list[Row], version: str
) -> None:
    assert len(rows) == 400
    for row in rows:
        key = {"user_id": row["user_id"], "item_id": row["item_id"]}
        as_of = format_time(row["available_at"])
        answer = http.post(VECTORS, {"keys": key, "version": version, "as_of": as_of})

        assert answer.status == 200, answer.body
        vector = dict(zip(answer.body["columns"], answer.body["vector"], strict=True))
        features = [(name, value) for name, value in row.items() if name not in CARRIED]
        assert list(vector.items()) == features


def test_every_pair_has_the_same_vector_from_both_stores(
    http: FeatureServer, rows: list[Row]
) -> None:
    users, items = ({row[name] for row in rows} for name in ("user_id", "item_id"))
    keys = [{"user_id": user, "item_id": item} for user in users for item in items]

    online, offline = (
        http.post(VECTORS, {"keys": keys, "as_of": as_of}).body for as_of in (None, NOW)
    )

    assert len(online["vectors"]) == len(users) * len(items)
    assert {**online, "source": "offline"} == offline


def test_views_are_listed_with_their_versions(http: FeatureServer, version: str) -> None:
    [listed] = http.get("/feature-views").body["feature_views"]

    assert listed == http.get(f"/feature-views/{VIEW}").body
    assert (listed["view"], listed["version"]) == (VIEW, version)
    assert [one["version"] for one in listed["versions"]] == [version]
    assert http.get("/feature-views/nothing").code == "unknown_view"


def test_a_view_verifies_like_any_training_set(store: Store) -> None:
    store.do("verify-training", str(store.receipt(VIEW))).assert_code(0)


# A snapshot


def test_the_page_shows_the_files_of_the_example() -> None:
    section = pages.section("how-to/dbt-snapshot.md", "The files")
    blocks = re.findall(r"^```(?:yaml|sql)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    files = "".join(
        (EXAMPLE / name).read_text()
        for name in (*pages.files(section), "models/groups.yml", "dbt_project.yml")
    )

    assert (len(blocks), [block for block in blocks if block not in files]) == (4, [])


def _stock(http: FeatureServer, item_id: str, as_of: str) -> Any:
    answer = http.get(f"/feature-groups/item_stock/offline?item_id={item_id}&as_of={as_of}")
    return answer.body["features"] if answer.status == 200 else answer.code


def test_a_row_of_a_snapshot_is_what_was_known_at_the_time(http: FeatureServer) -> None:
    before = {"day": "2024-02-20", "is_listed": True, "units": 12, "delivery_days": 2}
    after = {"day": "2024-03-01", "is_listed": True, "units": 9, "delivery_days": 2}

    assert _stock(http, "101", "2024-02-20T05:59:59Z") == "not_yet_available"
    assert _stock(http, "101", FIRST_SEEN) == before
    assert _stock(http, "101", "2024-02-29T23:59:59Z") == before
    assert _stock(http, "101", NOW) == after
    assert http.get("/feature-groups/item_stock/online?item_id=101").body["features"] == after


def test_a_row_that_left_the_source_is_known_to_have_left(http: FeatureServer) -> None:
    gone = {"day": "2024-03-01", "is_listed": False, "units": None, "delivery_days": None}

    assert _stock(http, "103", "2024-02-29T23:59:59Z")["units"] == 40
    assert _stock(http, "103", NOW) == gone
    assert http.get("/feature-groups/item_stock/online?item_id=103").body["features"] == gone


def test_a_row_that_came_later_was_not_known_before(http: FeatureServer) -> None:
    assert _stock(http, "109", "2024-02-29T23:59:59Z") == "not_yet_available"
    assert _stock(http, "109", NOW)["units"] == 5


def test_a_snapshot_is_told_where_its_rows_come_from(store: Store) -> None:
    group = store.do("groups", "item_stock", "--json").assert_code(0).document["group"]

    assert [(one["kind"], one["name"]) for one in group["lineage"]] == [
        ("seed", "stock"),
        ("snapshot", "stock_seen"),
    ]


def test_the_end_of_a_row_of_a_snapshot_is_a_leak(copied: Project) -> None:
    model = copied.folder / "models" / "item_stock.sql"
    honest = model.read_text()
    leak = honest.replace("dbt_is_deleted = 'False'", "dbt_valid_to is null")
    assert leak != honest
    model.write_text(leak)

    run = copied.dbt("build", "--select", "item_stock")

    assert run.statuses["item_stock_knows_no_future"] == "fail", run.output
    assert (
        "item_id 103, usable from 2024-02-20 06:00:00, comes out otherwise when the inputs end at "
        "2024-02-20 06:00:00"
    ) in run.output


def test_a_snapshot_by_the_sources_own_time_tells_a_claim_and_seen_at_what_was_known(
    copied: Project,
) -> None:
    write = {
        "seeds/news.csv": "item_id,changed_at\n1,2024-02-01 00:00:00\n",
        "models/news_now.sql": "{{ config(materialized='ephemeral') }}\n"
        "select *, {{ snapshot_get_time() }} as seen_at from {{ ref('news') }}",
        "snapshots/news.yml": "snapshots: [{name: news_seen, relation: ref('news_now'), config: "
        "{unique_key: item_id, strategy: timestamp, updated_at: changed_at}}]",
    }
    for second in ("", "2,2024-02-02 00:00:00\n"):
        for name, text in write.items():
            (copied.folder / name).write_text(text + (second if name.endswith("csv") else ""))
        copied.dbt("build", "--select", "news", "news_seen").assert_done()
        copied.now = "2024-03-09T00:00:00Z"

    rows = copied.query("select item_id, dbt_valid_from, seen_at from feature_store.news_seen")

    assert sorted(rows) == [
        (1, datetime(2024, 2, 1), datetime(2024, 3, 1)),
        (2, datetime(2024, 2, 2), datetime(2024, 3, 9)),
    ]


def test_without_a_set_clock_a_snapshot_tells_the_real_time(copied: Project) -> None:
    copied.now = ""
    copied.variables |= dict.fromkeys(("activity_path", "items_path", "profiles_path"), "sample")
    _write_stock(copied, {"101": "101,1,2"})
    began = datetime.now(UTC).replace(tzinfo=None)

    copied.dbt("build", "--select", "stock", "stock_seen").assert_done()

    ((newest,),) = copied.query("select max(dbt_valid_from) from feature_store.stock_seen")
    assert isinstance(newest, datetime)
    assert began <= newest <= datetime.now(UTC).replace(tzinfo=None)


def test_a_training_set_on_demand_is_the_one_that_dbt_built(store: Store, tmp_path: Path) -> None:
    training = store.home / "training" / "recommendation_training.parquet"
    built = pq.read_table(training)
    labels, out = tmp_path / "labels.parquet", tmp_path / "set.parquet"
    pq.write_table(built.select(built.column_names[:5]), labels)
    features = ",".join(built.column_names[5:])
    call = ("--labels", str(labels), "--time", "available_at", "--out", str(out))

    chosen = ("--groups", "user_profile,item_feature", "--columns", features)
    store.do("training-set", *call, *chosen).assert_code(0)

    assert pq.read_table(out).to_pylist() == built.to_pylist()
    receipt = str(tmp_path / "set.parquet.receipt.json")
    assert ": identical, " in store.do("verify-training", receipt).assert_code(0).out


def test_a_training_set_joins_by_a_key_of_two_columns_and_ends_at_the_ttl(
    store: Store, tmp_path: Path
) -> None:
    labels, out = tmp_path / "labels.csv", tmp_path / "set.parquet"
    view = max(_read("activity"), key=lambda row: _at(row["started_at"]))
    long_after = _at(view["started_at"]) + timedelta(days=3650)
    times = [_at(view["started_at"]), long_after - timedelta(microseconds=1), long_after]
    newest = [
        _newest([row for row in _read("activity") if _same_key(row, view)], at, "started_at")
        for at in times[:2]
    ]
    lines = [f"{view['user_id']},{view['item_id']},{at}" for at in times]
    labels.write_text("\n".join(["user_id,item_id,as_of_ts", *lines, ""]))

    store.do(
        "training-set",
        *("--labels", str(labels), "--groups", "user_activity", "--out", str(out)),
    ).assert_code(0)

    rows = pq.read_table(out).to_pylist()
    expected = [None if row is None else int(row["conversion"]) for row in [*newest, None]]
    assert [row["conversion"] for row in rows] == expected


def _same_key(row: dict[str, str], other: dict[str, str]) -> bool:
    return all(row[name] == other[name] for name in ("user_id", "item_id"))


def test_a_build_without_changes_publishes_nothing(store: Store) -> None:
    store.project.dbt("build").assert_done()

    steps = store.do("publish", "--json").assert_code(0).document["steps"]

    groups = {"item_feature", "item_stock", "user_activity", "user_profile"}
    assert {step["model"]: step["status"] for step in steps if step["model"] in groups} == (
        dict.fromkeys(groups, "up to date")
    )


def test_status_asks_for_no_day_on_which_nothing_changed(store: Store) -> None:
    groups = store.do("status", "--json").assert_code(0).document["groups"]
    assert {group["group"]: group["run"] for group in groups} == {
        "item_feature": [],
        "item_stock": [],
        "user_activity": [],
        "user_profile": [],
    }


def test_a_not_a_number_is_refused_with_its_key(tmp_path: Path, store: Store) -> None:
    project = Recommendation(tmp_path / "project", now=NOW)
    seed = project.folder / "seeds" / "activity.csv"
    seed.write_text(seed.read_text() + "7,101,2024-02-29 12:00:00,nan,0\n")
    project.dbt("deps").assert_done()
    project.dbt("build").assert_done()

    done = Store(project, store.redis_url).do("publish", "--group", "user_activity").assert_code(1)

    assert done.err == (
        "user_activity: 2024-02-29: column duration_sec of 7, 101 is NaN or infinite, which JSON "
        "cannot hold; make it null in the model\n"
    )
