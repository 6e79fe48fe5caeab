"""Flags and settings of dbt: only a whole build of this target, in UTC, counts as a build."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_nights import FIRST
from tests.support.dbt import Project
from tests.support.shop import DailyShop, spending
from tests.support.store import Store, history, write_inputs

NIGHT = "2024-03-02T00:15:00Z"
ALL_FLAGS = (
    *("--threads", "8", "--fail-fast", "--store-failures", "--no-partial-parse"),
    *("--indirect-selection", "cautious", "--exclude", "nothing_of_this_name"),
)


def make_shop(folder: Path) -> DailyShop:
    """Make a shop whose targets are two schemas of one warehouse."""
    shop = DailyShop(folder, NIGHT)
    profile = yaml.safe_load((shop.folder / "profiles.yml").read_text())
    outputs = profile["till"]["outputs"]
    outputs["prod"] = {**outputs["dev"], "schema": "prod"}
    (shop.folder / "profiles.yml").write_text(yaml.safe_dump(profile))
    shop.write_receipts(FIRST)
    return shop


def make_project(folder: Path) -> Project:
    project = Project(folder)
    write_inputs(project, history())
    return project


@pytest.mark.parametrize("make", [make_shop, make_project])
def test_an_empty_build_is_no_build(make: Callable[[Path], Project], tmp_path: Path) -> None:
    store = Store(make(tmp_path / "project"), None)
    project = store.project

    project.build("--empty").assert_done()
    assert "it was never built" in store.do("publish").assert_code(3).err

    project.build().assert_done()
    store.do("publish").assert_code(0)
    run = project.build("--empty", "--full-refresh")
    assert run.code == 1
    assert "--empty: this warehouse holds builds, which empty ones would replace" in run.output
    said = store.do("publish").assert_code(0).out.splitlines()
    assert all(line.endswith("up to date") for line in said)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give a shop built in both targets, and the state of the target prod."""
    shop = make_shop(tmp_path_factory.mktemp("flags") / "shop")
    shop.build("--target", "prod").assert_done()
    shutil.copytree(shop.target, shop.folder / "state")
    shop.build().assert_done()
    return Store(shop, None)


def test_a_sample_is_refused(store: Store) -> None:
    run = store.project.build("--sample", "3 days")

    assert run.code == 1
    assert "--sample: days that are built of a part of the input cannot pass the gate" in run.output


def test_another_time_zone_is_refused(store: Store) -> None:
    profile = store.project.folder / "profiles.yml"
    text = profile.read_text()

    profile.write_text(text.replace("TimeZone: UTC", "TimeZone: Asia/Tokyo"))
    run = store.project.build()
    profile.write_text(text)

    assert run.code == 1
    assert "the session's time zone is Asia/Tokyo, and times here are UTC; write" in run.output
    assert "under target dev of profile till" in run.output


def test_dbt_works_from_another_folder_and_without_a_home(store: Store) -> None:
    store.shell("cd .. && env -u HOME dbt seed --project-dir shop --profiles-dir shop").assert_code(
        0
    )


def test_a_build_on_another_target_is_refused_and_its_tests_say_nothing(store: Store) -> None:
    favor = ("--defer", "--favor-state", "--state", "state")

    run = store.project.build("--select", "spending_daily", *favor)
    assert run.code == 1
    assert 'it read "dev"."prod"."stg_receipts", which --defer took from another tar' in run.output

    run = store.project.dbt("test", "--select", "spending_daily_is_as_built", *favor).assert_done()
    assert "spending_daily_is_as_built: not recorded, for it read" in run.output


def test_every_other_flag_builds_what_is_true(store: Store) -> None:
    shop = store.project
    assert isinstance(shop, DailyShop)
    changed = [replace(FIRST[0], amount=Decimal(1)), *FIRST[1:]]
    shop.write_receipts(changed)
    model = shop.folder / "models" / "spending_daily.sql"
    sql = model.read_text()

    model.write_text(f"{sql} (")
    assert shop.build(*ALL_FLAGS).code == 1
    assert store.do("publish").code == 3
    model.write_text(sql)
    shop.dbt("retry").assert_done()

    # Nothing differs from the state, so nothing is built.
    shop.build("--select", "state:modified+", "--state", "target").assert_done()
    store.do("publish").assert_code(0)
    found = sorted(store.table("spending_daily"), key=lambda row: (row[1], row[0]))
    assert found == spending(changed, date(2024, 3, 1))
