"""
What a benchmark says of a promise: our figures, those of a peer or of the bare part, and the bar.

Owns the shape of one comparison, its ratio and its line in a table. Refuses to compare absolute
times: figures of two runs on two machines say nothing, so a bar is always a ratio or a size.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bar:
    """
    One promise, measured.

    Attributes:
        what: What was measured.
        unit: Unit of the figures.
        ours: Our figures, one a run.
        peer: What they are compared with; empty when `ours` itself has to meet the bar.
        theirs: Its figures, of the same runs where there are as many.
        limit: The bar for ratio or figure; None when it is reported for context only.
        at_least: The ratio must reach the bar; else it must not exceed it.
        note: What a reader must know, as why there are no figures.
    """

    what: str
    unit: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    def ratios(self) -> list[float]:
        """Give ours over theirs, run by run; of two rows of different length, of the medians."""
        if not self.peer:
            return list(self.ours)
        if not self.theirs or not self.ours:
            return []
        if len(self.ours) != len(self.theirs):
            return [statistics.median(self.ours) / statistics.median(self.theirs)]
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    def is_met(self) -> bool | None:
        """Return whether the median meets the bar; None when there is no bar or no figure."""
        ratios = self.ratios()
        if self.limit is None or not ratios:
            return None
        ratio = statistics.median(ratios)
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def extremes(self) -> tuple[float, float, float]:
        """Give the worst, the median and the best ratio; there must be one."""
        ratios = sorted(self.ratios(), reverse=not self.at_least)
        return ratios[0], statistics.median(ratios), ratios[-1]


def from_json(document: Mapping[str, Any]) -> Bar:
    """Read what `to_json` wrote."""
    return Bar(**{name: document[name] for name in Bar.__dataclass_fields__})


def to_json(bar: Bar) -> dict[str, Any]:
    """Write one comparison with its ratio and verdict."""
    return {**asdict(bar), "ratio": spread(bar.ratios()), "met": bar.is_met()}


def spread(values: Sequence[float], digits: int | None = None) -> dict[str, float]:
    """Give median, smallest and largest, rounded to *digits* after the point; of none, nothing."""
    if not values:
        return {}
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return found if digits is None else {name: round(v, digits) for name, v in found.items()}


def table(bars: Sequence[Bar]) -> str:
    """Write comparisons as a Markdown table."""
    lines = [
        "| what | ours | compared with | theirs | ratio | bar | |",
        "|---|---|---|---|---|---|---|",
    ]
    for bar in bars:
        sign = ">=" if bar.at_least else "<="
        limit = (
            "" if bar.limit is None else f"{sign} {bar.limit:g}{'' if bar.peer else ' ' + bar.unit}"
        )
        met = {True: "met", False: "**missed**", None: ""}[bar.is_met()]
        output = "; ".join(text for text in (met, bar.note) if text)
        ratio = _text(bar.ratios()) if bar.peer else ""
        cells = (bar.what, _text(bar.ours, bar.unit), bar.peer, _text(bar.theirs, bar.unit))
        lines.append(f"| {' | '.join(cells)} | {ratio} | {limit} | {output} |")
    return "\n".join(lines)


def print_bars(bars: Sequence[Bar], as_json: bool, **context: Any) -> None:
    """
    Print what a benchmark found: a table, or one JSON document, which `run` reads.

    Args:
        bars: The comparisons.
        as_json: Which of the two.
        context: Fields of the document next to `bars`.
    """
    if as_json:
        print(json.dumps({**context, "bars": [to_json(bar) for bar in bars]}))
    else:
        print(table(bars))


def _text(values: Sequence[float], unit: str = "") -> str:
    found = spread(values)
    if not found:
        return ""
    median = f"{_digits(found['median'])} {unit}".rstrip()
    if len(values) == 1:
        return median
    return f"{median} ({_digits(found['min'])}-{_digits(found['max'])})"


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
