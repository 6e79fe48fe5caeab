"""What a benchmark says of a promise: ratio, verdict and the page that they are read on."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import run
from benchmarks.report import Bar, from_json, table, to_json
from benchmarks.scratch import ROOT


def test_a_ratio_is_taken_run_by_run_and_judged_by_its_median() -> None:
    bar = Bar("x", "s", [1.0, 9.0, 4.0], "y", [1.0, 3.0, 2.0], 2.0)

    assert bar.ratios() == [1.0, 3.0, 2.0]
    assert bar.is_met() is True
    assert Bar("x", "s", [1.0, 9.1, 4.1], "y", [1.0, 3.0, 2.0], 2.0).is_met() is False


@pytest.mark.parametrize(
    ("ours", "at_least", "met"),
    [(10.0, False, True), (10.1, False, False), (10.0, True, True), (9.9, True, False)],
)
def test_a_bar_is_met_at_its_limit(ours: float, at_least: bool, met: bool) -> None:
    assert Bar("x", "s", [ours], "y", [5.0], 2.0, at_least=at_least).is_met() is met
    assert Bar("x", "s", [ours], limit=10.0, at_least=at_least).is_met() is met


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    bar = Bar("x", "s", [1.0], "Feast", (), 2.0, note="no Feast")

    assert bar.is_met() is None
    assert table([bar]).splitlines()[-1] == "| x | 1 s | Feast |  |  | <= 2 | no Feast |"


def test_a_bar_survives_its_json() -> None:
    bar = Bar("x", "s", [1.0, 2.0], "y", [3.0, 4.0], 2.0, at_least=True, note="z")
    document = json.loads(json.dumps(to_json(bar)))

    assert table([from_json(document)]) == table([bar])
    assert document["met"] is False


def _fake(monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str]) -> None:
    """Let the benchmarks be other programs; all else is as it is."""

    class Fake(run.Benchmark):
        def command(self, quick: bool) -> list[str]:
            return [sys.executable, "-c", scripts[self.module]]

    monkeypatch.setattr(run, "BENCHMARKS", tuple(Fake(n, n.title(), "") for n in scripts))


def _main(monkeypatch: pytest.MonkeyPatch, out: Path, *args: str) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr(run, "PLOT", out / "nowhere")
    monkeypatch.setattr(sys, "argv", ["run", "--out", str(out), *args])
    code = run.main()
    return code, json.loads((out / "results.json").read_text())


def test_a_missed_bar_is_told_and_a_failed_benchmark_fails_the_run_but_not_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bar = to_json(Bar("slow", "s", [3.0], "bare", [1.0], 2.0))
    say = f"print({json.dumps({'bars': [bar], 'users': 7})!r})"
    _fake(monkeypatch, {"broken": "raise SystemExit(9)", "slow": say})

    code, found = _main(monkeypatch, tmp_path)
    page = (tmp_path / "results.md").read_text()

    assert code == 1
    assert [(one["name"], one["exit_code"]) for one in found["benchmarks"]] == [
        ("broken", 9),
        ("slow", 0),
    ]
    assert found["benchmarks"][1]["context"] == {"users": 7}
    assert "| slow | 3 s | bare | 1 s | 3 | <= 2 | **missed** |" in page
    assert "**It ended with 9.**" in page
    assert all(f"{name} {value}" in page for name, value in found["versions"].items())

    _fake(monkeypatch, {"broken": say, "slow": "raise SystemExit(9)"})
    code, found = _main(monkeypatch, tmp_path, "--resume")
    assert code == 0
    assert {one["name"]: one["exit_code"] for one in found["benchmarks"]} == {
        "broken": 0,
        "slow": 0,
    }

    code, found = _main(monkeypatch, tmp_path, "--only", "broken")
    assert (code, len(found["benchmarks"])) == (0, 1)


@pytest.mark.parametrize("one", run.BENCHMARKS, ids=lambda one: one.module)
def test_every_benchmark_knows_the_options_it_is_given(
    one: run.Benchmark, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"benchmarks.{one.module}")
    monkeypatch.setattr(sys, "argv", [one.module, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()

    taught = capsys.readouterr().out
    assert ended.value.code == 0
    assert not [
        option
        for option in one.command(quick=True)
        if option.startswith("--") and option not in taught
    ]


def test_every_missed_bar_of_the_results_is_explained() -> None:
    found = json.loads((ROOT / "docs" / "benchmarks" / "results.json").read_text())
    bars = [from_json(bar) for body in found["benchmarks"] for bar in body["bars"]]
    page = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()

    assert [body["name"] for body in found["benchmarks"]] == [one.module for one in run.BENCHMARKS]
    assert not any(body["exit_code"] for body in found["benchmarks"])
    assert [bar.what for bar in bars if bar.is_met() is False and bar.what not in page] == []
