"""`ai-usage metabase`: applies the dashboards of `deploy/metabase` to a Metabase, or previews them as HTML pages."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai_usage_assets.commands.base import (
    WAREHOUSE_SETTINGS,
    add_command,
    add_group,
    load_settings,
    open_existing_warehouse,
    print_message,
    print_result_line,
)
from ai_usage_assets.files import write_atomically
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.metabase.plan import Change
    from ai_usage_assets.metabase.resources.base import MetabaseContext
    from ai_usage_assets.metabase.spec_models import Spec
    from ai_usage_assets.settings import Settings

# The exit code when Metabase differs from the files, next to 1 (failure) and 2 (usage error).
DIFFERS = 3
_WAIT_SECONDS = 300
_NO_CHANGES = "No changes. Metabase matches the dashboard files."
_METABASE_SETTINGS = (
    "AI_USAGE_METABASE_URL", "AI_USAGE_METABASE_API_KEY", "AI_USAGE_METABASE_ADMIN_EMAIL",
    "AI_USAGE_METABASE_ADMIN_PASSWORD", "AI_USAGE_METABASE_SETUP_TOKEN", "AI_USAGE_METABASE_SERVICE_ACCOUNT",
    "GOOGLE_CLOUD_PROJECT", "AI_USAGE_DATASET",
)  # fmt: skip


def add_command_to(commands: Any) -> None:
    """Declares the commands."""
    group = add_group(commands, "metabase", summary="manage the Metabase dashboards as code")
    plan = add_command(
        group,
        "plan",
        _plan,
        summary=f"show what apply would change, and manual edits; exit code {DIFFERS} for any difference",
        example="ai-usage metabase plan",
        settings=_METABASE_SETTINGS,
    )
    apply = add_command(
        group,
        "apply",
        _apply,
        summary=f"create and update the dashboards; exit code {DIFFERS} if manual edits were kept",
        example="ai-usage metabase apply --restore",
        settings=_METABASE_SETTINGS,
    )
    smoke = add_command(
        group,
        "smoke",
        _smoke,
        summary="apply, then run every card in Metabase with and without filters; exit code 1 if one fails",
        example="ai-usage metabase smoke",
        settings=_METABASE_SETTINGS,
    )
    preview = add_command(
        group,
        "preview",
        _preview,
        summary="write each dashboard as an HTML page with the figures of the warehouse; needs no Metabase",
        example="ai-usage metabase preview --filter month=2026-10 --out preview",
        settings=WAREHOUSE_SETTINGS,
    )
    for parser in (plan, apply, smoke, preview):
        parser.add_argument(
            "--from", dest="folder", type=Path, metavar="DIR", help="read the dashboards from another folder"
        )
    for parser in (plan, apply, smoke):
        parser.add_argument(
            "--wait",
            type=int,
            default=_WAIT_SECONDS,
            metavar="SECONDS",
            help=f"how long to wait for a Metabase that is starting (default {_WAIT_SECONDS})",
        )
    for parser in (apply, smoke):
        parser.add_argument("--restore", action="store_true", help="also overwrite manual edits")
    preview.add_argument("--dashboard", metavar="KEY", help="only this dashboard, by the name of its file")
    preview.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="value of a dashboard filter, such as month=2026-10; may be repeated",
    )
    preview.add_argument(
        "--out",
        type=Path,
        default=Path("metabase-preview"),
        metavar="DIR",
        help="output folder (default metabase-preview); the pages contain e-mail addresses, as the dashboards do",
    )
    preview.add_argument("--png", action="store_true", help="also write screenshots, if Chromium is installed")


def _plan(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.metabase import apply, credentials

    spec = _read_spec(parsed)
    with (
        _connect(parsed) as (context, settings),
        credentials.authenticate_read_only(context.client, settings) as is_set_up,
    ):
        changes = apply.plan(context, spec) if is_set_up else apply.plan_empty(spec)
    for change in changes:
        print_result_line(str(change))
    print_result_line(_summarize(changes))
    return DIFFERS if changes else 0


def _apply(parsed: argparse.Namespace) -> int:
    spec = _read_spec(parsed)
    with _connect(parsed) as (context, settings):
        return _apply_spec(context, settings, spec, restore=parsed.restore)


def _smoke(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.metabase import smoke

    spec = _read_spec(parsed)
    failures: list[str] = []

    def report(result: smoke.SmokeResult) -> None:
        failures.extend(result.failures)
        print_result_line(str(result))

    with _connect(parsed) as (context, settings):
        code = _apply_spec(context, settings, spec, restore=parsed.restore)
        if code:
            print_result_line("The smoke test was skipped.")
            return code
        smoke.run_smoke_test(context, spec, report)
    if failures:
        print_result_line(f"Smoke test failed: {format_count(len(failures), 'failure')}.")
        return 1
    print_result_line("Smoke test passed: all cards and filters work.")
    return 0


def _apply_spec(context: MetabaseContext, settings: Settings, spec: Spec, *, restore: bool) -> int:
    """Creates and updates what the files describe, prints every change, and returns the exit code."""
    from ai_usage_assets.metabase import apply, credentials

    changes: list[Change] = []

    def report(change: Change) -> None:
        changes.append(change)
        print_result_line(f"{change}{'' if change.is_applied else ': kept'}")

    credentials.authenticate(context.client, settings, print_result_line)
    apply.apply(context, spec, report, restore=restore)
    kept_count = sum(not change.is_applied for change in changes)
    if changes:
        print_result_line(f"Apply complete: {len(changes) - kept_count} changed, {kept_count} manual edits kept.")
    else:
        print_result_line(_NO_CHANGES)
    if kept_count:
        print_result_line("`ai-usage metabase apply --restore` overwrites manual edits.")
    return DIFFERS if kept_count else 0


def _summarize(changes: list[Change]) -> str:
    if not changes:
        return _NO_CHANGES
    words = {"+": "to create", "~": "to update", "!": "edited manually (--restore overwrites)", "-": "to archive"}
    counts = {word: sum(change.sign == sign for change in changes) for sign, word in words.items()}
    return f"Plan: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}."


def _read_spec(parsed: argparse.Namespace) -> Spec:
    from ai_usage_assets.metabase import spec_reader

    return spec_reader.read_spec(parsed.folder or spec_reader.DASHBOARDS_DIR)


@contextmanager
def _connect(parsed: argparse.Namespace) -> Iterator[tuple[MetabaseContext, Settings]]:
    """Waits until the Metabase of the settings is ready and yields a connection to it."""
    from ai_usage_assets.metabase import credentials
    from ai_usage_assets.metabase.client import MetabaseClient
    from ai_usage_assets.metabase.resources.base import MetabaseContext

    settings = load_settings()
    if not settings.project:
        raise SettingsError(
            "The dashboards read BigQuery: set GOOGLE_CLOUD_PROJECT. `ai-usage metabase preview` also reads DuckDB."
        )
    if parsed.wait < 0:
        raise SettingsError(f"--wait is {parsed.wait}; it takes a number of seconds.")
    client = MetabaseClient(settings.metabase.url)
    try:
        account = credentials.read_service_account(settings)
        if account:
            client.hide_secrets(account)
        client.wait_until_healthy(parsed.wait)
        yield MetabaseContext(client, settings.project, settings.dataset, account), settings
    finally:
        client.close()


def _preview(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.metabase.preview import browser, page, queries

    spec = _read_spec(parsed)
    values = queries.parse_filters(spec, parsed.filter)
    dashboards = [dashboard for dashboard in spec.dashboards if parsed.dashboard in (None, dashboard.key)]
    if not dashboards:
        keys = ", ".join(dashboard.key for dashboard in spec.dashboards)
        raise SettingsError(f"--dashboard is {parsed.dashboard!r}; it must be one of {keys}.")
    chromium = browser.find_browser() if parsed.png else None
    if parsed.png and chromium is None:
        print_message("Chromium is not installed, so no screenshots are written.", logging.WARNING)
    warehouse = open_existing_warehouse(load_settings(), read_only=True)
    try:
        queries.check_filters(warehouse, spec, values)
        parsed.out.mkdir(parents=True, exist_ok=True)
        for dashboard in dashboards:
            file = parsed.out / f"{dashboard.key}.html"
            results = queries.query_dashboard(warehouse, dashboard, values)
            write_atomically(file, page.render_page(spec, dashboard, values, results))
            if chromium:
                size = (page.WIDTH, page.page_height(dashboard))
                browser.take_screenshot(chromium, file, file.with_suffix(".png"), size)
            print_message(f"{dashboard.name}: {file.absolute().as_uri()}{', and as .png' if chromium else ''}")
    except OSError as error:
        raise SettingsError(f"Cannot write to {parsed.out} ({error.strerror}); set another with --out.") from None
    finally:
        warehouse.close()
    return 0
