"""What a check is, and what it may look at.

Belongs here: the shapes that all checks share. Does not: checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from ai_usage_assets.days import DayRange
from ai_usage_assets.warehouse.base import QueryParameters, Row, Warehouse


@dataclass(frozen=True)
class CheckContext:
    """What a check may look at: the warehouse, and the days of the run."""

    warehouse: Warehouse
    days: DayRange
    today: date

    def rows(self, sql: str) -> list[Row]:
        """The rows of a query over @start_day to @end_day; @today is known too."""
        return self.warehouse.rows(sql, self.parameters)

    @property
    def parameters(self) -> QueryParameters:
        """The days as query parameters."""
        return {"start_day": self.days.first, "end_day": self.days.last, "today": self.today}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a short line, and the dollars it touches where it touches money."""

    message: str
    amount_usd: Decimal | None = None


@dataclass(frozen=True)
class Check:
    """One asset check. `find` returns what is wrong; nothing means it holds. `advice` says what to do then.

    A blocking check stops what is built from the asset and fails the run; any other is a warning. `after` names assets
    it reads beside its own. It looks at the `days` of the run, or at what there is `until` the last of them, or `now`,
    whichever they are: a newer result of the same takes an older one back.
    """

    asset: str
    name: str
    expectation: str
    advice: str
    run: Callable[[CheckContext], Sequence[Finding]]
    blocking: bool = True
    additional_deps: tuple[str, ...] = ()
    scope: Literal["days", "until", "now"] = "days"


def usd(amount: Decimal | None) -> str:
    """Dollars for a person."""
    return "nothing" if amount is None else f"${amount:,.2f}"
