"""The calendar of the simulated company: seasons, growth, price changes, restatements and injected anomalies.

All days are fixed. The last weeks have no anomalies, so that a healthy company raises no warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

# Activity from Monday to Friday, relative to an average working day.
_WEEKDAY = (0.95, 1.05, 1.07, 1.02, 0.91)
# First day, last day, and the activity relative to a normal week.
_SEASONS = (
    (date(2025, 12, 18), date(2025, 12, 23), 0.8),
    (date(2026, 1, 2), date(2026, 1, 9), 0.85),
    (date(2026, 7, 13), date(2026, 8, 28), 0.72),
)
_HOLIDAYS = frozenset(
    [date(2025, 12, 24) + timedelta(days=n) for n in range(9)]
    + [date(2026, 4, 3), date(2026, 4, 6), date(2026, 5, 1), date(2026, 5, 14), date(2026, 5, 25)]
)

# List prices in 1e-9 cents per token from a day on: input, 5-minute write, 1-hour write, cache read, output.
_PRICES: dict[str, list[tuple[date, tuple[int, int, int, int, int]]]] = {
    "claude-opus-5-5": [(date.min, (400_000, 500_000, 800_000, 20_000, 2_000_000))],
    "claude-opus-5": [(date.min, (500_000, 625_000, 1_000_000, 50_000, 2_500_000))],
    "claude-opus-4-5": [(date.min, (500_000, 625_000, 1_000_000, 50_000, 2_500_000))],
    "claude-sonnet-5-5": [
        (date.min, (200_000, 250_000, 400_000, 20_000, 1_000_000)),
        (date(2026, 10, 7), (200_000, 250_000, 400_000, 10_000, 1_000_000)),
    ],
    "claude-sonnet-5": [(date.min, (200_000, 250_000, 400_000, 20_000, 1_000_000))],
    "claude-sonnet-4-5": [(date.min, (300_000, 375_000, 600_000, 30_000, 1_500_000))],
    "claude-haiku-5-5": [(date.min, (10_000, 12_500, 20_000, 1_000, 50_000))],
    "claude-haiku-4-5": [(date.min, (100_000, 125_000, 200_000, 10_000, 500_000))],
}
# Release day and predecessor of each model, newest first. Users migrate within four weeks after the release.
_PREDECESSORS = {
    "claude-opus-5-5": [(date(2026, 9, 1), "claude-opus-5"), (date(2026, 3, 3), "claude-opus-4-5")],
    "claude-sonnet-5-5": [(date(2026, 8, 4), "claude-sonnet-5"), (date(2026, 2, 3), "claude-sonnet-4-5")],
    "claude-haiku-5-5": [(date(2026, 6, 2), "claude-haiku-4-5")],
}
_WEEKS_TO_MOVE = 4

# Day -> factor between the first and the final figures, and the day of the restatement.
RESTATEMENTS: dict[date, tuple[Decimal, date]] = {
    date(2025, 11, 18): (Decimal("0.94"), date(2025, 12, 2)),
    date(2026, 1, 14): (Decimal("1.08"), date(2026, 1, 30)),
    date(2026, 3, 31): (Decimal("1.05"), date(2026, 4, 7)),
    date(2026, 6, 30): (Decimal("0.97"), date(2026, 7, 20)),
    date(2026, 9, 8): (Decimal("1.12"), date(2026, 9, 23)),
    date(2026, 9, 30): (Decimal("1.03"), date(2026, 10, 19)),
    date(2026, 10, 5): (Decimal("0.96"), date(2026, 10, 21)),
}


@dataclass(frozen=True)
class InjectedAnomaly:
    """Extra usage of about `usd` dollars per day at list price, on `days` days from `first`.

    `who` is the number of a person, the name of a key, a team or a model.
    """

    what: str
    first: date
    days: int
    dimension: Literal["person", "key", "team", "model"]
    who: int | str
    model: str
    usd: float
    vendor: Literal["anthropic", "cursor"] = "anthropic"


_OPUS, _SONNET, _HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
INJECTED_ANOMALIES: tuple[InjectedAnomaly, ...] = (
    InjectedAnomaly("an agent that ran overnight", date(2025, 12, 9), 1, "person", 20, _OPUS, 160),
    InjectedAnomaly("a retry loop", date(2026, 1, 20), 2, "key", "support-bot-prod", _HAIKU, 420),
    InjectedAnomaly("a migration to a new framework", date(2026, 2, 11), 3, "team", "Mobile", _SONNET, 150),
    InjectedAnomaly("everybody tries a model", date(2026, 3, 24), 2, "model", _OPUS, _OPUS, 520),
    InjectedAnomaly("an evaluation that never stopped", date(2026, 4, 18), 2, "key", "nightly-evals", _OPUS, 300),
    InjectedAnomaly("a long day of refactoring", date(2026, 5, 6), 1, "person", 23, _OPUS, 60),
    InjectedAnomaly("an agent in the editor", date(2026, 5, 19), 1, "person", 3, _OPUS, 140, "cursor"),
    InjectedAnomaly("a prototype left running", date(2026, 6, 23), 1, "key", "design-prototype", _SONNET, 90),
    InjectedAnomaly("a migration in summer", date(2026, 7, 28), 3, "team", "Payments", _SONNET, 170),
    InjectedAnomaly("twice the invoices", date(2026, 8, 5), 1, "key", "billing-svc-prod", _SONNET, 85),
    InjectedAnomaly("an agent over the weekend", date(2026, 8, 22), 2, "person", 7, _SONNET, 120),
    InjectedAnomaly("a campaign asks one model", date(2026, 9, 10), 1, "model", _HAIKU, _HAIKU, 480),
    InjectedAnomaly("a script without an end", date(2026, 9, 24), 1, "key", "tmp-migration", _SONNET, 150),
    InjectedAnomaly("an agent that ran for two days", date(2026, 10, 8), 2, "person", 1, _OPUS, 210),
    InjectedAnomaly("a ranking run in a loop", date(2026, 10, 10), 1, "key", "ranking-svc-prod", _HAIKU, 260),
)


def is_day_off(day: date) -> bool:
    """Whether the day is a weekend or a holiday."""
    return day.weekday() >= 5 or day in _HOLIDAYS


def activity_level(day: date) -> float:
    """The activity of the day relative to an average working day."""
    season = next((level for first, last, level in _SEASONS if first <= day <= last), 1.0)
    return season if is_day_off(day) else season * _WEEKDAY[day.weekday()]


def cursor_adoption(day: date) -> float:
    """The usage of Cursor relative to its final level. It grows for one year."""
    return min(1.0, 0.5 + 0.5 * (day - date(2025, 10, 1)).days / 365)


def list_prices(model: str, day: date) -> tuple[int, int, int, int, int]:
    """The list prices of a model on a day, by token type."""
    return next(price for since, price in reversed(_PRICES[model]) if since <= day)


def model_on(model: str, day: date, draw: float) -> str:
    """The model that today's users of `model` used on a day; `draw`, from 0 to 1, selects who migrates when."""
    for since, before in _PREDECESSORS.get(model, ()):
        if day < since + timedelta(weeks=_WEEKS_TO_MOVE):
            if (day - since).days >= draw * 7 * _WEEKS_TO_MOVE:
                return model
            model = before
    return model
