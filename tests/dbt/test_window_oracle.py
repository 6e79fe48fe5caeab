"""A declared group in a real project: it builds, its oracle agrees, and finds what is changed."""

from pathlib import Path

import duckdb
import pytest
import yaml

from tests.support.dbt import Project, Run
from tests.support.store import copy, history, own_models, write_inputs

ORDERS = """\
select
    user_id,
    event_type as kind,
    ts,
    cast(extract(minute from ts) as double) / 7 as amount,
    cast(extract(second from ts) as integer) as whole,
    cast(extract(hour from ts) as decimal(10, 2)) as price
from {{ ref('stg_events') }}
"""

# Name, declaration, and the type in the contract.
FEATURES = [
    ("orders_7d", {"count": "*", "days": 7}, "bigint"),
    ("kinds_30d", {"count_distinct": "kind", "days": 30}, "bigint"),
    ("whole_7d", {"sum": "whole", "days": 7}, "bigint"),
    ("price_7d", {"sum": "price", "days": 7, "default": 0}, "decimal(38, 2)"),
    ("amount_30d", {"sum": "amount", "days": 30, "where": "kind <> 'x'"}, "double"),
    ("mean_14d", {"avg": "price", "days": 14}, "double"),
    ("spread_14d", {"stddev": "amount", "days": 14}, "double"),
    ("most_14d", {"max": "amount", "days": 14}, "double"),
    ("first_kind", {"first": "kind", "days": 3, "ties": "kind"}, "varchar"),
    ("last_kind", {"last": "kind", "days": 3, "ties": "kind", "default": "none"}, "varchar"),
    ("kinds", {"last_n": "kind", "n": 2, "days": 7, "ties": "kind"}, "varchar[]"),
    ("idle", {"days_since_last": "*", "days": 30, "where": "whole > 9"}, "integer"),
    ("of", {"count": "*", "days": 7, "by": {"kind": ["x", "y"]}}, "bigint"),
]


def _schema() -> dict[str, object]:
    names = [(name, type_) for name, _, type_ in FEATURES if name != "of"]
    columns = [
        ("user_id", "varchar"),
        ("day", "date"),
        *names,
        ("of_x", "bigint"),
        ("of_y", "bigint"),
        ("available_at", "timestamp"),
    ]
    gate = {"config": {"tags": ["gate"]}}
    return {
        "models": [
            {
                "name": "orders_daily",
                "config": {
                    "materialized": "incremental",
                    "incremental_strategy": "replace_days",
                    "on_schema_change": "fail",
                    "contract": {"enforced": True},
                    "pre_hook": [
                        "{{ clear_plan() }}",
                        "{{ plan_days(ref('orders'), window_days=31) }}",
                    ],
                    "post_hook": ["{{ build_next_chunks() }}", "{{ record_build(by_day=true) }}"],
                    "meta": {"feature_group": {"entity": ["user_id"], "owner": "shop"}},
                },
                "data_tests": [
                    {"unique_snapshot": {"arguments": {"entity": ["user_id"]}, **gate}},
                    {"rows_are_known": gate},
                    {"is_as_built": gate},
                    {
                        "equals_oracle": {
                            "name": "orders_daily_equals_oracle",
                            "arguments": {"events": "ref('orders')"},
                            **gate,
                        }
                    },
                ],
                "columns": [{"name": name, "data_type": of} for name, of in columns],
            }
        ]
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Run]:
    """Give the project, and what its gate said."""
    project = Project(tmp_path_factory.mktemp("windows") / "project")
    models = own_models(project) / "models" / "features"
    (models / "orders.sql").write_text(ORDERS)
    declared = {name: declaration for name, declaration, _ in FEATURES}
    (models / "orders_daily.sql").write_text(
        "{{ window_features(events=ref('orders'), entity=['user_id'], time='ts', "
        f"features={declared}) }}}}\n"
    )
    (models / "orders_daily.yml").write_text(yaml.safe_dump(_schema()))
    write_inputs(project, history())
    chosen = ("stg_events", "orders", "orders_daily")
    return project, project.build("--select", *chosen, "--indirect-selection", "cautious")


def test_a_declared_group_equals_its_oracle(built: tuple[Project, Run]) -> None:
    project, run = built
    run.assert_done()
    [(rows, entities)] = project.query(
        "select count(*), count(distinct user_id) from feature_store.orders_daily"
    )
    assert (rows, entities) == (8 * 45, 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, "2000") for name, _, of in FEATURES[:8] if of != "varchar"]
    + [("first_kind", "'q'"), ("last_kind", "'q'"), ("kinds", "['q']"), ("idle", "2000")],
)
def test_a_changed_feature_is_found(
    built: tuple[Project, Run], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = built
    # Where the relative names of its inputs lead to.
    monkeypatch.chdir(project.folder)
    test = project.target.rglob("orders_daily_equals_oracle.sql")
    sql = next(path for path in test if "compiled" in path.parts).read_text()
    with duckdb.connect(str(project.warehouse)) as warehouse:
        warehouse.execute("begin")
        warehouse.execute(
            f"update feature_store.orders_daily set {name} = {value} "
            "where user_id = 'user1' and day = date '2024-03-20'"
        )
        found = warehouse.execute(sql).fetchall()
        warehouse.execute("rollback")
    [(user, day, problem)] = found
    assert (user, str(day)) == ("user1", "2024-03-20")
    assert f"user_id user1, day 2024-03-20: {name}: the table has " in problem
    assert "the events give" in problem


def test_a_plan_of_other_windows_is_refused(built: tuple[Project, Run], tmp_path: Path) -> None:
    project = copy(built[0], tmp_path / "store")
    schema = project.folder / "dbt_project" / "models" / "features" / "orders_daily.yml"
    schema.write_text(schema.read_text().replace("window_days=31", "window_days=30"))
    project.dbt("compile", "--select", "orders_daily").assert_failed(
        "pre_hook: plan_days: window_days is 30; write 31, the longest window and the closing row"
    )


def test_a_sampled_oracle_says_so(built: tuple[Project, Run], tmp_path: Path) -> None:
    project = copy(built[0], tmp_path / "store")
    project.dbt("test", "--select", "orders_daily_equals_oracle", gate_sample_share=0.5)
    shares = project.query("select sample_share from feature_store.gate_verdicts order by run_id")
    assert (0.5,) in shares
