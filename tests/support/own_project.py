"""The files of a dbt project of a test's own, which has this one as its package."""

from pathlib import Path

from tests.support.dbt import ROOT

_PROJECT = """\
name: {name}
config-version: 2
profile: {name}
model-paths: [models]
packages-install-path: .packages
flags: {{send_anonymous_usage_stats: false}}
models: {{feature_store: {{+enabled: false}}}}
seeds: {{feature_store: {{+enabled: false}}}}
data_tests: {{feature_store: {{+enabled: false}}}}
unit_tests: {{feature_store: {{+enabled: false}}}}
"""
_HOOKS = """\
on-run-start: ["{{ feature_store.create_records() }}"]
on-run-end: ["{{ feature_store.record_verdicts(results) }}"]
"""
_PROFILE = """\
{name}:
  target: duckdb
  outputs:
    duckdb:
      type: duckdb
      path: "{{{{ env_var('FEATURE_STORE_HOME') }}}}/warehouse.duckdb"
      schema: feature_store
      settings: {{TimeZone: UTC}}
      plugins: [{{module: materializer.warehouse_folder}}]
"""


def write_own_project(folder: Path, name: str, *, records: bool = True) -> Path:
    """
    Write a project without models, and return the folder for them.

    Without *records* it has no hooks, so what it builds is not recorded and not judged.
    """
    models = folder / "models"
    models.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(_PROJECT.format(name=name) + _HOOKS * records)
    (folder / "profiles.yml").write_text(_PROFILE.format(name=name))
    (folder / "packages.yml").write_text(f"packages:\n  - local: {ROOT}\n")
    return models
