"""How the MovieLens example turns ratings into events and labels; nothing is downloaded here."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.movielens.prepare import (
    MEMBER,
    WHEEL,
    PrepareError,
    download,
    prepare,
    read_ratings,
    to_events,
    to_labels,
)

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"


def _inter(*lines: str) -> bytes:
    return "\n".join([HEADER, *lines, ""]).encode()


def _rating(user: str, when: str) -> str:
    moment = datetime.fromisoformat(when).replace(tzinfo=UTC)
    return f"{user}\t1\t5\t{moment.timestamp():.0f}"


def test_a_rating_becomes_an_event_with_its_text_kept() -> None:
    events = to_events(_inter("196\t242\t3\t881250949", "007\t302\t4.5\t891717742.25"))
    assert events.to_pylist() == [
        {
            "user_id": "196",
            "event_type": "rated_3",
            "ts": datetime(1997, 12, 4, 15, 55, 49),
        },
        {
            "user_id": "007",
            "event_type": "rated_4.5",
            "ts": datetime(1998, 4, 4, 19, 22, 22, 250_000),
        },
    ]


def test_events_are_sorted_by_time() -> None:
    events = to_events(_inter("b\t1\t1\t200", "a\t1\t1\t200", "c\t1\t1\t100"))
    assert events["user_id"].to_pylist() == ["c", "a", "b"]


def _labels(*ratings: tuple[str, str]) -> list[tuple[str, float, str]]:
    events = to_events(_inter(*(_rating(user, when) for user, when in ratings)))
    return [
        (row["user_id"], row["label"], f"{row['as_of_ts']:%m-%d %H:%M}")
        for row in to_labels(events).to_pylist()
    ]


def test_a_label_stands_each_monday_noon_while_a_week_is_left() -> None:
    # 2024-01-01 is a Monday. The data ends at midnight after the 23rd, so the week after Monday
    # the 22nd is not over, and that after the 15th is.
    assert _labels(("a", "2024-01-03 10:00:00"), ("a", "2024-01-23 10:00:00")) == [
        ("a", 0.0, "01-08 12:00"),
        ("a", 0.0, "01-15 12:00"),
    ]


def test_a_rating_at_the_instant_of_the_label_is_future_and_one_a_week_later_is_too_late() -> None:
    assert _labels(
        ("a", "2024-01-08 11:59:59"),
        ("a", "2024-01-15 12:00:00"),
        ("b", "2024-01-08 12:00:00"),
        ("z", "2024-01-22 23:00:00"),
    ) == [
        ("a", 0.0, "01-08 12:00"),
        ("a", 1.0, "01-15 12:00"),
        ("b", 0.0, "01-15 12:00"),
    ]


def test_a_user_away_for_sixty_days_gets_no_more_labels() -> None:
    labels = _labels(("a", "2024-01-04 12:00:00"), ("z", "2024-03-31 12:00:00"))
    # Sixty days after the 4th of January noon is the 4th of March noon, a Monday.
    assert labels[0] == ("a", 0.0, "01-08 12:00")
    assert labels[-1] == ("a", 0.0, "03-04 12:00")
    assert len(labels) == 9


@pytest.mark.parametrize(
    "ratings",
    [b"", b"user\titem\n1\t2\n", _inter("196\t242\t3\tyesterday"), _inter("196\t242\t3")],
    ids=["empty", "other columns", "no time", "short line"],
)
def test_bytes_in_another_format_are_refused(ratings: bytes) -> None:
    with pytest.raises(PrepareError, match=r"^the ratings are not in the \.inter format: "):
        to_events(ratings)


def test_a_broken_wheel_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"PK, but no zip")
    with pytest.raises(PrepareError, match=r"cannot be read .* delete it and run this again"):
        prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WHEEL]


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("recbole/__init__.py", r"cannot be read .* delete it and run this again"),
        (MEMBER, "holds other ratings than expected"),
    ],
)
def test_a_wheel_without_the_ratings_is_refused(tmp_path: Path, member: str, said: str) -> None:
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr(member, _inter("196\t242\t3\t881250949"))
    with pytest.raises(PrepareError, match=said):
        read_ratings(tmp_path / WHEEL)


def test_without_an_index_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(PrepareError) as failed:
        download(tmp_path)
    assert str(failed.value).startswith("pip cannot download recbole==1.2.1 (ERROR: ")
    assert str(failed.value).endswith(f"or put {WHEEL} into {tmp_path} by hand")
    assert "\n" not in str(failed.value)
