"""Which days there are, and which may be run."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from ai_usage_assets.days import (
    DayError,
    DayRange,
    chunk_days,
    date_range,
    last_finished_day,
    range_from_tags,
    split_for_task,
    tags_for_range,
    trailing_range,
)

NOW = datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
START = date(2026, 1, 1)


def test_yesterday_is_the_last_finished_day_in_utc() -> None:
    """At half past midnight UTC yesterday is over, whatever the time zone of `now`."""
    assert last_finished_day(NOW) == date(2026, 11, 19)
    assert last_finished_day(datetime.fromisoformat("2026-11-20T01:30:00+02:00")) == date(2026, 11, 18)


def test_default_is_the_trailing_range() -> None:
    """The default is the forty days that vendors may still restate."""
    assert trailing_range(NOW, START) == DayRange(date(2026, 10, 11), date(2026, 11, 19))


def test_start_date_clips_the_trailing_range() -> None:
    """The trailing range contains no day before the start date."""
    assert trailing_range(NOW, START, day="2026-01-03", days=40) == DayRange(START, date(2026, 1, 3))


@pytest.mark.parametrize(
    ("day", "days", "says"),
    [
        ("2026-11-20", 1, "not over yet"),
        ("2031-01-01", 1, "not over yet"),
        ("2025-12-31", 1, "AI_USAGE_START_DATE"),
        ("2026-13-45", 1, "it takes yesterday or a day"),
        ("tomorrow", 1, "it takes yesterday or a day"),
        ("yesterday", 0, "1 to 3660"),
        ("yesterday", -3, "1 to 3660"),
    ],
)
def test_invalid_days_are_rejected(day: str, days: int, says: str) -> None:
    """An unfinished, too early or unreadable day is rejected with the valid values."""
    with pytest.raises(DayError, match=says):
        trailing_range(NOW, START, day=day, days=days)


def test_inverted_range_is_rejected() -> None:
    """A range that ends before it begins is an error, not an empty success."""
    with pytest.raises(DayError, match="before it begins"):
        DayRange(date(2026, 2, 2), date(2026, 2, 1))


def test_chunks_cover_each_day_once() -> None:
    """Days become contiguous ranges of a maximum size; duplicates count once."""
    days = [date(2026, 3, n) for n in (5, 1, 2, 3, 3, 9)]
    ranges = chunk_days(days, 2)
    assert [(w.first.day, w.last.day) for w in ranges] == [(1, 2), (3, 3), (5, 5), (9, 9)]
    assert sorted(day for window in ranges for day in window) == sorted(set(days))


@pytest.mark.parametrize("last", ["2026-02-01", "2026-02-03"])
def test_tags_round_trip(last: str) -> None:
    """Run tags carry a range of days in both directions."""
    days = DayRange(date(2026, 2, 1), date.fromisoformat(last))
    assert range_from_tags(tags_for_range(days)) == days
    assert range_from_tags({}) is None


@pytest.mark.parametrize(("length", "count"), [(1, 1), (90, 1), (90, 7), (10, 10), (3, 5), (40, 3), (366, 10)])
def test_tasks_share_all_days_once_and_in_order(length: int, count: int) -> None:
    """Tasks cover every day once, and their lengths differ by at most one day."""
    all_days = DayRange(START, START + timedelta(days=length - 1))
    blocks = [split_for_task(all_days, index, count) for index in range(count)]
    assert [day for block in blocks if block for day in block] == list(all_days)
    sizes = [len(block) if block else 0 for block in blocks]
    assert max(sizes) - min(sizes) <= 1


def test_backfill_range_is_inclusive() -> None:
    """Both ends are included, and yesterday may be the last."""
    assert date_range(NOW, START, "2026-02-01", "2026-03-31") == DayRange(date(2026, 2, 1), date(2026, 3, 31))
    assert date_range(NOW, START, "2026-11-01", "yesterday").last == date(2026, 11, 19)


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("2026-11-01", "2026-11-20", "not over yet"),
        ("2025-12-31", "2026-01-02", "AI_USAGE_START_DATE"),
        ("2026-03-02", "2026-03-01", "before it begins"),
        ("01.02.2026", "2026-03-01", "--from is '01.02.2026'"),
        ("2026-03-01", "2026-02-30", "--to is '2026-02-30'"),
    ],
)
def test_invalid_backfills_are_rejected(first: str, last: str, says: str) -> None:
    """Days that cannot be loaded are rejected with the valid values; nothing is clipped."""
    with pytest.raises(DayError, match=says):
        date_range(NOW, START, first, last)
    with pytest.raises(DayError, match="3660"):
        date_range(NOW, date(2000, 1, 1), "2000-01-01", "yesterday")
