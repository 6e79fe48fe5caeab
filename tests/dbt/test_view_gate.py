"""What is wrong with a feature view stops it in time, such as a parameter that saw the holdout."""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from materializer.registry.meta import GroupMeta, TrainingSetMeta, ViewMeta
from materializer.registry.types import _DECLARED
from materializer.views.transforms import ONE_HOT, TRANSFORMS
from tests.support.dbt import ROOT
from tests.support.view_project import VIEW, ViewProject

SCALED = [{"type": "scale", "column": "x"}, {"type": "one_hot_encode", "column": "level"}]
ROWS = [
    ("2024-01-10", 1.0, "gold"),
    ("2024-01-20", 3.0, "silver"),
    # At the boundary, and after it.
    ("2024-02-01", 100.0, "lead"),
    ("2024-02-10", 1000.0, "tin"),
]


def _project(folder: Path, rows: list[tuple[str, float, str]]) -> ViewProject:
    project = ViewProject(folder, columns={"x": "double", "level": "varchar"}, transforms=SCALED)
    _write(project, rows)
    project.dbt("deps").assert_done()
    return project


def _write(project: ViewProject, rows: list[tuple[str, float, str]]) -> None:
    project.write_rows(
        pa.table(
            {
                "id": [str(n) for n in range(len(rows))],
                "available_at": pa.array(
                    [datetime.fromisoformat(day) for day, _, _ in rows], pa.timestamp("us")
                ),
                "label": [0] * len(rows),
                "x": pa.array([x for _, x, _ in rows], pa.float64()),
                "level": pa.array([level for _, _, level in rows], pa.string()),
            }
        )
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ViewProject:
    return _project(tmp_path_factory.mktemp("views") / "project", ROWS)


@contextmanager
def _declared(project: ViewProject, **view: str) -> Iterator[None]:
    """Declare the view otherwise for a while."""
    project.declare(**view)
    try:
        yield
    finally:
        project.declare()


def _break(project: ViewProject, old: str, new: str) -> str:
    """Change the SQL of the parameters as a hand might, build, and tell what the gate says."""
    model = project.folder / "models" / f"{VIEW}_parameters.sql"
    honest = model.read_text()
    model.write_text(honest.replace(" }}", f" | replace('{old}', '{new}') }}}}"))
    try:
        run = project.dbt("build")
    finally:
        model.write_text(honest)
    assert run.statuses[f"{VIEW}_parameters_fitted_on_training_rows"] == "fail", run.output
    return run.output


def test_honest_parameters_pass(project: ViewProject) -> None:
    run = project.dbt("build").assert_done()

    assert run.statuses[f"{VIEW}_parameters_fitted_on_training_rows"] == "pass"
    assert [row["parameters"] for row in project.parameters()[1:]] == [
        {"mean": 2.0, "scale": 1.0},
        {"categories": ["gold", "silver"]},
    ]


def test_parameters_that_saw_every_row_are_red_step_by_step(project: ViewProject) -> None:
    output = _break(project, 'where "asked_at" <', 'where true or "asked_at" <')

    for step in ("step 1 of feature x", "step 1 of feature level"):
        assert f"{step} was not fitted on the rows before train_until alone" in output


def test_parameters_that_saw_the_row_at_the_boundary_are_red(project: ViewProject) -> None:
    output = _break(project, '"asked_at" <', '"asked_at" <=')

    assert "step 1 of feature x was not fitted on the rows before train_until alone" in output


def test_a_view_that_was_not_built_since_train_until_moved_back_is_red(
    project: ViewProject,
) -> None:
    project.dbt("build").assert_done()
    with _declared(project, train_until="2024-01-15"):
        run = project.dbt("test", "--select", f"{VIEW}_parameters")

    assert run.statuses[f"{VIEW}_parameters_fitted_on_training_rows"] == "fail", run.output


def test_train_until_may_be_a_var(project: ViewProject) -> None:
    with _declared(project, train_until="{{ var('train_until') }}"):
        project.dbt("build", train_until="2024-02-05 00:00").assert_done()

    assert project.parameters()[1]["parameters"]["mean"] == (1 + 3 + 100) / 3
    assert project.query(f"select count(*) from feature_store.{VIEW} where split = 'train'") == [
        (3,)
    ]


def test_a_view_without_a_row_to_fit_on_is_not_built(project: ViewProject) -> None:
    with _declared(project, train_until="2024-01-10"):
        run = project.dbt("build")

    assert (
        "feature view measured: no row of training is before train_until, cast('2024-01-10' as "
        "timestamp); there is nothing to fit on"
    ) in " ".join(run.output.split())


def test_two_categories_that_make_one_column_are_refused(project: ViewProject) -> None:
    _write(project, [*ROWS, ("2024-01-15", 2.0, "Gold")])
    try:
        run = project.dbt("build")
    finally:
        _write(project, ROWS)

    assert (
        "feature view measured: level__Gold and level__gold would be one column; give "
        "one_hot_encode its categories, or clean the column before"
    ) in " ".join(run.output.split())


@pytest.mark.parametrize(
    ("model", "kind"),
    [(VIEW, "conserves"), (f"{VIEW}_parameters", "fitted_on_training_rows")],
)
def test_a_view_without_its_gate_tests_stops_dbt_with_the_yaml_to_paste(
    project: ViewProject, model: str, kind: str
) -> None:
    models = project.folder / "models" / "models.yml"
    whole = models.read_text()
    start = whole.index(f"  - feature_store.{kind}:\n      name: {model}_{kind}")
    end = whole.find("\n- name:", start)
    rest = whole[end:] if end != -1 else ""
    models.write_text(whole[:start].rstrip().removesuffix("data_tests:") + rest)
    try:
        run = project.dbt("build")
    finally:
        models.write_text(whole)

    assert run.code != 0
    assert f"model {model}: its gate lacks tests; add to the model:" in run.output
    assert f"- feature_store.{kind}: name: {model}_{kind}" in " ".join(run.output.split())


def test_a_whole_build_leaves_compiling_to_a_fresh_home(tmp_path: Path) -> None:
    project = _project(tmp_path / "project", ROWS)

    project.dbt("compile").assert_done()


def test_sql_and_python_have_the_same_transforms_of_the_same_types() -> None:
    macro = _returned("transforms/transforms")

    assert {name: about["takes"] for name, about in macro.items()} == {
        name: transform.takes for name, transform in TRANSFORMS.items()
    }
    assert {
        name: None if about["gives"] == "same" else about["gives"]
        for name, about in macro.items()
        if name != ONE_HOT
    } == {name: transform.gives for name, transform in TRANSFORMS.items() if name != ONE_HOT}


def test_sql_and_python_publish_a_declared_type_as_the_same() -> None:
    assert _returned("views/published_type") == _DECLARED


def test_sql_and_python_know_the_same_keys_of_meta() -> None:
    assert _returned("gate/require_meta") == {
        "feature_group": list(GroupMeta.model_fields),
        "training_set": list(TrainingSetMeta.model_fields),
        "feature_view": list(ViewMeta.model_fields),
    }


def _returned(macro: str) -> Any:
    """Read the one mapping that a macro has in itself."""
    text = (ROOT / f"dbt_project/macros/{macro}.sql").read_text()
    found = re.search(r"(?:return\(|names = )(\{.*?\n +\})", text, re.DOTALL)
    assert found is not None
    return ast.literal_eval(found[1].strip().replace("none", "None"))
