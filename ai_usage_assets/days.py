"""The UTC clock of the project: which days there are, which are finished, when a vendor's day is settled.

Belongs here: arithmetic on days, and how a Dagster run is told its days. Does not: what happens on a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ai_usage_assets.errors import OperatorError

ONE_DAY = timedelta(days=1)

# Vendors restate: Anthropic's day is final at the latest 38 days later, Cursor's 35. Re-pulling 40 covers both.
TRAILING_DAYS = 40


# Ten years: more is a typing mistake.
MAX_DAYS = 3660


class DayError(OperatorError):
    """A day or range that cannot be run; the message says which days can."""

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
    """Midnight UTC at which the day begins."""
    return datetime.combine(day, time(), UTC)


def day_end(day: date) -> datetime:
    """Midnight UTC at which the day is over (exclusive)."""
    return day_start(day + ONE_DAY)


def last_finished_day(now: datetime) -> date:
    """The latest UTC day that is over at `now`: UTC yesterday."""
    return now.astimezone(UTC).date() - ONE_DAY


def trailing_range(now: datetime, start_date: date, *, day: str = "yesterday", days: int = TRAILING_DAYS) -> DayRange:
    """The days of a run: `days` days ending with `day`, clipped at the first day there is.

    Raises DayError for a day that is not finished, lies before `start_date`, or cannot be read.
    """
    latest = last_finished_day(now)
    last = _read("--day", day, latest)
    if not 1 <= days <= MAX_DAYS:
        raise DayError(f"--days is {days}; it takes 1 to {MAX_DAYS}.")
    if last > latest:
        raise DayError(f"{last} is not over yet in UTC; the latest finished day is {latest}.")
    if last < start_date:
        raise DayError(f"{last} is before the first day there is, {start_date} (AI_USAGE_START_DATE).")
    return DayRange(max(start_date, last - timedelta(days=days - 1)), last)


def date_range(now: datetime, start_date: date, first: str, last: str) -> DayRange:
    """The days of a backfill, both ends included and both as they were asked for: nothing is clipped in silence.

    Raises DayError for a day that is not finished, lies before `start_date`, or cannot be read.
    """
    latest = last_finished_day(now)
    chosen = DayRange(_read("--from", first, latest), _read("--to", last, latest))
    if chosen.last > latest:
        raise DayError(f"{chosen.last} is not over yet in UTC; the latest finished day is {latest}.")
    if chosen.first < start_date:
        raise DayError(f"{chosen.first} is before the first day there is, {start_date} (AI_USAGE_START_DATE).")
    if len(chosen) > MAX_DAYS:
        raise DayError(f"{chosen} is {len(chosen)} days; at most {MAX_DAYS} can be asked for at once.")
    return chosen


def next_month(parse_month: date) -> date:
    """The first day of the month after the one that begins with this day."""
    return (parse_month + timedelta(days=31)).replace(day=1)


def parse_finished_month(now: datetime, text: str) -> date:
    """The first day of a finished month. Raises DayError for one that is not over, or cannot be read."""
    first = parse_month(text)
    if next_month(first) - ONE_DAY > last_finished_day(now):
        raise DayError(f"{text} is not over yet in UTC; the latest finished day is {last_finished_day(now)}.")
    return first


def _read(option: str, text: str, latest: date) -> date:
    if text == "yesterday":
        return latest
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DayError(f"{option} is {text!r}; it takes yesterday or a day such as 2026-01-31.") from None


def parse_month(text: str) -> date:
    """The first day of a month that is written as YYYY-MM. Raises DayError for anything else."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise DayError(f"--month is {text!r}; it takes a month such as 2026-01.") from None


def split_for_task(days: DayRange, index: int, count: int) -> DayRange | None:
    """The part of the days that is for one of `count` tasks: contiguous, none longer than another by more than a day.

    None where there are more tasks than days. A block and not every n-th day, because a vendor is asked for ranges.
    """
    start, end = len(days) * index // count, len(days) * (index + 1) // count
    if start == end:
        return None
    return DayRange(days.first + timedelta(days=start), days.first + timedelta(days=end - 1))


def chunk_days(days: Iterable[date], size: int) -> list[DayRange]:
    """The days as contiguous ranges of at most `size` days, oldest first; duplicates count once."""
    found: list[DayRange] = []
    for day in sorted(set(days)):
        previous = found[-1] if found else None
        if previous and day == previous.last + ONE_DAY and len(previous) < size:
            found[-1] = DayRange(previous.first, day)
        else:
            found.append(DayRange(day, day))
    return found


def range_from_tags(tags: Mapping[str, str]) -> DayRange | None:
    """The days a Dagster run is for, from its tags; None for a run without days."""
    one = tags.get("dagster/partition")
    first = tags.get("dagster/asset_partition_range_start", one)
    last = tags.get("dagster/asset_partition_range_end", one)
    if not first or not last:
        return None
    return DayRange(date.fromisoformat(first), date.fromisoformat(last))


def tags_for_range(days: DayRange) -> dict[str, str]:
    """The tags that make a Dagster run load these days."""
    if len(days) == 1:
        return {"dagster/partition": days.first.isoformat()}
    return {
        "dagster/asset_partition_range_start": days.first.isoformat(),
        "dagster/asset_partition_range_end": days.last.isoformat(),
    }
