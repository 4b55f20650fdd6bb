"""What `ai-usage doctor --probe` asks and keeps: its budget, its answers about the simulator, and nobody's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ai_usage_assets.commands import probe
from ai_usage_assets.commands.probe import ProbeError, scrubbed
from ai_usage_assets.http.client import RawResponse
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.settings import Settings, SettingsError
from ai_usage_assets.sources.anthropic.client import AnthropicClient
from ai_usage_assets.sources.anthropic.questions import AnthropicQuestions
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.sources.cursor.questions import CursorQuestions
from ai_usage_assets.sources.questions import Asking, BudgetSpent, form
from ai_usage_assets_tests.commands.test_cli import ai_usage, own, simulator, urls  # noqa: F401 - fixtures
from ai_usage_assets_tests.conftest import NOW, Company, make_company
from ai_usage_assets_tests.fakes.http_server import Reply, serving

KEY = "crsr_0123456789abcdefghij0123456789"


def probed(settings: Settings, file: Path, **options: bool) -> tuple[int, str, dict[str, Any]]:
    """The exit code, what a person reads, and what was written."""
    text = StringIO()
    code = probe.run(settings, file, Console(file=text, width=110), **options)
    return code, text.getvalue(), json.loads(file.read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Company, int, str, dict[str, Any], Path]]:
    """One probe of a company where all is well, with everything there is to ask."""
    folder = tmp_path_factory.mktemp("probe")
    with make_company(folder / "w.duckdb") as company:
        file = folder / "answers.json"
        yield company, *probed(company.settings, file, rate_limit=True), file


def facts(document: dict[str, Any], vendor: str) -> dict[str, dict[str, Any]]:
    """The facts of a vendor, by question."""
    return {question["name"]: question.get("facts", {}) for question in document[vendor]["questions"]}


# --- what is asked --------------------------------------------------------------------------------------------------


def test_the_budget_is_told_and_kept(whole: tuple[Company, int, str, dict[str, Any], Path]) -> None:
    """What was told beforehand is not exceeded: 20 GETs to Anthropic, 45 reads to Cursor, the burst among them."""
    company, code, text, document, _ = whole
    assert code == 0
    assert text.splitlines()[0].startswith("Anthropic will be asked at most 20 times")
    assert text.splitlines()[1].startswith("Cursor will be asked at most 45 times")
    for vendor, most in (("anthropic", 20), ("cursor", 45)):
        sent = [request for name, request in company.simulator.requests if name == vendor]
        assert len(sent) == document[vendor]["requests"] <= most
        noted = [asked for question in document[vendor]["questions"] for asked in question["asked"]]
        assert len(noted) == len(sent)
    assert {request.method for name, request in company.simulator.requests if name == "anthropic"} == {"GET"}
    assert not [vendor for vendor, _ in company.simulator.requests if vendor == "sheets"]


def test_one_request_too_many_is_not_sent() -> None:
    """The counter refuses before anything is sent, whoever asks."""
    sent = []

    def send() -> RawResponse:
        sent.append(1)
        return RawResponse(200, {}, b"{}", "", frozenset())

    ask = Asking(2)
    ask(send, "GET /a", ())
    ask(send, "GET /a", ())
    with pytest.raises(BudgetSpent, match="2 requests"):
        ask(send, "GET /a", ())
    assert len(sent) == 2


@pytest.mark.parametrize("vendor", ["anthropic", "cursor"])
def test_a_spent_budget_ends_the_asking_and_says_so(company: Company, vendor: str) -> None:
    """With a budget of five, five requests arrive, and what was not asked is told as such."""
    settings = company.settings
    asked: AnthropicQuestions | CursorQuestions
    vendor_settings = settings.sources[vendor]
    if vendor == "anthropic":
        client = AnthropicClient(lambda: vendor_settings.key or "", vendor_settings.base_url, pacing=False)
        asked = AnthropicQuestions(client, NOW)
    else:
        asked = CursorQuestions(
            CursorClient(lambda: vendor_settings.key or "", vendor_settings.base_url, pacing=False), NOW
        )
    asked.ask.most_requests = 5
    document: dict[str, Any] = {}
    findings = list(probe._answers(asked, document))
    assert len(company.simulator.requests) == 5
    assert len(findings) == len(asked.questions())
    assert "agreed on are spent" in findings[9].told


def test_without_a_word_the_limit_is_not_used_up(company: Company, tmp_path: Path) -> None:
    """The burst needs its own option; without it members are asked once, and the question is left open."""
    _, text, document = probed(company.settings, tmp_path / "a.json")
    assert "Cursor will be asked at most 24 times" in text
    assert document["cursor"]["requests"] <= 24
    paths = [request.path for _, request in company.simulator.requests]
    assert paths.count("/teams/members") == 1
    open_ = {q["name"]: q["not_answered"] for q in document["cursor"]["questions"] if "not_answered" in q}
    assert set(open_) == {"rate_limit", "scope", "revisions"}
    assert "--probe-rate-limit" in open_["rate_limit"]
    assert "not in one go" in open_["revisions"]


def test_looking_takes_an_error_for_an_answer() -> None:
    """A listed read is tried once, whatever it answers, and neither its words nor its headers carry the key."""
    reply = Reply(503, f'{{"message":"no {KEY} here, jo@acme.test"}}'.encode(), {"x-echo": KEY, "retry-after": "1"})
    with serving(reply) as script:
        client = CursorClient(lambda: KEY, script.url, pacing=False)
        seen = client.request_once("/teams/members")
        with pytest.raises(ValueError, match="not one of the endpoints"):
            client.request_once("/teams/remove-member", {"email": "x"})
    assert (seen.status, seen.error_message, seen.headers["x-echo"]) == (503, "no [secret] here, [e-mail]", "[secret]")
    assert len(script.seen) == 1
    with pytest.raises(ApiError, match="no complete response") as caught:
        CursorClient(lambda: KEY, "http://127.0.0.1:9", pacing=False).request_once("/teams/members")
    assert KEY not in str(caught.value)


# --- what is answered -----------------------------------------------------------------------------------------------


def test_answers_about_anthropic_are_those_of_the_simulator(
    whole: tuple[Company, int, str, dict[str, Any], Path],
) -> None:
    """Each question is answered, and as the simulator is known to behave."""
    company, _, _, document, _ = whole
    questions = {question["name"]: question for question in document["anthropic"]["questions"]}
    assert not [name for name, question in questions.items() if "not_answered" in question]
    assert "request-id" in document["anthropic"]["header_names"]
    found = facts(document, "anthropic")
    assert found["me"] == {"fields": ["id", "name", "type"], "id": "uuid"}
    totals = found["daily_totals"]
    assert (totals["days_with_rows"], totals["data_is_hours_old"]) == (31, 2.0)
    assert (totals["currencies"], totals["organization_id"]) == ({"USD": 31}, "org_…")
    for name in ("no_beta_header", "six_dimensions", "altered_cursor"):
        assert found[name]["status"] == 400, name
        assert questions[name]["asked"][-1]["said"]
    assert found["unknown_parameter"] == {"ignored": True}
    assert found["unaligned_start"]["buckets_begin_at"] == {"00:00": 1}
    assert found["unaligned_start"]["amount_is_that_of_the_whole_day"] is False
    assert found["future_end"]["latest_bucket_is_days_from_today"] == 0
    assert found["older_version"] == {"same_row": True}
    day = (NOW - timedelta(days=3)).date()
    rows = company.simulator.ledger.usage(day)
    assert found["five_dimensions"]["with_api_key"] > 0
    for name in ("five_dimensions", "components", "service_tiers"):
        assert float(found[name]["amount_difference_cents"]) == 0, name
        assert float(found[name]["list_amount_difference_cents"]) == 0, name
    assert set(found["five_dimensions"]["products"]) == {str(piece.product or "null") for piece in rows}
    assert set(found["service_tiers"]["service_tiers"]) == {str(piece.service_tier or "null") for piece in rows}
    assert found["tokens"]["rows_whose_total_is_not_the_sum"] == 0
    assert found["classic_equals_analytics"]["matches"] == ["amount"]
    assert found["key_statuses"]["there_are_archived"] is True
    assert "archived" not in found["key_statuses"]["statuses"]
    assert questions["key_statuses"]["told"] == "the plain list leaves archived keys out"


def test_answers_about_cursor_are_those_of_the_simulator(
    whole: tuple[Company, int, str, dict[str, Any], Path],
) -> None:
    """The same for the other vendor; what nobody can answer in one go is left open."""
    company, _, _, document, _ = whole
    questions = {question["name"]: question for question in document["cursor"]["questions"]}
    left_open = {name for name, question in questions.items() if "not_answered" in question}
    assert left_open == {"scope", "revisions"}
    found = facts(document, "cursor")
    assert (found["members"]["members"], found["members"]["removed"]) == (53, 3)
    assert found["members"]["ids"] == {"user_…": 53}
    assert set(found["members"]["roles"]) == {"owner", "member", "free-owner"}
    kinds = found["kinds"]
    assert kinds["events_looked_at"] == sum(kinds["kinds"].values()) == 3000
    yesterday = (NOW - timedelta(days=1)).date()
    assert set(kinds["kinds"]) >= {event.kind for event in company.simulator.ledger.events(yesterday)}
    assert (kinds["without_charged_cents"], kinds["fields_not_known"]) == (0, [])
    assert found["page_size"]["events_of_the_day"] == len(company.simulator.ledger.events(yesterday))
    assert found["page_size"]["status_at_page_size_1001"] == 400
    assert (found["order"]["order"], found["order"]["same_order_twice"]) == ("newest first", True)
    assert found["no_dates"]["period_days"] == 30.0
    assert {span["status"] for span in found["wide_span"].values()} == {400}
    assert found["retention"]["events"] > 0
    assert found["backwards"]["status"] == 400
    assert found["beyond_the_end"] == {"rows": 0, "has_next_page": False}
    assert found["spend"]["rows_at_page_size_1000"] == found["spend"]["total_members"] == 53
    assert found["spend_is_events"]["whole_cycle"] is True
    for name in ("on_demand_minus_spend_cents", "all_minus_overall_spend_cents"):
        assert float(found["spend_is_events"][name]) == 0
    assert found["daily_usage"]["end_is_inclusive"] is True
    assert found["groups"]["spend_equals"] == ["spendCents"]
    assert found["groups"]["past_cycle_is_another"] is False
    assert found["analytics"]["status"] == 404
    assert found["rate_limit"]["rapid_calls"] == 21


def test_what_is_new_is_found(company: Company, tmp_path: Path) -> None:
    """A kind, a field and a plan that the reference does not know show up in the answers."""
    company.simulator.switches.cursor.unknown_kind = "Sponsored"
    company.simulator.switches.cursor.extra_fields = True
    company.simulator.switches.cursor.teams_plan = True
    _, _, document = probed(company.settings.with_source("anthropic", key=None), tmp_path / "a.json")
    found = facts(document, "cursor")
    assert found["kinds"]["kinds"]["Sponsored"] > 0
    assert found["kinds"]["fields_not_known"] == ["undocumentedField", "undocumentedField.since"]
    assert found["groups"] == {"status": 401}
    assert "anthropic" not in document


@pytest.mark.parametrize(("then", "says"), [(200, "the limit is per endpoint"), (429, "the limit is for all")])
def test_a_refusal_for_speed_is_described(then: int, says: str) -> None:
    """The burst stops at the first 429, keeps its words and its headers, and tries one other endpoint."""
    limited = Reply(429, b'{"code":"error","message":"Rate limit exceeded"}', {"retry-after": "60"})
    with serving(*[Reply()] * 4, limited, Reply(then)) as script:
        asked = CursorQuestions(CursorClient(lambda: KEY, script.url, pacing=False), NOW, burst=True)
        answer = asked._rate_limit()
    assert answer.told == f"429 at call 5: Rate limit exceeded; {says}" + (" endpoints" if then == 429 else "")
    assert answer.facts["another_endpoint_then"] == then
    assert asked.ask.noted[4]["headers"] == {"retry-after": "60"}
    assert len(script.seen) == 6


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_the_file_names_nobody(whole: tuple[Company, int, str, dict[str, Any], Path]) -> None:
    """Neither the file nor the screen holds a key, an address, a name of a person or of a thing, or an id."""
    company, _, screen, _, file = whole
    organisation, settings = company.simulator.organisation, company.settings
    known = {settings.sources["anthropic"].key, settings.sources["cursor"].key, organisation.uuid, organisation.name}
    for person in organisation.people:
        known |= {person.email, person.name, person.user_id, person.cursor_user_id}
    known |= {value for key in organisation.keys for value in (key.id, key.name)}
    known |= {workspace.id for workspace in organisation.workspaces}
    text = file.read_text() + screen
    assert len(known) > 200
    assert not [one for one in known if one and one in text]
    assert "@" not in text
    assert text.count("page=(a cursor)") == 1
    assert text.count("email=[removed]") == 1


def test_a_name_that_an_error_quotes_is_taken_out(company: Company, tmp_path: Path) -> None:
    """Whom a vendor names in one answer is known in its next, whatever words stand around the name."""
    members = b'{"teamMembers":[{"id":"user_1","name":"Zora Quill","role":"owner"}]}'
    with serving(Reply(body=members), Reply(400, b'{"message":"Zora Quill may not"}')) as script:
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=script.url)
        _, text, _ = probed(settings, tmp_path / "a.json")
    written = (tmp_path / "a.json").read_text()
    assert "[removed] may not" in written
    assert "Zora" not in written + text


def test_what_is_learnt_last_is_taken_out_everywhere(company: Company, tmp_path: Path) -> None:
    """A name or a number that only the last answer tells is gone from the first, in any case of letters."""
    early = Reply(400, b'{"message":"MAX MUSTERMANN (member 48213377) may not"}')
    members = Reply(body=b'{"teamMembers":[{"id":"user_1","name":"Zora Quill","role":"owner"}]}')
    late = Reply(body=b'{"data":[{"userId":48213377,"name":"Max Mustermann"}],"teamMembers":[],"usageEvents":[]}')
    with serving(members, early, late) as script:
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=script.url)
        probed(settings, tmp_path / "a.json")
    written = (tmp_path / "a.json").read_text()
    assert "[removed] (member [removed]) may not" in written
    assert not [one for one in ("mustermann", "48213377") if one in written.casefold()]


def test_what_is_not_answered_is_told_without_names(company: Company, tmp_path: Path) -> None:
    """On the terminal too, a reason quotes nobody who is known."""
    members = Reply(body=b'{"teamMembers":[{"id":"user_1","name":"Zora Quill","role":"owner"}]}')
    with serving(members, Reply(500, b'{"message":"spend of zora quill is down"}')) as script:
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=script.url)
        _, text, _ = probed(settings, tmp_path / "a.json")
    assert "spend of [removed] is down" in text


def test_scrubbing_takes_out_what_came_by() -> None:
    """Keys, addresses, ids and every name that an answer held go, as values and as names of fields; the rest stays."""
    dirty = {
        "told": f"Ada Adler <ada@acme.test> of wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ used {KEY}",
        "12345678-1234-5678-1234-567812345678": ["Ada Adler", 7, None, True, "Adair"],
        "cost_type": "cache_creation.ephemeral_5m_input_tokens",
    }
    clean = scrubbed(dirty, {"Ada", "Ada Adler"})
    assert clean == {
        "told": "[removed] <[e-mail]> of wrkspc_… used [secret]",
        "[uuid]": ["[removed]", 7, None, True, "Adair"],
        "cost_type": "cache_creation.ephemeral_5m_input_tokens",
    }


@pytest.mark.parametrize("dirt", [KEY, "winter-tangerine-4711", "jo@acme.test", "ya29.abcdefgh"])
def test_a_file_that_might_hold_a_key_or_an_address_is_not_written(tmp_path: Path, dirt: str) -> None:
    """Whatever slipped through is the last thing looked for; then nothing is written, and it is not quoted."""
    file = tmp_path / "a.json"
    with pytest.raises(ProbeError, match="nothing was written") as caught:
        probe.write(file, {"told": f"about {dirt}!"}, ["winter-tangerine-4711"], set())
    assert dirt not in str(caught.value)
    assert not file.exists()
    probe.write(file, {"told": "nothing"}, ["winter-tangerine-4711"], {"jo@acme.test"})
    assert json.loads(file.read_text()) == {"told": "nothing"}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("12345678-1234-5678-1234-567812345678", "uuid"),
        ("user_01WCz1FkmYMm4gnmykNKUu3Q", "user_…"),
        ("4711", "digits"),
        (4711, "number"),
        (None, "null"),
        ("Ada Adler", "text"),
    ],
)
def test_an_id_is_told_by_its_form(value: object, says: str) -> None:
    """Of an id only what it looks like is kept."""
    assert form(value) == says


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_a_refused_key_costs_one_request(company: Company, tmp_path: Path) -> None:
    """A vendor that refuses the key is asked once, the other one wholly; the exit code says so."""
    company.simulator.switches.cursor.unauthorized = True
    code, text, document = probed(company.settings, tmp_path / "a.json")
    assert code == 1
    assert document["cursor"]["requests"] == 1
    assert document["anthropic"]["requests"] == 20
    assert "✗ members" in text


def test_a_vendor_that_is_down_answers_nothing(company: Company, tmp_path: Path) -> None:
    """A 503 is no answer to what an error looks like, and nobody knocks eighteen times."""
    company.simulator.switches.faults.fail_times = {"/v1/organizations/analytics": 99}
    code, _, document = probed(company.settings.with_source("cursor", key=None), tmp_path / "a.json")
    assert code == 1
    questions = document["anthropic"]["questions"]
    assert [question["name"] for question in questions] == ["me", "daily_totals", "no_beta_header"]
    assert "503" in questions[2]["not_answered"]
    assert "facts" not in questions[2]


def test_an_answer_of_another_shape_is_no_end(company: Company, tmp_path: Path) -> None:
    """A shape that changed leaves its question open, quotes nothing of the answer, and the rest is asked."""
    with serving(Reply(body=b'{"teamMembers":{"jo@acme.test":"Jo"},"usageEvents":[7],"name":"x"}')) as script:
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=script.url)
        code, text, document = probed(settings, tmp_path / "a.json")
    assert code == 0
    members = document["cursor"]["questions"][0]
    assert members["not_answered"].startswith("the answer has a shape that nobody expected")
    assert len(document["cursor"]["questions"]) == 17
    assert "acme" not in text + (tmp_path / "a.json").read_text()


_ANSWER = Reply(
    body=b'{"teamMembers":[{"id":1,"role":"m"}],"totalUsageEventsCount":1,"pagination":{"hasNextPage":false},'
    b'"usageEvents":[{"timestamp":"1763000000000","chargedCents":1,"kind":"x"}],"teamMemberSpend":[],'
    b'"subscriptionCycleStart":1763000000000,"totalPages":1,"data":[],"groups":[]}'
)


def test_one_connection_that_breaks_costs_one_answer(company: Company, tmp_path: Path) -> None:
    """A reset in the middle is told, the other answers are written; that they are simulated is said."""
    with serving(*[_ANSWER] * 5, replace(_ANSWER, goes_wrong="reset"), _ANSWER) as script:
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=script.url)
        code, _, document = probed(settings, tmp_path / "a.json")
    questions = document["cursor"]["questions"]
    assert code == 1
    assert [question["not_answered"] for question in questions if "no complete" in question.get("not_answered", "")]
    assert len(questions) == 17
    assert document["cursor"]["simulated"] is True
    assert "Python" in document["made_by"]


def test_who_hears_nothing_twice_stops_asking(company: Company, tmp_path: Path) -> None:
    """Two connections that break one after the other end the questions to that vendor; the other is asked wholly."""
    with serving(_ANSWER, _ANSWER, Reply(goes_wrong="reset")) as script:
        code, text, document = probed(company.settings.with_source("cursor", base_url=script.url), tmp_path / "a.json")
    assert code == 1
    assert len(script.seen) == document["cursor"]["requests"] == 4
    assert document["anthropic"]["requests"] == 20
    assert "not asked after that" in text


@pytest.mark.parametrize("wrong", ["closed", "cut", "reset", "refused"])
def test_without_any_answer_there_is_no_file(company: Company, tmp_path: Path, wrong: str) -> None:
    """Where nothing is answered the verdict says so, and the name stays free for the next probe."""
    reply = Reply(401) if wrong == "refused" else Reply(body=b'{"teamMembers":[]}', goes_wrong=wrong)  # type: ignore[arg-type]
    folder, text = tmp_path / "answers", StringIO()
    folder.mkdir()
    with serving(reply) as script:
        url = "http://127.0.0.1:9" if wrong == "closed" else script.url
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=url)
        assert probe.run(settings, folder / "a.json", Console(file=text, width=200)) == 1
    assert "✗ No question is answered" in text.getvalue()
    assert not list(folder.iterdir())


def test_half_a_character_is_written_as_it_came(company: Company, tmp_path: Path) -> None:
    """A surrogate without its other half, which no file can hold, does not cost the answers."""
    with serving(Reply(body=rb'{"teamMembers":[{"id":"user_1","role":"a\ud83d"}]}')) as script:
        settings = company.settings.with_source("anthropic", key=None).with_source("cursor", base_url=script.url)
        _, _, document = probed(settings, tmp_path / "a.json")
    assert facts(document, "cursor")["members"]["roles"] == {"a\ud83d": 1}


def test_nothing_is_overwritten(company: Company, tmp_path: Path) -> None:
    """A file that is there is left alone, and nobody is asked for nothing."""
    file = tmp_path / "a.json"
    file.write_text("mine")
    for wrong in (file, tmp_path / "no" / "a.json"):
        with pytest.raises(SettingsError, match="after --probe"):
            probe.run(company.settings, wrong, Console(file=StringIO()))
    assert file.read_text() == "mine"
    with pytest.raises(SettingsError, match="No vendor"):
        probe.run(Settings(), tmp_path / "b.json", Console(file=StringIO()))
    assert company.simulator.requests == []


def test_the_command_writes_beside_where_it_is_called(
    own: dict[str, str],  # noqa: F811 - a fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a name the file is named after the day; half an option is a wrong wish."""
    monkeypatch.chdir(tmp_path)
    told = ai_usage("doctor", "--probe", **{**own, "ANTHROPIC_ADMIN_KEY": ""})
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    assert json.loads((tmp_path / "ai-usage-probe-2026-11-20.json").read_text())["cursor"]["requests"] > 15
    told = ai_usage("doctor", "--probe-rate-limit")
    assert told.returncode == 2
    assert "give both" in told.stderr
