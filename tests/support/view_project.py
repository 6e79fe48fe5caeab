"""
A dbt project with one feature view over columns of a test's own choice.

It uses the package as a user's project does. Its one group is read from a Parquet file; each row is
a label too, so the training set has the rows of the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from materializer.registry import FeatureView
from materializer.registry.manifest import read_manifest
from tests.support.dbt import Project
from tests.support.own_project import write_own_project

VIEW = "measured"
UNTIL = "2024-02-01"

_FACTS = """\
select id, cast(available_at as date) as day, available_at, {columns}
from {{{{ ref('raw_facts') }}}}
"""
_TRAINING = """\
{{{{ feature_store.point_in_time_join(
    spine=ref('asked'),
    time='asked_at',
    columns=['id', 'asked_at', 'label'],
    groups=[{{'group': 'facts', 'on': {{'id': 'id'}}, 'columns': {columns}}}],
) }}}}
"""
_MODELS = {
    "raw_facts": "select * from read_parquet('facts.parquet')",
    "asked": "select id, available_at as asked_at, label from {{ ref('raw_facts') }}",
    f"{VIEW}_parameters": (
        f"{{{{ feature_store.fit_feature_view('{VIEW}', training_set=ref('training')) }}}}"
    ),
    VIEW: (
        "{{ feature_store.feature_view(training_set=ref('training'), "
        f"parameters=ref('{VIEW}_parameters')) }}}}"
    ),
}
_PARAMETERS = {
    "position": "integer",
    "feature": "varchar",
    "step": "integer",
    "transform": "varchar",
    "parameters": "varchar",
    "fitted_on_rows": "bigint",
    "train_until": "timestamp",
}

# Dates of the tests' cases are of no row's past or future.
_ANY_DAY = {"config": {"meta": {"may_be_future": True}}}


@dataclass
class ViewProject(Project):
    """
    The project.

    Attributes:
        columns: Type of each column, as a contract has it.
        transforms: Of the view.
    """

    shares_parsing = False

    columns: Mapping[str, str] = None  # type: ignore[assignment]
    transforms: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        """Write it."""
        models = write_own_project(self.folder, "views")
        for name, sql in _MODELS.items():
            (models / f"{name}.sql").write_text(sql)
        casts = ", ".join(
            f'cast("{name}" as {kind}) as "{name}"' for name, kind in self.columns.items()
        )
        (models / "facts.sql").write_text(_FACTS.format(columns=casts))
        (models / "training.sql").write_text(_TRAINING.format(columns=list(self.columns)))
        self.declare()

    def declare(self, **view: Any) -> None:
        """Write the YAML; *view* is more of the view's meta."""
        (self.folder / "models" / "models.yml").write_text(
            yaml.safe_dump({"models": list(self._models(view))}, sort_keys=False)
        )

    def write_rows(self, rows: pa.Table) -> None:
        """
        Write the rows of the group.

        Args:
            rows: `id`, `available_at`, `label` and the columns, in any types that cast to theirs.
        """
        pq.write_table(rows, self.folder / "facts.parquet")

    def view(self) -> FeatureView:
        """Read the view as the materializer does."""
        return read_manifest(self.target / "manifest.json").views[VIEW]

    def parameters(self) -> list[dict[str, Any]]:
        """Read what the view was fitted to, its definition first."""
        return self.parameters_in(f"{VIEW}_parameters")

    def parameters_in(self, model: str) -> list[dict[str, Any]]:
        """Read the parameters that a model holds."""
        names = ("feature", "transform", "parameters", "fitted_on_rows", "train_until")
        found = self.query(
            f"select {', '.join(names)} from feature_store.{model} order by position, step"
        )
        rows = [dict(zip(names, row, strict=True)) for row in found]
        return [{**row, "parameters": json.loads(str(row["parameters"]))} for row in rows]

    def compiled(self, model: str) -> str:
        """Give the SQL that dbt last sent for a model."""
        return (self.target / "compiled" / "views" / "models" / f"{model}.sql").read_text()

    def _models(self, view: Mapping[str, Any]) -> list[dict[str, Any]]:
        key = {"id": "varchar"}
        group = {"entity": ["id"], "online": True, "partition": "day"}
        training = {**key, "asked_at": "timestamp", "label": "bigint", **self.columns}
        facts = {**key, "day": "date", "available_at": "timestamp", **self.columns}
        declared = {
            "training_set": "training",
            "label": "label",
            "train_until": UNTIL,
            "transforms": list(self.transforms),
            **view,
        }
        conserves = {"columns": ["id", "asked_at", "label"]}
        entity = {"entity": ["id"]}
        inputs = {"inputs": {"raw_facts": "available_at"}}
        return [
            _model("asked", key),
            _model(
                "facts",
                facts,
                {"feature_group": group},
                {
                    "unique_snapshot": entity,
                    "rows_are_known": {},
                    "is_as_built": {},
                    "knows_no_future": entity | inputs,
                },
                "partition='day'",
            ),
            _model(
                "training",
                training,
                {"training_set": {"labels": "asked"}},
                {"conserves": {**conserves, "of": "ref('asked')"}},
                "",
            ),
            _model(
                f"{VIEW}_parameters",
                _PARAMETERS,
                {},
                {"fitted_on_training_rows": {"view": VIEW}},
                "",
            ),
            _model(
                VIEW,
                {},
                {"feature_view": declared},
                {"conserves": {**conserves, "of": "ref('training')"}},
                "",
            ),
        ]


def _model(
    name: str,
    columns: Mapping[str, str],
    meta: Mapping[str, Any] | None = None,
    tests: Mapping[str, Mapping[str, Any]] | None = None,
    build: str | None = None,
) -> dict[str, Any]:
    config: dict[str, Any] = {"materialized": "view"}
    if build is not None:
        config = {
            "materialized": "table",
            "contract": {"enforced": bool(columns)},
            "post_hook": f"{{{{ feature_store.record_build({build}) }}}}",
            "meta": meta,
        }
    return {
        "name": name,
        "config": config,
        "columns": [
            {"name": column, "data_type": kind, **(_ANY_DAY if kind == "date" else {})}
            for column, kind in columns.items()
        ],
        "data_tests": [
            {
                f"feature_store.{kind}": {
                    "name": f"{name}_{kind}",
                    "arguments": dict(arguments),
                    "config": {"tags": ["gate"]},
                }
            }
            for kind, arguments in (tests or {}).items()
        ],
    }
