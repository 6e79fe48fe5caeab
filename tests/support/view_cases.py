"""
A dbt project with many feature views, over the tables of the transfers.

Each is a case of a test: dbt runs all of their parameters at once, and either records what a view
is or says why it cannot be.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.transfers import CARRIED, FACTS, KEYS, NOW, Transfers

_JOIN = """\
{{{{ feature_store.point_in_time_join(
    spine=ref('{labels}'), time='{time}', columns={columns}, groups={groups}
) }}}}
"""
# The view's own model, for it has no other: nothing but the parameters is of interest here.
_PARAMETERS = """\
{{{{ config(materialized='table') }}}}
{{{{ feature_store.fit_feature_view('{view}', training_set=ref('{training}')) }}}}
"""
_GROUPS = [
    {"group": "facts", "on": {"id": who}, "columns": list(FACTS), "prefix": f"{who}_"}
    for who in KEYS
]


class ViewCases(Transfers):
    """
    The project, run once.

    Args:
        folder: Where it is written.
        cases: `groups` and `training_sets` by name, and views: `accepted` and `refused`.
    """

    def __init__(self, folder: Path, cases: Mapping[str, Any]) -> None:
        self._more: list[dict[str, Any]] = []
        super().__init__(folder, now=NOW)
        self.write_transfers()
        for name, group in cases["groups"].items():
            self._add_group(name, group)
        for name, training_set in cases["training_sets"].items():
            self._add_training_set(name, training_set)
        for name, case in {**cases["accepted"], **cases["refused"]}.items():
            self._add_view(name, case)
        self.declare()
        settings = self.folder / "dbt_project.yml"
        # Without the records, and the gate tests that they ask for.
        settings.write_text(settings.read_text().replace("on-run-", "# on-run-"))
        self.dbt("deps").assert_done()
        run = self.dbt("run", "--exclude", "path:models/not_run")
        assert run.statuses, run.output

    def definition(self, view: str) -> dict[str, Any]:
        """Read what dbt recorded of a view, without what was declared."""
        definition: dict[str, Any] = self.parameters_in(view)[0]["parameters"]
        del definition["declared"]
        return definition

    def declared(self, view: str) -> dict[str, Any]:
        """Read the meta of a view from the manifest."""
        nodes = json.loads((self.target / "manifest.json").read_text())["nodes"]
        meta: dict[str, Any] = nodes[f"model.views.{view}"]["config"]["meta"]["feature_view"]
        return meta

    def error(self, view: str) -> str:
        """Return the line with which dbt refused a view."""
        message = self._messages[view]
        # "Compilation Error in model x (path)", the line, and whence the macro was called.
        return message.split("\n")[1].strip()

    @cached_property
    def _messages(self) -> dict[str, str]:
        results = json.loads((self.target / "run_results.json").read_text())["results"]
        return {result["unique_id"].split(".")[2]: result["message"] for result in results}

    def _add_group(self, name: str, given: Mapping[str, Any]) -> None:
        self._write_model(name, "select * from {{ ref('facts') }}")
        types = {"id": "varchar", "day": "date", "available_at": "timestamp", **FACTS}
        columns: list[dict[str, Any]] = [
            {"name": column, "data_type": kind} for column, kind in types.items()
        ]
        for column in columns:
            if column["name"] in given.get("offline_columns", ()):
                column["config"] = {"meta": {"online": False}}
        meta = {"feature_group": {"entity": ["id"], "online": given.get("online", True)}}
        self._more.append({"name": name, "config": {"meta": meta}, "columns": columns})

    def _add_training_set(self, name: str, given: Mapping[str, Any]) -> None:
        columns = given.get("columns", [*CARRIED, "amount"])
        labels = given.get("labels", "asked")
        joined = [{**group, "group": given.get("group", "facts")} for group in _GROUPS]
        groups = given.get("groups", joined)
        sql = _JOIN.format(
            labels=labels,
            time=given.get("time", "asked_at"),
            columns=columns,
            groups=groups,
        )
        if given.get("is_joined") is False:
            sql = "select * from {{ ref('asked') }}"
        self._write_model(name, sql, "." if given.get("is_run") else "not_run")
        made = {f"{who}_{column}": kind for who in KEYS for column, kind in FACTS.items()}
        own = {"id": "varchar", "available_at": "timestamp", "amount": "double", **FACTS}
        types = {**CARRIED, **own, **made, **given.get("types", {})}
        declared = [
            {"name": column, "data_type": kind}
            for column, kind in types.items()
            if column not in given.get("undeclared", ())
        ]
        meta = {"training_set": {"labels": labels}}
        self._more.append({"name": name, "config": {"meta": meta}, "columns": declared})

    def _add_view(self, name: str, case: Mapping[str, Any]) -> None:
        meta = case.get("meta") or {"transforms": [case["step"]]}
        training = case.get("ref", meta.get("training_set", "training"))
        self._write_model(name, _PARAMETERS.format(view=name, training=training))
        declared = {
            "training_set": "training",
            "label": "label",
            "train_until": "2024-02-01",
            "transforms": [],
            **meta,
        }
        view = {"feature_view": case.get("instead", declared)}
        self._more.append({"name": name, "config": {"meta": view}})

    def _write_model(self, name: str, sql: str, folder: str = ".") -> None:
        path = self.folder / "models" / folder / f"{name}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(sql)

    def _models(self, view: Mapping[str, Any]) -> list[dict[str, Any]]:
        models = super()._models(view)
        for model in models:
            model["config"].pop("post_hook", None)
        return [*models, *self._more]
