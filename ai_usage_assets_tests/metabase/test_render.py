"""Request bodies for Metabase, and the fake Metabase that the other tests rely on."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.render import IdRegistry
from ai_usage_assets.metabase.spec_models import Card, CardRow, Dashboard, Filter, SpecError, value_column
from ai_usage_assets.metabase.spec_reader import DASHBOARDS_DIR
from ai_usage_assets.registry import SOURCES
from ai_usage_assets_tests.fakes.metabase_schema import find_description
from ai_usage_assets_tests.metabase.instance import API_KEY, dashboards_spec, serve_metabase, spec_dict

SPEC = dashboards_spec()


@pytest.mark.parametrize("sql", ["SELECT month, vendor FROM t", "SELECT * FROM t"])
def test_a_filter_has_one_value_column(sql: str) -> None:
    """SQL with another number of columns is an error."""
    assert value_column("month", Filter(name="Month", sql="SELECT DISTINCT month FROM t")) == "month"
    with pytest.raises(SpecError, match=r"filters/month\.sql must select exactly one named column"):
        value_column("month", Filter(name="Month", sql=sql))
    with pytest.raises(SpecError, match=r"filters/month\.sql: invalid SQL"):
        value_column("month", Filter(name="Month", sql="SELECT FROM (WHERE"))


def check_layout(dashboard: Dashboard) -> None:
    """Compare the request body of a dashboard with its file."""
    numbers = {render.card_key(dashboard.key, key): number for number, key in enumerate(dashboard.cards, 1)}
    body = render.render_dashboard(dashboard, SPEC.filters, IdRegistry(numbers))
    keys = {number: key.partition(".")[2] for key, number in numbers.items()}
    rows = [row for tab in dashboard.tabs for row in tab.rows if isinstance(row, CardRow)]
    dashcards = [each for each in body["dashcards"] if each["card_id"]]
    remaining = iter(dashcards)
    for row in rows:
        placed = [next(remaining) for _ in row.cards]
        assert [(keys[each["card_id"]], each["size_x"]) for each in placed] == [
            (one.card, one.width) for one in row.cards
        ]
        assert [each["col"] for each in placed] == [
            sum(one.width for one in row.cards[:at]) for at in range(len(placed))
        ]
    cells = [
        (each["dashboard_tab_id"], row, column)
        for each in body["dashcards"]
        for row in range(each["row"], each["row"] + each["size_y"])
        for column in range(each["col"], each["col"] + each["size_x"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for _, _, column in cells) == 23
    for each in dashcards:
        assert {one["parameter_id"]: one["target"] for one in each["parameter_mappings"]} == {
            name: ["variable", ["template-tag", name]] for name in dashboard.cards[keys[each["card_id"]]].variables
        }


def test_a_dashboard_is_laid_out_as_its_file_says() -> None:
    """Cards stand side by side with their widths and do not overlap; each filter sets its variable on every card."""
    for dashboard in SPEC.dashboards:
        check_layout(dashboard)


def test_settings_of_a_card_override_those_of_its_columns() -> None:
    """A card's own settings win over titles and formats; the series of a second dimension have no title."""
    given: dict[str, Any] = spec_dict()["dashboards"][0]["cards"]["spend"]
    given["settings"]["column_settings"] = {'["name","spend_usd"]': {"decimals": 2}}
    settings = render.render_settings(Card.model_validate(given))
    assert settings["column_settings"]['["name","spend_usd"]']["decimals"] == 2
    assert settings["column_settings"]['["name","spend_usd"]']["currency"] == "USD"
    given["settings"]["graph.dimensions"] = ["month", "team"]
    assert "series_settings" not in render.render_settings(Card.model_validate(given))


def test_series_of_vendors_have_the_colors_of_the_registry() -> None:
    """Every registered vendor has its own color, under its label; the card's settings add other series."""
    given: dict[str, Any] = spec_dict()["dashboards"][0]["cards"]["spend"] | {"series_by": "vendor"}
    given["settings"] |= {"graph.dimensions": ["month", "team"], "series_settings": {"Budget": {"display": "line"}}}
    series = render.render_settings(Card.model_validate(given))["series_settings"]
    assert series.pop("Budget") == {"display": "line"}
    assert series.keys() == {entry.label for entry in SOURCES}
    assert len({one["color"] for one in series.values()}) == len(SOURCES)


def test_no_dashboard_file_names_a_vendor() -> None:
    """A new source needs no change of the dashboards."""
    names = {name.lower() for entry in SOURCES for name in (entry.name, entry.label)}
    files = [path for path in DASHBOARDS_DIR.rglob("*") if path.suffix in (".yaml", ".sql")]
    assert len(files) > 50
    assert [path.name for path in files if any(name in path.read_text().lower() for name in names)] == []


def test_a_table_is_never_pivoted() -> None:
    """Metabase pivots a table of three columns unless the card sets `table.pivot` to false."""
    given = {"name": "A", "description": "B", "sql": "SELECT 1 AS a"}
    table = Card.model_validate({**given, "display": "table"})
    scalar = Card.model_validate({**given, "display": "scalar", "settings": {"scalar.field": "a"}})
    assert render.render_settings(table) == {"table.pivot": False}
    assert render.render_settings(scalar) == {"scalar.field": "a"}


def test_entity_ids_are_stable() -> None:
    """An entity id has 21 letters and digits and depends on the key only."""
    assert render.entity_id("card overview.spend") == "VUqWIPLYJjgh0B4EnMQr4"
    assert len({render.entity_id(f"card a.{number}") for number in range(100)}) == 100


def test_the_fake_ignores_unknown_keys() -> None:
    """Like Metabase, it answers 200. A list of dashcards is complete: others are deleted."""
    with serve_metabase() as metabase, httpx.Client(base_url=metabase.url, headers={"x-api-key": API_KEY}) as client:
        created = client.post("/api/dashboard", json={"name": "n", "colection_id": 1}).json()
        assert "colection_id" not in created
        assert metabase.ignored == ["POST /api/dashboard colection_id"]
        place = {"row": 0, "col": 0, "size_x": 4, "size_y": 4, "parameter_mappings": [], "visualization_settings": {}}
        path = f"/api/dashboard/{created['id']}"
        two = client.put(path, json={"dashcards": [{"id": -1, **place}, {"id": -2, **place}]}).json()["dashcards"]
        assert all(card["id"] > 0 for card in two)
        (one,) = client.put(path, json={"dashcards": [{"id": two[1]["id"], **place}]}).json()["dashcards"]
        assert one["id"] == two[1]["id"]
        assert client.post("/api/card", json={"name": ""}).status_code == 400
        assert client.get("/api/user/current", headers={"x-api-key": "mb_other"}).status_code == 401
        metabase.invalid.clear()


@pytest.mark.skipif(find_description() is None, reason="Metabase's API description is not available")
def test_request_bodies_are_validated_against_the_api_description() -> None:
    """The fake reports a body that does not fit Metabase's own description."""
    with serve_metabase() as metabase, httpx.Client(base_url=metabase.url, headers={"x-api-key": API_KEY}) as client:
        client.post("/api/dashboard", json={"name": "n", "parameters": [{"id": "month", "type": "string/=="}]})
        client.post("/api/collection", json={"name": "n", "color": "red"})
        assert [line.partition(": ")[0] for line in metabase.invalid] == ["POST /api/dashboard", "POST /api/collection"]
        assert "color is not described" in metabase.invalid[1]
        metabase.invalid.clear()
