"""Names that SQL wants quoted, and every type with a lossless published form, all the way."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest
import yaml

from tests.support.server import SERVERS, Server
from tests.support.shop import Shop
from tests.support.store import Store

COLUMNS = {
    "order": "bigint",
    "my day": "date",
    "usable at": "timestamptz",
    "conv rate": "float",
    "Größe": "uinteger",
    "group": "bool",
    "it's": "float[3]",
}
FACTS = """\
select
    cast(customer_id as bigint) as "order",
    cast(bought_at as date) as "my day",
    cast(cast(bought_at as date) + 1 as timestamptz) as "usable at",
    cast(max(amount) as float) as "conv rate",
    cast(4294967295 as uinteger) as "Größe",
    true as "group",
    cast([0.1, 0.2, null] as float[3]) as "it's"
from {{ ref('receipts') }}
group by all
"""
ASKED = """\
select "order", "usable at" as "as of", true as "label" from {{ ref('odd') }}
"""
TRAINING = """\
{{ feature_store.point_in_time_join(
    spine=ref('asked'), time='as of', columns=['order', 'as of', 'label'],
    groups=[{'group': 'odd', 'on': {'order': 'order'}, 'prefix': 'a ', 'columns': [
        'conv rate', 'Größe', 'group', "it's"]}],
) }}
"""


def model(name: str, meta: dict[str, object], types: dict[str, str], **more: object) -> object:
    config = {"materialized": "table", "contract": {"enforced": True}, "meta": meta, **more}
    columns = [{"name": n, "data_type": t, "quote": True} for n, t in types.items()]
    return {"name": name, "config": config, "columns": columns}


def gate(name: str, **arguments: object) -> dict[str, object]:
    given = {"arguments": arguments} if arguments else {}
    return {f"feature_store.{name}": {"name": name, **given, "config": {"tags": ["gate"]}}}


def write_models(folder: Path, types: dict[str, str] = COLUMNS) -> None:
    for path in folder.iterdir():
        path.unlink()
    meta = {"entity": ["order"], "partition": "my day", "available_at": "usable at"}
    odd = model(
        "odd",
        {"feature_group": {**meta, "online": True}},
        types,
        post_hook="{{ feature_store.record_build(partition='my day') }}",
    )
    odd["data_tests"] = [  # type: ignore[index]
        gate("unique_snapshot", entity=["order"], available_at="usable at"),
        gate("rows_are_known"),
        gate("is_as_built", partition="my day"),
        gate(
            "knows_no_future",
            entity=["order"],
            available_at="usable at",
            inputs={"receipts": "bought_at"},
        ),
    ]
    training_types = {"order": "bigint", "as of": "timestamptz", "label": "boolean"} | {
        f"a {name}": kind for name, kind in list(COLUMNS.items())[3:]
    }
    training = model(
        "training",
        {"training_set": {"labels": "asked"}},
        training_types,
        post_hook="{{ feature_store.record_build() }}",
    )
    labels = ["order", "as of", "label"]
    training["data_tests"] = [gate("conserves", columns=labels, of="ref('asked')")]  # type: ignore[index]
    asked = {"name": "asked", "columns": [{"name": n} for n in labels]}
    (folder / "odd.sql").write_text(FACTS)
    (folder / "asked.sql").write_text(ASKED)
    (folder / "training.sql").write_text(TRAINING)
    (folder / "odd.yml").write_text(yaml.safe_dump({"models": [odd, training, asked]}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    running = Server(SERVERS["valkey"], tmp_path_factory.mktemp("server"))
    shop = Shop(tmp_path_factory.mktemp("names") / "shop")
    write_models(shop.folder / "models")
    shop.dbt("deps").assert_done()
    yield Store(shop, running.url)
    running.close()


def test_odd_names_and_every_type_are_published_and_served(store: Store) -> None:
    store.project.build().assert_done()
    store.do("run").assert_code(0)

    tenths = [0.10000000149011612, 0.20000000298023224, None]
    values = (12.5, 4294967295, True, tenths)
    assert store.table("odd")[0] == (7, date(2024, 3, 1), datetime(2024, 3, 2), *values)
    assert sorted(store.table("training"))[0] == (7, datetime(2024, 3, 2), True, *values)
    row = store.do("get", "--group", "odd", "7", "--json").assert_code(0).document["row"]
    assert row == {
        "my day": "2024-03-01",
        "usable at": "2024-03-02T00:00:00Z",
        **dict(zip(list(COLUMNS)[3:], values, strict=True)),
    }


def test_labels_of_odd_names_are_joined(store: Store) -> None:
    folder = store.project.folder
    with duckdb.connect() as connection:
        connection.execute(
            'copy (select 7 as "from", timestamp \'2024-03-02\' as "as of") '
            f"to '{folder / 'labels.parquet'}'"
        )
    names = ("--groups", "odd", "--on", "order=from", "--time", "as of", "--out")
    paths = ("--labels", str(folder / "labels.parquet"))
    store.do("training-set", *paths, *names, str(folder / "set.parquet")).assert_code(0)
    with duckdb.connect() as connection:
        rows = connection.execute(f"select * from '{folder / 'set.parquet'}'").fetchall()
    assert rows[0][:5] == (7, datetime(2024, 3, 2), date(2024, 3, 1), datetime(2024, 3, 2), 12.5)


def test_misspelt_keys_and_empty_lists_are_named_with_their_file(store: Store) -> None:
    path = store.project.folder / "models" / "odd.yml"
    text = path.read_text()
    wrong = yaml.safe_load(text)
    odd = wrong["models"][0]
    odd["config"]["meta"]["feature_group"]["avail_at"] = "x"
    odd["data_tests"][0]["feature_store.unique_snapshot"]["arguments"]["entity"] = []
    path.write_text(yaml.safe_dump(wrong))

    run = store.project.build()

    path.write_text(text)
    assert run.code == 1
    assert "models/odd.yml: model odd: feature_group.avail_at: unknown key; known: " in run.output
    assert "models/odd.yml: test unique_snapshot: entity: name at least one colum" in run.output


def test_every_type_without_a_published_form_is_named_at_once(store: Store) -> None:
    models = store.project.folder / "models"
    write_models(models, {**COLUMNS, "order": "hugeint", "group": "interval"})

    run = store.project.build()

    assert run.code == 1
    said = " ".join(run.output.split())
    assert "odd: order is hugeint models/odd.yml: model odd: group is interval These have" in said
    assert "cast them in the model to one of: varchar, string, text, uuid, bigint" in said
