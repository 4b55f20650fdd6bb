"""The registry of sources: it agrees with SQL, and its entries load."""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.redaction import POSSIBLE_KEY_RE2, redact, redact_keys_in_json
from ai_usage_assets.registry import SOURCES, load_source, load_sources, source_entry, source_label
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet.cells import is_secret
from ai_usage_assets.sources.mapping_sheet.tabs import PRINCIPAL_TYPES
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.sql_files import query_names


def test_dim_vendor_has_the_names_and_labels_of_the_registry(tmp_path: Path) -> None:
    """SQL cannot read Python, so `dim_vendor` and the mapping sheet repeat the vendors."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    warehouse.prepare([catalog.table("dim_vendor")])
    rows = warehouse.rows("SELECT vendor, label FROM ai_usage.dim_vendor")
    warehouse.close()
    assert {row["vendor"]: row["label"] for row in rows} == {entry.name: entry.label for entry in SOURCES}
    assert set(PRINCIPAL_TYPES) == {entry.name for entry in SOURCES}


def test_sources_are_complete() -> None:
    """Every source has extracts that carry its name, probes, key prefixes, checks, and money tables."""
    queries = set(query_names())
    for name in (entry.name for entry in SOURCES):
        source = load_source(name)
        assert (source.name, source.label) == (name, source_label(name))
        assert {extract.vendor for extract in source.extracts} == {name}
        assert [extract.name for extract in source.extracts if not extract.name.startswith(f"{name}_")] == []
        assert all([source.probes, source.key_kinds, source.load_checks()]), name
        assert isinstance(source.load_questions(), tuple), name
        assert {f"finance/{name}/close_usage", f"checks/{name}/unattributed_spend"} <= queries
        raw = {table.name for extract in source.extracts for table in extract.tables}
        assert {table.name for tables in source.money_tables.values() for table in tables} <= raw, name


def test_keys_with_a_registered_prefix_are_redacted() -> None:
    """A key of every registered source, and of every kind that it knows, leaves messages, records and sheet cells."""
    prefixes = {prefix for entry in SOURCES for prefix in entry.key_prefixes}
    assert [entry.name for entry in SOURCES if not entry.key_prefixes] == []
    # A shorter prefix would also match usual words.
    assert [prefix for prefix in prefixes if len(prefix) < 3] == []
    kinds = {kind.prefix for source in load_sources() for kind in source.key_kinds}
    missed = set()
    for prefix in prefixes | kinds:
        key = prefix + "Zz9x" * 6
        in_base64 = base64.b64encode(key.encode()).decode()
        for secret in (key, in_base64) if prefix in prefixes else (key,):
            results = (
                redact(f"the key {secret} is wrong"),
                redact_keys_in_json(f'{{"a":"{secret}","b":1}}'),
                pc.match_substring_regex(pa.array([secret]), POSSIBLE_KEY_RE2).to_pylist(),
                is_secret(f"note of {secret}"),
            )
            if results != ("the key [secret] is wrong", '{"a":"[secret]","b":1}', [True], True):
                missed.add(prefix)
    assert missed == set()


def test_settings_have_every_source() -> None:
    """Names, tables and variables are unique, and an empty environment has the default base URLs."""
    settings = Settings.from_environment({})
    assert {name: own.base_url for name, own in settings.sources.items()} == {
        entry.name: entry.default_base_url for entry in SOURCES
    }
    variables = [name for entry in SOURCES for name in (entry.key_variable, entry.base_url_variable)]
    assert len(set(variables)) == len(variables)
    tables = [table.name for source in load_sources() for extract in source.extracts for table in extract.tables]
    assert len(set(tables)) == len(tables)


def test_an_unknown_source_is_an_error() -> None:
    """An unknown name raises KeyError; as a label it is shown as it is."""
    with pytest.raises(KeyError):
        source_entry("openai")
    assert source_label("openai") == "openai"
