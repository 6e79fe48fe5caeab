"""
A dbt project with a feature view over one group that is joined twice: who sends, and who receives.

A row of the file is a transfer and what was known of its sender at that moment. So the training set
has prefixes, a column that only a request can bring, and an entity that may have no row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from tests.support.view_project import ViewProject

KEYS = {"sender": "varchar", "receiver": "varchar"}
FACTS = {"balance": "double", "level": "varchar", "score": "decimal(9,2)"}
CARRIED = {**KEYS, "asked_at": "timestamp", "label": "bigint"}
TRANSFORMS = (
    {"type": "log1p", "column": "amount"},
    {"type": "scale", "column": "sender_balance"},
    {"type": "one_hot_encode", "column": "sender_level"},
    {"type": "ordinal_encode", "column": "receiver_level"},
    {"type": "impute", "column": "receiver_score", "with": "median"},
)
NOW = "2024-03-01T00:00:00Z"
LEVELS = ("gold", "silver", "tin")
START = datetime(2024, 1, 10)

_ASKED = """\
select id as sender, other as receiver, available_at as asked_at, label, amount
from {{ ref('raw_facts') }}
"""
_TRAINING = """\
{{{{ feature_store.point_in_time_join(
    spine=ref('asked'),
    time='asked_at',
    columns=['sender', 'receiver', 'asked_at', 'label', 'amount'],
    groups=[
        {{'group': 'facts', 'on': {{'id': 'sender'}}, 'columns': {0}, 'prefix': 'sender_'}},
        {{'group': 'facts', 'on': {{'id': 'receiver'}}, 'columns': {0}, 'prefix': 'receiver_'}},
    ],
) }}}}
"""


@dataclass
class Transfers(ViewProject):
    """The project, of the package's macros and the models above."""

    def __post_init__(self) -> None:
        """Write it; an existing folder is taken as it is."""
        self.columns, self.transforms = FACTS, self.transforms or TRANSFORMS
        if self.folder.exists():
            return
        super().__post_init__()
        models = self.folder / "models"
        (models / "asked.sql").write_text(_ASKED)
        (models / "training.sql").write_text(_TRAINING.format(list(FACTS)))

    def write_transfers(self, levels: Sequence[str] = LEVELS, rows: int = 60) -> None:
        """Write one transfer every 12 hours; about a third of them are held out."""
        times = [START + timedelta(hours=12 * n) for n in range(rows)]
        self.write_rows(
            pa.table(
                {
                    "id": [f"a{n % 7}" for n in range(rows)],
                    # The last of them never sends, so nothing is known of it.
                    "other": [f"a{n % 5 + 3}" for n in range(rows)],
                    "available_at": pa.array(times, pa.timestamp("us")),
                    "label": [n % 2 for n in range(rows)],
                    "amount": [n * 1.25 for n in range(rows)],
                    "balance": [None if n % 9 == 4 else n * 10.0 for n in range(rows)],
                    "level": [
                        None if n % 11 == 5 else levels[n % len(levels)] for n in range(rows)
                    ],
                    "score": [f"{n}.{n:02}" for n in range(rows)],
                }
            )
        )

    def _models(self, view: Mapping[str, Any]) -> list[dict[str, Any]]:
        joined = {f"{who}_{name}": kind for who in KEYS for name, kind in FACTS.items()}
        columns = {"asked": {**CARRIED, "amount": "double"}}
        columns["training"] = {**columns["asked"], **joined}
        models = super()._models(view)
        for model in models:
            if model["name"] in columns:
                model["columns"] = [
                    {"name": name, "data_type": kind}
                    for name, kind in columns[model["name"]].items()
                ]
            for test in model["data_tests"]:
                for kind, body in test.items():
                    if kind == "feature_store.conserves":
                        body["arguments"]["columns"] = list(CARRIED)
        return models


_PARSED: list[Transfers] = []
_BUILT: list[Transfers] = []


def parsed_transfers(folders: pytest.TempPathFactory) -> Transfers:
    """Give the project, parsed at least; parsed once a session. Only copy it."""
    if not _PARSED:
        project = Transfers(folders.mktemp("transfers") / "project", now=NOW)
        project.write_transfers()
        project.dbt("deps").assert_done()
        project.dbt("parse").assert_done()
        _PARSED.append(project)
    return _PARSED[0]


def built_transfers(folders: pytest.TempPathFactory) -> Transfers:
    """Give the project, built and past its gate; built once a session. Only copy it."""
    if not _BUILT:
        project = parsed_transfers(folders)
        project.build().assert_done()
        _BUILT.append(project)
    return _BUILT[0]
