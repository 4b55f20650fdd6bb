"""Plan and apply against a fake Metabase: changes, manual edits, faults, concurrent runs and unmanaged objects."""

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
from ai_usage_assets.metabase.state import AppliedState, StateStore
from ai_usage_assets_tests.fakes.metabase import FakeMetabase, Fault
from ai_usage_assets_tests.fakes.metabase_schema import Row
from ai_usage_assets_tests.metabase.instance import (
    ACCOUNT,
    connect,
    make_spec,
    run_apply,
    run_plan,
    serve_metabase,
    spec_dict,
)

TAG = "2cc0cc41-d14d-5d52-9748-331eb2d7cac4"
EVERYTHING = [
    "database",
    "database permissions",
    "group",
    "collection",
    "support collection",
    "collection permissions",
    "filter month",
    "card overview.spend",
    "card overview.total",
    "card people.people",
    "dashboard overview",
    "dashboard people",
]


@pytest.fixture
def metabase() -> Iterator[FakeMetabase]:
    """A Metabase that must not receive keys it ignores."""
    with serve_metabase() as fake:
        yield fake
    assert fake.ignored == []


@pytest.fixture
def applied() -> Iterator[FakeMetabase]:
    """A Metabase with the small spec that must not receive keys it ignores."""
    with serve_metabase(applied=True) as fake:
        yield fake
    assert fake.ignored == []


def resource_keys(lines: list[str], sign: str) -> list[str]:
    """Return the resource keys of the lines, which all have this sign."""
    assert all(line.startswith(f"{sign} ") for line in lines), lines
    return [line[2:].partition(":")[0] for line in lines]


def test_plan_lists_what_apply_does(metabase: FakeMetabase) -> None:
    """Plan changes nothing, apply does exactly what was planned, and a second plan is empty."""
    assert resource_keys(run_plan(metabase), "+") == EVERYTHING
    assert metabase.writes() == []
    assert resource_keys(run_apply(metabase), "+") == EVERYTHING
    assert run_plan(metabase) == []
    writes = len(metabase.writes())
    assert run_apply(metabase) == []
    assert len(metabase.writes()) == writes


@pytest.mark.parametrize(
    "version",
    [
        {"tags": "list", "is_legacy": True, "added_settings": {"table.pivot": False}},
        {"keeps_entity_ids": False},
    ],
    ids=lambda version: next(iter(version)),
)
def test_response_formats_of_other_versions_are_no_difference(version: dict[str, Any]) -> None:
    """Tags as a list, legacy queries, the server's own entity ids and added settings cause no changes."""
    with serve_metabase(**version) as metabase:
        run_apply(metabase)
        assert run_plan(metabase) == []
        metabase.card("Spend")["description"] = "Mine"
        assert resource_keys(run_plan(metabase), "!") == ["card overview.total"]
        renamed = spec_dict()
        renamed["dashboards"][0]["cards"]["spend"]["name"] = "Spend of teams"
        assert len(run_apply(metabase, renamed, restore=True)) == 2
        assert run_plan(metabase, renamed) == []
    assert len(metabase.cards) == 5


def test_apply_creates_tabs_filters_and_links(applied: FakeMetabase) -> None:
    """The dashboard has its tabs and grid, a filter mapped to each card that uses it, and click behavior."""
    overview, people = applied.dashboard("AI spend overview"), applied.dashboard("People")
    spend = applied.card("Spend by team")["id"]
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
    values = applied.card("Values of the filter Month (month)")["id"]
    assert parameter["type"] == "string/="
    assert parameter["isMultiSelect"] is True
    assert parameter["values_source_config"]["card_id"] == values
    assert parameter["values_source_config"]["value_field"][1] == "month"
    # A dashboard with one tab has none in Metabase; in a table, columns are clickable.
    (listed,) = people["dashcards"]
    assert (people["tabs"], listed["dashboard_tab_id"]) == ([], None)
    assert listed["visualization_settings"]["column_settings"]['["name","month"]']["click_behavior"]["type"] == (
        "crossfilter"
    )


def test_apply_creates_queries_and_number_formats(applied: FakeMetabase) -> None:
    """A card has its SQL with a variable of a stable id, and the formats of its columns."""
    card = applied.card("Spend by team")
    (stage,) = card["dataset_query"]["stages"]
    tag = stage["template-tags"]["month"]
    assert (stage["lib/type"], tag["display-name"], tag["type"]) == ("mbql.stage/native", "Month", "text")
    # The id must not change between versions, or every card would differ.
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


def test_only_the_finance_group_reads_and_nobody_writes_queries(metabase: FakeMetabase) -> None:
    """The finance group reads the managed collections, other groups do not, and only administrators write queries."""
    sales = metabase.add_group("Sales")["id"]
    metabase.collection_permissions[str(sales)] = {"root": "read"}
    run_apply(metabase)
    finance = next(str(number) for number, name in metabase.groups.items() if name == "AI finance")
    managed = {str(each) for each in metabase.collections}
    for group, may in metabase.collection_permissions.items():
        allowed = {each for each in managed if may.get(each, "none") != "none"}
        assert allowed == (managed if group in ("2", finance) else set()), group
    (database,) = metabase.databases
    queries = {group: may[str(database)]["create-queries"] for group, may in metabase.database_permissions.items()}
    assert {group for group, can in queries.items() if can != "no"} == {"2"}
    # Other permissions of the groups are unchanged.
    assert metabase.database_permissions["1"][str(database)]["download"] == {"schemas": "full"}
    assert metabase.collection_permissions["1"]["root"] == "write"


def test_cards_query_the_configured_dataset(metabase: FakeMetabase) -> None:
    """The connection is limited to the dataset, and no card names the default one."""
    assert run_apply(metabase, dataset="ai_usage_eu")
    assert run_plan(metabase, dataset="ai_usage_eu") == []
    (database,) = metabase.databases.values()
    assert database["details"]["dataset-filters-patterns"] == "ai_usage_eu"
    statements = [card["dataset_query"]["stages"][0]["native"] for card in metabase.cards.values()]
    assert sum("FROM ai_usage_eu.kpi_spend" in sql for sql in statements) == 4
    assert not any("ai_usage." in sql for sql in statements)


def test_another_dataset_is_not_applied_without_restore(applied: FakeMetabase) -> None:
    """Plan reports a dataset other than the current one, and apply refuses it without --restore."""
    writes = len(applied.writes())
    moves = "shows p.ai_usage; the settings say p.ai_usage_dev"
    assert run_plan(applied, dataset="ai_usage_dev")[0] == f"! database: AI usage (BigQuery) ({moves})"
    with pytest.raises(TargetMismatch, match=rf"{moves}\. .*GOOGLE_CLOUD"):
        run_apply(applied, dataset="ai_usage_dev")
    assert len(applied.writes()) == writes
    assert resource_keys(run_apply(applied, dataset="ai_usage_dev", restore=True)[1:], "~")[0] == "filter month"
    assert run_plan(applied, dataset="ai_usage_dev") == []


def show_to_everybody(metabase: FakeMetabase) -> None:
    """Lets all users see the collection."""
    metabase.collection_permissions["1"][str(metabase.collection(render.COLLECTION)["id"])] = "read"


def let_everybody_query(metabase: FakeMetabase) -> None:
    """Lets all users write queries."""
    (database,) = metabase.databases
    metabase.database_permissions["1"][str(database)]["create-queries"] = "query-builder"


def move_a_card(metabase: FakeMetabase) -> None:
    """Moves a card of the overview."""
    metabase.dashboard("AI spend overview")["dashcards"][1]["col"] = 3


def remove_a_card(metabase: FakeMetabase) -> None:
    """Removes a card of the overview."""
    del metabase.dashboard("AI spend overview")["dashcards"][2]


def defeat_the_cache(metabase: FakeMetabase) -> None:
    """Makes each query a different text, so that no result is cached."""
    (database,) = metabase.databases.values()
    database["details"]["include-user-id-and-hash"] = True


def add_a_default(metabase: FakeMetabase) -> None:
    """Gives a filter a default value."""
    metabase.dashboard("People")["parameters"][0]["default"] = ["2026-10"]


# Edits that can be made together, each with the line of the plan.
EDITS: list[list[tuple[Callable[[FakeMetabase], None], str]]] = [
    [
        (let_everybody_query, "! database permissions: AI usage (BigQuery) (All Users was added)"),
        (lambda metabase: metabase.collection(render.SUPPORT_COLLECTION).update(name="Junk"),
         '! support collection: Filter values and state (name "Junk" -> "Filter values and state")'),
        (show_to_everybody, "! collection permissions: AI usage (managed as code) (All Users was added)"),
        (lambda metabase: metabase.card("Spend by team").update(name="Mine"),
         '! card overview.spend: Spend by team (name "Mine" -> "Spend by team")'),
        (lambda metabase: metabase.card("Spend").update(archived=True),
         "! card overview.total: Spend (archived true -> false)"),
        (lambda metabase: metabase.card("Spend by person").update(collection_id=1),
         "! card people.people: Spend by person (collection_id 1 -> 2)"),
        (move_a_card, "! dashboard overview: AI spend overview (cards[1].col 3 -> 0)"),
        (add_a_default, "! dashboard people: People (parameters[0].default was added)"),
    ],
    [
        (defeat_the_cache, "! database: AI usage (BigQuery) (details.include-user-id-and-hash true -> false)"),
        (remove_a_card, "! dashboard overview: AI spend overview (cards 2 items -> 3 items)"),
    ],
]  # fmt: skip


def test_manual_edits_are_kept_unless_restored(applied: FakeMetabase) -> None:
    """Plan reports a manual edit, apply keeps it, and apply --restore overwrites it."""
    for edits in EDITS:
        for edit, _ in edits:
            edit(applied)
        lines = [line for _, line in edits]
        assert run_plan(applied) == lines
        writes = len(applied.writes())
        assert run_apply(applied) == [f"{line}: kept" for line in lines]
        assert len(applied.writes()) == writes
        assert run_apply(applied, restore=True) == lines
        assert run_plan(applied) == []


def changed_spec() -> dict[str, Any]:
    """The small spec with another text, width and tab."""
    other = spec_dict()
    overview = other["dashboards"][0]
    overview["cards"]["total"]["description"] = "US dollars, without seats."
    overview["tabs"][0]["rows"][1]["cards"][0]["width"] = 8
    overview["tabs"].append({"name": "Notes", "rows": [{"text": "Days are UTC days.", "height": 2}]})
    return other


def test_a_changed_spec_is_applied_and_ids_stay(applied: FakeMetabase) -> None:
    """A change of the files is applied without --restore; dashcards and tabs keep their ids."""
    before = copy.deepcopy(applied.dashboard("AI spend overview"))
    assert resource_keys(run_plan(applied, changed_spec()), "~") == ["card overview.total", "dashboard overview"]
    run_apply(applied, changed_spec())
    after = applied.dashboard("AI spend overview")
    assert [card["id"] for card in after["dashcards"][:3]] == [card["id"] for card in before["dashcards"]]
    assert [tab["id"] for tab in after["tabs"][:2]] == [tab["id"] for tab in before["tabs"]]
    assert after["dashcards"][1]["size_x"] == 8
    assert run_plan(applied, changed_spec()) == []


def test_a_renamed_tab_keeps_its_dashcards(applied: FakeMetabase) -> None:
    """The new name takes the tab's id, and the ids of its dashcards stay."""
    before = copy.deepcopy(applied.dashboard("AI spend overview"))
    renamed = spec_dict()
    renamed["dashboards"][0]["tabs"][0]["name"] = "Today"
    run_apply(applied, renamed)
    after = applied.dashboard("AI spend overview")
    assert [tab["name"] for tab in after["tabs"]] == ["Today", "Teams"]
    assert [card["id"] for card in after["dashcards"]] == [card["id"] for card in before["dashcards"]]
    assert run_plan(applied, renamed) == []


def test_a_renamed_object_stays_the_same_object(applied: FakeMetabase) -> None:
    """A card and a dashboard with new names keep their ids."""
    card, dashboard = applied.card("Spend")["id"], applied.dashboard("People")["id"]
    renamed = spec_dict()
    renamed["dashboards"][0]["cards"]["total"]["name"] = "Spend, all"
    renamed["dashboards"][1]["name"] = "Who"
    assert resource_keys(run_apply(applied, renamed), "~") == ["card overview.total", "dashboard people"]
    assert (applied.card("Spend, all")["id"], applied.dashboard("Who")["id"]) == (card, dashboard)
    assert run_plan(applied, renamed) == []


def test_removed_objects_are_archived_and_can_return(applied: FakeMetabase) -> None:
    """A card and a dashboard that left the files are archived, and are restored when they return."""
    card, dashboard = applied.card("Spend by person"), applied.dashboard("People")
    fewer = spec_dict()
    fewer["dashboards"] = fewer["dashboards"][:1]
    fewer["dashboards"][0]["cards"]["spend"]["click"] = None
    assert run_plan(applied, fewer)[1:] == ["- card people.people: Spend by person", "- dashboard people: People"]
    run_apply(applied, fewer)
    assert (card["archived"], dashboard["archived"]) == (True, True)
    assert run_plan(applied, fewer) == []
    assert resource_keys(run_plan(applied), "~") == ["card people.people", "dashboard overview", "dashboard people"]
    run_apply(applied)
    assert (card["archived"], dashboard["archived"]) == (False, False)
    assert (len(applied.cards), len(applied.dashboards)) == (5, 2)
    assert run_plan(applied) == []


def test_unmanaged_objects_are_not_changed(metabase: FakeMetabase) -> None:
    """Other databases, collections, cards, dashboards and permissions stay as they are."""
    metabase.databases[5] = {"id": 5, "name": "Sales", "details": {}, "engine": "postgres"}
    metabase.database_permissions["1"]["5"] = {"view-data": "unrestricted", "create-queries": "query-builder"}
    metabase.collections[6] = {"id": 6, "name": "Sales", "archived": False, "parent_id": None}
    # Objects of the same names in another collection.
    metabase.collections[7] = {"id": 7, "name": render.SUPPORT_COLLECTION, "archived": False, "parent_id": 6}
    metabase.dashboards[8] = {"id": 8, "name": "People", "archived": False, "collection_id": 6}
    metabase.collection_permissions["1"]["6"] = "write"

    def read_unmanaged() -> Any:
        objects = (metabase.databases[5], metabase.collections[6], metabase.collections[7], metabase.dashboards[8])
        queries = {key: value for key, value in metabase.database_permissions["2"].items() if key == "5"}
        return copy.deepcopy(
            (objects, metabase.database_permissions["1"]["5"], metabase.collection_permissions["1"]["6"], queries)
        )

    before = read_unmanaged()
    run_apply(metabase)
    run_apply(metabase, changed_spec(), restore=True)
    assert read_unmanaged() == before


def test_a_manual_card_in_a_managed_collection_is_archived_by_restore_only(metabase: FakeMetabase) -> None:
    """Plan reports a card that is in no file, and only apply --restore archives it."""
    # The database gets the same id as the manual card.
    metabase._last_ids["database"] = 899
    run_apply(metabase)
    manual_card = {**metabase.card("Spend"), "id": 900, "name": "Manual", "entity_id": "x" * 21}
    metabase.cards[900] = manual_card
    line = "! card 900: Manual (created manually in a managed collection)"
    assert run_plan(metabase) == [line]
    assert run_apply(metabase) == [f"{line}: kept"]
    assert manual_card["archived"] is False
    assert run_apply(metabase, restore=True) == [line]
    assert manual_card["archived"] is True
    assert run_plan(metabase) == []


def count_objects(metabase: FakeMetabase) -> list[int]:
    """Return how many databases, collections, cards, dashboards and groups are not archived."""
    stored = (metabase.collections, metabase.cards, metabase.dashboards)
    alive = [sum(not each["archived"] for each in objects.values()) for objects in stored]
    return [len(metabase.databases), *alive, len(metabase.groups)]


def test_a_lost_response_creates_no_duplicate(metabase: FakeMetabase) -> None:
    """An object whose response was lost is found and not created again."""
    paths = ["database", "collection", "card", "dashboard", "permissions/group"]
    metabase.faults += [Fault("lost", "POST", f"/api/{path}", times=2) for path in paths]
    assert resource_keys(run_apply(metabase), "+") == EVERYTHING
    assert [fault.path for fault in metabase.faults if fault.times == 2] == []
    assert count_objects(metabase) == [1, 2, 5, 2, 3]
    assert run_plan(metabase) == []


@pytest.mark.parametrize("keeps_entity_ids", [True, False])
def test_concurrent_creation_leaves_one_object(keeps_entity_ids: bool) -> None:
    """Of two objects with the same name, the first stays and the second is archived."""
    paths = ["database", "collection", "card", "dashboard", "permissions/group"]
    duplicates = [Fault("duplicate", "POST", f"/api/{path}", times=9) for path in paths]
    with serve_metabase(faults=duplicates, keeps_entity_ids=keeps_entity_ids) as metabase:
        assert resource_keys(run_apply(metabase), "+") == EVERYTHING
        assert count_objects(metabase) == [1, 2, 5, 2, 3]
        assert run_plan(metabase) == []


@pytest.mark.parametrize("path", ["/api/collection", "/api/dashboard"])
def test_concurrent_creation_with_a_lost_response_uses_the_first_object(metabase: FakeMetabase, path: str) -> None:
    """The first object is used; a duplicate dashboard is reported."""
    metabase.faults += [Fault("duplicate and lost", "POST", path)]
    lines, duplicates = run_apply(metabase), {"/api/dashboard": ["dashboard 2"]}.get(path, [])
    assert resource_keys(lines[: len(EVERYTHING)], "+") == EVERYTHING
    assert resource_keys(lines[len(EVERYTHING) :], "!") == duplicates
    assert resource_keys(run_plan(metabase), "!") == duplicates


def test_two_concurrent_applies_create_one_set(metabase: FakeMetabase) -> None:
    """The second run uses the objects of the first."""
    with ThreadPoolExecutor(2) as both:
        assert all(both.map(lambda _: run_apply(metabase), range(2)))
    assert count_objects(metabase) == [1, 2, 5, 2, 3]
    assert run_plan(metabase) == []


def test_failed_requests_are_retried(metabase: FakeMetabase) -> None:
    """GET and PUT are retried after 5xx and lost connections, and so is a POST that was not carried out."""
    metabase.faults += [
        Fault("error", "GET", "/api/collection", times=2),
        Fault("error", "POST", "/api/card", times=1),
        Fault("error", "POST", "/api/dashboard", times=2),
        Fault("lost", "PUT", "/graph", times=1),
    ]
    assert resource_keys(run_apply(metabase), "+") == EVERYTHING
    assert run_plan(metabase) == []


def test_persistent_failure_is_reported(metabase: FakeMetabase) -> None:
    """After four attempts, the error names the request."""
    metabase.faults += [Fault("error", "GET", "/api/collection", times=4)]
    with pytest.raises(MetabaseError, match=r"GET /api/collection \(503\)"):
        run_apply(metabase)


def test_the_next_apply_finishes_an_interrupted_one(metabase: FakeMetabase) -> None:
    """What the interrupted run created is managed, so --restore is not needed."""
    metabase.faults += [Fault("error", "PUT", "/api/dashboard/1", times=4)]
    with pytest.raises(MetabaseError):
        run_apply(metabase)
    assert metabase.dashboard("AI spend overview")["dashcards"] == []
    lines = run_apply(metabase)
    assert all(line.startswith(("+", "~")) for line in lines)
    assert run_plan(metabase) == []


@pytest.mark.parametrize("number", [3, 8, 20, 40, 60])
def test_an_apply_that_ends_at_any_request_is_completed_by_the_next(number: int) -> None:
    """No object is taken for a manual edit or created twice, even with settings that the server adds."""
    with serve_metabase(added_settings={"table.pivot": False}) as metabase:
        with connect(metabase) as context:
            context.client._request = end_after(number, context.client._request)  # type: ignore[method-assign]
            with pytest.raises(KeyboardInterrupt):
                apply.apply(context, make_spec(), lambda _: None)
        assert all(line.startswith("+") for line in run_apply(metabase))
        assert run_plan(metabase) == []
        assert count_objects(metabase) == [1, 2, 5, 2, 3]


def end_after(number: int, request: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a request function: the last request is carried out, and its response is lost."""
    paths: list[str] = []

    def request_until_end(method: str, path: str, *rest: Any) -> Any:
        if len(paths) >= number:
            raise KeyboardInterrupt
        paths.append(path)
        response = request(method, path, *rest)
        if len(paths) == number:
            raise KeyboardInterrupt
        return response

    return request_until_end


def test_a_deleted_group_is_created_with_its_permissions(applied: FakeMetabase) -> None:
    """The permissions of a new group are written again."""
    (number,) = [number for number, name in applied.groups.items() if name == render.GROUP]
    del (
        applied.groups[number],
        applied.collection_permissions[str(number)],
        applied.database_permissions[str(number)],
    )
    assert resource_keys(run_apply(applied), "+") == ["group", "collection permissions"]
    assert run_plan(applied) == []


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/permissions/group", []),
        ("/api/permissions/graph", {"revision": 1, "groups": {}}),
        ("/api/permissions/graph", {"revision": 1, "groups": {"1": {"1": {"data": {"native": "write"}}}}}),
        ("/api/collection/graph", {"revision": 1, "groups": {}}),
    ],
)
def test_incomplete_permissions_stop_the_apply(metabase: FakeMetabase, path: str, answer: Any) -> None:
    """No card is created if Metabase does not return the permissions of all groups."""
    metabase.responses[f"GET {path}"] = answer
    with pytest.raises(MetabaseError, match="with an unexpected response"):
        run_apply(metabase)
    assert metabase.cards == {}


def test_permissions_are_read_again_after_a_concurrent_change(metabase: FakeMetabase) -> None:
    """After a stale revision is rejected, the change is applied to the current graph."""
    metabase.faults += [
        Fault("stale", "PUT", "/api/collection/graph", 2),
        Fault("stale", "PUT", "/permissions/graph", 1),
    ]
    run_apply(metabase)
    assert run_plan(metabase) == []


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/dashboard/1", {"id": 1, "name": "x", "tabs": [None]}),
        ("/api/dashboard/1", {"id": 1, "dashcards": [{"id": 1}]}),
        ("/api/card/1", {"id": 1, "dataset_query": {"stages": [None]}}),
        ("/api/collection/graph", {"revision": 1, "groups": []}),
    ],
)
def test_an_unexpected_response_is_reported(metabase: FakeMetabase, path: str, answer: Row) -> None:
    """The error names the request, however deep the unexpected part is."""
    metabase.responses[f"GET {path}"] = answer
    with pytest.raises(MetabaseError, match=f"answered GET {path} with an unexpected response"):
        run_apply(metabase)


def test_an_invalid_id_of_a_new_object_is_reported(metabase: FakeMetabase) -> None:
    """The error names the request."""
    metabase.responses["POST /api/card"] = {"id": "first"}
    with pytest.raises(MetabaseError, match="answered POST /api/card with an unexpected response"):
        run_apply(metabase)


def test_an_invalid_id_never_becomes_a_path(applied: FakeMetabase) -> None:
    """The error names the id, and nothing is archived."""
    for number in ("../user/1", "1", -1, 1.5, True, None, "\x1b[31m", [1]):
        applied.responses["GET /api/collection/2/items"] = [{"id": number, "model": "card", "name": "x"}]
        with pytest.raises(MetabaseError, match="an id is not a positive"):
            run_apply(applied, restore=True)
    assert applied.writes() == []


def test_an_invalid_state_is_replaced(applied: FakeMetabase) -> None:
    """Nothing is taken for a manual edit, and the state is written again."""
    stage = applied.card(render.STATE)["dataset_query"]["stages"][0]
    invalid: list[Any] = [5, [None], {}]
    for sql in invalid:
        stage["native"] = sql
        assert run_apply(applied, restore=True)
        (stage,) = applied.card(render.STATE)["dataset_query"]["stages"]
        assert stage["native"] != sql
        assert run_plan(applied) == []


def test_permissions_that_keep_changing_are_reported(metabase: FakeMetabase) -> None:
    """After five attempts, apply fails without overwriting anything."""
    metabase.faults += [Fault("stale", "PUT", "/api/permissions/graph", times=9)]
    with pytest.raises(MetabaseError, match=r"PUT /api/permissions/graph \(409\)"):
        run_apply(metabase)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "parameters",
            r"card overview\.spend \(Spend by team\).*: parameters 0 ",
        ),
        (
            "dashcards",
            r"dashboard overview \(AI spend overview\).*: cards 0 ",
        ),
        ("width", r'dashboard overview .*: width "fixed" -> "full"'),
    ],
)
def test_an_ignored_key_is_reported(key: str, message: str) -> None:
    """Reading back shows a key that the server ignored; the error names the object and the key."""
    with serve_metabase(ignores=key) as metabase:
        with pytest.raises(ReadBackMismatch, match=message):
            run_apply(metabase)
        assert metabase.ignored
        # The next apply knows what was written until then.
        metabase.ignores = ""
        assert all(line.startswith(("+", "~")) for line in run_apply(metabase))
        assert run_plan(metabase) == []


def test_permissions_are_set_before_a_failure() -> None:
    """If a card cannot be created, other groups already have no access to the new database and collections."""
    with serve_metabase(ignores="parameters") as metabase:
        with pytest.raises(ReadBackMismatch):
            run_apply(metabase)
        (database,) = metabase.databases
        assert metabase.database_permissions["1"][str(database)]["create-queries"] == "no"
        assert [metabase.collection_permissions["1"][str(each)] for each in metabase.collections] == ["none", "none"]


def test_an_ambiguous_name_is_an_error(applied: FakeMetabase) -> None:
    """Without state, nothing is written if a name exists twice."""
    applied.dashboards[900] = {**applied.dashboard("People"), "id": 900}
    del applied.cards[applied.card(render.STATE)["id"]]
    with pytest.raises(MetabaseError, match=r"2 objects have the name 'People' \(ids 2, 900\)"):
        run_plan(applied)


def test_without_state_differences_need_restore(applied: FakeMetabase) -> None:
    """After the state was deleted, equal objects are recorded again, and different ones need --restore."""
    del applied.cards[applied.card(render.STATE)["id"]]
    first, *edited = run_plan(applied, changed_spec())
    assert resource_keys(edited, "!") == ["card overview.total", "dashboard overview"]
    # Metabase does not show the key, so it is sent again.
    assert first.startswith("+ database: AI usage (BigQuery) (service account null -> ")
    applied.databases[1]["auto_run_queries"] = False
    assert run_plan(applied, changed_spec())[0].startswith("! database")
    run_apply(applied, restore=True)
    assert resource_keys(run_plan(applied, changed_spec()), "~") == ["card overview.total", "dashboard overview"]


def test_a_moved_collection_is_not_created_again(applied: FakeMetabase) -> None:
    """Without state, a collection of the name elsewhere is an error; one in a personal collection is ignored."""
    moved = applied.collection(render.COLLECTION)
    outer = applied.next_id("collection")
    applied.collections[outer] = {"id": outer, "name": "Finance", "archived": False, "parent_id": None}
    moved["parent_id"] = outer
    assert resource_keys(run_plan(applied), "!") == ["collection"]
    del applied.cards[applied.card(render.STATE)["id"]]
    with pytest.raises(MetabaseError, match=rf"\(id {moved['id']}\) is inside another collection"):
        run_apply(applied)
    # The collection becomes part of Ada's personal collection.
    applied.collections[outer]["parent_id"] = 1
    assert "+ collection: AI usage (managed as code)" in run_plan(applied)


def test_names_from_metabase_are_printed_on_one_line(applied: FakeMetabase) -> None:
    """Line breaks and control characters in a card's name are removed."""
    body = {**applied.card("Spend"), "id": 900, "entity_id": "x" * 21, "name": "Mine\x1b[2J\n! group: all"}
    applied.cards[900] = body
    (line,) = run_plan(applied)
    assert line == "! card 900: Mine [2J ! group: all (created manually in a managed collection)"


def test_a_card_is_found_without_state(applied: FakeMetabase) -> None:
    """Its entity id is derived from its key, so a new name creates no second card."""
    del applied.cards[applied.card(render.STATE)["id"]]
    renamed = spec_dict()
    renamed["dashboards"][0]["cards"]["total"]["name"] = "Spend, all"
    run_apply(applied, renamed, restore=True)
    assert len(applied.cards) == 5
    assert run_plan(applied, renamed) == []


def test_the_state_is_valid_bigquery_sql(applied: FakeMetabase) -> None:
    """The state card can be run, and has the id and two fingerprints of each object."""
    (stage,) = applied.card(render.STATE)["dataset_query"]["stages"]
    sqlglot.parse_one(stage["native"], read="bigquery")
    state = StateStore.from_sql(stage["native"])
    assert state.keys() == {*EVERYTHING, "service account"}
    assert state["dashboard people"].id == applied.dashboard("People")["id"]
    assert StateStore.from_sql(StateStore({'a "b" \\': AppliedState(1, "c", "d")}).to_sql()) == {
        'a "b" \\': AppliedState(1, "c", "d")
    }


def test_the_state_of_the_first_version_is_read(metabase: FakeMetabase) -> None:
    """Its keys are translated, and its card keeps its entity id, so an upgrade archives and duplicates nothing."""
    assert StateStore.from_sql('  ("collection behind", 2, "a", "b"),') == {
        "support collection": AppliedState(2, "a", "b")
    }
    run_apply(metabase)
    metabase.collection(render.SUPPORT_COLLECTION)["name"] = "Behind the dashboards"
    state = metabase.card(render.STATE)
    assert state["entity_id"] == render.entity_id("memory")
    state["name"] = "What ai-usage last wrote (do not edit)"
    assert resource_keys(run_apply(metabase, restore=True), "!") == ["support collection"]
    assert count_objects(metabase) == [1, 2, 5, 2, 3]
    assert run_plan(metabase) == []


@pytest.mark.parametrize("number", ['"../user/1"', "null", "1.5"])
def test_invalid_ids_in_the_state_are_dropped(number: str) -> None:
    """Ids become parts of paths."""
    assert StateStore.from_sql(f'  ("dashboard people", {number}, "", ""),') == {}


def test_a_new_service_account_key_is_sent_once(applied: FakeMetabase) -> None:
    """Without a key in the settings, Metabase keeps the one it has."""
    assert run_plan(applied, account=None) == []
    other = ACCOUNT.replace("metabase@", "other@")
    (line,) = run_plan(applied, account=other)
    assert line.startswith("~ database: AI usage (BigQuery) (service account")
    assert run_apply(applied, account=other) == [line]
    (database,) = applied.databases.values()
    assert database["details"]["service-account-json"] == other
    defeat_the_cache(applied)
    run_apply(applied, account=None, restore=True)
    assert database["details"]["service-account-json"] == other
    assert run_plan(applied, account=None) == []


def test_a_new_metabase_needs_a_service_account_key(metabase: FakeMetabase) -> None:
    """The error comes before anything is created."""
    with pytest.raises(CredentialError, match="AI_USAGE_METABASE_SERVICE_ACCOUNT is not set"):
        run_apply(metabase, account=None)
    assert metabase.writes() == []
