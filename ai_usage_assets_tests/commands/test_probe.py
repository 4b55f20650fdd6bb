"""`ai-usage doctor --probe`: its request budget, its answers about the simulator, and the privacy of its file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ai_usage_assets.commands.doctor import probe
from ai_usage_assets.commands.doctor.probe import ProbeError
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import Settings, SettingsError
from ai_usage_assets.sources.base import Source
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.sources.cursor.questions import QUESTIONS
from ai_usage_assets.sources.questions import ApiRequest, BudgetedClient, VendorUnavailable
from ai_usage_assets_tests.conftest import NOW, Company, serve_company
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies
from ai_usage_assets_tests.support.cli import call_main

KEY = "crsr_0123456789abcdefghij0123456789"


@dataclass(frozen=True)
class Result:
    """What one probe returned, printed and wrote."""

    code: int
    output: str
    text: str

    @property
    def document(self) -> dict[str, Any]:
        """The decoded file."""
        document: dict[str, Any] = json.loads(self.text)
        return document

    def facts(self, vendor: str) -> dict[str, dict[str, Any]]:
        """Question -> facts."""
        return {question["name"]: question.get("facts", {}) for question in self.document[vendor]["questions"]}

    def problems(self, vendor: str) -> dict[str, str]:
        """Question -> why it is not answered."""
        questions = self.document[vendor]["questions"]
        return {question["name"]: question["problem"] for question in questions if "problem" in question}


def run_probe(settings: Settings, folder: Path) -> Result:
    """Probes the configured vendors."""
    file, output = folder / "answers.json", StringIO()
    code = probe.run(settings, file, Console(file=output, width=110))
    return Result(code, output.getvalue(), file.read_text() if file.exists() else "")


def cursor_only(company: Company, url: str) -> Settings:
    """Settings with only Cursor, at another address."""
    settings = company.settings.with_source("cursor", base_url=url)
    for entry in SOURCES:
        settings = settings if entry.name == "cursor" else settings.with_source(entry.name, key=None)
    return settings


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Company, Result]]:
    """A company and the result of one probe."""
    folder = tmp_path_factory.mktemp("probe")
    with serve_company(folder / "w.duckdb") as company:
        yield company, run_probe(company.settings, folder)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_the_announced_budget_is_kept_and_all_requests_read(probed: tuple[Company, Result]) -> None:
    """The first lines announce the number of requests per vendor; no more are sent, and none writes."""
    company, result = probed
    assert result.code == 0
    assert result.output.splitlines()[0].startswith("Anthropic: at most 8 requests")
    assert result.output.splitlines()[1].startswith("Cursor: at most 5 requests")
    for vendor, budget in (("anthropic", 8), ("cursor", 5)):
        sent = [request for name, request in company.simulator.requests if name == vendor]
        assert len(sent) == result.document[vendor]["requests"] == budget
    reads = {("GET", "/teams/members"), ("POST", "/teams/spend"), ("POST", "/teams/filtered-usage-events")}
    assert {(r.method, r.path) for name, r in company.simulator.requests if name == "cursor"} == reads
    assert {r.method for name, r in company.simulator.requests if name == "anthropic"} == {"GET"}
    assert {name for name, _ in company.simulator.requests} == {"anthropic", "cursor"}


def test_a_source_without_questions_is_not_asked(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No number of requests is announced, no request is sent and no file is written, which is a success."""
    monkeypatch.setattr(Source, "load_questions", lambda self: ())
    result = run_probe(company.settings, tmp_path)
    assert (result.code, result.text, company.simulator.requests) == (0, "", [])
    assert "at most" not in result.output


def test_a_request_above_the_budget_is_not_sent() -> None:
    """Equal requests are sent once, and the budget is checked before sending."""
    with serve_replies(Reply(body=b"{}")) as server:
        client = BudgetedClient(CursorClient(lambda: KEY, server.url, pacing=False), QUESTIONS, NOW.date())
        client.max_requests = 1
        client.request(ApiRequest("/teams/members"))
        client.request(ApiRequest("/teams/members"))
        with pytest.raises(VendorUnavailable, match="1 requests is used up"):
            client.request(ApiRequest("/teams/groups"))
    assert len(server.requests) == 1


def test_request_once_returns_errors_without_retry_and_without_the_key() -> None:
    """A listed read is sent once whatever the status; its text and headers do not contain the key."""
    reply = Reply(503, f'{{"message":"no {KEY} here, jo@acme.test"}}'.encode(), {"x-echo": KEY, "retry-after": "1"})
    with serve_replies(reply) as server:
        client = CursorClient(lambda: KEY, server.url, pacing=False)
        response = client.request_once("/teams/members")
        with pytest.raises(ValueError, match="not one of the endpoints"):
            client.request_once("/teams/remove-member", body={"email": "x"})
    assert (response.status, response.error_message) == (503, "no [secret] here, [e-mail]")
    assert response.headers["x-echo"] == "[secret]"
    assert len(server.requests) == 1
    with pytest.raises(ApiError, match="no complete response") as caught:
        CursorClient(lambda: KEY, "http://127.0.0.1:9", pacing=False).request_once("/teams/members")
    assert KEY not in str(caught.value)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_answers_about_anthropic_describe_the_simulator(probed: tuple[Company, Result]) -> None:
    """Every question is answered, with the behavior that the simulator has."""
    _, result = probed
    assert result.problems("anthropic") == {}
    facts = result.facts("anthropic")
    assert (facts["month"]["days_with_cost"], facts["month"]["data_refreshed_at"]) == (31, "2026-11-20T12:00:00Z")
    for name in ("dimensions", "components", "service_tiers"):
        assert {float(facts[name][f"{amount}_minus_total_cents"]) for amount in ("amount", "list_amount")} == {0}
        assert facts[name]["has_more"] is False
    assert "user_actor" in facts["dimensions"]["actor_types"]
    assert facts["dimensions"]["rows_with_api_key_id"] > 0
    assert "web_search" in facts["components"]["cost_type"]
    assert abs(float(facts["classic_cost"]["minus_amount_cents"])) < 0.01
    assert facts["archived_keys"]["archived"] > 0
    assert "archived" not in facts["archived_keys"]["statuses"]


def test_answers_about_cursor_describe_the_simulator(probed: tuple[Company, Result]) -> None:
    """Every question is answered; included events have a charge that consists of price and fee."""
    company, result = probed
    assert result.problems("cursor") == {}
    facts = result.facts("cursor")
    assert sum(facts["members"]["members"].values()) == 53
    assert facts["members"]["removed_members"] == 3
    kinds = {name.partition(":")[0] for name in facts["kinds"]["kinds_and_is_chargeable"]}
    assert kinds >= {event.kind for event in company.simulator.ledger.events(NOW.date())}
    assert facts["kinds"]["without_charged_cents"] == 0
    assert facts["charges"]["included"] > 0
    assert facts["charges"]["included_with_charged_cents_0_and_price"] == 0


def test_included_events_without_a_charge_are_counted(company: Company, tmp_path: Path) -> None:
    """Included events with `chargedCents` 0 are counted, and so are those whose tokens have a price."""
    tokens = [{"totalCents": 5.5}, {"totalCents": 5.5}, {"totalCents": 0}, None]
    events = [
        {"kind": "Included in Business", "chargedCents": cents, "tokenUsage": token}
        for cents, token in zip([0, 5.5, 0, 0], tokens, strict=True)
    ]
    body = {"teamMembers": [], "teamMemberSpend": [], "totalUsageEventsCount": 4, "usageEvents": events}
    with serve_replies(Reply(body=json.dumps(body).encode())) as server:
        facts = run_probe(cursor_only(company, server.url), tmp_path).facts("cursor")["charges"]
    assert facts["included"] == 12
    assert facts["included_with_charged_cents_0"] == 9
    assert facts["included_with_charged_cents_0_and_price"] == 3


# --- privacy ----------------------------------------------------------------------------------------------------------


def test_the_file_and_the_output_contain_no_key_person_or_id(probed: tuple[Company, Result]) -> None:
    """No key, e-mail address, name of a person or object, or id of the company occurs."""
    company, result = probed
    organization = company.simulator.organization
    private = {source.key for source in company.settings.sources.values()} | {organization.uuid, organization.name}
    for person in organization.people:
        private |= {person.email, person.name, person.user_id, person.cursor_user_id}
    private |= {value for key in organization.keys for value in (key.id, key.name)}
    private |= {workspace.id for workspace in organization.workspaces}
    assert len(private) > 200
    assert not [value for value in private if value and value in result.text + result.output]
    assert "@" not in result.text


def test_the_text_of_an_error_is_not_copied(company: Company, tmp_path: Path) -> None:
    """Of an error only the status and its code are kept, because its text can name a person."""
    members = Reply(body=b'{"teamMembers":[{"id":"user_1","name":"Zora Quill","role":"owner"}]}')
    spend = Reply(body=b'{"teamMemberSpend":[]}')
    refusal = Reply(400, b'{"code":"bad_request","message":"Zora Quill is not allowed"}')
    with serve_replies(members, spend, refusal) as server:
        result = run_probe(cursor_only(company, server.url), tmp_path)
    assert result.problems("cursor")["kinds"].startswith("status 400")
    assert "Zora" not in result.text + result.output


@pytest.mark.parametrize(
    "private",
    [KEY, "winter-tangerine-4711", "jo@acme.test", "ya29.abcdefgh", "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ",
     "12345678-1234-5678-1234-567812345678"],
)  # fmt: skip
def test_a_file_that_could_contain_private_data_is_not_written(tmp_path: Path, private: str) -> None:
    """A key, an e-mail address or an id anywhere in the document prevents the file, and the error does not quote it."""
    file = tmp_path / "a.json"
    for document in ({"x": [f"about {private}!"]}, {f"about {private}": 1}):
        with pytest.raises(ProbeError, match="not written") as caught:
            probe.write(file, document, ["winter-tangerine-4711"])
        assert private not in str(caught.value)
        assert not file.exists()
    probe.write(file, {"x": "nothing"}, ["winter-tangerine-4711"])
    assert json.loads(file.read_text()) == {"x": "nothing"}


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_refused_key_costs_one_request(company: Company, tmp_path: Path) -> None:
    """A vendor that refuses the key gets one request; the other vendor is asked everything, and the exit code is 1."""
    company.simulator.fault_options.cursor.unauthorized = True
    result = run_probe(company.settings, tmp_path)
    assert result.code == 1
    assert result.document["cursor"]["requests"] == 1
    assert result.document["anthropic"]["requests"] == 8
    assert "✗ members" in result.output


def test_two_failures_in_a_row_end_the_questions_to_a_vendor(company: Company, tmp_path: Path) -> None:
    """After two failed questions the remaining ones are not asked."""
    faults = company.simulator.fault_options.faults
    faults.fail_times = {"/v1/organizations/api_keys": 0, "/v1/organizations/analytics": 99}
    result = run_probe(company.settings, tmp_path)
    assert result.code == 1
    assert [*result.problems("anthropic")] == ["month"]
    assert "5 not asked" in result.output


def test_a_response_of_another_shape_leaves_only_its_question_open(company: Company, tmp_path: Path) -> None:
    """The problem names the kind of error and quotes nothing, and the other questions are asked."""
    body = b'{"teamMembers":{"jo@acme.test":"Jo"},"teamMemberSpend":[],"totalUsageEventsCount":0,"usageEvents":[]}'
    with serve_replies(Reply(body=body)) as server:
        result = run_probe(cursor_only(company, server.url), tmp_path)
    assert result.code == 0
    assert result.problems("cursor") == {"members": "the response has an unexpected shape (AttributeError)"}
    assert "acme.test" not in result.text + result.output


@pytest.mark.parametrize("wrong", ["closed", "cut", "reset", "refused"])
def test_without_any_answer_no_file_is_written(company: Company, tmp_path: Path, wrong: str) -> None:
    """The summary says so, and the name stays free for the next probe."""
    reply = Reply(401) if wrong == "refused" else Reply(body=b'{"teamMembers":[]}', fault=wrong)  # type: ignore[arg-type]
    with serve_replies(reply) as server:
        settings = cursor_only(company, "http://127.0.0.1:9" if wrong == "closed" else server.url)
        result = run_probe(settings, tmp_path)
    assert (result.code, result.text) == (1, "")
    assert "✗ No question is answered" in result.output


def test_an_existing_file_is_not_overwritten(company: Company, tmp_path: Path) -> None:
    """The file is checked before the first request, and so is that a vendor is configured."""
    file = tmp_path / "a.json"
    file.write_text("mine")
    for wrong in (file, tmp_path / "no" / "a.json"):
        with pytest.raises(SettingsError, match="after --probe"):
            probe.run(company.settings, wrong, Console(file=StringIO()))
    assert file.read_text() == "mine"
    with pytest.raises(SettingsError, match="No vendor"):
        probe.run(Settings(), tmp_path / "b.json", Console(file=StringIO()))
    assert company.simulator.requests == []


def test_the_command_writes_into_the_current_folder(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, the file is named after the day."""
    monkeypatch.chdir(tmp_path)
    result = call_main("doctor", "--probe", **{**environment, "ANTHROPIC_ADMIN_KEY": ""})
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert json.loads((tmp_path / "ai-usage-probe-2026-11-20.json").read_text())["cursor"]["requests"] == 5
