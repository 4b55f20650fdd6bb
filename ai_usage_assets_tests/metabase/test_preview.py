"""The preview: one page a dashboard, with the warehouse's figures in it."""

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
from ai_usage_assets.metabase import spec
from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.preview import browser, charts, page, queries
from ai_usage_assets.metabase.preview.values import format_value
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

OCTOBER = {"month": ["2026-10"]}


class Read(HTMLParser):
    """What a page says: its words, in order, and whatever could ask anybody for anything."""

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
def asking(books: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch) -> DuckDBWarehouse:
    """The warehouse, as the configured one."""
    books.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(books.path))
    return books


def test_the_page_has_what_the_cards_answer(
    asking: DuckDBWarehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command writes a page that asks nothing of anybody, whose numbers, cells and marks are the cards' rows."""
    command = ["metabase", "preview", "--dashboard", "overview", "--filter", "month=2026-10", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    (file,) = tmp_path.iterdir()
    assert file.as_uri() in capsys.readouterr().err.replace("\n", "")
    text = file.read_text()
    read = Read(text)
    assert "script" not in read.tags
    assert all(address.startswith("#") for address in read.addresses)
    assert "preview – not Metabase" in read.words
    (overview,) = (each for each in spec.read_spec().dashboards if each.key == "overview")
    found = queries.query_dashboard(asking, overview, OCTOBER)
    assert {card.name for card in overview.cards.values()} <= set(read.words)
    assert {tab.name for tab in overview.tabs} <= set(read.words)
    spend = found["spend"].to_pylist()[-1]
    assert spend["month"] == date(2026, 10, 1)
    assert f"${round(spend['spend_usd']):,}" in read.words
    assert f"${found['per_user'].to_pylist()[0]['usd_per_user']:,.2f}" in read.words
    for row in found["budgets"].to_pylist():
        at = [n for n, word in enumerate(read.words) if word == row["cost_center"]]
        assert any(f"${round(row['spend_usd']):,}" in read.words[n : n + 5] for n in at), row
    # A mark of a chart says its number when it is pointed at.
    for row in found["days"].to_pylist():
        day = f"{row['usage_date']:%b} {row['usage_date'].day}"
        assert f"{day}, Anthropic: ${round(row['anthropic_usd']):,}" in read.words
    # A forecast is of the running month alone.
    assert "No results" in read.words


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--filter", "team=Research"], "KEY one of month, vendor, cost_center, person"),
        (["--filter", "month"], "it takes KEY=VALUE"),
        (["--filter", "month=2026-13"], "--filter is 'month=2026-13'; a month is written YYYY-MM"),
        (["--from", "/nowhere"], "/nowhere/filters.yaml: No such file or directory"),
        (["--filter", "month=2026-10", "--filter", "month=2026-09"], "--filter month is given twice"),
        (["--dashboard", "spend"], "it takes one of chargeback, models, overview, pipeline, seats"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], says: str
) -> None:
    """A filter or a dashboard that is not there is named with those that are, and nothing is written."""
    assert cli.main(["metabase", "preview", "--out", str(tmp_path / "made"), *given]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "made").exists()


def test_without_a_browser_there_are_pages(
    asking: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for pictures where there is no Chromium, the command says so and writes its pages."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["metabase", "preview", "--dashboard", "pipeline", "--png", "--out", str(tmp_path / "made")]) == 0
    assert "Chromium is not installed" in " ".join(capsys.readouterr().err.split())
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["pipeline.html"]


@pytest.mark.skipif(browser.find_browser() is None, reason="there is no Chromium on this machine")
def test_a_real_browser_takes_the_picture(tmp_path: Path) -> None:
    """A Chromium writes a PNG of the size that was asked for, and what goes wrong is told."""
    file, picture = tmp_path / "page.html", tmp_path / "page.png"
    file.write_text("<!doctype html><p>Hello")
    found = browser.find_browser()
    assert found
    browser.take_screenshot(found, file, picture, (page.WIDTH, 600))
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (page.WIDTH, 600)
    with pytest.raises(browser.BrowserError, match="took no picture"):
        browser.take_screenshot("/bin/false", file, tmp_path / "none.png", (10, 10))


@pytest.mark.parametrize(
    ("value", "form", "text"),
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
def test_a_value_is_written_by_its_form(value: Any, form: Any, text: str) -> None:
    """Dollars, shares, counts and days are written as Metabase does, and what looks like a key is not written."""
    assert format_value(value, form) == text


def test_what_others_have_named_is_no_markup(asking: DuckDBWarehouse, tmp_path: Path) -> None:
    """In a title, a cell, a mark's label and a filter's value a tag is written out, and none of it is one."""
    tag = "<script>alert(1)</script>"
    (cell, bar, one) = (
        spec.Card(
            name=f"{tag} {display}",
            description=tag,
            display=display,
            columns={"who": spec.Column(title=tag), "usd": spec.Column(title=tag, form="usd")},
            settings=settings,
            sql=f"SELECT '{tag}' AS who, 7 AS usd",
        )
        for display, settings in (
            ("table", {}),
            ("row", {"graph.dimensions": ["who"], "graph.metrics": ["usd"]}),
            ("scalar", {"scalar.field": "who"}),
        )
    )
    cards = {"cell": cell, "bar": bar, "one": one}
    rows = [{"text": tag}, *({"height": 8, "cards": [{"card": key, "width": 24}]} for key in cards)]
    made = spec.Dashboard.model_validate(
        {
            "key": "x", "name": tag, "reader": tag, "question": tag, "filters": ["month"],
            "tabs": [{"name": tag, "rows": rows}], "cards": cards,
        }
    )  # fmt: skip
    wanted = spec.Spec(filters={"month": spec.Filter(name=tag, sql="SELECT 1")}, dashboards=[made])
    found = {key: asking.query(card.sql) for key, card in cards.items()}
    text = page.render_page(wanted, made, {"month": [tag]}, found)
    assert "<script" not in text
    assert sum(tag in words for words in Read(text).words) > 12


RULE = {"columns": ["usd"], "type": "single", "color": "#B3261E"}


@pytest.mark.parametrize(
    ("display", "settings", "says"),
    [
        ("line", {"graph.show_values": True}, "$7"),
        ("bar", {"graph.show_values": True, "series_settings": {"usd": {"display": "line"}}}, "$7"),
        ("combo", {"graph.show_values": True, "series_settings": {"usd": {"display": None}}}, "$7"),
        ("table", {"table.column_formatting": [RULE | {"operator": "!=", "value": 8}]}, 'class="n bad"'),
        ("table", {"table.column_formatting": [RULE | {"operator": "=", "value": "7"}]}, 'class="n"'),
        ("table", {"table.column_formatting": [RULE | {"operator": "is-null"}]}, 'class="n"'),
        ("table", {"table.column_formatting": [RULE | {"type": "range", "operator": ">", "value": ""}]}, 'class="n"'),
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
def test_whatever_is_accepted_is_drawn(display: Any, settings: dict[str, Any], says: str) -> None:
    """A setting that the dashboards do not use, a fraction in floating point or a day that is NULL ends no preview."""
    axes = {"graph.dimensions": ["who"], "graph.metrics": ["usd"]} if "graph.show_values" in settings else {}
    columns = {"who": {}, "day": {}, "usd": {"form": "usd"}, "half": {"form": "usd"}}
    card = {"name": "x", "description": "x", "display": display, "columns": columns, "sql": "SELECT 1"}
    made = spec.Dashboard.model_validate(
        {
            "key": "x", "name": "x", "reader": "x", "question": "x",
            "tabs": [{"name": "x", "rows": [{"height": 8, "cards": [{"card": "x", "width": 24}]}]}],
            "cards": {"x": card | {"settings": axes | settings}},
        }
    )  # fmt: skip
    found = pa.table({"who": ["a"], "day": pa.nulls(1, pa.date32()), "usd": [Decimal(7)], "half": [3.5]})
    assert validate_rows(made.cards["x"], found) == []
    assert says in page.render_page(spec.Spec(filters={}, dashboards=[made]), made, {}, {"x": found})


def test_a_series_is_named_by_what_a_picture_may_hold() -> None:
    """A control character in a name that others gave is folded, where the picture's file would be none any more."""
    settings = {"graph.dimensions": ["who", "whose"], "graph.metrics": ["usd"]}
    columns = {"usd": spec.Column(form="usd")}
    card = spec.Card(name="x", description="x", display="bar", columns=columns, settings=settings, sql="SELECT 1")
    rows = [{"who": "a", "whose": whose, "usd": Decimal(5)} for whose in ("b\x01c", None)]
    drawn = charts.draw_chart("x", card, rows, (400, 300))
    assert ">b c<" in drawn
    assert ">(empty)<" in drawn
