"""Bodies for Metabase have the keys it knows and cards side by side; its description, where at hand, agrees."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from ai_usage_assets.metabase import api_models, render
from ai_usage_assets.metabase import spec as specs
from ai_usage_assets.metabase.api_models import DashboardUpdate, Dashcard
from ai_usage_assets.metabase.render import IdRegistry
from ai_usage_assets.metabase.spec import Card, CardRow, Dashboard, Filter, SpecError, value_column
from ai_usage_assets_tests.fakes.metabase import description
from ai_usage_assets_tests.metabase.instance import KEY, a_metabase, spec, wanted

SPEC = specs.read_spec()


def dashcard(**place: int) -> Dashcard:
    """A card of eight columns and four rows, at the top left."""
    return Dashcard.model_validate(
        {
            "id": -1,
            "card_id": 1,
            "dashboard_tab_id": None,
            "row": 0,
            "col": 0,
            "size_x": 8,
            "size_y": 4,
            "parameter_mappings": [],
            "visualization_settings": {},
            **place,
        }
    )


def dashboard(*cards: Dashcard) -> DashboardUpdate:
    """A dashboard of cards."""
    return DashboardUpdate(
        name="n",
        description="d",
        collection_id=1,
        width="full",
        auto_apply_filters=True,
        archived=False,
        parameters=[],
        tabs=[],
        dashcards=list(cards),
    )


@pytest.mark.parametrize("key", ["colection_id", "dashboard_tabs", "entity-id"])
def test_a_misspelt_key_is_an_error(key: str) -> None:
    """What Metabase would drop without a word never leaves."""
    body = render.card("card a.b", spec().dashboards[0].cards["spend"], spec().filters, IdRegistry()).sent()
    assert api_models.CardUpdate.model_validate(body).sent() == body
    with pytest.raises(ValidationError, match=key):
        api_models.CardUpdate.model_validate({**body, key: 1})
    tag = body["dataset_query"]["stages"][0]["template-tags"]["month"]
    with pytest.raises(ValidationError, match="dispaly-name"):
        api_models.Tag.model_validate({**tag, "dispaly-name": "Month"})


@pytest.mark.parametrize(
    ("cards", "told"),
    [
        ([dashcard(), dashcard(col=7)], "two cards overlap at row 0, column 7"),
        ([dashcard(), dashcard(row=3)], "two cards overlap at row 3, column 0"),
        ([dashcard(col=17)], "a card at column 17 is 8 wide: beyond the 24 there are"),
    ],
)
def test_cards_that_overlap_or_stand_out_are_an_error(cards: list[Dashcard], told: str) -> None:
    """The server would store them as they are sent."""
    with pytest.raises(ValidationError, match=told):
        dashboard(*cards)


def test_cards_side_by_side_and_on_two_tabs_are_none() -> None:
    """Cards may touch each other, and stand in one place on two tabs."""
    beside = [dashcard(), dashcard(col=8), dashcard(row=4), dashcard(dashboard_tab_id=2)]
    assert len(dashboard(*beside).dashcards) == 4


@pytest.mark.parametrize("sql", ["SELECT month, vendor FROM t", "SELECT * FROM t"])
def test_a_filter_offers_one_column(sql: str) -> None:
    """Which column the values are in is not guessed."""
    assert value_column("month", Filter(name="Month", sql="SELECT DISTINCT month FROM t")) == "month"
    with pytest.raises(SpecError, match=r"filters/month\.sql must select one named column"):
        value_column("month", Filter(name="Month", sql=sql))
    with pytest.raises(SpecError, match=r"filters/month\.sql cannot be read"):
        value_column("month", Filter(name="Month", sql="SELECT FROM (WHERE"))


@pytest.mark.parametrize("given", SPEC.dashboards, ids=lambda each: each.key)
def test_a_dashboard_stands_as_it_is_written(given: Dashboard) -> None:
    """Its cards are as wide as the files say, side by side, and each filter sets the variable of its name on each."""
    numbers = {render.card_key(given.key, key): number for number, key in enumerate(given.cards, 1)}
    body = render.dashboard(given, SPEC.filters, IdRegistry(numbers))
    keys = {number: key.partition(".")[2] for key, number in numbers.items()}
    rows = [row for tab in given.tabs for row in tab.rows if isinstance(row, CardRow)]
    shown = [card for card in body.dashcards if card.card_id]
    widths = iter(shown)
    for row in rows:
        cards = [next(widths) for _ in row.cards]
        assert [(keys[card.card_id or 0], card.size_x) for card in cards] == [
            (one.card, one.width) for one in row.cards
        ]
        assert [card.col for card in cards] == [sum(one.width for one in row.cards[:at]) for at in range(len(cards))]
    for card in shown:
        set_by = {each.parameter_id: each.target for each in card.parameter_mappings}
        assert set_by == {
            name: ["variable", ["template-tag", name]] for name in given.cards[keys[card.card_id or 0]].variables
        }


def test_what_is_written_goes_over_what_follows_from_the_columns() -> None:
    """A card's settings win over the forms and titles of its columns; series of a second dimension have no title."""
    given: dict[str, Any] = wanted()["dashboards"][0]["cards"]["spend"]
    given["settings"]["column_settings"] = {'["name","spend_usd"]': {"decimals": 2}}
    settings = render.appearance(Card.model_validate(given))
    assert settings["column_settings"]['["name","spend_usd"]']["decimals"] == 2
    assert settings["column_settings"]['["name","spend_usd"]']["currency"] == "USD"
    given["settings"]["graph.dimensions"] = ["month", "team"]
    assert "series_settings" not in render.appearance(Card.model_validate(given))


def test_a_table_is_never_made_a_pivot() -> None:
    """Which Metabase does unasked with three columns; another display has nothing of it."""
    given = {"name": "A", "description": "B", "sql": "SELECT 1 AS a"}
    table, scalar = (Card.model_validate({**given, "display": display}) for display in ("table", "scalar"))
    assert render.appearance(table) == {"table.pivot": False}
    assert render.appearance(scalar) == {}


def test_ids_of_cards_are_of_letters_and_digits_and_stay() -> None:
    """Twenty-one of them, made of the key alone."""
    assert render.entity_id("card overview.spend") == "VUqWIPLYJjgh0B4EnMQr4"
    assert len({render.entity_id(f"card a.{number}") for number in range(100)}) == 100


def test_the_fake_drops_what_it_does_not_know() -> None:
    """As the newest Metabase does, with 200; a list of dashcards is whole, and what is left out of it is deleted."""
    with a_metabase() as metabase, httpx.Client(base_url=metabase.url, headers={"x-api-key": KEY}) as client:
        made = client.post("/api/dashboard", json={"name": "n", "colection_id": 1}).json()
        assert "colection_id" not in made
        assert metabase.dropped == ["POST /api/dashboard colection_id"]
        place = {"row": 0, "col": 0, "size_x": 4, "size_y": 4, "parameter_mappings": [], "visualization_settings": {}}
        path = f"/api/dashboard/{made['id']}"
        two = client.put(path, json={"dashcards": [{"id": -1, **place}, {"id": -2, **place}]}).json()["dashcards"]
        assert all(card["id"] > 0 for card in two)
        (one,) = client.put(path, json={"dashcards": [{"id": two[1]["id"], **place}]}).json()["dashcards"]
        assert one["id"] == two[1]["id"]
        assert client.post("/api/card", json={"name": ""}).status_code == 400
        assert client.get("/api/user/current", headers={"x-api-key": "mb_other"}).status_code == 401
        metabase.wrong.clear()


@pytest.mark.skipif(description() is None, reason="Metabase's description of its API is not at hand")
def test_the_description_is_asked_about_each_body() -> None:
    """A body that does not fit Metabase's own description is noticed."""
    with a_metabase() as metabase, httpx.Client(base_url=metabase.url, headers={"x-api-key": KEY}) as client:
        client.post("/api/dashboard", json={"name": "n", "parameters": [{"id": "month", "type": "string/=="}]})
        client.post("/api/collection", json={"name": "n", "color": "red"})
        assert [line.partition(": ")[0] for line in metabase.wrong] == ["POST /api/dashboard", "POST /api/collection"]
        assert "color is not described" in metabase.wrong[1]
        metabase.wrong.clear()
