"""`ai-usage metabase`: applies the dashboards of `deploy/metabase` to a Metabase, or previews them as HTML pages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ai_usage_assets.commands.base import (
    WAREHOUSE_SETTINGS,
    WholeNumber,
    create_group,
    describe_command,
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


_Folder = Annotated[
    Path | None, Parameter(name="--from", metavar="DIR", help="read the dashboards from another folder")
]
_Wait = Annotated[WholeNumber, Parameter(metavar="SECONDS", help="how long to wait for a Metabase that is starting")]
_Restore = Annotated[bool, Parameter(help="also overwrite manual edits")]

app = create_group("metabase", summary="Manage the Metabase dashboards as code.")


@app.command(name="plan", help_epilogue=describe_command("ai-usage metabase plan", _METABASE_SETTINGS))
def _plan(*, folder: _Folder = None, wait: _Wait = _WAIT_SECONDS) -> int:
    """Show what apply would change, and manual edits; exit code 3 for any difference."""
    from ai_usage_assets.metabase import apply, credentials

    spec = _read_spec(folder)
    with (
        _connect(wait) as (context, settings),
        credentials.authenticate_read_only(context.client, settings) as is_set_up,
    ):
        changes = apply.plan(context, spec) if is_set_up else apply.plan_empty(spec)
    for change in changes:
        print_result_line(str(change))
    print_result_line(_summarize(changes))
    return DIFFERS if changes else 0


@app.command(name="apply", help_epilogue=describe_command("ai-usage metabase apply --restore", _METABASE_SETTINGS))
def _apply(*, folder: _Folder = None, wait: _Wait = _WAIT_SECONDS, restore: _Restore = False) -> int:
    """Create and update the dashboards; exit code 3 if manual edits were kept."""
    spec = _read_spec(folder)
    with _connect(wait) as (context, settings):
        return _apply_spec(context, settings, spec, restore=restore)


@app.command(name="smoke", help_epilogue=describe_command("ai-usage metabase smoke", _METABASE_SETTINGS))
def _smoke(*, folder: _Folder = None, wait: _Wait = _WAIT_SECONDS, restore: _Restore = False) -> int:
    """Apply, then run every card in Metabase with and without filters; exit code 1 if one fails."""
    from ai_usage_assets.metabase import smoke

    spec = _read_spec(folder)
    failures: list[str] = []

    def report(result: smoke.SmokeResult) -> None:
        failures.extend(result.failures)
        print_result_line(str(result))

    with _connect(wait) as (context, settings):
        code = _apply_spec(context, settings, spec, restore=restore)
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


def _read_spec(folder: Path | None) -> Spec:
    from ai_usage_assets.metabase import spec_reader

    return spec_reader.read_spec(folder or spec_reader.DASHBOARDS_DIR)


@contextmanager
def _connect(wait: int) -> Iterator[tuple[MetabaseContext, Settings]]:
    """Waits until the Metabase of the settings is ready and yields a connection to it."""
    from ai_usage_assets.metabase import credentials
    from ai_usage_assets.metabase.client import MetabaseClient
    from ai_usage_assets.metabase.resources.base import MetabaseContext

    settings = load_settings()
    if not settings.project:
        raise SettingsError(
            "The dashboards read BigQuery: set GOOGLE_CLOUD_PROJECT. `ai-usage metabase preview` also reads DuckDB."
        )
    if wait < 0:
        raise SettingsError(f"--wait is {wait}; it takes a number of seconds.")
    client = MetabaseClient(settings.metabase.url)
    try:
        account = credentials.read_service_account(settings)
        if account:
            client.hide_secrets(account)
        client.wait_until_healthy(wait)
        yield MetabaseContext(client, settings.project, settings.dataset, account), settings
    finally:
        client.close()


@app.command(
    name="preview",
    help_epilogue=describe_command(
        "ai-usage metabase preview --filter month=2026-10 --out preview", WAREHOUSE_SETTINGS
    ),
)
def _preview(
    *,
    folder: _Folder = None,
    dashboard: Annotated[
        str | None, Parameter(metavar="KEY", help="only this dashboard, by the name of its file")
    ] = None,
    filters: Annotated[
        tuple[str, ...],
        Parameter(
            name="--filter",
            metavar="KEY=VALUE",
            help="value of a dashboard filter, such as month=2026-10; may be repeated",
        ),
    ] = (),
    out: Annotated[
        Path,
        Parameter(metavar="DIR", help="output folder; the pages contain e-mail addresses, as the dashboards do"),
    ] = Path("metabase-preview"),
    png: Annotated[bool, Parameter(help="also write screenshots, if Chromium is installed")] = False,
) -> int:
    """Write each dashboard as an HTML page with the figures of the warehouse, without a Metabase."""
    from ai_usage_assets.metabase.preview import browser, page, queries

    spec = _read_spec(folder)
    values = queries.parse_filters(spec, filters)
    dashboards = [each for each in spec.dashboards if dashboard in (None, each.key)]
    if not dashboards:
        keys = ", ".join(each.key for each in spec.dashboards)
        raise SettingsError(f"--dashboard is {dashboard!r}; it must be one of {keys}.")
    chromium = browser.find_browser() if png else None
    if png and chromium is None:
        print_message("Chromium is not installed, so no screenshots are written.", logging.WARNING)
    warehouse = open_existing_warehouse(load_settings(), read_only=True)
    try:
        queries.check_filters(warehouse, spec, values)
        out.mkdir(parents=True, exist_ok=True)
        for each in dashboards:
            file = out / f"{each.key}.html"
            results = queries.query_dashboard(warehouse, each, values)
            write_atomically(file, page.render_page(spec, each, values, results))
            if chromium:
                size = (page.WIDTH, page.page_height(each))
                browser.take_screenshot(chromium, file, file.with_suffix(".png"), size)
            print_message(f"{each.name}: {file.absolute().as_uri()}{', and as .png' if chromium else ''}")
    except OSError as error:
        raise SettingsError(f"Cannot write to {out} ({error.strerror}); set another with --out.") from None
    finally:
        warehouse.close()
    return 0
