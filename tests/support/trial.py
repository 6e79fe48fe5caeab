"""
One store that is built step by step, or killed in the middle, and compared after every step.

What dbt makes of it stands beside what it should be: a `Shadow` that is built by the same steps.
"""

import re
import shutil
import tempfile
import time as clock
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

from tests.support import oracle
from tests.support.dbt import Project
from tests.support.oracle import DAY, Event
from tests.support.shadow import Shadow, first_day, span

HOUR = timedelta(hours=1)

# What all trials did.
TRIED: Counter[str] = Counter()

_LEDGER = """
    select day, "rows", content from feature_store.build_ledger where day is not null
    qualify row_number() over (partition by day order by "sequence" desc) = 1
        and reason <> 'not over'
"""
_DATA = """
    select day, count(*), concat(count(*), ':', sum(hash(
        user_id, day, event_count_7d, event_count_30d, cast(last_event_days_ago as bigint),
        event_type_counts, available_at, max_event_ts
    )))
    from feature_store.features_daily group by day
"""


class Trial:
    """
    One store, what dbt makes of it, and what it should be.

    Attributes:
        events: What the source holds now.
        labels: Likewise.
        now: The clock.
        lag: Availability lag of the next builds.
        is_sound: Nothing has failed so far.
    """

    # How long the last whole run took [s], and its part that built the model.
    seconds = 1.5
    model_seconds = 0.3

    def __init__(self, first: date) -> None:
        self.project = Project(Path(tempfile.mkdtemp(prefix="laws-")), writes_artifacts=False)
        self.shadow = Shadow()
        self.events: list[Event] = []
        self.labels: list[oracle.Label] = []
        self.now = datetime.combine(first + DAY, time())
        self.lag = timedelta()
        self.is_sound = True
        TRIED["schedules"] += 1

    def close(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.project.folder)

    @property
    def last(self) -> date:
        """The newest finished day."""
        return self.now.date() - DAY

    def build(
        self,
        asked: Sequence[date] | None = None,
        *,
        horizon: int = 90,
        chunk: int = 31,
        moment: tuple[str, float] | None = None,
        models: Sequence[str] = ("--select", "stg_events", "features_daily"),
    ) -> set[date]:
        """
        Run dbt, or kill it, and compare what is there then.

        Args:
            asked: The range, in order; None for a plain build.
            horizon: How many days back a plain build looks [days].
            chunk: How many days are built at one time [days].
            moment: Kill it then: after what, and which part of the usual time later.
            models: Which models.

        Returns:
            The days that were built.
        """
        self.is_sound = False
        variables: dict[str, object] = {
            "availability_lag_hours": self.lag // HOUR,
            "healing_horizon_days": horizon,
            "backfill_chunk_days": chunk,
        }
        if asked is None:
            days = self.shadow.missing_or_dirty(self.events, self.last, self.lag, horizon)
        else:
            days = {min(day, self.last) for day in asked}
            variables |= {"start_date": str(min(days)), "end_date": str(max(days))}
        removed = self.shadow.not_over(self.events, self.last) if asked is None else set()
        stamped = self.shadow.of_another_lag(self.lag) - days - removed
        before = self._newest_build()
        self._write()
        if moment is None:
            self._run("run", *models, **variables)
        else:
            self._kill("run", *models, moment=moment, **variables)
        written = self._written_since(before)
        # One transaction: all of it or, after a kill, nothing.
        assert written == days | stamped | removed or (moment is not None and not written)
        if moment is not None:
            TRIED["kills after the commit" if written else "kills before the commit"] += 1
        if written:
            TRIED["days built"] += len(days)
            TRIED["days healed"] += len(days & self.shadow.days.keys()) if asked is None else 0
            TRIED["days stamped anew"] += len(stamped)
            self.shadow.build(days, self.events, self.lag)
            self.shadow.stamp(stamped, self.lag)
            for day in removed:
                del self.shadow.days[day]
        self._compare()
        self.is_sound = True
        return days if written else set()

    def finish(self) -> None:
        """Build what is left, and compare with one full refresh."""
        self.build(models=())
        frozen = {day for day in self.shadow.days if self.shadow.is_frozen(day, self.events)}
        TRIED["days frozen in the end"] += len(frozen)
        built, trained = self.project.features(), self.project.training()

        self.is_sound = False
        first = first_day(self.events) or self.now.date()
        days = sorted({*span(first, self.last), *self.shadow.days})
        self._run("run", "--full-refresh", availability_lag_hours=self.lag // HOUR)

        refreshed = self.project.features()
        assert refreshed == oracle.features(self.events, days, self.lag)
        assert [row for row in built if row[1] not in frozen] == [
            row for row in refreshed if row[1] not in frozen
        ]
        training = Counter(self.project.training())
        assert training == Counter(oracle.training(self.labels, self.events, days, self.lag))
        assert frozen or Counter(trained) == training
        self.is_sound = True

    def _write(self) -> None:
        self.project.now = f"{self.now.isoformat()}Z"
        self.project.write_history(self.events)
        self.project.write_labels(
            [(user, label, at.isoformat(sep=" ")) for user, label, at in self.labels]
        )

    def _run(self, *args: str, **variables: object) -> None:
        started = clock.monotonic()
        run = self.project.dbt(*args, **variables).assert_done()
        Trial.seconds = clock.monotonic() - started
        took = re.search(r"OK created sql incremental model .* in ([\d.]+)s", run.output)
        assert took is not None, run.output
        Trial.model_seconds = float(took[1])
        TRIED["runs"] += 1

    def _kill(self, *args: str, moment: tuple[str, float], **variables: object) -> None:
        whence, part = moment
        output = self.project.folder / "output.txt"
        output.unlink(missing_ok=True)
        process = self.project.start(*args, **variables)
        if whence == "model":
            while process.wait(0) is None and not _says(output, "START sql incremental model"):
                clock.sleep(0.002)
        # Somewhat longer than usual: the last moments are after the commit.
        process.wait(1.2 * part * (Trial.model_seconds if whence == "model" else Trial.seconds))
        process.kill()
        assert process.wait() in (0, -9), output.read_text()
        TRIED["kills"] += 1

    def _has(self, table: str) -> bool:
        return self.project.warehouse.exists() and bool(
            self.project.query(f"select 1 from duckdb_tables() where table_name = '{table}'")
        )

    def _newest_build(self) -> object:
        if not self._has("build_ledger"):
            return 0
        ledger = "feature_store.build_ledger"
        return self.project.query(f'select coalesce(max("sequence"), 0) from {ledger}')[0][0]

    def _written_since(self, sequence: object) -> set[object]:
        if not self._has("build_ledger"):
            return set()
        rows = self.project.query(
            "select distinct day from feature_store.build_ledger "
            f'where day is not null and "sequence" > {sequence}'
        )
        return {day for (day,) in rows}

    def _compare(self) -> None:
        """The table holds what it should, and the ledger says so."""
        if not self._has("features_daily"):
            assert self.shadow.days == {}
            return
        assert self.project.features() == self.shadow.rows
        ledger = {day: (rows, content) for day, rows, content in self.project.query(_LEDGER)}
        data = {day: (rows, content) for day, rows, content in self.project.query(_DATA)}
        assert ledger == {day: data.get(day, (0, "0:0")) for day in self.shadow.days}


def _says(output: Path, text: str) -> bool:
    return output.exists() and text in output.read_text()
