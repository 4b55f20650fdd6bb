"""Metabase is brought to what is wanted and no further: again and again, after faults, and around what others made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlglot

from ai_usage_assets.metabase import apply, render
from ai_usage_assets.metabase.apply import ReadBackMismatch, TargetMismatch
from ai_usage_assets.metabase.client import MetabaseError
from ai_usage_assets.metabase.credentials import CredentialError
from ai_usage_assets.metabase.plan import AppliedState, StateStore
from ai_usage_assets_tests.fakes.metabase import FakeMetabase, Fault, Row
from ai_usage_assets_tests.metabase.instance import ACCOUNT, a_metabase, applied, planned, site, spec, wanted

TAG = "2cc0cc41-d14d-5d52-9748-331eb2d7cac4"
EVERYTHING = [
    "database",
    "access to the database",
    "group",
    "collection",
    "collection behind",
    "access to the collections",
    "filter month",
    "card overview.spend",
    "card overview.total",
    "card people.people",
    "dashboard overview",
    "dashboard people",
]


@pytest.fixture
def metabase() -> Iterator[FakeMetabase]:
    """A Metabase that is sent nothing it does not know."""
    with a_metabase() as fake:
        yield fake
    assert fake.dropped == []


def keys(lines: list[str], sign: str) -> list[str]:
    """The objects with that sign."""
    assert all(line.startswith(f"{sign} ") for line in lines), lines
    return [line[2:].partition(":")[0] for line in lines]


def test_a_plan_of_a_fresh_metabase_is_what_is_done_then(metabase: FakeMetabase) -> None:
    """Planning changes nothing, applying does exactly what was planned, and then there is nothing to do."""
    assert keys(planned(metabase), "+") == EVERYTHING
    assert metabase.writes() == []
    assert keys(applied(metabase), "+") == EVERYTHING
    assert planned(metabase) == []
    done = len(metabase.writes())
    assert applied(metabase) == []
    assert len(metabase.writes()) == done


@pytest.mark.parametrize(
    "version",
    [
        {"tags": "list"},
        {"is_legacy": True},
        {"keeps_entity_ids": False},
        {"adds": {"table.pivot": False}},
    ],
    ids=lambda version: next(iter(version)),
)
def test_versions_that_answer_otherwise_hold_the_same(version: dict[str, Any]) -> None:
    """A list of variables, queries as they were, ids of the server's own and settings it adds are no difference."""
    with a_metabase(**version) as metabase:
        applied(metabase)
        assert planned(metabase) == []
        metabase.card("Spend")["description"] = "Mine"
        assert keys(planned(metabase), "!") == ["card overview.total"]
        renamed = wanted()
        renamed["dashboards"][0]["cards"]["spend"]["name"] = "Spend of teams"
        assert len(applied(metabase, renamed, restore=True)) == 2
        assert planned(metabase, renamed) == []
    assert len(metabase.cards) == 5


def test_a_dashboard_is_laid_out_filtered_and_linked(metabase: FakeMetabase) -> None:
    """Tabs and the grid, the filter with its values, its mapping on each card that takes it, and clicks."""
    applied(metabase)
    overview, people = metabase.dashboard("AI spend overview"), metabase.dashboard("People")
    spend = metabase.card("Spend by team")["id"]
    now, teams = (tab["id"] for tab in overview["tabs"])
    places = [
        (card["dashboard_tab_id"], card["row"], card["col"], card["size_x"], card["size_y"])
        for card in overview["dashcards"]
    ]
    assert places == [(now, 0, 0, 24, 1), (now, 1, 0, 6, 4), (teams, 0, 0, 24, 8)]
    assert overview["dashcards"][0]["visualization_settings"]["text"] == "This month"
    assert overview["dashcards"][1]["parameter_mappings"] == []
    shown = overview["dashcards"][2]
    assert shown["parameter_mappings"] == [
        {"parameter_id": "month", "card_id": spend, "target": ["variable", ["template-tag", "month"]]}
    ]
    click = shown["visualization_settings"]["click_behavior"]
    assert (click["linkType"], click["targetId"]) == ("dashboard", people["id"])
    assert click["parameterMapping"]["month"]["source"] == {"type": "column", "id": "month", "name": "month"}
    (parameter,) = overview["parameters"]
    values = metabase.card("Values of the filter Month (month)")["id"]
    assert parameter["type"] == "string/="
    assert parameter["isMultiSelect"] is True
    assert parameter["values_source_config"]["card_id"] == values
    assert parameter["values_source_config"]["value_field"][1] == "month"
    # A single tab is none; in a table the columns are clicked.
    (listed,) = people["dashcards"]
    assert (people["tabs"], listed["dashboard_tab_id"]) == ([], None)
    assert listed["visualization_settings"]["column_settings"]['["name","month"]']["click_behavior"]["type"] == (
        "crossfilter"
    )


def test_a_card_has_its_query_and_the_forms_of_its_columns(metabase: FakeMetabase) -> None:
    """The statement with its variable, whose id stays, and how numbers are shown."""
    applied(metabase)
    card = metabase.card("Spend by team")
    (stage,) = card["dataset_query"]["stages"]
    tag = stage["template-tags"]["month"]
    assert (stage["lib/type"], tag["display-name"], tag["type"]) == ("mbql.stage/native", "Month", "text")
    # The same on every machine and in every version, so that nothing differs where nothing was changed.
    assert card["parameters"][0]["id"] == tag["id"] == TAG
    assert card["entity_id"] == render.entity_id("card overview.spend")
    settings = card["visualization_settings"]
    assert settings["series_settings"] == {"spend_usd": {"title": "Spend"}}
    assert settings["column_settings"]['["name","spend_usd"]'] == {
        "number_style": "currency",
        "currency": "USD",
        "currency_style": "symbol",
        "decimals": 0,
        "column_title": "Spend",
    }


def test_finance_reads_and_nobody_queries(metabase: FakeMetabase) -> None:
    """Of what is managed, the group of finance reads all and other groups nothing, and no group writes queries."""
    sales = metabase.add_group("Sales")["id"]
    metabase.may_see[str(sales)] = {"root": "read"}
    applied(metabase)
    finance = next(str(number) for number, name in metabase.groups.items() if name == "AI finance")
    managed = {str(each) for each in metabase.collections}
    for group, may in metabase.may_see.items():
        allowed = {each for each in managed if may.get(each, "none") != "none"}
        assert allowed == (managed if group in ("2", finance) else set()), group
    (database,) = metabase.databases
    queries = {group: may[str(database)]["create-queries"] for group, may in metabase.may_query.items()}
    assert {group for group, can in queries.items() if can != "no"} == {"2"}
    # The rest of what a group may is as it was.
    assert metabase.may_query["1"][str(database)]["download"] == {"schemas": "full"}
    assert metabase.may_see["1"]["root"] == "write"


def test_a_dataset_of_another_name_is_what_is_asked(metabase: FakeMetabase) -> None:
    """The connection sees it alone, and no card names the one that the files are written with."""
    one = site(metabase, dataset="ai_usage_eu")
    apply.apply(one, spec(), lambda _: None)
    assert apply.plan(one, spec()) == []
    one.server.close()
    (database,) = metabase.databases.values()
    assert database["details"]["dataset-filters-patterns"] == "ai_usage_eu"
    asked = [card["dataset_query"]["stages"][0]["native"] for card in metabase.cards.values()]
    assert sum("FROM ai_usage_eu.kpi_spend" in sql for sql in asked) == 4
    assert not any("ai_usage." in sql for sql in asked)


def test_a_forgotten_setting_shows_finance_no_other_books(metabase: FakeMetabase) -> None:
    """Another dataset than the one that is shown is told in the plan, and written only when asked."""
    applied(metabase)
    done = len(metabase.writes())
    moves = "shows p.ai_usage, and the settings say p.ai_usage_dev"
    assert planned(metabase, dataset="ai_usage_dev")[0] == f"! database: AI usage (BigQuery) ({moves})"
    # Else it would be a change of ours: nothing was edited.
    with pytest.raises(
        TargetMismatch, match=rf"{moves}: nothing was written. Set GOOGLE_CLOUD_PROJECT and AI_USAGE_DATAS"
    ):
        applied(metabase, dataset="ai_usage_dev")
    assert len(metabase.writes()) == done
    assert keys(applied(metabase, dataset="ai_usage_dev", restore=True)[1:], "~")[0] == "filter month"
    assert planned(metabase, dataset="ai_usage_dev") == []


def of_card(change: Row) -> Callable[[FakeMetabase], None]:
    return lambda metabase: metabase.card("Spend by team").update(change)


def see_all(metabase: FakeMetabase) -> None:
    metabase.may_see["1"][str(metabase.collection(render.COLLECTION)["id"])] = "read"


def query_all(metabase: FakeMetabase) -> None:
    (database,) = metabase.databases
    metabase.may_query["1"][str(database)]["create-queries"] = "query-builder"


def move_a_card(metabase: FakeMetabase) -> None:
    metabase.dashboard("AI spend overview")["dashcards"][1]["col"] = 3


def remove_a_card(metabase: FakeMetabase) -> None:
    del metabase.dashboard("AI spend overview")["dashcards"][2]


def use_no_cache(metabase: FakeMetabase) -> None:
    (database,) = metabase.databases.values()
    database["details"]["include-user-id-and-hash"] = True


def set_a_default(metabase: FakeMetabase) -> None:
    metabase.dashboard("People")["parameters"][0]["default"] = ["2026-10"]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (of_card({"name": "Mine"}), '! card overview.spend: Spend by team (name "Mine" -> "Spend by team")'),
        (of_card({"archived": True}), "! card overview.spend: Spend by team (archived true -> false)"),
        (of_card({"collection_id": 1}), "! card overview.spend: Spend by team (collection_id 1 -> 2)"),
        (move_a_card, "! dashboard overview: AI spend overview (cards[1].col 3 -> 0)"),
        (remove_a_card, "! dashboard overview: AI spend overview (cards 2 of them -> 3 of them)"),
        (set_a_default, "! dashboard people: People (parameters[0].default was added)"),
        (
            use_no_cache,
            "! database: AI usage (BigQuery) (details.include-user-id-and-hash true -> false)",
        ),
        (see_all, "! access to the collections: AI usage (managed as code) (All Users was added)"),
        (query_all, "! access to the database: AI usage (BigQuery) (All Users was added)"),
        (
            lambda metabase: metabase.collection(render.BEHIND).update(name="Junk"),
            '! collection behind: Behind the dashboards (name "Junk" -> "Behind the dashboards")',
        ),
    ],
)
def test_an_edit_by_hand_is_shown_left_and_restored_when_asked(
    metabase: FakeMetabase, edit: Callable[[FakeMetabase], None], line: str
) -> None:
    """What somebody changed in Metabase is told by plan, left by apply, and overwritten by apply --restore only."""
    applied(metabase)
    edit(metabase)
    assert planned(metabase) == [line]
    done = len(metabase.writes())
    assert applied(metabase) == [f"{line}: left"]
    assert len(metabase.writes()) == done
    assert applied(metabase, restore=True) == [line]
    assert planned(metabase) == []


def changed() -> dict[str, Any]:
    """As `wanted`, with another text, place and form of a number."""
    other = wanted()
    overview = other["dashboards"][0]
    overview["cards"]["total"]["description"] = "US dollars, without seats."
    overview["tabs"][0]["rows"][1]["cards"][0]["width"] = 8
    overview["tabs"].append({"name": "Notes", "rows": [{"text": "Days are UTC days.", "height": 2}]})
    return other


def test_what_changes_here_changes_there_and_ids_stay(metabase: FakeMetabase) -> None:
    """A change of the files is applied without being asked twice; cards and tabs of a dashboard keep their ids."""
    applied(metabase)
    before = copy.deepcopy(metabase.dashboard("AI spend overview"))
    assert keys(planned(metabase, changed()), "~") == ["card overview.total", "dashboard overview"]
    applied(metabase, changed())
    after = metabase.dashboard("AI spend overview")
    assert [card["id"] for card in after["dashcards"][:3]] == [card["id"] for card in before["dashcards"]]
    assert [tab["id"] for tab in after["tabs"][:2]] == [tab["id"] for tab in before["tabs"]]
    assert after["dashcards"][1]["size_x"] == 8
    assert planned(metabase, changed()) == []


def test_a_tab_that_is_called_otherwise_keeps_its_cards(metabase: FakeMetabase) -> None:
    """Its id goes to the new name, and ids of what is on it stay."""
    applied(metabase)
    before = copy.deepcopy(metabase.dashboard("AI spend overview"))
    renamed = wanted()
    renamed["dashboards"][0]["tabs"][0]["name"] = "Today"
    applied(metabase, renamed)
    after = metabase.dashboard("AI spend overview")
    assert [tab["name"] for tab in after["tabs"]] == ["Today", "Teams"]
    assert [card["id"] for card in after["dashcards"]] == [card["id"] for card in before["dashcards"]]
    assert planned(metabase, renamed) == []


def test_a_new_name_is_not_another_object(metabase: FakeMetabase) -> None:
    """A card and a dashboard that are called otherwise in the files are renamed, and keep their ids."""
    applied(metabase)
    card, dashboard = metabase.card("Spend")["id"], metabase.dashboard("People")["id"]
    renamed = wanted()
    renamed["dashboards"][0]["cards"]["total"]["name"] = "Spend, all"
    renamed["dashboards"][1]["name"] = "Who"
    assert keys(applied(metabase, renamed), "~") == ["card overview.total", "dashboard people"]
    assert (metabase.card("Spend, all")["id"], metabase.dashboard("Who")["id"]) == (card, dashboard)
    assert planned(metabase, renamed) == []


def test_what_is_no_longer_wanted_is_archived_and_comes_back(metabase: FakeMetabase) -> None:
    """A card and a dashboard that are gone from the files are archived, and are the same ones when they return."""
    applied(metabase)
    card, dashboard = metabase.card("Spend by person"), metabase.dashboard("People")
    fewer = wanted()
    fewer["dashboards"] = fewer["dashboards"][:1]
    fewer["dashboards"][0]["cards"]["spend"]["click"] = None
    assert planned(metabase, fewer)[1:] == ["- card people.people: Spend by person", "- dashboard people: People"]
    applied(metabase, fewer)
    assert (card["archived"], dashboard["archived"]) == (True, True)
    assert planned(metabase, fewer) == []
    assert keys(planned(metabase), "~") == ["card people.people", "dashboard overview", "dashboard people"]
    applied(metabase)
    assert (card["archived"], dashboard["archived"]) == (False, False)
    assert (len(metabase.cards), len(metabase.dashboards)) == (5, 2)
    assert planned(metabase) == []


def test_what_others_made_is_not_touched(metabase: FakeMetabase) -> None:
    """Databases, collections, cards, dashboards and rights outside of what is managed stay as they are."""
    metabase.databases[5] = {"id": 5, "name": "Sales", "details": {}, "engine": "postgres"}
    metabase.may_query["1"]["5"] = {"view-data": "unrestricted", "create-queries": "query-builder"}
    metabase.collections[6] = {"id": 6, "name": "Sales", "archived": False, "parent_id": None}
    # Of the same names, in another place.
    metabase.collections[7] = {"id": 7, "name": render.BEHIND, "archived": False, "parent_id": 6}
    metabase.dashboards[8] = {"id": 8, "name": "People", "archived": False, "collection_id": 6}
    metabase.may_see["1"]["6"] = "write"
    kept = (metabase.databases[5], metabase.collections[6], metabase.collections[7], metabase.dashboards[8])
    before = copy.deepcopy((kept, metabase.may_query["1"]["5"], metabase.may_see["1"]["6"], metabase.may_query["2"]))
    applied(metabase)
    applied(metabase, changed(), restore=True)
    (added,) = metabase.databases.keys() - {5}
    metabase.may_query["2"].pop(str(added))
    assert (kept, metabase.may_query["1"]["5"], metabase.may_see["1"]["6"], metabase.may_query["2"]) == before


def test_what_somebody_made_among_the_managed_goes_only_when_asked(metabase: FakeMetabase) -> None:
    """A card that is in the managed collection and in no file is told, and archived by --restore."""
    # The database gets the number that her card has.
    metabase._last["database"] = 899
    applied(metabase)
    hers = {**metabase.card("Spend"), "id": 900, "name": "Hers", "entity_id": "x" * 21}
    metabase.cards[900] = hers
    line = "! card 900: Hers (made by hand among what is managed)"
    assert planned(metabase) == [line]
    assert applied(metabase) == [f"{line}: left"]
    assert hers["archived"] is False
    assert applied(metabase, restore=True) == [line]
    assert hers["archived"] is True
    assert planned(metabase) == []


@pytest.mark.parametrize(
    "path",
    ["/api/database", "/api/collection", "/api/card", "/api/dashboard", "/api/permissions/group"],
)
def test_an_answer_that_is_lost_makes_no_twin(metabase: FakeMetabase, path: str) -> None:
    """What was made, though nobody heard of it, is found and not made again."""
    metabase.faults += [Fault("lost", "POST", path, times=2)]
    assert keys(applied(metabase), "+") == EVERYTHING
    assert [len(each) for each in (metabase.databases, metabase.collections, metabase.cards, metabase.dashboards)] == [
        1,
        2,
        5,
        2,
    ]
    assert len(metabase.groups) == 3
    assert planned(metabase) == []


def living(metabase: FakeMetabase) -> list[int]:
    """How many databases, collections, cards, dashboards and groups there are."""
    kept = (metabase.collections, metabase.cards, metabase.dashboards)
    alive = [sum(not each["archived"] for each in held.values()) for held in kept]
    return [len(metabase.databases), *alive, len(metabase.groups)]


@pytest.mark.parametrize("keeps_entity_ids", [True, False])
def test_what_two_make_at_once_is_there_once(keeps_entity_ids: bool) -> None:
    """Of two objects of a name, made at the same moment, the first stays and the second is put away."""
    paths = ["database", "collection", "card", "dashboard", "permissions/group"]
    twins = [Fault("twin", "POST", f"/api/{path}", times=9) for path in paths]
    with a_metabase(faults=twins, keeps_entity_ids=keeps_entity_ids) as metabase:
        assert keys(applied(metabase), "+") == EVERYTHING
        assert living(metabase) == [1, 2, 5, 2, 3]
        assert planned(metabase) == []


@pytest.mark.parametrize("path", ["/api/collection", "/api/dashboard"])
def test_of_two_the_first_is_taken_when_no_answer_came_too(metabase: FakeMetabase, path: str) -> None:
    """Where another was made and no answer came to one's own, the first is it, and a dashboard too many is told."""
    metabase.faults += [Fault("twin and lost", "POST", path)]
    made, told = applied(metabase), {"/api/dashboard": ["dashboard 2"]}.get(path, [])
    assert keys(made[: len(EVERYTHING)], "+") == EVERYTHING
    assert keys(made[len(EVERYTHING) :], "!") == told
    assert keys(planned(metabase), "!") == told


def test_two_applications_at_once_make_one_set(metabase: FakeMetabase) -> None:
    """Whoever comes second to an object takes the first's."""
    with ThreadPoolExecutor(2) as both:
        assert all(both.map(lambda _: applied(metabase), range(2)))
    assert living(metabase) == [1, 2, 5, 2, 3]
    assert planned(metabase) == []


def test_lost_and_failing_answers_are_asked_for_again(metabase: FakeMetabase) -> None:
    """Reading and replacing are tried again after 5xx and broken connections; a POST that was not done too."""
    metabase.faults += [
        Fault("error", "GET", "/api/collection", times=2),
        Fault("error", "POST", "/api/card", times=1),
        Fault("error", "POST", "/api/dashboard", times=2),
        Fault("lost", "PUT", "/graph", times=1),
    ]
    assert keys(applied(metabase), "+") == EVERYTHING
    assert planned(metabase) == []


def test_a_metabase_that_stays_broken_is_told(metabase: FakeMetabase) -> None:
    """After four attempts it is over, in one line that says what was asked."""
    metabase.faults += [Fault("error", "GET", "/api/collection", times=4)]
    with pytest.raises(MetabaseError, match=r"refused GET /api/collection \(503\): Service Unavailable"):
        applied(metabase)


def test_an_interrupted_application_is_finished_by_the_next(metabase: FakeMetabase) -> None:
    """What was made until then is ours, so the next one needs not be asked to overwrite it."""
    metabase.faults += [Fault("error", "PUT", "/api/dashboard/1", times=4)]
    with pytest.raises(MetabaseError):
        applied(metabase)
    assert metabase.dashboard("AI spend overview")["dashcards"] == []
    lines = applied(metabase)
    assert all(line.startswith(("+", "~")) for line in lines)
    assert planned(metabase) == []


@pytest.mark.parametrize("number", [3, 8, 20, 40, 60])
def test_an_application_that_ends_anywhere_is_healed_by_the_next(number: int) -> None:
    """Early or late, with settings of the server's own: nothing of it is taken for somebody's edit or made twice."""
    with a_metabase(adds={"table.pivot": False}) as metabase:
        one = site(metabase)
        one.server._once = ends_after(number, one.server._once)  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            apply.apply(one, spec(), lambda _: None)
        one.server.close()
        assert all(line.startswith("+") for line in applied(metabase))
        assert planned(metabase) == []
        assert living(metabase) == [1, 2, 5, 2, 3]


def ends_after(number: int, ask: Callable[..., Any]) -> Callable[..., Any]:
    """The same way to ask, until it is done for the last time and nobody hears the answer."""
    asked: list[str] = []

    def once(method: str, path: str, *rest: Any) -> Any:
        if len(asked) >= number:
            raise KeyboardInterrupt
        asked.append(path)
        answer = ask(method, path, *rest)
        if len(asked) == number:
            raise KeyboardInterrupt
        return answer

    return once


def test_a_group_that_was_deleted_reads_again(metabase: FakeMetabase) -> None:
    """What is made anew has its rights made anew: they were of another."""
    applied(metabase)
    (number,) = [number for number, name in metabase.groups.items() if name == render.GROUP]
    del metabase.groups[number], metabase.may_see[str(number)], metabase.may_query[str(number)]
    assert keys(applied(metabase), "+") == ["group", "access to the collections"]
    assert planned(metabase) == []


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/permissions/group", []),
        ("/api/permissions/graph", {"revision": 1, "groups": {}}),
        ("/api/permissions/graph", {"revision": 1, "groups": {"1": {"1": {"data": {"native": "write"}}}}}),
        ("/api/collection/graph", {"revision": 1, "groups": {}}),
    ],
)
def test_rights_that_are_not_told_are_not_taken_for_none(metabase: FakeMetabase, path: str, answer: Any) -> None:
    """Nothing is shown in a Metabase that does not say who may what."""
    metabase.odd[f"GET {path}"] = answer
    with pytest.raises(MetabaseError, match="with something else than was expected"):
        applied(metabase)
    assert metabase.cards == {}


def test_permissions_that_somebody_changes_meanwhile_are_read_again(metabase: FakeMetabase) -> None:
    """A stale revision is refused, and the write is made on what is there now."""
    metabase.faults += [
        Fault("stale", "PUT", "/api/collection/graph", 2),
        Fault("stale", "PUT", "/permissions/graph", 1),
    ]
    applied(metabase)
    assert planned(metabase) == []


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/dashboard/1", {"id": 1, "name": "x", "tabs": [None]}),
        ("/api/dashboard/1", {"id": 1, "dashcards": [{"id": 1}]}),
        ("/api/card/1", {"id": 1, "dataset_query": {"stages": [None]}}),
        ("/api/collection/graph", {"revision": 1, "groups": []}),
    ],
)
def test_a_part_of_an_answer_that_is_something_else_is_told(metabase: FakeMetabase, path: str, answer: Row) -> None:
    """However deep it is: with what was asked, and no traceback."""
    metabase.odd[f"GET {path}"] = answer
    with pytest.raises(MetabaseError, match=f"answered GET {path} with something else than was expected"):
        applied(metabase)


def test_an_id_that_is_none_is_told(metabase: FakeMetabase) -> None:
    """Of something that was made too."""
    metabase.odd["POST /api/card"] = {"id": "first"}
    with pytest.raises(MetabaseError, match="answered POST /api/card with something else than was expected"):
        applied(metabase)


@pytest.mark.parametrize("number", ["../user/1", "1", -1, 1.5, True, None, "\x1b[31m", [1]])
def test_an_id_that_is_no_number_is_no_path(metabase: FakeMetabase, number: Any) -> None:
    """What lists such an id is told, and nothing is archived by it."""
    applied(metabase)
    metabase.odd["GET /api/collection/2/items"] = [{"id": number, "model": "card", "name": "x"}]
    before = len(metabase.seen)
    with pytest.raises(MetabaseError, match="with something else than was expected: an id is no number"):
        applied(metabase, restore=True)
    assert {each.method for each in metabase.seen[before:]} == {"GET"}


@pytest.mark.parametrize("sql", [5, [None], {}])
def test_a_memory_that_is_no_text_is_forgotten(metabase: FakeMetabase, sql: Any) -> None:
    """It accuses nobody of an edit, and is written anew."""
    applied(metabase)
    (memory,) = (each for each in metabase.cards.values() if "ai-usage last wrote" in str(each["description"]))
    stage = memory["dataset_query"]["stages"][0]
    stage["native"] = sql
    assert applied(metabase, restore=True)
    assert planned(metabase) == []


def test_permissions_that_change_all_the_time_are_told(metabase: FakeMetabase) -> None:
    """After five attempts it is over, and nothing was overwritten."""
    metabase.faults += [Fault("stale", "PUT", "/api/permissions/graph", times=9)]
    with pytest.raises(MetabaseError, match=r"PUT /api/permissions/graph \(409\)"):
        applied(metabase)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("parameters", r"card overview\.spend \(Spend by team\) was written, and reads back otherwise: parameters 0 "),
        ("dashcards", r"dashboard overview \(AI spend overview\) was written, and reads back otherwise: cards 0 "),
        ("width", r'dashboard overview .*: width "fixed" -> "full"'),
    ],
)
def test_a_key_that_vanishes_is_noticed(key: str, told: str) -> None:
    """What a server drops without a word is missing when it is read back: the object and the key are named."""
    with a_metabase(forgets=key) as metabase:
        with pytest.raises(ReadBackMismatch, match=told):
            applied(metabase)
        assert metabase.dropped
        # What was written until then is remembered as ours.
        metabase.forgets = ""
        assert all(line.startswith(("+", "~")) for line in applied(metabase))
        assert planned(metabase) == []


def test_an_application_that_fails_lets_nobody_in() -> None:
    """Where a card cannot be made, everybody is already kept from the new database and collections."""
    with a_metabase(forgets="parameters") as metabase:
        with pytest.raises(ReadBackMismatch):
            applied(metabase)
        (database,) = metabase.databases
        assert metabase.may_query["1"][str(database)]["create-queries"] == "no"
        assert [metabase.may_see["1"][str(each)] for each in metabase.collections] == ["none", "none"]


def test_two_of_one_name_are_not_guessed_between(metabase: FakeMetabase) -> None:
    """Where nothing is remembered and a name is there twice, nothing is written."""
    applied(metabase)
    metabase.dashboards[900] = {**metabase.dashboard("People"), "id": 900}
    del metabase.cards[metabase.card(render.MEMORY)["id"]]
    with pytest.raises(MetabaseError, match=r"There are 2 of the name 'People' \(ids 2, 900\)"):
        planned(metabase)


def test_without_its_memory_differences_are_nobodys(metabase: FakeMetabase) -> None:
    """When the memory was deleted, what is as wanted is remembered anew, and what is not needs --restore."""
    applied(metabase)
    del metabase.cards[metabase.card(render.MEMORY)["id"]]
    first, *edited = planned(metabase, changed())
    assert keys(edited, "!") == ["card overview.total", "dashboard overview"]
    # Of the key nobody can see whether it is the one that is wanted.
    assert first.startswith("+ database: AI usage (BigQuery) (service account null -> ")
    metabase.databases[1]["auto_run_queries"] = False
    assert planned(metabase, changed())[0].startswith("! database")
    applied(metabase, restore=True)
    assert keys(planned(metabase, changed()), "~") == ["card overview.total", "dashboard overview"]


def test_a_collection_that_was_moved_is_not_made_again(metabase: FakeMetabase) -> None:
    """Nothing remembered and the name elsewhere, nothing is written; in a person's own collection it is nobody's."""
    applied(metabase)
    moved = metabase.collection(render.COLLECTION)
    outer = metabase.number("collection")
    metabase.collections[outer] = {"id": outer, "name": "Finance", "archived": False, "parent_id": None}
    moved["parent_id"] = outer
    assert keys(planned(metabase), "!") == ["collection"]
    del metabase.cards[metabase.card(render.MEMORY)["id"]]
    with pytest.raises(MetabaseError, match=rf"\(id {moved['id']}\) lies in another, .* move it to the top"):
        applied(metabase)
    # That of Ada, who is not asked.
    metabase.collections[outer]["parent_id"] = 1
    assert "+ collection: AI usage (managed as code)" in planned(metabase)


def test_names_of_others_write_no_lines(metabase: FakeMetabase) -> None:
    """What somebody called a card among the managed is told on one line, without what a terminal would obey."""
    applied(metabase)
    body = {**metabase.card("Spend"), "id": 900, "entity_id": "x" * 21, "name": "Mine\x1b[2J\n! group: all"}
    metabase.cards[900] = body
    (line,) = planned(metabase)
    assert line == "! card 900: Mine [2J ! group: all (made by hand among what is managed)"


def test_a_card_is_known_without_its_memory(metabase: FakeMetabase) -> None:
    """Its id is made of its key, so a new name makes no twin even when nothing is remembered."""
    applied(metabase)
    del metabase.cards[metabase.card(render.MEMORY)["id"]]
    renamed = wanted()
    renamed["dashboards"][0]["cards"]["total"]["name"] = "Spend, all"
    applied(metabase, renamed, restore=True)
    assert len(metabase.cards) == 5
    assert planned(metabase, renamed) == []


def test_the_memory_is_a_statement_of_bigquery(metabase: FakeMetabase) -> None:
    """The card that remembers can be run, and says of each object its id and two digests."""
    applied(metabase)
    (stage,) = metabase.card(render.MEMORY)["dataset_query"]["stages"]
    sqlglot.parse_one(stage["native"], read="bigquery")
    held = StateStore.of(stage["native"])
    assert held.keys() == {*EVERYTHING, "service account"}
    assert held["dashboard people"].id == metabase.dashboard("People")["id"]
    assert StateStore.of(StateStore({'a "b" \\': AppliedState(1, "c", "d")}).sql()) == {
        'a "b" \\': AppliedState(1, "c", "d")
    }


@pytest.mark.parametrize("number", ['"../user/1"', "null", "1.5"])
def test_a_memory_edited_by_hand_leads_nowhere_else(number: str) -> None:
    """What is no id is forgotten, for ids become parts of paths."""
    assert StateStore.of(f'  ("dashboard people", {number}, "", ""),') == {}


def test_another_key_of_the_database_is_sent_and_none_is_no_difference(metabase: FakeMetabase) -> None:
    """A service account's new key reaches Metabase once; without one at hand, Metabase keeps what it has."""
    applied(metabase)
    assert planned(metabase, account=None) == []
    other = ACCOUNT.replace("metabase@", "other@")
    (line,) = planned(metabase, account=other)
    assert line.startswith("~ database: AI usage (BigQuery) (service account")
    assert applied(metabase, account=other) == [line]
    (database,) = metabase.databases.values()
    assert database["details"]["service-account-json"] == other
    use_no_cache(metabase)
    applied(metabase, account=None, restore=True)
    assert database["details"]["service-account-json"] == other
    assert planned(metabase, account=None) == []


def test_a_fresh_metabase_needs_a_key_of_the_database(metabase: FakeMetabase) -> None:
    """Without a service account there is no connection, which is told before anything is made."""
    with pytest.raises(CredentialError, match="AI_USAGE_METABASE_SERVICE_ACCOUNT is not set"):
        applied(metabase, account=None)
    assert metabase.writes() == []
