"""
Backfill obeys its laws on any events and any schedule, a real `kill -9` among its steps.

Each example is a store of its own. dbt builds it as Hypothesis says: plain builds and ranges in any
order, while events come late, are removed, retyped or forgotten, the clock moves, and builds are
killed. After each step the table, not what dbt would merge, is compared row for row with what plain
Python makes of the same steps; in the end, with one full refresh.

The suite tries a few short schedules, the same ones each time; `make soak` others, and longer ones.
"""

import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import oracle
from tests.support.oracle import DAY, Event
from tests.support.profile import IS_SOAK, examples
from tests.support.shadow import available_at, span
from tests.support.trial import TRIED, Trial

PROFILE = settings(
    max_examples=examples(2, soak=30),
    stateful_step_count=13 if IS_SOAK else 6,
    derandomize=not IS_SOAK,
    deadline=None,
    # A step is a run of dbt, and a kill never happens twice at the same moment: no shrinking.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)

FIRST = date(2024, 2, 5)
# Events end in the middle of March; the clock goes on, so that users leave and windows close.
LAST_EVENT = date(2024, 3, 20)
LAST = date(2024, 4, 4)

_times = st.sampled_from([time(), time(0, 0, 0, 1), time(12), time(23, 59, 59, 999999)])
_event_days = st.integers(0, (LAST_EVENT - FIRST).days).map(lambda n: FIRST + n * DAY)
_moments = st.builds(datetime.combine, _event_days, _times)
_users = st.sampled_from("abcd")
_events = st.tuples(_users, st.sampled_from("xyz"), _moments)
_labels = st.lists(
    st.tuples(st.sampled_from("abce"), st.sampled_from([0.0, 1.0]), _moments), min_size=4
)
_days = st.integers(0, (LAST - FIRST).days).map(lambda n: FIRST + n * DAY)
_ranges = st.builds(
    lambda first, length: span(first, first + (length - 1) * DAY),
    # Before the first event there is nothing, and a range may well ask for it.
    st.integers(-3, (LAST - FIRST).days).map(lambda n: FIRST + n * DAY),
    st.just(1) | st.integers(1, 40),
)
_hows = st.sampled_from(["come late", "twice", "removed", "replaced", "retyped", "moved"])
_changes = st.lists(st.tuples(_hows, st.integers(0, 99), _events), max_size=3)
_clocks = st.none() | _days
_chunks = st.sampled_from([31, 4, 1])
_moments_of_kill = st.tuples(st.sampled_from(["start", "model"]), st.floats(0, 1))


_Arrival = tuple[str, str, float, timedelta]


class Schedule(RuleBasedStateMachine):
    """A store whose schedule Hypothesis writes; in the end the clock runs out, and all is built."""

    def __init__(self) -> None:
        super().__init__()
        self.trial = Trial(FIRST)

    def teardown(self) -> None:
        try:
            if self.trial.is_sound:
                self.trial.now = datetime.combine(LAST + DAY, time())
                self.trial.finish()
                self.conclude()
        finally:
            self.trial.close()

    def conclude(self) -> None:
        """Say what else holds in the end."""


class AnyChange(Schedule):
    """One clock: the source may change in every way, and so may the time."""

    has_forgotten = False

    @initialize(events=st.lists(_events, min_size=3, max_size=20), labels=_labels, last=_days)
    def begin(self, events: list[Event], labels: list[oracle.Label], last: date) -> None:
        # The anchor stays: without it, the days before the next event would be frozen.
        self.trial.events = [("a", "x", datetime.combine(FIRST, time())), *events]
        self.trial.labels = labels
        self._set_clock(last)

    def _set_clock(self, last: date | None) -> None:
        if last is not None:
            self.trial.now = datetime.combine(last + DAY, time())

    def _change(self, changes: list[tuple[str, int, Event]]) -> None:
        for how, place, new in changes:
            events = self.trial.events
            at = 1 + place % max(len(events) - 1, 1)
            if how == "come late" or at >= len(events):
                events.append(new)
            elif how == "twice":
                events.append(events[at])
            elif how == "removed":
                del events[at]
            elif how == "replaced":
                events[at] = new
            elif how == "retyped":
                events[at] = (events[at][0], new[1], events[at][2])
            else:
                events[at] = (events[at][0], events[at][1], new[2])

    @rule(changes=_changes, last=_clocks, horizon=st.sampled_from([90, 7]), chunk=_chunks)
    def plain_build(
        self,
        changes: list[tuple[str, int, Event]],
        last: date | None,
        horizon: int,
        chunk: int,
    ) -> None:
        self._set_clock(last)
        self._change(changes)
        self.trial.build(horizon=horizon, chunk=chunk)

    @rule(changes=_changes, asked=_ranges, chunk=_chunks)
    def range_build(
        self, changes: list[tuple[str, int, Event]], asked: list[date], chunk: int
    ) -> None:
        self._change(changes)
        self.trial.build(asked, chunk=chunk)

    @rule(
        changes=_changes,
        last=_clocks,
        asked=st.none() | _ranges,
        chunk=_chunks,
        moment=_moments_of_kill,
    )
    def killed_build(
        self,
        changes: list[tuple[str, int, Event]],
        last: date | None,
        asked: list[date] | None,
        chunk: int,
        moment: tuple[str, float],
    ) -> None:
        self._set_clock(last)
        self._change(changes)
        self.trial.build(asked, chunk=chunk, moment=moment)

    @rule(hours=st.sampled_from([0, 6]), changes=_changes)
    def build_with_another_lag(self, hours: int, changes: list[tuple[str, int, Event]]) -> None:
        self.trial.lag = timedelta(hours=hours)
        self._change(changes)
        self.trial.build()

    @precondition(lambda self: not self.has_forgotten)
    @rule(first=_event_days)
    def build_after_events_were_forgotten(self, first: date) -> None:
        self.has_forgotten = True
        self.trial.events = [event for event in self.trial.events if event[2].date() >= first]
        self.trial.build()


_nights = st.tuples(st.integers(1, 6), st.sampled_from([0, 0, 3, 23]))
# When it arrived, as a part of the time since the clock last moved, and how long it took.
_arrivals = st.lists(
    st.tuples(
        _users,
        st.sampled_from("xyz"),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1),
        st.sampled_from([timedelta(), timedelta(hours=1), 2 * DAY, 29 * DAY, 30 * DAY, 31 * DAY])
        | st.timedeltas(timedelta(), 33 * DAY),
    ),
    max_size=6,
)


class OnlyArrivals(Schedule):
    """
    Two clocks: events only ever arrive, each at a time that the store's clock has passed.

    What was built once its time had come is then right for ever: no row of it, and no row of a
    training set on it, is another in the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features: dict[date, list[tuple[object, ...]]] = {}
        self.trained: dict[tuple[object, ...], tuple[object, ...]] = {}

    @initialize(labels=_labels, lag=st.sampled_from([0, 6, 30]))
    def begin(self, labels: list[oracle.Label], lag: int) -> None:
        start = datetime.combine(FIRST, time())
        self.trial.events = [("a", "x", start, start)]
        self.trial.labels = labels
        self.trial.lag = timedelta(hours=lag)

    def _go_on(self, night: tuple[int, int], arrivals: list[_Arrival]) -> None:
        days, hour = night
        then = datetime.combine(self.trial.now.date() + days * DAY, time(hour))
        now = min(then, datetime.combine(LAST + DAY, time()))
        for user, kind, part, delay in arrivals:
            arrival = self.trial.now + part * (now - self.trial.now)
            at = max(arrival - delay, datetime.combine(FIRST, time()))
            self.trial.events.append((user, kind, at, arrival))
        self.trial.now = now

    @rule(night=_nights, arrivals=_arrivals, chunk=_chunks)
    def plain_build(self, night: tuple[int, int], arrivals: list[_Arrival], chunk: int) -> None:
        self._go_on(night, arrivals)
        self.trial.build(chunk=chunk, models=())
        self._remember()

    @rule(night=_nights, arrivals=_arrivals, asked=_ranges)
    def range_build(
        self, night: tuple[int, int], arrivals: list[_Arrival], asked: list[date]
    ) -> None:
        self._go_on(night, arrivals)
        self.trial.build(asked)

    @rule(night=_nights, arrivals=_arrivals, moment=_moments_of_kill)
    def killed_build(
        self, night: tuple[int, int], arrivals: list[_Arrival], moment: tuple[str, float]
    ) -> None:
        self._go_on(night, arrivals)
        self.trial.build(moment=moment)

    def _remember(self) -> None:
        """Keep what was built once its time had come, and compare it with what was kept."""
        self.trial.is_sound = False
        rows: dict[date, list[tuple[object, ...]]] = {day: [] for day in self.trial.shadow.days}
        for row in self.trial.project.features():
            assert isinstance(row[1], date)
            rows[row[1]].append(row)
        for day, some in rows.items():
            if available_at(day, self.trial.lag) <= self.trial.now:
                assert self.features.setdefault(day, some) == some
        for trained in self.trial.project.training():
            assert isinstance(trained[2], datetime)
            if trained[2] <= self.trial.now:
                assert self.trained.setdefault(trained[:3], trained) == trained
        self.trial.is_sound = True

    def conclude(self) -> None:
        self._remember()
        TRIED["rows as they were then"] += sum(map(len, self.features.values()))
        TRIED["labels as they were then"] += len(self.trained)


@pytest.fixture(scope="module", autouse=True)
def _told() -> Iterator[None]:
    yield
    sys.stdout.write(f"\ntried: {dict(TRIED)}\n")


@pytest.mark.soak
def test_any_schedule_ends_in_the_table_of_one_full_refresh() -> None:
    run_state_machine_as_test(AnyChange, settings=PROFILE)


@pytest.mark.soak
def test_what_was_known_then_is_what_any_later_build_makes() -> None:
    run_state_machine_as_test(OnlyArrivals, settings=PROFILE)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"2024-{text}")


@pytest.fixture
def trial() -> Iterator[Trial]:
    made = Trial(date(2024, 3, 10))
    made.events = [
        ("a", "x", _at("02-05 00:00:00")),
        ("b", "x", _at("02-12 12:00:00")),
        ("a", "y", _at("02-29 23:59:59.999999")),
        ("c", "x", _at("03-02 00:00:00")),
    ]
    made.labels = [("a", 1.0, _at("03-01 00:00:00")), ("c", 0.0, _at("03-20 12:00:00"))]
    yield made
    made.close()


def _span(first: str, last: str) -> set[date]:
    return set(span(_at(first).date(), _at(last).date()))


def test_a_schedule_of_ranges_kills_and_late_changes(trial: Trial) -> None:
    trial.build(sorted(_span("02-20", "03-02")), chunk=5)
    trial.build(moment=("model", 0.5))
    # A horizon is for changes; what is missing is found however far back.
    trial.build(horizon=7, chunk=5)
    assert trial.shadow.days.keys() == _span("02-05", "03-10")

    # Another type, and the same event twice; each is healed where a window of 31 days sees it.
    trial.events[2] = ("a", "z", trial.events[2][2])
    assert trial.build() == _span("02-29", "03-10")
    trial.events.append(trial.events[1])
    assert trial.build() == _span("02-12", "03-10")

    # Another one is given twice: as many events as before, and none that was not there.
    trial.events[4] = trial.events[3]
    trial.now = _at("04-11 00:00:00")
    assert trial.build(chunk=4) == _span("02-12", "04-10")
    # Without these, nobody is left once the events of b have left the window.
    del trial.events[2:]
    assert trial.build(horizon=7) == set()
    assert trial.build(moment=("start", 0.6)) <= _span("02-29", "04-01")
    assert trial.build() <= _span("02-29", "04-01")
    assert {day for day, built in trial.shadow.days.items() if not built.rows} == _span(
        "03-14", "04-10"
    )
    # The seventh day before the last is beyond a horizon of seven days.
    trial.events.append(("d", "x", _at("04-03 00:00:00")))
    assert trial.build(horizon=7) == _span("04-04", "04-10")
    trial.finish()


def test_a_schedule_in_which_events_are_forgotten_and_the_lag_changes(trial: Trial) -> None:
    trial.build()
    trial.lag = timedelta(hours=6)
    trial.events.append(("d", "x", _at("03-05 12:00:00")))
    assert trial.build() == _span("03-05", "03-10")

    # The window of 2024-03-13 is the last that reaches before the first event that is left.
    trial.events = trial.events[1:]
    trial.now = _at("03-16 00:00:00")
    assert trial.build() == _span("03-11", "03-15")
    frozen = {day for day in trial.shadow.days if trial.shadow.is_frozen(day, trial.events)}
    assert frozen == _span("02-05", "03-10")

    # Built on what is left, a day is frozen no more; its neighbours still are.
    trial.build(sorted(_span("03-08", "03-09")))
    trial.events.append(("b", "y", _at("03-01 12:00:00")))
    assert trial.build() == _span("03-08", "03-09") | _span("03-11", "03-15")
    trial.finish()
