"""A project of other names, with a profile and keys of its own, as the how-to page has it."""

import shlex
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from materializer.registry.manifest import read_manifest
from tests.support import pages
from tests.support.shop import STEPS, Shop
from tests.support.store import Done, Store


@pytest.fixture(scope="module")
def followed(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Done]]:
    """Give the store after every step, and what each command said."""
    store = Store(Shop(tmp_path_factory.mktemp("other") / "shop"), module_url)
    return store, [pages.follow(store, line) for line in pages.commands(STEPS)]


@pytest.fixture
def store(followed: tuple[Store, list[Done]]) -> Store:
    return followed[0]


def test_the_database_of_the_target_is_the_one_that_is_published_from(store: Store) -> None:
    assert (store.project.folder / "data" / "prod.duckdb").is_file()
    assert not (store.project.folder / "data" / "dev.duckdb").exists()
    assert not store.project.warehouse.exists()
    assert sorted(store.table("spending")) == [
        (7, date(2024, 3, 1), Decimal("13.75"), datetime(2024, 3, 2)),
        (8, date(2024, 3, 2), Decimal("3.00"), datetime(2024, 3, 3)),
    ]


def test_a_customer_is_found_by_number(followed: tuple[Store, list[Done]]) -> None:
    assert followed[1][-1].document == {
        "group": "spending",
        "entity": {"customer_id": "7"},
        "row": {"day": "2024-03-01", "spent": "13.75", "available_at": "2024-03-02T00:00:00Z"},
    }


def test_nothing_of_the_package_is_a_group_or_a_training_set(store: Store) -> None:
    registry = read_manifest(store.project.target / "manifest.json")
    guards = {test.name: test.guards for test in registry.gate}

    assert (list(registry.groups), list(registry.training_sets)) == (["spending"], [])
    assert set(guards.values()) == {("model.shop.spending",)}
    assert sorted(guards) == [
        "spending_is_as_built",
        "spending_is_unique",
        "spending_knows_no_future",
        "spending_rows_are_known",
    ]


def test_the_profiles_own_target_is_not_what_was_parsed(store: Store) -> None:
    assert store.do("run").assert_code(2).err == (
        "materializer: the manifest was parsed for another target: it names prod.marts, and target "
        "dev is dev.marts; run: dbt parse --target dev\n"
    )


def test_status_reads_the_database_of_the_target(store: Store) -> None:
    (group,) = store.do("status", "--target", "prod", "--json").assert_code(0).document["groups"]
    assert (group["group"], group["built"]["day"]) == ("spending", "2024-03-02")


def test_a_removed_red_test_is_overcome_by_the_rebuild_that_publish_prints(store: Store) -> None:
    test = store.project.folder / "tests" / "always_red.sql"
    test.parent.mkdir()
    test.write_text("{{ config(tags=['gate']) }} select customer_id from {{ ref('spending') }}")
    assert store.project.build("--target", "prod").code == 1
    test.unlink()
    store.project.build("--target", "prod").assert_done()

    err = store.do("publish", "--target", "prod").assert_code(3).err
    command = "dbt build --full-refresh --select spending --target 'prod'"
    assert err == (
        "spending: not published: always_red failed on this build (2 rows) and was then removed; "
        f"restore the test, or if it was wrong, run: {command}\n"
    )

    store.project.dbt(*shlex.split(command)[1:]).assert_done()
    assert store.do("publish", "--target", "prod").assert_code(0).out


def test_each_version_that_dbt_parses_is_a_group(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    models = shop.folder / "models"
    (models / "spending.sql").rename(models / "spending_v2.sql")
    (models / "spending_v1.sql").write_text((models / "spending_v2.sql").read_text())
    text = (models / "spending.yml").read_text()
    versions = "latest_version: 2\n    versions: [{v: 1, deprecation_date: 2027-01-01}, {v: 2}]"
    (models / "spending.yml").write_text(
        text.replace("    config:\n", f"    {versions}\n    config:\n", 1)
    )
    shop.dbt("deps").assert_done()
    shop.dbt("parse").assert_done()

    groups = read_manifest(shop.target / "manifest.json").groups

    assert {
        name: (group.version, group.latest_version, group.deprecation_date, group.relation_name)
        for name, group in groups.items()
    } == {
        "spending_v1": ("1", "2", "2027-01-01T00:00:00Z", '"dev"."marts"."spending_v1"'),
        "spending_v2": ("2", "2", None, '"dev"."marts"."spending_v2"'),
    }
    assert [group.key_prefix for group in groups.values()] == [
        "features:spending_v1",
        "features:spending_v2",
    ]
