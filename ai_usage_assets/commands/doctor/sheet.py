"""Tests the mapping sheet: access, and the rows of every tab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ai_usage_assets.commands.diagnostics import Diagnostic, error_diagnostic
from ai_usage_assets.commands.doctor.sources import INTERACTIVE_RETRIES, diagnose_failure, diagnose_proxy
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import Settings, is_loopback

_SECTION = "Sheet"


def diagnose_sheet(settings: Settings) -> Iterator[Diagnostic]:
    """Reads the sheet once and validates every tab as a run does."""
    if not settings.sheet_id:
        message = "AI_USAGE_SHEET_ID is not set, so all spend is unallocated"
        yield Diagnostic(_SECTION, "spreadsheet", "info", message)
        return
    proxy = diagnose_proxy(_SECTION, settings.sheets_url)
    if proxy and proxy.outcome == "error":
        yield proxy
        return
    # Imports pandas and pandera, which takes a second.
    from ai_usage_assets.sources.mapping_sheet.client import MappingSheet, describe_ambient_account
    from ai_usage_assets.sources.mapping_sheet.validation import validate_tab

    sheet = MappingSheet(
        settings.sheet_id, settings.sheets_url, pacing=settings.pacing, retry_policy=INTERACTIVE_RETRIES
    )
    try:
        tabs = sheet.read()
    except SecretError as error:
        yield error_diagnostic(_SECTION, "spreadsheet", str(error))
        return
    except ApiError as error:
        diagnostic = diagnose_failure(_SECTION, "spreadsheet", error)
        if error.status in (403, 404) and not is_loopback(settings.sheets_url):
            diagnostic = replace(diagnostic, next_step=f"{diagnostic.next_step} {describe_ambient_account()}")
        yield diagnostic
        return
    yield Diagnostic(_SECTION, "spreadsheet", "ok", "readable")
    for tab, cells in tabs.items():
        snapshot = validate_tab(tab, cells, last_good_row_count=None, today=settings.now().date())
        accepted, rejected = len(snapshot.accepted), snapshot.rejected
        rows = format_count(accepted, "valid row")
        if snapshot.rejection:
            yield error_diagnostic(_SECTION, tab, snapshot.rejection)
        elif rejected:
            first = f"row {rejected[0].row_no}: {rejected[0].reject_reason}"
            message = f"{rows}, {len(rejected)} invalid"
            yield Diagnostic(_SECTION, tab, "warning", message, f"Correct them in the sheet. First: {first}")
        elif snapshot.warnings:
            yield Diagnostic(_SECTION, tab, "warning", rows, "; ".join(snapshot.warnings))
        else:
            yield Diagnostic(_SECTION, tab, "ok", rows)
