"""A company of which some days are held, for tests that then let something go wrong.

Belongs here: loading it once, giving each test its own copy, and what every fault is asked: what is held, what the
ledger says, what was told. Does not: faults, expectations.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from ai_usage_assets_tests.conftest import NOW, Company, Result, make_company

FIRST, MIDDLE, LAST = date(2026, 11, 9), date(2026, 11, 10), date(2026, 11, 11)
FRESH = date(2026, 11, 12)

EVENTS, DAILY, SPEND, MEMBERS = (
    f"raw_cursor_{name}" for name in ("usage_events", "daily_usage", "spend", "members")
)  # fmt: skip
BUILT = ("cursor", "int_cursor_usage_daily", "int_cursor_seat_daily", "int_cursor_activity_daily")
SHEET = ("raw_mapping_sheet", "int_key_mapping", "dim_person")


@dataclass
class Loaded(Company):
    """A company that remembers what its runs have told."""

    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Opening the file costs more than most questions; a run of the same process gets along with it.
        self._open = self.warehouse

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query against the warehouse."""
        return self._open.rows(sql, parameters)

    def again(self, first: date = FIRST, last: date = LAST, **more: Any) -> Result:
        """Runs the days, which are the held ones unless others are named."""
        result = self.run(first.isoformat(), last.isoformat(), **{"lane": "cursor_usage_events", **more})
        self.results.append(result)
        return result

    def told(self, asset: str) -> dict[date, tuple[str, str]]:
        """How the last attempt at each day of a raw table ended, and what was said of it."""
        found = self.rows(f"SELECT usage_date, status, message FROM ai_usage.ops_asset_days WHERE asset = '{asset}'")
        return {row["usage_date"]: (row["status"], row["message"] or "") for row in found}

    def held(self, asset: str = EVENTS) -> list[tuple[Any, ...]]:
        """Every row of a table, when it was fetched included."""
        return sorted((tuple(row.values()) for row in self.rows(f"SELECT * FROM ai_usage.{asset}")), key=repr)

    def sorted(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query in an order of their own."""
        return sorted(self.rows(sql), key=repr)

    def payloads(self, asset: str) -> list[tuple[Any, ...]]:
        """Every record of a raw table, without when it was fetched."""
        return [row[:3] for row in self.held(asset)]

    def usd(self) -> dict[date, dict[str, Decimal]]:
        """Dollars held per day and cost basis."""
        found: dict[date, dict[str, Decimal]] = {}
        for row in self._sums():
            sums = found.setdefault(row["usage_date"], {"billed": Decimal(0), "included": Decimal(0)})
            sums[row["cost_basis"]] = row["usd"]
        return found

    def events(self) -> dict[date, int]:
        """Events held per day."""
        found: Counter[date] = Counter()
        for row in self._sums():
            found[row["usage_date"]] += row["n"]
        return dict(found)

    def _sums(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT usage_date, cost_basis, SUM(amount_usd) AS usd, COUNT(*) AS n "
            "FROM ai_usage.stg_cursor_usage_events GROUP BY usage_date, cost_basis"
        )

    def equals_ledger(self, first: date = FIRST, last: date = LAST) -> bool:
        """Whether these days and no others are held as they happened: each event once, dollars to the last digit."""
        ledger = self.simulator.ledger
        return self.usd() == ledger.cursor_usd(first, last) and self.events() == ledger.cursor_events(first, last)

    def healed(self, lane: Any = "cursor_usage_events") -> bool:
        """Whether a run after the fault succeeds, finds nothing wrong, and has every day as it happened."""
        result = self.again(lane=lane)
        statuses = {
            row["status"]
            for row in self.rows("SELECT status FROM ai_usage.ops_asset_days WHERE asset LIKE 'raw_cursor_%'")
        }
        return result.success and result.failed_checks() == {} and statuses == {"complete"} and self.equals_ledger()

    def said(self) -> str:
        """All that was told of the runs: events of Dagster, and what stays in the warehouse for status."""
        kept = [
            str(row)
            for table in ("ops_asset_days", "ops_check_results", "ops_restatements")
            for row in self.rows(f"SELECT * FROM ai_usage.{table}")
        ]
        return "\n".join([*(repr(event) for result in self.results for event in result.events), *kept])


@cache
def load(folder: Path) -> Path:
    """A warehouse with three days of Cursor, the sheet, and what is built from both: made once, to be copied."""
    path = folder / "loaded.duckdb"
    with make_company(path) as company:
        company.simulator.ledger.long_conversations = True
        lane = (*BUILT, *SHEET, "dim_date", "dim_model_price")
        result = company.run(FIRST.isoformat(), LAST.isoformat(), lane=lane)
        assert result.success, result.failures()
        assert result.failed_checks() == {}
    return path


@contextmanager
def copied(held: Path, folder: Path, log: Any) -> Iterator[Loaded]:
    """The company with a copy of its warehouse, a quarter of an hour later. In the end no run has told a secret."""
    path = folder / "w.duckdb"
    shutil.copyfile(held, path)
    with make_company(path, now=NOW + timedelta(minutes=15)) as company:
        company.simulator.ledger.long_conversations = True
        loaded = Loaded(company.simulator, company.urls, company.settings, company.instance)
        yield loaded
        said = loaded.said() + log.text
        loaded._open.close()
    for secret in (loaded.simulator.CURSOR_KEY, loaded.simulator.ANTHROPIC_KEY, "@acme.test"):
        assert secret not in said
