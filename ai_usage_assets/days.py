"""UTC days and months: parsing, ranges, and the Dagster tags that carry a range."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ai_usage_assets.errors import OperatorError

ONE_DAY = timedelta(days=1)

# Vendors restate past days; the slowest one settles a day within 38 days.
TRAILING_DAYS = 40

# Ten years; a longer range is a typing mistake.
MAX_DAYS = 3660


class DayError(OperatorError):
    """A day, month or range that cannot be used; the message says which can."""

    exit_code = 2


@dataclass(frozen=True)
class DayRange:
    """An inclusive, non-empty range of UTC days."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise DayError(f"The range ends ({self.last}) before it begins ({self.first}).")

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        return f"{self.first}" if len(self) == 1 else f"{self.first} to {self.last}"


def day_start(day: date) -> datetime:
    """Returns the midnight UTC at which the day begins."""
    return datetime.combine(day, time(), UTC)


def day_end(day: date) -> datetime:
    """Returns the midnight UTC at which the day ends (exclusive)."""
    return day_start(day + ONE_DAY)


def last_finished_day(now: datetime) -> date:
    """Returns the latest UTC day that is over: yesterday in UTC."""
    return now.astimezone(UTC).date() - ONE_DAY


def trailing_range(now: datetime, start_date: date, *, day: str = "yesterday", days: int = TRAILING_DAYS) -> DayRange:
    """Returns the `days` days that end with `day`, clipped at `start_date`.

    Raises DayError for a day that is not over, lies before `start_date`, or cannot be parsed.
    """
    latest = last_finished_day(now)
    last = _parse_day("--day", day, latest)
    if not 1 <= days <= MAX_DAYS:
        raise DayError(f"--days is {days}; it takes 1 to {MAX_DAYS}.")
    _validate(DayRange(last, last), start_date, latest)
    return DayRange(max(start_date, last - timedelta(days=days - 1)), last)


def date_range(now: datetime, start_date: date, first: str, last: str) -> DayRange:
    """Returns the days of a backfill, both ends included; nothing is clipped.

    Raises DayError for a day that is not over, lies before `start_date`, or cannot be parsed.
    """
    latest = last_finished_day(now)
    days = DayRange(_parse_day("--from", first, latest), _parse_day("--to", last, latest))
    _validate(days, start_date, latest)
    if len(days) > MAX_DAYS:
        raise DayError(f"{days} is {len(days)} days; the limit is {MAX_DAYS}.")
    return days


def next_month(month: date) -> date:
    """Returns the first day of the next month. `month` is the first day of a month."""
    return (month + timedelta(days=31)).replace(day=1)


def parse_month(text: str) -> date:
    """Returns the first day of a month written as YYYY-MM. Raises DayError for anything else."""
    try:
        if re.fullmatch(r"20\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(f"{text}-01")
    except ValueError:
        pass
    raise DayError(f"--month is {text!r}; it takes YYYY-MM, such as 2026-01.")


def parse_finished_month(now: datetime, text: str) -> date:
    """Returns the first day of a month that is over. Raises DayError."""
    month = parse_month(text)
    if next_month(month) - ONE_DAY > last_finished_day(now):
        raise DayError(f"{text} is not over yet in UTC; the latest finished day is {last_finished_day(now)}.")
    return month


def split_for_task(days: DayRange, index: int, count: int) -> DayRange | None:
    """Returns the part of the days that task `index` of `count` loads; None when there are more tasks than days.

    Parts are contiguous, because requests to vendors are for ranges, and their lengths differ by at most one day.
    """
    start, end = len(days) * index // count, len(days) * (index + 1) // count
    if start == end:
        return None
    return DayRange(days.first + timedelta(days=start), days.first + timedelta(days=end - 1))


def chunk_days(days: Iterable[date], size: int) -> list[DayRange]:
    """Returns the days as contiguous ranges of at most `size` days, oldest first; duplicates count once."""
    ranges: list[DayRange] = []
    for day in sorted(set(days)):
        previous = ranges[-1] if ranges else None
        if previous and day == previous.last + ONE_DAY and len(previous) < size:
            ranges[-1] = DayRange(previous.first, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def range_from_tags(tags: Mapping[str, str]) -> DayRange | None:
    """Returns the days of a Dagster run from its tags; None for a run without days."""
    partition = tags.get("dagster/partition")
    first = tags.get("dagster/asset_partition_range_start", partition)
    last = tags.get("dagster/asset_partition_range_end", partition)
    if not first or not last:
        return None
    return DayRange(date.fromisoformat(first), date.fromisoformat(last))


def tags_for_range(days: DayRange) -> dict[str, str]:
    """Returns the tags that make a Dagster run load these days."""
    if len(days) == 1:
        return {"dagster/partition": days.first.isoformat()}
    return {
        "dagster/asset_partition_range_start": days.first.isoformat(),
        "dagster/asset_partition_range_end": days.last.isoformat(),
    }


def _parse_day(option: str, text: str, latest: date) -> date:
    if text == "yesterday":
        return latest
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DayError(f"{option} is {text!r}; it takes yesterday or a day such as 2026-01-31.") from None


def _validate(days: DayRange, start_date: date, latest: date) -> None:
    if days.last > latest:
        raise DayError(f"{days.last} is not over yet in UTC; the latest finished day is {latest}.")
    if days.first < start_date:
        raise DayError(f"{days.first} is before the start date {start_date} (AI_USAGE_START_DATE).")
