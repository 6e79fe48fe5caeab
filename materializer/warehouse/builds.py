"""
What the build records say of the newest build of a model that is not built by day.

Owns that question for receipts: who built it, with which SQL and which vars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from materializer.errors import FeatureStoreError, GateRed
from materializer.registry import Column, Registry
from materializer.sql import literal
from materializer.warehouse.reader import Warehouse


@dataclass(frozen=True, slots=True)
class Build:
    """
    One build of one model.

    Attributes:
        sequence: Its ledger sequence.
        build_id: dbt's invocation id.
        sql: The compiled SQL.
        vars: The vars of the dbt command and of the project.
    """

    sequence: int
    build_id: str
    sql: str
    vars: Mapping[str, Any]


def newest_build(warehouse: Warehouse, registry: Registry, name: str, unique_id: str) -> Build:
    """
    Tell the newest build of a model.

    Args:
        warehouse: Open.
        registry: Names the record tables.
        name: Name of the model.
        unique_id: dbt's id of the model; it was built at least once.

    Raises:
        FeatureStoreError: The project declares no such records.
        GateRed: Somebody deleted the SQL from the records.
    """
    try:
        ledger, built_sql = registry.records["build_ledger"], registry.records["built_sql"]
    except KeyError as missing:
        raise FeatureStoreError(
            f"the project declares no source records.{missing.args[0]}; "
            "see docs/reference/records.md"
        ) from None
    query = f"""(
        select build."sequence", build.build_id, build.vars, built.sql
        from {ledger} as build
        left join {built_sql} as built
            on build.model_checksum = built.model_checksum and build.model = built.model
        where build.model = {literal(unique_id)}
        order by build."sequence" desc
        limit 1
    )"""
    names = ("sequence", "build_id", "vars", "sql")
    found = warehouse.table(query, [Column(name, "string") for name in names]).to_pylist()[0]
    if found["sql"] is None:
        reason = f"its build left no SQL to keep; run: dbt build --select {name}"
        raise GateRed(model=name, reasons=[reason])
    return Build(
        sequence=found["sequence"],
        build_id=found["build_id"],
        sql=found["sql"],
        vars=json.loads(found["vars"]),
    )
