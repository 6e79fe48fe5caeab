"""
One picture of all bars: how far each ratio is from what it may be.

Reads what `benchmarks.run` wrote, and draws for each comparison with a bar its median and range,
divided by the bar, such that left of the line is met. Runs with Matplotlib, which no other part
of the project wants, so `make bench` keeps it in a folder of its own.

    python -m benchmarks.plot results.json results.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.report import Bar, from_json

MET, MISSED = "#1a7f5a", "#c4462d"


def draw(bars: list[Bar], out: Path) -> None:
    """Draw the bars, the first one on top."""
    # Text stays text, and two drawings of the same figures are the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bars", "font.size": 9})
    shown = [bar for bar in bars if bar.is_met() is not None]
    figure = Figure(figsize=(11, 1 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvspan(1, 1e4, color=MISSED, alpha=0.06, linewidth=0)
    for at, bar in enumerate(reversed(shown)):
        worst, median, best = (_of_bar(bar, value) for value in bar.extremes())
        color = MET if bar.is_met() else MISSED
        axes.plot([best, worst], [at, at], color=color, linewidth=3, alpha=0.4)
        axes.plot([median], [at], "o", color=color, markersize=5)
    axes.set_yticks(range(len(shown)), [_label(bar) for bar in reversed(shown)])
    axes.set_ylim(-1, len(shown))
    axes.set_xscale("log")
    reach = [_of_bar(bar, value) for bar in shown for value in bar.extremes()]
    axes.set_xlim(min([*reach, 0.5]) * 0.8, max([*reach, 2]) * 1.25)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("measured / bar: left of the line the bar is met; median and range")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(out, metadata={"Date": None})


def _label(bar: Bar) -> str:
    return f"{bar.what} : {bar.peer}" if bar.peer else bar.what


def _of_bar(bar: Bar, value: float) -> float:
    """Divide by the bar, or the bar by it, such that below 1 is met."""
    assert bar.limit is not None
    return bar.limit / value if bar.at_least else value / bar.limit


def main() -> None:
    """Read and draw."""
    found, out = map(Path, sys.argv[1:])
    sections = json.loads(found.read_text())["benchmarks"]
    draw([from_json(bar) for section in sections for bar in section["bars"]], out)


if __name__ == "__main__":
    main()
