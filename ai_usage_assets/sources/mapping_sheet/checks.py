"""Checks of the mapping sheet's tabs and rows."""

from __future__ import annotations

from ai_usage_assets.checks.base import Check, SourceChecks, violations
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET

CHECKS = SourceChecks(
    (
        Check(
            RAW_MAPPING_SHEET.name,
            "tabs_valid",
            "Every tab of the mapping sheet is valid.",
            "Correct the tab; until then its last valid version is used.",
            violations("mapping_sheet/failed_tabs", "tab {tab}: {message}"),
            blocking=False,
            scope="now",
        ),
        Check(
            RAW_MAPPING_SHEET.name,
            "rows_valid",
            "Every row of the mapping sheet is valid.",
            "Correct the rows in the sheet; the next run applies them to all of history.",
            violations(
                "mapping_sheet/rejected_rows", "tab {tab} row {row_no}: {reject_reason} ({spend_usd} in 30 days)"
            ),
            blocking=False,
            additional_deps=("fct_cost_daily",),
            scope="now",
        ),
    ),
    unique_keys={"int_key_mapping": ("row_no",)},
)
