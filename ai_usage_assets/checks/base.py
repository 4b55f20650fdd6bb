"""The types that all asset checks share, and checks that are one query of violations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast

from ai_usage_assets.days import DayRange
from ai_usage_assets.rendering.text import format_usd
from ai_usage_assets.warehouse.base import QueryParameter, QueryParameters, Row, Warehouse
from ai_usage_assets.warehouse.sql_files import read_query

T = TypeVar("T")

# A smaller difference between two figures of a vendor is not reported: the larger of both counts.
TOLERANCE: QueryParameters = {"tolerance_usd": Decimal("0.50"), "tolerance_share": Decimal("0.005")}


@dataclass(frozen=True)
class CheckContext:
    """What a check can read: the warehouse, the days of the run, and today."""

    warehouse: Warehouse
    days: DayRange
    today: date
    _shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    # Checks can run side by side.
    _lock: threading.RLock = field(default_factory=threading.RLock, compare=False, repr=False)

    def share(self, name: str, compute: Callable[[], T]) -> T:
        """What several checks need, computed by the first of them: a query for all is cheaper than one for each."""
        with self._lock:
            if name not in self._shared:
                self._shared[name] = compute()
            return cast("T", self._shared[name])

    def rows(self, sql: str, **parameters: QueryParameter) -> list[Row]:
        """The rows of a query. @start_day, @end_day and @today are set."""
        return self.warehouse.rows(sql, {**self.parameters, **parameters})

    def query_rows(self, name: str, **parameters: QueryParameter) -> list[Row]:
        """The rows of the query `sql/queries/checks/<name>.sql`."""
        return self.rows(read_query(f"checks/{name}"), **parameters)

    @property
    def parameters(self) -> QueryParameters:
        """The parameters of every query."""
        return {"start_day": self.days.first, "end_day": self.days.last, "today": self.today}


@dataclass(frozen=True)
class Finding:
    """One violation, and the dollars it affects; None when it affects no money."""

    message: str
    amount_usd: Decimal | None = None


CheckFunction = Callable[[CheckContext], Sequence[Finding]]


@dataclass(frozen=True)
class Check:
    """One asset check. `run` returns the violations; `advice` is the next step when there are any.

    A blocking check fails the run and stops the assets downstream; any other check warns. `additional_deps` are assets
    that the check reads besides its own. `scope` says what it covers: the `days` of the run, all data `until` the last
    of them, or all data as it is `now`. A newer result replaces an older one if it covers at least the same days.
    """

    asset: str
    name: str
    expectation: str
    advice: str
    run: CheckFunction
    blocking: bool = True
    additional_deps: tuple[str, ...] = ()
    scope: Literal["days", "until", "now"] = "days"


@dataclass(frozen=True)
class SourceChecks:
    """The checks of one source, and what the generic checks must know about its models.

    `unique_keys` are the key columns of its models. `published_from` names, for each of its daily models, the raw
    table whose days it publishes.
    """

    checks: tuple[Check, ...]
    unique_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published_from: Mapping[str, str] = field(default_factory=dict)


def violations(
    query: str, message: str, parameters: QueryParameters | None = None, *, known: Collection[str] = ()
) -> CheckFunction:
    """A check whose query `sql/queries/checks/<query>.sql` returns one row for each violation.

    `message` is a format string over the columns; dollars (`x_usd`) are formatted, and available exactly as
    `x_usd_exact`. The column `amount_usd`, if there is one, has the affected dollars. Rows whose column
    `value` is in `known` are no violations.
    """

    def run(context: CheckContext) -> list[Finding]:
        return [
            Finding(message.format_map(_format_values(row)).rstrip("."), row.get("amount_usd"))
            for row in context.query_rows(query, **(parameters or {}))
            if row.get("value") not in known
        ]

    return run


def _format_values(row: Row) -> dict[str, object]:
    dollars = {name: value for name, value in row.items() if name.endswith("_usd")}
    return {
        **row,
        **{name: format_usd(value, missing="nothing") for name, value in dollars.items()},
        **{f"{name}_exact": format_usd(value, decimals=None, missing="nothing") for name, value in dollars.items()},
    }
