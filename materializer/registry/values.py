"""
The form of each value in JSON: one, whichever store it is read from and whoever writes it.

Responsible for that form on both sides: what Python makes of a value, and the DuckDB expression
that makes the same for millions of rows. Does not write JSON itself, which is the same everywhere.

    dates     2024-01-07
    times     2024-01-08T00:00:00Z, with .ffffff only when the microseconds are not zero
    decimals  a string with every digit of the scale, and one before the point: 0.50
    arrays    of these; all other types are JSON's own
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from materializer.config import format_time
from materializer.registry.types import element_type

Scalar: TypeAlias = "bool | int | float | str | None"
JSON: TypeAlias = "Scalar | list[Scalar]"


def json_value(value: Any) -> Any:
    """Return one value, as Iceberg or a request has it, in the form that JSON has; also of JSON."""
    if isinstance(value, datetime):
        return format_time(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        # str() would write a small one as 1E-10.
        return f"{value:f}"
    return [json_value(element) for element in value] if isinstance(value, list) else value


def json_sql(kind: str, value: str) -> str:
    """Return the DuckDB expression of what `json_value` makes of a value of a contract's type."""
    if element := element_type(kind):
        inner = json_sql(element, "e")
        return value if inner == "e" else f"list_transform({value}, lambda e: {inner})"
    if kind == "timestamp":
        return (
            f"case when epoch_us({value}) % 1000000 = 0 "
            f"then strftime({value}, '%Y-%m-%dT%H:%M:%SZ') "
            f"else strftime({value}, '%Y-%m-%dT%H:%M:%S.%fZ') end"
        )
    if kind == "date":
        return f"{value}::varchar"
    if kind.startswith("decimal"):
        precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
        # DuckDB writes no zero before the point where the type has no digit there.
        no_zero = r"'^(-?)\.', '\10.'"
        text = f"{value}::varchar"
        return f"regexp_replace({text}, {no_zero})" if precision == scale else text
    return value
