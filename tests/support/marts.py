"""
A dbt project of somebody else, over tables that something else loads, with this one as its package.

The models are the test's own: each is a feature group with the gate that the package asks for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import yaml

from tests.support.dbt import Project
from tests.support.own_project import write_own_project


@dataclass
class Marts(Project):
    """
    The project, with a source for each schema of the tables.

    Attributes:
        tables: Columns of each table that is loaded, with their types, by `schema.table`.
    """

    shares_parsing = False

    tables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write it, without models, and make the tables, without rows."""
        write_own_project(self.folder, "marts")
        self.home.mkdir()
        sources: dict[str, list[dict[str, str]]] = {}
        for name, columns in self.tables.items():
            schema, table = name.split(".")
            sources.setdefault(schema, []).append({"name": table})
            self.sql(f"create schema if not exists {schema}; create table {name} ({columns})")
        named = [{"name": schema, "tables": tables} for schema, tables in sources.items()]
        self.declare("sources", {"sources": named})

    def sql(self, statement: str) -> None:
        """Change the warehouse, as what loads it does."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute(statement)

    def load(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Add rows to a table."""
        with duckdb.connect(str(self.warehouse)) as connection:
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(f"insert into {table} values ({marks})", rows)

    def declare(self, file: str, document: Mapping[str, Any]) -> None:
        """Write a YAML file of the models' folder."""
        text = yaml.safe_dump({**document}, sort_keys=False)
        (self.folder / "models" / f"{file}.yml").write_text(text)

    def model(self, name: str, sql: str) -> None:
        """Write a model that is nothing but SQL."""
        (self.folder / "models" / f"{name}.sql").write_text(sql)

    def group(
        self,
        name: str,
        sql: str,
        columns: Mapping[str, Any],
        inputs: Mapping[str, str | None],
        **config: Any,
    ) -> None:
        """
        Write a feature group with its gate; its key is the first column.

        Args:
            name: Its name.
            sql: Its SQL.
            columns: The type of each column, or a mapping of everything but its name.
            inputs: What `knows_no_future` is given.
            config: More of its config; `meta` is that of the feature group.
        """
        entity = [next(iter(columns))]
        meta = {"feature_group": {"entity": entity, **config.pop("meta", {})}}
        tests: dict[str, dict[str, Any]] = {
            "unique_snapshot": {"entity": entity},
            "rows_are_known": {},
            "is_as_built": {},
            "knows_no_future": {"entity": entity, "inputs": dict(inputs)},
        }
        listed = [
            {
                f"feature_store.{test}": {
                    "name": f"{name}_{test}",
                    "arguments": arguments,
                    "config": {"tags": ["gate"]},
                }
            }
            for test, arguments in tests.items()
        ]
        self.model(name, sql)
        self.declare(
            name,
            {
                "models": [
                    {
                        "name": name,
                        "config": {
                            "materialized": "table",
                            "contract": {"enforced": True},
                            "post_hook": "{{ feature_store.record_build(partition='day') }}",
                            "meta": meta,
                            **config,
                        },
                        "columns": [
                            {
                                "name": column,
                                **(kind if isinstance(kind, dict) else {"data_type": kind}),
                            }
                            for column, kind in columns.items()
                        ],
                        "data_tests": listed,
                    }
                ]
            },
        )


def problems(output: str, test: str) -> list[str]:
    """List the lines that the end of a run prints below the name of a test that failed."""
    lines = [line.split("  ", 1)[-1] for line in output.splitlines()]
    start = next((n for n, line in enumerate(lines) if line.startswith(f"FAIL {test} (")), None)
    if start is None:
        return []
    told = []
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        told.append(line.strip())
    return told
