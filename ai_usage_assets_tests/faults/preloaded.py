"""A company with some loaded days, copied for each test of the Cursor and sheet faults."""

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

from ai_usage_assets_tests.conftest import NOW, Company, RunResult, copy_empty_warehouse, serve_company
from ai_usage_assets_tests.support.loading import LoadResult

FIRST, MIDDLE, LAST = date(2026, 11, 9), date(2026, 11, 10), date(2026, 11, 11)
NEW_DAY = date(2026, 11, 12)

EVENTS, DAILY, SPEND, MEMBERS = (
    f"raw_cursor_{name}" for name in ("usage_events", "daily_usage", "spend", "members")
)  # fmt: skip
BUILT = ("cursor", "int_cursor_usage_daily", "int_cursor_seat_daily", "int_cursor_activity_daily")
SHEET = ("raw_mapping_sheet", "int_key_mapping", "dim_person")


@dataclass
class PreloadedCompany(Company):
    """A company that keeps the results of its loads."""

    results: list[RunResult | LoadResult] = field(default_factory=list)

    def load_days(self, first: date = FIRST, last: date = LAST, **more: Any) -> LoadResult:
        """Loads the events of days, by default of those that are loaded already."""
        result = self.load(first.isoformat(), last.isoformat(), **{"selection": "cursor_usage_events", **more})
        self.results.append(result)
        return result

    def read_outcomes(self, asset: str) -> dict[date, tuple[str, str]]:
        """Status and message of the last attempt, by day of a raw table."""
        result = self.rows(f"SELECT usage_date, status, message FROM ai_usage.ops_asset_days WHERE asset = '{asset}'")
        return {row["usage_date"]: (row["status"], row["message"] or "") for row in result}

    def read_rows(self, asset: str = EVENTS) -> list[tuple[Any, ...]]:
        """Every row of a table, including the fetch time."""
        return sorted((tuple(row.values()) for row in self.rows(f"SELECT * FROM ai_usage.{asset}")), key=repr)

    def read_sorted(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, sorted."""
        return sorted(self.rows(sql), key=repr)

    def read_payloads(self, asset: str) -> list[tuple[Any, ...]]:
        """Every record of a raw table, without the fetch time."""
        return [row[:3] for row in self.read_rows(asset)]

    def usd(self) -> dict[date, dict[str, Decimal]]:
        """Loaded dollars by day and cost basis."""
        result: dict[date, dict[str, Decimal]] = {}
        for row in self._sums():
            sums = result.setdefault(row["usage_date"], {"billed": Decimal(0), "included": Decimal(0)})
            sums[row["cost_basis"]] = row["usd"]
        return result

    def events(self) -> dict[date, int]:
        """Loaded events by day."""
        result: Counter[date] = Counter()
        for row in self._sums():
            result[row["usage_date"]] += row["n"]
        return dict(result)

    def _sums(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT usage_date, cost_basis, SUM(amount_usd) AS usd, COUNT(*) AS n "
            "FROM ai_usage.stg_cursor_usage_events GROUP BY usage_date, cost_basis"
        )

    def equals_ledger(self, first: date = FIRST, last: date = LAST) -> bool:
        """Whether exactly these days are loaded, each event once and with the dollars of the ledger."""
        ledger = self.simulator.ledger
        return self.usd() == ledger.cursor_usd(first, last) and self.events() == ledger.cursor_events(first, last)

    def recovers(self, selection: Any = "cursor_usage_events") -> bool:
        """Whether a run after the fault succeeds without findings and all days equal the ledger."""
        result = self.load_days(selection=selection)
        statuses = {
            row["status"]
            for row in self.rows("SELECT status FROM ai_usage.ops_asset_days WHERE asset LIKE 'raw_cursor_%'")
        }
        return result.success and result.failed_checks() == {} and statuses == {"complete"} and self.equals_ledger()

    def recorded_text(self) -> str:
        """All text that the runs recorded: Dagster events, and the ops tables."""
        lines = [
            str(row)
            for table in ("ops_asset_days", "ops_check_results", "ops_restatements")
            for row in self.rows(f"SELECT * FROM ai_usage.{table}")
        ]
        return "\n".join([*(result.text() for result in self.results), *lines])


@cache
def build_preloaded_warehouse(folder: Path) -> Path:
    """Builds a warehouse with three days of Cursor, the sheet, and the models of both; tests copy it."""
    path = copy_empty_warehouse(folder / "loaded.duckdb")
    with serve_company(path) as company:
        company.simulator.ledger.long_conversations = True
        selection = (*BUILT, *SHEET, "dim_date", "dim_model_price")
        result = company.load(FIRST.isoformat(), LAST.isoformat(), selection=selection)
        assert result.success, result.failures()
        assert result.failed_checks() == {}
    return path


@contextmanager
def copy_company(source: Path, folder: Path, log: Any) -> Iterator[PreloadedCompany]:
    """A company with a copy of the warehouse, 15 minutes later; asserts at the end that no run recorded a secret."""
    path = folder / "w.duckdb"
    shutil.copyfile(source, path)
    with serve_company(path, now=NOW + timedelta(minutes=15)) as company:
        company.simulator.ledger.long_conversations = True
        loaded = PreloadedCompany(company.simulator, company.urls, company.settings)
        yield loaded
        text = loaded.recorded_text() + log.text
        loaded.close()
    for secret in (loaded.simulator.CURSOR_KEY, loaded.simulator.ANTHROPIC_KEY, "@acme.test"):
        assert secret not in text
