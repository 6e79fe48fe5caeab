"""Which database a target is: as dbt finds it, without dbt."""

import re
import shutil
from pathlib import Path

import pytest

from materializer.config import Settings
from materializer.errors import UsageError
from materializer.profile import Target, at_target, read_target
from materializer.registry import Registry
from tests.support.store import Store

PROFILES = """\
shop:
  target: "{{ env_var('SHOP_TARGET', 'dev') }}"
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('SHOP_HOME') }}/dev.duckdb"
      schema: store
    prod:
      type: duckdb
      path: /srv/shop.duckdb
      database: shop
    memory: {type: duckdb}
    spark: {type: spark, schema: store}
    asks: {type: duckdb, path: "{{ var('path') }}"}
"""


PROD = Target("prod", "duckdb", "/srv/shop.duckdb", "shop", "main")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "profiles.yml").write_text(PROFILES)
    return tmp_path


def refusal(project: Path, target: str | None) -> str:
    """Return why a target cannot be read."""
    with pytest.raises(UsageError) as refused:
        read_target(project, target)
    return str(refused.value)


def registry(place: tuple[str, str] | None) -> Registry:
    return Registry({}, {}, (), {}, "", place)


def test_the_target_is_the_profiles_own_unless_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_HOME", "data")
    assert read_target(project, None) == Target("dev", "duckdb", "data/dev.duckdb", "dev", "store")


def test_a_named_target_has_dbts_defaults(project: Path) -> None:
    assert read_target(project, "prod") == PROD
    assert read_target(project, "memory") == Target(
        "memory", "duckdb", ":memory:", "memory", "main"
    )


@pytest.mark.parametrize("variable", ["SHOP_TARGET", "DBT_TARGET"])
def test_the_environment_names_a_target_as_for_dbt(
    project: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "prod")
    assert read_target(project, None) == PROD


def test_the_environment_names_profile_and_folder_as_for_dbt(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project / "other"
    other.mkdir()
    (other / "profiles.yml").write_text("mine: {outputs: {default: {type: duckdb, path: x.db}}}")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(other))
    monkeypatch.setenv("DBT_PROFILE", "mine")

    assert read_target(project, None) == Target("default", "duckdb", "x.db", "x", "main")


@pytest.mark.parametrize("missing", ["profiles.yml", "dbt_project.yml"])
def test_without_a_profile_there_is_no_target(
    project: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project / "nobody"))
    (project / missing).unlink()
    assert read_target(project, None) is None


def test_the_profile_in_the_home_folder_is_the_last_resort(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project / "me"))
    (project / "me" / ".dbt").mkdir(parents=True)
    shutil.move(project / "profiles.yml", project / "me" / ".dbt" / "profiles.yml")

    assert read_target(project, "prod") == PROD


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("live", "profile shop has no target 'live'; known: dev, prod, memory, spark, asks"),
        (
            "dev",
            "dev.path: {{ env_var('SHOP_HOME') }}/dev.duckdb cannot be rendered: SHOP_HOME is not "
            "set; here a profile can use env_var alone",
        ),
        (
            "asks",
            "asks.path: {{ var('path') }} cannot be rendered: 'var' is undefined; "
            "here a profile can use env_var alone",
        ),
    ],
)
def test_a_target_that_cannot_be_read_is_told(project: Path, target: str, told: str) -> None:
    assert refusal(project, target) == f"{project / 'profiles.yml'}: {told}"


def test_a_named_target_without_a_profile_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project / "nobody"))
    (project / "profiles.yml").unlink()
    assert refusal(project, "prod") == (
        f"target prod: no profiles.yml in DBT_PROFILES_DIR, in {project} or in ~/.dbt"
    )


def test_a_profile_that_is_not_there_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_PROFILE", "mine")
    assert refusal(project, "prod") == f"{project / 'profiles.yml'} has no profile mine"


def test_a_profile_that_is_no_yaml_is_one_line(project: Path) -> None:
    (project / "profiles.yml").write_text("shop: [\n")
    assert re.search(r"profiles\.yml cannot be read: [^\n]+$", refusal(project, "prod"))


# What the materializer opens


def test_the_database_is_that_of_the_target_from_the_projects_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_HOME", "data")

    found = at_target(Settings(project / "home"), registry(("dev", "store")), project, None)

    assert found == Settings(project / "home", database=project / "data" / "dev.duckdb")
    assert found.warehouse == project / "data" / "dev.duckdb"


def test_a_path_that_is_the_homes_changes_nothing(project: Path) -> None:
    settings = Settings(project)
    (project / "profiles.yml").write_text(
        PROFILES.replace("/srv/shop.duckdb", f"{project}/warehouse.duckdb")
    )
    assert at_target(settings, registry(("shop", "main")), project, "prod") is settings


@pytest.mark.parametrize(
    ("target", "place", "told"),
    [
        (
            "prod",
            ("dev", "store"),
            "the manifest was parsed for another target: it names dev.store, and target prod is "
            "shop.main; run: dbt parse --target prod",
        ),
        ("memory", ("memory", "main"), "target memory is :memory:; it must be a DuckDB file"),
        ("spark", None, "target spark is spark; only DuckDB can be published from"),
    ],
)
def test_a_target_that_cannot_be_published_from_is_told(
    project: Path, target: str, place: tuple[str, str] | None, told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        at_target(Settings(project), registry(place), project, target)
    assert str(refused.value) == told


def test_every_command_that_reads_the_project_refuses_another_target(store: Store) -> None:
    path = store.project.folder / "profiles.yml"
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace("schema: feature_store", "schema: elsewhere"))
    wanted = (
        "materializer: the manifest was parsed for another target: it names "
        "warehouse.feature_store, and target duckdb is warehouse.elsewhere; "
        "run: dbt parse --target duckdb\n"
    )

    for command in ("publish", "push", "run", "status", "groups", "get user1"):
        assert store.do(*command.split(), "--target", "duckdb").assert_code(2).err == wanted
