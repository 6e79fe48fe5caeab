"""The records: written with the data or not at all, and judged by views that equal plain rules."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.support.dbt import Project
from tests.support.store import GIVEN, built_project, copy

LEDGER = "feature_store.build_ledger"
CASES = 3000


def test_a_build_that_the_ledger_refuses_changes_no_row(tmp_path: Path) -> None:
    project = Project(tmp_path, writes_artifacts=False)
    project.write_events([("a", "x", "2024-03-28 12:00:00"), ("a", "x", "2024-03-30 12:00:00")])
    project.write_labels([("a", 1.0, "2024-03-30 12:00:00")])
    project.dbt("run").assert_done()
    before = project.features()
    with duckdb.connect(str(project.warehouse)) as connection:
        connection.execute(f"create table kept as select * from {LEDGER}")
        connection.execute(f"drop table {LEDGER}")
        connection.execute(f"create table {LEDGER} as select * from kept")
        connection.execute(f'create unique index once_a_day on {LEDGER} ("day")')
    project.write_events([("a", "x", "2024-03-28 12:00:00"), ("a", "y", "2024-03-30 13:00:00")])

    run = project.dbt(
        "run", "--select", "features_daily", start_date="2024-03-30", end_date="2024-03-30"
    )

    assert run.statuses["features_daily"] == "error"
    assert "violates unique constraint" in run.output
    assert project.features() == before


@pytest.fixture
def warehouse(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a warehouse whose records are empty, to fill with any."""
    project = copy(built_project(tmp_path_factory), tmp_path / "store")
    with duckdb.connect(str(project.warehouse)) as connection:
        for record in ("build_ledger", "built_sql", "gate_passes", "gate_verdicts", "gate_tests"):
            connection.execute(f"delete from feature_store.{record}")
        yield connection


def _insert(
    connection: duckdb.DuckDBPyConnection, record: str, rows: Sequence[Mapping[str, object]]
) -> None:
    connection.register("given", pa.Table.from_pylist(list(rows)))
    connection.execute(f"insert into feature_store.{record} by name select * from given")
    connection.unregister("given")


# The gate. Of each case A and B are published, and V is a view that tests ref.

MOMENTS = [datetime(2024, 3, 1) + timedelta(hours=n) for n in range(4)]


@dataclass(frozen=True)
class DeclaredTest:
    test: str
    name: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    test: str
    name: str
    model: str
    sequence: int
    model_sequence: int | None
    status: str
    failures: int | None
    recorded_at: datetime
    because: str | None


@dataclass(frozen=True)
class Gate:
    tests: Sequence[DeclaredTest]
    builds: Mapping[str, Sequence[tuple[int, datetime]]]
    verdicts: Sequence[Verdict]


def _gate(draw: random.Random) -> Gate:
    known = [
        DeclaredTest(f"test.p.{name}.{digest}", name, tuple(draw.sample("ABV", draw.randint(1, 3))))
        for name in ("one", "two", "three")
        # The id of a generic test holds a hash of its arguments.
        for digest in ("5d6c", "81aa")
    ]
    # Of what never ran, what passed and what was built, no case has all that it needs by chance.
    tidy = draw.random() < 0.4
    builds = {
        model: [(n + 1, draw.choice(MOMENTS)) for n in range(draw.randint(0, 2 + tidy))]
        for model in "AB"
    }
    verdicts = []
    for test in known:
        for run in range(draw.randint(0, 2)):
            good = tidy or draw.random() < 0.4
            status = draw.choice(["pass", "warn"] if good else ["fail", "error", "skipped", "odd"])
            failures = draw.choice([None, 0, 1, 2000])
            at = MOMENTS[-1] if tidy else draw.choice(MOMENTS)
            because = "x failed" if status == "skipped" and draw.random() < 0.5 else None
            for model in test.models:
                newest = max((n for n, _ in builds.get(model, ())), default=None)
                sequence = newest if draw.random() < 0.8 else draw.choice([None, 1, 2])
                run_of = (test.test, test.name, model, run + 1, sequence)
                verdicts.append(Verdict(*run_of, status, failures, at, because))
    return Gate(
        tests=[test for test in known if draw.random() < 0.5],
        builds=builds,
        verdicts=[verdict for verdict in verdicts if draw.random() < 0.95],
    )


def _objections(gate: Gate, model: str) -> list[str]:
    """List in plain Python why a model may not be published."""
    current = {m: max(builds) for m, builds in gate.builds.items() if builds}
    if model not in current:
        return [
            f"it was never built, or the ledger was deleted; run: dbt build --full-refresh {GIVEN}"
        ]
    newest_run = {verdict.test: 0 for verdict in gate.verdicts}
    for verdict in gate.verdicts:
        newest_run[verdict.test] = max(newest_run[verdict.test], verdict.sequence)
    verdicts = [v for v in gate.verdicts if v.sequence == newest_run[v.test]]

    def is_current(verdict: Verdict) -> bool:
        if verdict.model not in current:
            return verdict.model_sequence is None
        sequence, built_at = current[verdict.model]
        return verdict.model_sequence == sequence and verdict.recorded_at >= built_at

    guarding = [test for test in gate.tests if model in test.models]
    found = [] if guarding else ["no gate test guards it; add one with the tag gate"]
    for test in guarding:
        mine = {v.model: v for v in verdicts if v.test == test.test and v.model in test.models}
        red = [v for v in mine.values() if v.status not in ("pass", "warn")]
        if red:
            see = (
                f"mend that and run: dbt build {GIVEN}"
                if red[0].because
                else f"see: dbt test --select {test.name} {GIVEN}"
            )
            found.append(f"{test.name} {_outcome(red[0])}{_rows(red[0])}; {see}")
        elif any(other in current and other not in mine for other in test.models):
            found.append(f"{test.name} has no verdict; run: dbt test {GIVEN}")
        elif not all(map(is_current, mine.values())):
            found.append(f"{test.name} last ran on an older build; run: dbt test {GIVEN}")
    names = {test.name for test in guarding}
    return found + [
        f"{v.name} {_outcome(v)} on this build{_rows(v)} and was then removed; restore the test, "
        f"or if it was wrong, run: dbt build --full-refresh --select {model} {GIVEN}"
        for v in verdicts
        if v.model == model
        and v.status not in ("pass", "warn")
        and is_current(v)
        and v.name not in names
    ]


def _outcome(verdict: Verdict) -> str:
    because = f", because {verdict.because}" if verdict.because else ""
    outcomes = {"fail": "failed", "error": "had an error", "skipped": f"was skipped{because}"}
    return outcomes.get(verdict.status, f"ended as {verdict.status}")


def _rows(verdict: Verdict) -> str:
    if not verdict.failures:
        return ""
    return f" ({verdict.failures} row{'' if verdict.failures == 1 else 's'})"


def test_the_gate_objects_as_the_rules_in_plain_python_do(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    draw = random.Random(3)
    gates = [_gate(draw) for _ in range(CASES)]
    tests: list[dict[str, object]] = []
    ledger: list[dict[str, object]] = []
    verdicts: list[dict[str, object]] = []
    for n, gate in enumerate(gates):
        tests += [
            {"model": f"model.{n}.{model}", "test": f"{n}.{t.test}", "name": t.name}
            for t in gate.tests
            for model in t.models
        ]
        guarded = {model for t in gate.tests for model in t.models}
        tests += [{"model": f"model.{n}.{model}", "test": None} for model in {"A", "B"} - guarded]
        ledger += [
            {"model": f"model.{n}.{model}", "sequence": sequence, "built_at": at}
            for model, builds in gate.builds.items()
            for sequence, at in builds
        ]
        verdicts += [
            {**asdict(v), "test": f"{n}.{v.test}", "model": f"model.{n}.{v.model}"}
            for v in gate.verdicts
        ]
    _insert(
        warehouse,
        "gate_tests",
        [
            {"name": None, **row, "is_published": not str(row["model"]).endswith("V")}
            for row in tests
        ],
    )
    _insert(warehouse, "build_ledger", ledger)
    _insert(warehouse, "gate_verdicts", verdicts)

    rows = warehouse.execute("select model, reason from feature_store.gate_objections").fetchall()

    wanted = [
        (f"model.{n}.{model}", reason)
        for n, gate in enumerate(gates)
        for model in "AB"
        for reason in _objections(gate, model)
    ]
    assert sorted(rows) == sorted(wanted)
    reasons = {reason.split(" ", 1)[1] for _, reason in rows}
    assert len(reasons) > 12
    # Models that may be published are among the cases too.
    assert 2 * CASES - len({model for model, _ in rows}) > 100


# Days

FIRST = date(2024, 3, 1)
LAST = date(2024, 3, 12)
STAMPED = "availability lag changed"


@dataclass(frozen=True)
class Entry:
    model: str
    day: date
    sequence: int
    reason: str
    model_checksum: str
    source_first_day: date | None
    window_days: int | None


def _ledger(draw: random.Random, model: str) -> list[Entry]:
    days = [FIRST + timedelta(days=n) for n in range(10)]
    has_events = draw.random() < 0.8
    window = draw.choice([None, 1, 3, 5])
    entries: dict[date, Entry] = {}
    ledger = []
    for sequence in range(1, draw.randint(1, 4) + 1):
        first = draw.choice([*days[:7], FIRST - timedelta(days=2)]) if has_events else None
        reason = draw.choice(["missing"] * 4 + ["not over"])
        built = Entry(model, FIRST, sequence, reason, draw.choice("ab"), first, window)
        if entries and draw.random() < 0.3:
            entry = [
                replace(old, sequence=sequence, reason=STAMPED)
                for old in entries.values()
                if old.reason != "not over"
            ]
        else:
            entry = [replace(built, day=day) for day in draw.sample(days, draw.randint(1, 6))]
        entries.update({built.day: built for built in entry})
        ledger += entry
    return ledger


def _days(ledger: Sequence[Entry], newest_sql: str) -> list[tuple[object, ...]]:
    """Judge the days of one model in plain Python."""
    current: dict[date, Entry] = {}
    for entry in sorted(ledger, key=lambda entry: entry.sequence):
        current[entry.day] = entry
    firsts = [entry.source_first_day for entry in ledger if entry.source_first_day]
    plans = [e for e in ledger if e.source_first_day and e.reason != STAMPED]
    plan = max(plans, key=lambda entry: entry.sequence, default=None)
    judged: list[tuple[object, ...]] = []
    for entry in current.values():
        frozen = (
            plan is not None
            and plan.window_days is not None
            and plan.source_first_day is not None
            and entry.source_first_day is not None
            and entry.day - timedelta(days=plan.window_days - 1) < plan.source_first_day
            and entry.source_first_day < plan.source_first_day
        )
        removed = entry.reason == "not over"
        older = bool(firsts) and entry.model_checksum != newest_sql and not frozen
        judged.append(
            (entry.model, entry.day, entry.sequence, removed, frozen > removed, older > removed)
        )
    if firsts:
        day = min(*firsts, *current)
        while day <= LAST:
            if day not in current:
                judged.append((ledger[0].model, day, None, True, False, False))
            day += timedelta(days=1)
    return judged


def test_days_are_judged_as_the_rules_in_plain_python_do(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    draw = random.Random(4)
    ledgers = [_ledger(draw, f"model.p.{n}") for n in range(CASES)]
    _insert(warehouse, "build_ledger", [asdict(entry) for ledger in ledgers for entry in ledger])
    # The newest SQL of a model may have built no day.
    texts = [draw.choice(["ab", "ba", "abc"]) for _ in ledgers]
    _insert(
        warehouse,
        "built_sql",
        [
            {"model": ledger[0].model, "model_checksum": checksum, "sql": "", "used": used}
            for ledger, text in zip(ledgers, texts, strict=True)
            for used, checksum in enumerate(text)
        ],
    )
    warehouse.execute(f"set variable last_finished_day = date '{LAST}'")

    rows = warehouse.execute(
        'select model, day, "sequence", is_missing, is_frozen, is_older_sql '
        "from feature_store.day_status"
    ).fetchall()

    def order(row: tuple[object, ...]) -> tuple[str, ...]:
        return tuple(map(str, row))

    assert sorted(rows, key=order) == sorted(
        (
            row
            for ledger, text in zip(ledgers, texts, strict=True)
            for row in _days(ledger, text[-1])
        ),
        key=order,
    )
    assert min(sum(row[n] for row in rows) for n in (3, 4, 5)) > 500


def test_without_a_clock_of_the_reader_the_last_finished_day_is_yesterday_in_utc(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    entry = Entry("model.p.a", FIRST, 1, "missing", "a", FIRST, 1)
    _insert(warehouse, "build_ledger", [asdict(entry)])

    [(last,)] = warehouse.execute(
        "select max(day) from feature_store.day_status where is_missing"
    ).fetchall()

    [(yesterday,)] = warehouse.execute("select timezone('UTC', now())::date - 1").fetchall()
    assert last == yesterday
