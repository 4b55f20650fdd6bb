"""Fuzzes sheet cells and settings: every input is accepted or rejected, without a crash or a leaked key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.sheet import load_sheet
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import Settings, SettingsError
from ai_usage_assets.sources.keys import connect
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, SheetColumn
from ai_usage_assets.sources.mapping_sheet.validation import validate_tab
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.faults.fuzz import CELLS, SECRETS, TEXTS, fuzz_settings

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)

# Valid values per cell type, so that odd cells are in otherwise valid rows.
VALID: dict[str, list[Any]] = {
    "id": ["apikey_1", "apikey_2"],
    "label": ["Platform", "CC-1010", None],
    "text": ["a note", None],
    "enum": ["anthropic", "cursor"],
    "email": ["jane@example.com", "sam@example.com", None],
    "date": ["2026-01-01", "2026-06-01", 46000, None],
    "month": ["2026-01", "2026-02", 46023],
    "percent": [100, "50%", 33.3, None],
    "money": [100, "12.50", 0.1],
}

SHEETS = st.sampled_from(list(TABS)).flatmap(
    lambda tab: st.tuples(
        st.just(tab),
        st.one_of(
            st.lists(_row(TABS[tab].columns), max_size=12).map(lambda rows: [list(TABS[tab].names), *rows]),
            st.lists(st.lists(CELLS, max_size=12), max_size=4),
        ),
    )
)


def _row(columns: tuple[SheetColumn, ...]) -> st.SearchStrategy[list[Any]]:
    def valid_cell(column: SheetColumn) -> st.SearchStrategy[Any]:
        return st.sampled_from(list(column.values) or VALID[column.type])

    cells = st.tuples(
        *(st.one_of(valid_cell(column), valid_cell(column), valid_cell(column), CELLS) for column in columns)
    )
    return st.builds(lambda row, cut: list(row)[: cut or None], cells, st.sampled_from([0, 0, 0, 2, 5]))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """A warehouse into which each example loads a version of the sheet."""
    warehouse = DuckDBWarehouse(copy_empty_warehouse(tmp_path_factory.mktemp("cells") / "w.duckdb"))
    yield warehouse
    warehouse.close()


def test_any_cells_are_accepted_or_rejected(warehouse: DuckDBWarehouse) -> None:
    """Each row of arbitrary cells is loaded or stored with a reason, and no key is stored or quoted."""
    views = [view for view in catalog.models() if view.layer == "staging" and "raw_mapping_sheet" in view.reads]
    counts = {"rows": 0, "rejected": 0, "refused": 0}

    @fuzz_settings(150)
    @given(SHEETS)
    def search(sheet: tuple[str, list[list[Any]]]) -> None:
        tab, cells = sheet
        snapshot = validate_tab(tab, cells, last_good_row_count=None, today=NOW.date())
        messages = json.dumps([snapshot.rejection, snapshot.warnings, [row.reject_reason for row in snapshot.rows]])
        payloads = b"".join(row.payload for row in snapshot.rows).decode()
        for secret in SECRETS:
            assert secret not in messages
            assert secret not in payloads
        assert "example.com" not in messages
        # Row numbers are unique and sorted.
        assert [row.row_no for row in snapshot.rows] == sorted({row.row_no for row in snapshot.rows})
        counts["rows"] += len(snapshot.accepted)
        counts["rejected"] += len(snapshot.rejected)
        counts["refused"] += bool(snapshot.rejection)
        if snapshot.rejection:
            return
        context = RunContext("r", NOW + timedelta(seconds=sum(counts.values())))
        load_sheet(warehouse, [snapshot], context)
        for view in views:
            rows = warehouse.rows(f"SELECT * FROM ai_usage.{view.name}")
            if view.name == f"stg_{tab}":
                assert len(rows) == len(snapshot.accepted)
                _assert_same_numbers(rows, [json.loads(row.payload) for row in snapshot.accepted])
        for name in ("int_key_mapping", "dim_person"):
            warehouse.rebuild(catalog.table(name), {})

    search()
    assert all(counts.values()), counts


def _assert_same_numbers(rows: list[dict[str, Any]], payloads: list[dict[str, str | None]]) -> None:
    for name in ("budget_usd", "monthly_price_usd", "share_pct"):
        if rows and name in rows[0] and name in payloads[0]:
            read = sorted(Decimal(payload[name] or 100) for payload in payloads)
            assert sorted(row[name] for row in rows) == read


NAMES = (
    "AI_USAGE_WAREHOUSE", "AI_USAGE_DUCKDB_PATH", "GOOGLE_CLOUD_PROJECT", "AI_USAGE_DATASET", "ANTHROPIC_ADMIN_KEY",
    "CURSOR_ADMIN_KEY", "AI_USAGE_SHEET_ID", "ANTHROPIC_BASE_URL", "CURSOR_BASE_URL", "SHEETS_BASE_URL",
    "AI_USAGE_START_DATE", "AI_USAGE_NOW", "AI_USAGE_PACING", "AI_USAGE_ACCEPT_LOSS", "DAGSTER_HOME",
)  # fmt: skip

ADDRESSES = st.sampled_from(
    [
        "http://127.0.0.1:1", "http://[::1]", "http://[::1", "https://", "https://x:99999", "https://x:port", "ftp://x",
        "http://localhost.evil.test", "http://127.0.0.1.evil.test", "https://u:p@x", "https://x?key=1", "//x", "http:///",
        "https://\u202ex", "https://x#y", "HTTPS://X/", "http://127.0.0.999", "~",
        "~nobody-of-that-name/x", "/dev/null/x",
    ]
)  # fmt: skip


# Environment variables cannot contain NUL.
VALUES = st.one_of(TEXTS, ADDRESSES).map(lambda text: text.replace("\x00", ""))


@fuzz_settings(400)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_any_settings_are_accepted_or_rejected(environment: dict[str, str]) -> None:
    """Arbitrary variables are accepted by every client, or rejected with the variable name and without a key."""
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        message = str(error)
        assert any(name in message for name in environment), message
        assert not any(secret in message for secret in SECRETS)
        return
    key_variables = {entry.key_variable for entry in SOURCES}
    keys = {environment.get(name, "").strip() for name in key_variables} & set(SECRETS)
    shown = {value.strip() for name, value in environment.items() if name not in key_variables}
    assert not any(key in repr(settings) for key in keys - shown)
    settings.now().isoformat()
    for url in settings.base_urls:
        assert urlsplit(url).scheme == "https" or urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}, url
    # The clients can be built from accepted settings, before any request.
    MappingSheet("s", settings.sheets_url, pacing=settings.pacing)
    for entry in SOURCES:
        client = connect(entry.name, settings.with_source(entry.name, key="k"))
        assert client is not None
        client.close()
