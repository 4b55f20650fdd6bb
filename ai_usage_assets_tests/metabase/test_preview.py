"""The preview: one page per dashboard with the warehouse's figures."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ai_usage_assets import cli
from ai_usage_assets.metabase import spec_models
from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.preview import browser, charts, page, queries
from ai_usage_assets.metabase.preview.values import format_value
from ai_usage_assets.simulator.sources import SIMULATED_SOURCES
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.metabase.instance import dashboards_spec, spec_dict, write_files

OCTOBER = {"month": ["2026-10"]}


class ParsedPage(HTMLParser):
    """The words, tags and addresses of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(" ".join(data.split()))


@pytest.fixture
def configured_warehouse(closed_year: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch) -> DuckDBWarehouse:
    """Configure the warehouse of the closed year."""
    closed_year.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(closed_year.path))
    return closed_year


def test_the_page_shows_the_rows_of_the_cards(
    configured_warehouse: DuckDBWarehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page loads nothing, and its numbers, cells and marks are the cards' rows."""
    command = ["metabase", "preview", "--dashboard", "overview", "--filter", "month=2026-10", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    (file,) = tmp_path.iterdir()
    assert file.as_uri() in capsys.readouterr().err.replace("\n", "")
    text = file.read_text()
    parsed = ParsedPage(text)
    assert "script" not in parsed.tags
    assert all(address.startswith("#") for address in parsed.addresses)
    assert "preview, not Metabase" in parsed.words
    (overview,) = (each for each in dashboards_spec().dashboards if each.key == "overview")
    rows = queries.query_dashboard(configured_warehouse, overview, OCTOBER)
    assert {card.name for card in overview.cards.values()} <= set(parsed.words)
    assert {tab.name for tab in overview.tabs} <= set(parsed.words)
    spend = rows["spend"].to_pylist()[-1]
    assert spend["month"] == date(2026, 10, 1)
    assert f"${round(spend['spend_usd']):,}" in parsed.words
    assert f"${rows['cost_per_user'].to_pylist()[0]['usd_per_user']:,.2f}" in parsed.words
    for row in rows["budget_by_cost_center"].to_pylist():
        at = [n for n, word in enumerate(parsed.words) if word == row["cost_center"]]
        assert any(f"${round(row['spend_usd']):,}" in parsed.words[n : n + 5] for n in at), row
    # A mark of a chart has a tooltip with its number.
    for row in rows["spend_by_day"].to_pylist():
        day = f"{row['usage_date']:%b} {row['usage_date'].day}"
        assert f"{day}, {row['vendor']}: ${round(row['spend_usd']):,}" in parsed.words
    # Only the current month has a forecast.
    assert "No results" in parsed.words


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--filter", "team=Research"], "KEY one of month"),
        (["--filter", "month"], "KEY=VALUE"),
        (["--filter", "month=2026-13"], "YYYY-MM"),
        (["--from", "/nowhere"], "/nowhere/filters.yaml"),
        (["--filter", "month=2026-10", "--filter", "month=2026-09"], "month is given twice"),
        (["--dashboard", "spend"], "one of overview, people"),
    ],
)
def test_invalid_arguments_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], says: str
) -> None:
    """The message lists the valid filters or dashboards, and nothing is written."""
    small = spec_dict()
    small["filters"]["month"]["multiple"] = False
    folder = [] if "--from" in given else ["--from", str(write_files(tmp_path / "deploy", small))]
    assert cli.main(["metabase", "preview", "--out", str(tmp_path / "out"), *folder, *given]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_an_unknown_filter_value_is_an_error(
    configured_warehouse: DuckDBWarehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that no row has is an error that lists the values, unless they are people."""
    with pytest.raises(spec_models.SpecError, match=r"not in the warehouse\.$"):
        queries.check_filters(configured_warehouse, dashboards_spec(), {"person": ["x"]})
    configured_warehouse.close()
    assert cli.main(["metabase", "preview", "--filter", "vendor=Cursor", "--out", str(tmp_path / "out")]) == 2
    assert f"one of {', '.join(sorted(SIMULATED_SOURCES))}" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_without_chromium_only_pages_are_written(
    configured_warehouse: DuckDBWarehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --png and without Chromium, the command says so and writes its pages."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["metabase", "preview", "--dashboard", "pipeline", "--png", "--out", str(tmp_path / "out")]) == 0
    assert "Chromium is not installed" in " ".join(capsys.readouterr().err.split())
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["pipeline.html"]


@pytest.mark.skipif(browser.find_browser() is None, reason="Chromium is not installed")
def test_chromium_writes_a_screenshot(tmp_path: Path) -> None:
    """The PNG has the requested size, and a failure is reported."""
    file, picture = tmp_path / "page.html", tmp_path / "page.png"
    file.write_text("<!doctype html><p>Hello")
    chromium = browser.find_browser()
    assert chromium
    browser.take_screenshot(chromium, file, picture, (page.WIDTH, 600))
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (page.WIDTH, 600)
    with pytest.raises(browser.BrowserError, match="no screenshot of"):
        browser.take_screenshot("/bin/false", file, tmp_path / "none.png", (10, 10))


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (Decimal("1234.5"), "usd", "$1,235"),
        (Decimal("-1234.567"), "cents", "-$1,234.57"),
        (Decimal("0.71724"), "unit_usd", "$0.7172"),
        (Decimal("0.96346"), "percent", "96.3%"),
        (71_400_151, "count", "71,400,151"),
        (Decimal("1.350000000"), "number", "1.35"),
        (Decimal("-0.2"), "usd", "$0"),
        (20, "number", "20"),
        (None, "usd", ""),
        (date(2026, 11, 1), None, "November 1, 2026"),
        (datetime(2026, 11, 1, 13, 5, tzinfo=UTC), None, "November 1, 2026, 1:05 PM"),
        ("two\nlines", None, "two lines"),
        ("sk-ant-admin01-" + "x" * 30, None, "[secret]"),
    ],
)
def test_values_are_formatted_as_in_metabase(value: Any, number_format: Any, text: str) -> None:
    """Dollars, ratios, counts and days; what looks like a key is redacted."""
    assert format_value(value, number_format) == text


def test_names_are_escaped(configured_warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """A tag in a title, a cell, a label or a filter value is text."""
    tag = "<script>alert(1)</script>"
    settings: dict[str, dict[str, Any]] = {
        "table": {},
        "row": {"graph.dimensions": ["who"], "graph.metrics": ["usd"]},
        "scalar": {"scalar.field": "who"},
    }
    sql = f"SELECT '{tag}' AS who, 7 AS usd"
    cards = {
        display: {
            "name": f"{tag} {display}", "description": tag, "display": display, "settings": given, "sql": sql,
            "columns": {"who": {"title": tag}, "usd": {"title": tag, "format": "usd"}},
        }
        for display, given in settings.items()
    }  # fmt: skip
    rows = [{"text": tag}, *({"height": 8, "cards": [{"card": key, "width": 24}]} for key in cards)]
    dashboard = spec_models.Dashboard.model_validate(
        {
            "key": "x", "name": tag, "reader": tag, "question": tag, "filters": ["month"],
            "tabs": [{"name": tag, "rows": rows}], "cards": cards,
        }
    )  # fmt: skip
    spec = spec_models.Spec(filters={"month": spec_models.Filter(name=tag, sql="SELECT 1")}, dashboards=[dashboard])
    rows_by_card = {key: configured_warehouse.query(sql) for key in cards}
    text = page.render_page(spec, dashboard, {"month": [tag]}, rows_by_card)
    assert "<script" not in text
    assert sum(tag in words for words in ParsedPage(text).words) > 12


RULE = {"columns": ["usd"], "type": "single", "color": "#B3261E"}


@pytest.mark.parametrize(
    ("display", "settings", "says"),
    [
        ("line", {"graph.show_values": True}, "$7"),
        ("bar", {"graph.show_values": True, "series_settings": {"usd": {"display": "line"}}}, "$7"),
        ("combo", {"graph.show_values": True, "series_settings": {"usd": {"display": None}}}, "$7"),
        ("table", {"table.column_formatting": [RULE | {"operator": "!=", "value": 8}]}, 'class="n bad"'),
        ("table", {"table.column_formatting": [RULE | {"operator": "=", "value": "7"}]}, 'class="n"'),
        ("progress", {"progress.value": "usd", "progress.goal": "half"}, "200.0% of $4"),
        (
            "smartscalar",
            {
                "scalar.field": "usd",
                "scalar.comparisons": [{"id": "x", "type": "anotherColumn", "column": "half", "label": "half"}],
            },
            "↑ 100.0% vs. half: $4",
        ),
    ],
)
def test_every_valid_setting_is_drawn(display: Any, settings: dict[str, Any], says: str) -> None:
    """Settings that the dashboards do not use, floats and a NULL day do not fail."""
    axes = {"graph.dimensions": ["who"], "graph.metrics": ["usd"]} if "graph.show_values" in settings else {}
    columns = {"who": {}, "day": {}, "usd": {"format": "usd"}, "half": {"format": "usd"}}
    card = {"name": "x", "description": "x", "display": display, "columns": columns, "sql": "SELECT 1"}
    dashboard = spec_models.Dashboard.model_validate(
        {
            "key": "x", "name": "x", "reader": "x", "question": "x",
            "tabs": [{"name": "x", "rows": [{"height": 8, "cards": [{"card": "x", "width": 24}]}]}],
            "cards": {"x": card | {"settings": axes | settings}},
        }
    )  # fmt: skip
    rows = pa.table({"who": ["a"], "day": pa.nulls(1, pa.date32()), "usd": [Decimal(7)], "half": [3.5]})
    assert validate_rows(dashboard.cards["x"], rows) == []
    assert says in page.render_page(spec_models.Spec(filters={}, dashboards=[dashboard]), dashboard, {}, {"x": rows})


def test_control_characters_in_series_names_are_removed() -> None:
    """SVG does not allow them."""
    settings = {"graph.dimensions": ["who", "whose"], "graph.metrics": ["usd"]}
    columns = {"usd": spec_models.CardColumn(format="usd")}
    card = spec_models.Card(
        name="x", description="x", display="bar", columns=columns, settings=settings, sql="SELECT 1"
    )
    rows = [{"who": "a", "whose": whose, "usd": Decimal(5)} for whose in ("b\x01c", None)]
    drawn = charts.draw_chart("x", card, rows, (400, 300))
    assert ">b c<" in drawn
    assert ">(empty)<" in drawn
