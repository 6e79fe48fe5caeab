"""A training set that joins one dense group twice, each under its own names."""

import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.dbt import ROOT, Project

FIRST = datetime(2024, 1, 1)
USERS = [f"user{number}" for number in range(6)]
# The first sees every column that says whether a row holds, the second none of them.
_PAIRS = """
{{ point_in_time_join(
    spine=ref('stg_pairs'),
    time='asked_at',
    columns=['sender', 'receiver', 'asked_at'],
    groups=[
        {'group': 'features_daily', 'on': {'user_id': 'sender'}, 'prefix': 'sender_',
         'columns': ['day', 'event_count_30d', 'available_at']},
        {'group': 'features_daily', 'on': {'user_id': 'receiver'}, 'prefix': 'receiver_',
         'columns': ['event_count_30d']},
    ],
) }}
"""
_STG_PAIRS = """
select distinct one.user_id as sender, other.user_id as receiver, one.as_of_ts as asked_at
from {{ ref('stg_labels') }} as one
inner join {{ ref('stg_labels') }} as other on one.as_of_ts = other.as_of_ts
"""


def test_each_of_two_joins_of_a_group_sees_what_a_training_set_of_one_sees(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "dbt_project", tmp_path / "dbt_project")
    models = tmp_path / "dbt_project" / "models"
    (models / "staging" / "stg_pairs.sql").write_text(_STG_PAIRS)
    (models / "training" / "pairs.sql").write_text(_PAIRS)
    project = Project(tmp_path, writes_artifacts=False)
    draw = random.Random(7)
    # Some are away for weeks, some leave, and the last is never seen.
    days = [n for n in range(120) if draw.random() < 0.4]
    project.write_history(
        (draw.choice(USERS[: 5 - n // 40]), "x", FIRST + timedelta(days=n, hours=n % 24))
        for n in days
    )
    moments = [FIRST + timedelta(hours=9 * n) for n in range(330)]
    project.write_labels([(user, 1.0, str(moment)) for moment in moments for user in USERS])
    models_of = ("stg_events", "stg_labels", "features_daily", "training_data", "stg_pairs")
    project.dbt("run", "--select", *models_of, "pairs").assert_done()

    pairs = project.query("select count(*), count(distinct sender) from feature_store.pairs")
    assert pairs == [(len(moments) * len(USERS) ** 2, len(USERS))]
    assert project.query(
        """
        select count(*) from feature_store.pairs
        inner join feature_store.training_data as sent on sent.user_id = sender
            and sent.as_of_ts = asked_at
        inner join feature_store.training_data as got on got.user_id = receiver
            and got.as_of_ts = asked_at
        where sender_day is distinct from sent.day
            or sender_event_count_30d is distinct from sent.event_count_30d
            or sender_available_at is distinct from sent.available_at
            or receiver_event_count_30d is distinct from got.event_count_30d
        """
    ) == [(0,)]
    # Active, closed, and never seen.
    kinds = "count(case when {0} > 0 then 1 end) > 99, count(case when {0} = 0 then 1 end) > 99"
    told = "receiver_event_count_30d"
    assert project.query(f"select {kinds.format(told)} from feature_store.pairs") == [(True, True)]
