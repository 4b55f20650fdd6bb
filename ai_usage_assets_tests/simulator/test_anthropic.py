"""The simulated Anthropic organization APIs, compared with the official SDK, the documentation and the ledger."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import anthropic
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ai_usage_assets.simulator import Simulator, Urls

FIRST, END = "2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"
DAYS = (date(2026, 11, 10), date(2026, 11, 12))
BETA = "analytics-usage-cost-2026-08-24"
DIMENSIONS = (
    "actor", "actor_type", "agent_id", "api_key_id", "claude_tag_category", "context_window", "deployment_id",
    "environment_id", "inference_geo", "model", "organization_id", "product", "rbac_group_id", "service_tier",
    "session_id", "slack_channel_id", "speed", "user_profile_id", "workspace_id",
)  # fmt: skip
groupings = st.sets(st.sampled_from(DIMENSIONS), max_size=5)


def cost(sdk: anthropic.Anthropic, **params: Any) -> list[Any]:
    """The rows of the cost export of three days."""
    query = {"starting_at": FIRST, "ending_at": END, "limit": 1000, **params}
    return list(sdk.beta.organization.analytics.cost.list(**query))


def usage(sdk: anthropic.Anthropic, **params: Any) -> list[Any]:
    """The rows of the usage export of three days."""
    query = {"starting_at": FIRST, "ending_at": END, "limit": 1000, **params}
    return list(sdk.beta.organization.analytics.usage.list(**query))


def money(rows: list[Any]) -> tuple[Decimal, Decimal]:
    """Billed and list cents of rows."""
    return (
        sum((Decimal(row.cost.amount) for row in rows), Decimal(0)),
        sum((Decimal(row.cost.list_amount) for row in rows), Decimal(0)),
    )


def token_classes(row: Any) -> tuple[int, ...]:
    """The five token counts of a row."""
    counts = row.usage
    cache_writes = counts.cache_creation
    return (
        counts.uncached_input_tokens, cache_writes.ephemeral_5m_input_tokens, cache_writes.ephemeral_1h_input_tokens,
        counts.cache_read_input_tokens, counts.output_tokens,
    )  # fmt: skip


def tokens(rows: list[Any]) -> tuple[int, ...]:
    """Tokens of rows by class, their total, searches and requests."""
    counts = [
        (*token_classes(row), row.usage.total_tokens, row.usage.server_tool_use.web_search_requests, row.usage.requests)
        for row in rows
    ]
    return tuple(map(sum, zip(*counts, strict=True)))


def get(simulator: Simulator, urls: Urls, path: str, *, version: str = "2026-10-21", **params: Any) -> httpx.Response:
    """The response to a GET without the SDK; lists are sent as `group_by[]`."""
    query = {f"{name}[]" if isinstance(value, list) else name: value for name, value in params.items()}
    headers = {"x-api-key": simulator.ANTHROPIC_KEY, "anthropic-version": version, "anthropic-beta": BETA}
    return httpx.get(f"{urls.anthropic}/v1/organizations/{path}", params=query, headers=headers)


def classic(simulator: Simulator, urls: Urls, path: str, **params: Any) -> httpx.Response:
    """A response of the classic reports, whose requests name an API version."""
    return get(simulator, urls, path, version="2023-06-01", **params)


def buckets(simulator: Simulator, urls: Urls, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    """All buckets or records of a classic report, page by page."""
    cursor: dict[str, str] = {}
    while True:
        page = classic(simulator, urls, path, **params, **cursor).json()
        yield from page["data"]
        assert (page["next_page"] is not None) == page["has_more"]
        if not page["has_more"]:
            return
        cursor = {"page": page["next_page"]}


# --- Reads with the official SDK -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [7, 20])
def test_small_pages_give_every_cost_row_once(sdk: anthropic.Anthropic, simulator: Simulator, limit: int) -> None:
    """Small pages have the rows of one large page, in its order, and the dollars of the ledger."""
    query: dict[str, Any] = {"time_bucket_width": "1d", "group_by": ["actor", "api_key_id", "model", "product"]}
    rows = cost(sdk, **query, limit=limit)
    assert rows == cost(sdk, **query)
    assert len(rows) > 5 * limit
    assert money(rows)[0] / 100 == sum(simulator.ledger.anthropic_cost_usd(*DAYS).values())


def test_small_pages_give_every_usage_row_once(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Usage is paged like cost and has the ledger's tokens."""
    query: dict[str, Any] = {"time_bucket_width": "1d", "group_by": ["actor", "model"]}
    rows = usage(sdk, **query, limit=11)
    assert rows == usage(sdk, **query)
    assert len(rows) == len(cost(sdk, **query))
    assert tokens(rows)[5] == sum(simulator.ledger.anthropic_tokens(*DAYS).values())


def test_default_page_has_twenty_rows(sdk: anthropic.Anthropic) -> None:
    """The default limit is twenty rows."""
    page = sdk.beta.organization.analytics.cost.list(starting_at=FIRST, ending_at=END, group_by=["actor"])
    assert (len(page.data), page.has_more) == (20, True)


def test_limit_ignores_rows_per_cost_type(sdk: anthropic.Anthropic) -> None:
    """A page grouped by cost and token type may have more rows than its limit."""
    page = sdk.beta.organization.analytics.cost.list(
        starting_at=FIRST, ending_at=END, group_by=["model", "cost_type", "token_type"], limit=2
    )
    assert len({row.group.model for row in page.data}) == 2
    assert len(page.data) > 2


def test_rows_have_requested_dimensions_only(sdk: anthropic.Anthropic) -> None:
    """Other dimensions are null, amounts have six decimals of a cent, and each row covers a day."""
    for row in cost(sdk, group_by=["product"], time_bucket_width="1d"):
        group = row.group.to_dict()
        assert {name for name, value in group.items() if value is not None} <= {"product"}
        assert {*DIMENSIONS, "claude_tag_user_id", "cost_type", "token_type"} == set(group)
        assert re.fullmatch(r"\d+\.\d{6}", row.cost.amount)
        assert re.fullmatch(r"\d+\.\d{6}", row.cost.list_amount)
        assert row.cost.currency == "USD"
        assert row.ending_at - row.starting_at == timedelta(days=1)


def test_export_ends_at_a_multiple_of_four_hours(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """The watermark is a multiple of four hours; later usage is not counted yet."""
    today = simulator.now.replace(hour=0, minute=0)
    page = sdk.beta.organization.analytics.cost.list(starting_at=today, ending_at=today + timedelta(days=1))
    watermark = today + timedelta(hours=12)
    assert page.data_refreshed_at == watermark
    microcents = sum(piece.billed_microcents for piece in simulator.ledger.usage(today.date()) if piece.at < watermark)
    assert Decimal(page.data[0].cost.amount) == Decimal(microcents).scaleb(-6)
    beyond = sdk.beta.organization.analytics.cost.list(starting_at=watermark, ending_at=watermark + timedelta(hours=4))
    assert (beyond.data, beyond.data_refreshed_at) == ([], None)


def test_users_are_read_newest_first(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Small pages contain each current member once."""
    users = list(sdk.beta.organization.users.list(limit=7))
    assert Counter(user.email for user in users) == Counter(
        person.email for person in simulator.organization.people if person.is_here(simulator.now.date())
    )
    assert [user.added_at for user in users] == sorted((user.added_at for user in users), reverse=True)
    assert [user.id for user in sdk.beta.organization.users.list(email=users[3].email.upper())] == [users[3].id]
    assert [user.role for user in sdk.beta.organization.users.list(roles=["admin"])] == ["admin"]


def test_lists_can_be_read_backwards(sdk: anthropic.Anthropic) -> None:
    """`before_id` returns the pages before an id, back to the beginning."""
    users = list(sdk.beta.organization.users.list(limit=1000))
    backwards = list(sdk.beta.organization.users.list(limit=4, before_id=users[10].id))
    assert {user.id for user in backwards} == {user.id for user in users[:10]}
    assert len(backwards) == 10


def test_keys_of_every_status_are_read(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Small pages of all four statuses contain every key once, and filters work."""
    keys_api = sdk.beta.organization.api_keys
    keys = [
        key for status in ("active", "inactive", "archived", "expired") for key in keys_api.list(limit=3, status=status)
    ]
    assert Counter(key.id for key in keys) == Counter(key.id for key in simulator.organization.keys)
    assert {key.status for key in keys} == {"active", "inactive", "archived", "expired"}
    assert {type(key.principal).__name__ for key in keys} == {
        "NoneType", "BetaAPIKeyUserActor", "BetaAPIKeyServiceAccountActor",
    }  # fmt: skip
    assert all((key.expires_at is not None) == (key.status == "expired") for key in keys)
    research = simulator.organization.workspaces[3].id
    assert {key.scope.workspace_id for key in keys_api.list(workspace_id=research)} == {research}  # type: ignore[union-attr]
    maker = simulator.organization.people[0].user_id
    assert {key.created_by.id for key in keys_api.list(created_by_user_id=maker) if key.created_by} == {maker}


def test_the_default_and_archived_workspaces_are_hidden(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """The default workspace and archived ones are listed on request only."""
    workspaces = sdk.beta.organization.workspaces
    everything = list(workspaces.list(limit=2, include_archived=True, include_default=True))
    assert Counter(w.name for w in everything) == Counter(w.name for w in simulator.organization.workspaces)
    shown = {w.name for w in workspaces.list()}
    assert {w.name for w in everything} - shown == {"Default", "Hackathon 2025"}
    assert [w.name for w in workspaces.list(ids=[everything[1].id])] == [everything[1].name]


def test_members_of_a_workspace_are_read(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Small pages contain each member once; the default workspace has none, an unknown one is a 404."""
    organization = sdk.beta.organization
    by_name = {w.name: w.id for w in simulator.organization.workspaces}
    members = list(organization.workspaces.members.list(workspace_id=by_name["Claude Code"], limit=9))
    assert Counter(member.user_id for member in members) == Counter(user.id for user in organization.users.list())
    assert list(organization.workspaces.members.list(workspace_id=by_name["Default"])) == []
    with pytest.raises(anthropic.NotFoundError):
        list(organization.workspaces.members.list(workspace_id="wrkspc_none"))


def test_the_organization_is_read(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """The organization has its id and its name."""
    organization = sdk.beta.organization
    me = organization.retrieve()
    assert (me.id, me.name) == (simulator.organization.uuid, "Acme Robotics")


# --- Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"starting_at": "2025-12-31T00:00:00Z"}, "365 days"),
        ({"starting_at": "2026-11-10T00:00:00"}, "time zone"),
        ({"starting_at": "yesterday"}, "starting_at"),
        ({"ending_at": FIRST}, "after starting_at"),
        ({"ending_at": "2026-12-11T00:00:01Z"}, "31 days"),
        ({"time_bucket_width": "1w"}, "time_bucket_width"),
        ({"time_bucket_width": "1m", "ending_at": "2026-11-11T00:01:00Z"}, "24 hours"),
        ({"time_bucket_width": "1d", "ending_at": anthropic.omit}, "ending_at: required"),
        ({"group_by": ["actor", "model", "product", "api_key_id", "workspace_id", "speed"]}, "5 dimensions"),
        ({"group_by": ["team"]}, "unknown dimension"),
        ({"group_by": ["claude_tag_user_id", "rbac_group_id"]}, "cannot be combined"),
        ({"group_by": ["rbac_group_id"], "claude_tag_user_ids": ["U1"]}, "cannot be combined"),
        ({"exclude_deleted_users": True}, "group_by"),
        ({"limit": 1001}, "between 1 and 1000"),
        ({"limit": 0}, "between 1 and 1000"),
        ({"order_by": "total_tokens"}, "order_by"),
        ({"order": "up"}, "order"),
        ({"actor_types": ["robot"]}, "unknown value"),
        ({"products": ["claude-tag"]}, "unknown value"),
        ({"page": "page_nonsense"}, "invalid cursor"),
        ({"page": "page_" + urlsafe_b64encode(b"5").decode()}, "invalid cursor"),
    ],
)
def test_invalid_parameters_are_rejected(sdk: anthropic.Anthropic, params: dict[str, Any], reason: str) -> None:
    """Each documented rule is a typed 400 whose message names the parameter."""
    with pytest.raises(anthropic.BadRequestError, match=reason) as caught:
        cost(sdk, **params)
    assert caught.value.request_id == caught.value.body["request_id"]  # type: ignore[index]


@pytest.mark.parametrize(
    "params",
    [
        {"group_by": [*DIMENSIONS[:5], "cost_type", "token_type"]},
        {"starting_at": "2026-10-14T00:00:00Z", "ending_at": "2026-11-14T00:00:00Z", "group_by": ["workspace_id"]},
        {"starting_at": "2026-01-01T00:00:00Z", "ending_at": "2026-01-02T00:00:00Z"},
        {"time_bucket_width": "1m", "ending_at": "2026-11-11T00:00:00Z", "group_by": ["product"]},
        {"starting_at": "2026-11-10T02:00:00+02:00"},
    ],
    ids=["five dimensions and both types", "31 days", "first day with data", "24 hours of minutes", "an offset"],
)
def test_limits_of_the_rules_are_accepted(sdk: anthropic.Anthropic, params: dict[str, Any]) -> None:
    """Parameters at the limit of a rule are accepted."""
    assert cost(sdk, **params)


def test_usage_has_no_cost_parameters(sdk: anthropic.Anthropic) -> None:
    """Usage cannot be grouped by cost type, nor ordered by amount."""
    for params in ({"group_by": ["cost_type"]}, {"order_by": "amount"}):
        with pytest.raises(anthropic.BadRequestError):
            usage(sdk, **params)


def test_wrong_key_is_an_authentication_error(simulator: Simulator, urls: Urls) -> None:
    """A wrong key is a 401 on every endpoint, and so is the key with a wrong scheme."""
    client = anthropic.Anthropic(api_key="sk-ant-api03-somebody", base_url=urls.anthropic, max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        client.beta.organization.retrieve()
    with pytest.raises(anthropic.AuthenticationError):
        cost(client)
    for scheme in ("", "Basic ", "bearer:"):
        headers = {"authorization": f"{scheme}{simulator.ANTHROPIC_KEY}", "anthropic-version": "2026-10-21"}
        response = httpx.get(f"{urls.anthropic}/v1/organizations/me", headers=headers)
        assert (response.status_code, response.json()["error"]["type"]) == (401, "authentication_error")


def test_revoked_key_is_an_authentication_error(own: Simulator, own_sdk: anthropic.Anthropic) -> None:
    """A key can be revoked."""
    assert own_sdk.beta.organization.retrieve()
    own.fault_options.anthropic.unauthorized = True
    with pytest.raises(anthropic.AuthenticationError):
        own_sdk.beta.organization.retrieve()


def test_admin_key_cannot_list_service_accounts(sdk: anthropic.Anthropic) -> None:
    """Listing service accounts with an Admin key is a 403."""
    with pytest.raises(anthropic.PermissionDeniedError):
        list(sdk.beta.organization.service_accounts.list())


def test_unknown_paths_are_not_found(sdk: anthropic.Anthropic, urls: Urls) -> None:
    """Paths that a Console organization does not have are a 404, whatever the key."""
    with pytest.raises(anthropic.NotFoundError):
        list(sdk.beta.organization.rbac_groups.list())
    response = httpx.get(f"{urls.anthropic}/v1/organizations/nothing")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert httpx.post(f"{urls.anthropic}/v1/organizations/users", json={}).status_code == 404


def test_enterprise_key_reads_analytics_only(own: Simulator, own_urls: Urls, own_sdk: anthropic.Anthropic) -> None:
    """With an Enterprise key analytics and users work; Console endpoints are a 400 with an error code."""
    own.fault_options.anthropic.enterprise_key = True
    assert cost(own_sdk)
    assert usage(own_sdk)
    assert list(own_sdk.beta.organization.users.list())
    for endpoint in (own_sdk.beta.organization.api_keys, own_sdk.beta.organization.workspaces):
        with pytest.raises(anthropic.OrganizationTypeNotSupportedError) as caught:
            list(endpoint.list())
        assert caught.value.body["error"]["details"] == {  # type: ignore[index]
            "error_code": "organization_type_not_supported"
        }
    for path in ("cost_report", "usage_report/claude_code"):
        response = classic(own, own_urls, path, starting_at=FIRST)
        assert response.status_code == 400
        assert response.json()["error"]["details"]["error_code"] == "organization_type_not_supported"


def test_page_token_expires_when_the_data_is_refreshed(own: Simulator, own_sdk: anthropic.Anthropic) -> None:
    """After a refresh the next page is a 410; a read from the start works again."""
    page = own_sdk.beta.organization.analytics.cost.list(starting_at=FIRST, ending_at=END, group_by=["actor"], limit=5)
    assert page.get_next_page().data
    own.now += timedelta(hours=4)
    with pytest.raises(anthropic.APIStatusError) as caught:
        page.get_next_page()
    assert caught.value.status_code == 410
    assert money(cost(own_sdk, group_by=["actor"], limit=5)) == money(cost(own_sdk))


def test_refresh_can_change_the_watermark_instead(own: Simulator, own_sdk: anthropic.Anthropic) -> None:
    """If page tokens outlive a refresh, the next page has a later watermark; otherwise it is a 410."""
    own.fault_options.anthropic.refreshes_while_paging = 1
    own.fault_options.anthropic.expire_cursors = False
    page = own_sdk.beta.organization.analytics.cost.list(starting_at=FIRST, ending_at=END, group_by=["actor"], limit=5)
    following = page.get_next_page()
    assert page.data_refreshed_at is not None
    assert following.data_refreshed_at is not None
    assert following.data_refreshed_at > page.data_refreshed_at
    own.fault_options.anthropic.refreshes_while_paging = 1
    own.fault_options.anthropic.expire_cursors = True
    with pytest.raises(anthropic.APIStatusError) as caught:
        cost(own_sdk, group_by=["actor"], limit=5)
    assert caught.value.status_code == 410


def test_an_empty_export_has_no_watermark(own: Simulator, own_sdk: anthropic.Anthropic) -> None:
    """An empty export has no rows and a null watermark and is no error."""
    own.fault_options.anthropic.empty_export = True
    page = own_sdk.beta.organization.analytics.cost.list(starting_at=FIRST, ending_at=END)
    assert (page.data, page.data_refreshed_at, page.has_more) == ([], None, False)


def test_undocumented_fields_pass_the_strict_client(own: Simulator, own_sdk: anthropic.Anthropic) -> None:
    """The SDK ignores undocumented fields."""
    before = cost(own_sdk, group_by=["model"])
    own.fault_options.anthropic.extra_fields = True
    assert cost(own_sdk, group_by=["model"]) == before


def test_transient_errors_are_retried(own: Simulator, own_urls: Urls, own_sdk: anthropic.Anthropic) -> None:
    """The SDK retries a 503 and a 429, and raises their types if they persist."""
    own.fault_options.faults.fail_times["/v1/organizations/me"] = 1
    own.fault_options.faults.limit_times["/v1/organizations/me"] = 1
    own.fault_options.faults.retry_after = "0.01"
    assert own_sdk.with_options(max_retries=2).beta.organization.retrieve().type == "organization"
    own.fault_options.faults.limit_times["/v1/organizations/me"] = 1
    with pytest.raises(anthropic.RateLimitError) as limited:
        own_sdk.beta.organization.retrieve()
    assert limited.value.response.headers["retry-after"] == "0.01"
    own.fault_options.faults.down.add("anthropic")
    with pytest.raises(anthropic.InternalServerError):
        own_sdk.beta.organization.retrieve()


@pytest.mark.parametrize("fault", ["truncate_every", "reset_every"])
def test_responses_can_be_interrupted(own: Simulator, own_sdk: anthropic.Anthropic, fault: str) -> None:
    """Every second response is truncated or reset; the others are complete."""
    setattr(own.fault_options.faults, fault, 2)
    assert own_sdk.beta.organization.users.list().data
    with pytest.raises((anthropic.APIConnectionError, anthropic.APIResponseValidationError, ValueError)):
        own_sdk.beta.organization.users.list()
    assert own_sdk.beta.organization.users.list().data


# --- Wire format -----------------------------------------------------------------------------------------------------


def test_older_clients_are_supported(simulator: Simulator, urls: Urls) -> None:
    """`x-api-key`, `beta=true`, the older version, percent-encoded brackets and several betas are accepted."""
    query = f"beta=true&starting_at={FIRST}&ending_at={END}&group_by%5B%5D=model&group_by[]=product"
    url = f"{urls.anthropic}/v1/organizations/analytics/cost?{query}"
    for beta in ([("anthropic-beta", f"foo-1,{BETA}")], [("anthropic-beta", BETA), ("anthropic-beta", "foo-1")]):
        headers = [("x-api-key", simulator.ANTHROPIC_KEY), ("anthropic-version", "2023-06-01"), *beta]
        response = httpx.get(url, headers=headers)
        assert response.status_code == 200
        assert {row["group"]["model"] for row in response.json()["data"]} > {"claude-opus-5-5", None}


def test_headers_are_required(simulator: Simulator, urls: Urls) -> None:
    """A request without a version, or to analytics without its beta, is a 400."""
    key = {"x-api-key": simulator.ANTHROPIC_KEY}
    missing = httpx.get(f"{urls.anthropic}/v1/organizations/me", headers=key)
    assert (missing.status_code, "anthropic-version" in missing.text) == (400, True)
    headers = {**key, "anthropic-version": "2026-10-21"}
    url = f"{urls.anthropic}/v1/organizations/analytics/cost"
    response = httpx.get(url, params={"starting_at": FIRST}, headers=headers)
    assert (response.status_code, BETA in response.text) == (400, True)


def test_every_response_has_identifying_headers(simulator: Simulator, urls: Urls) -> None:
    """Request ids differ, the organization is named, and error bodies repeat the request id."""
    good = get(simulator, urls, "me")
    bad = get(simulator, urls, "analytics/cost")
    assert good.headers["request-id"] != bad.headers["request-id"]
    assert {good.headers["request-id"][:4], bad.headers["request-id"][:4]} == {"req_"}
    for response in (good, bad):
        assert response.headers["anthropic-organization-id"] == simulator.organization.uuid
    assert good.headers["content-type"] == bad.headers["content-type"] == "application/json"
    assert bad.status_code == 400
    assert bad.json()["type"] == "error"
    assert bad.json()["error"]["type"] == "invalid_request_error"
    assert bad.json()["request_id"] == bad.headers["request-id"]


def test_responses_are_compressed_on_request(simulator: Simulator, urls: Urls) -> None:
    """gzip is used if the client accepts it; the content is the same."""
    url = f"{urls.anthropic}/v1/organizations/users?limit=100"
    headers = {"x-api-key": simulator.ANTHROPIC_KEY, "anthropic-version": "2026-10-21"}
    plain = httpx.get(url, headers={**headers, "accept-encoding": "identity"})
    small = httpx.get(url, headers={**headers, "accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"])
    assert small.content == plain.content


def test_page_token_belongs_to_its_query(simulator: Simulator, urls: Urls) -> None:
    """A page token is rejected with other parameters and can be reused with the same ones."""
    changes: list[dict[str, Any]] = [
        {"limit": 3}, {"group_by": ["product"]}, {"order": "asc"}, {"ending_at": FIRST.replace("10T", "12T")},
    ]  # fmt: skip
    query: dict[str, Any] = {"starting_at": FIRST, "ending_at": END, "group_by": ["model"], "limit": 2}
    token = get(simulator, urls, "analytics/cost", **query).json()["next_page"]
    again = [get(simulator, urls, "analytics/cost", **query, page=token) for _ in range(2)]
    assert again[0].content == again[1].content
    for change in changes:
        changed = get(simulator, urls, "analytics/cost", **{**query, **change}, page=token)
        assert (changed.status_code, "cursor" in changed.json()["error"]["message"]) == (400, True), change


def test_offsets_are_ignored(simulator: Simulator, urls: Urls) -> None:
    """A list that is requested by offset always returns its first page."""
    first = get(simulator, urls, "users", limit=5)
    assert get(simulator, urls, "users", limit=5, offset=5, page=2).content == first.content


def test_keys_follow_the_api_version(simulator: Simulator, urls: Urls) -> None:
    """The older version adds a workspace id, which is null for the default workspace."""
    default = simulator.organization.workspaces[0].id
    new = get(simulator, urls, "api_keys", limit=1000).json()["data"]
    old = classic(simulator, urls, "api_keys", limit=1000).json()["data"]
    assert all("workspace_id" not in key for key in new)
    assert {key["workspace_id"] for key in old if key["scope"]["workspace_id"] == default} == {None}
    assert all(key["workspace_id"] == key["scope"]["workspace_id"] for key in old if key["workspace_id"])
    assert {key["status"] for key in new} == {"active", "inactive", "expired"}


# --- Order and filters --------------------------------------------------------------------------------------------


def test_rows_are_ordered_by_a_metric(sdk: anthropic.Anthropic) -> None:
    """Cost is ordered by the requested metric, usage by all tokens or by the requested count."""
    for metric, order in product(("amount", "list_amount"), ("asc", "desc")):
        rows = cost(sdk, group_by=["actor"], order_by=metric, order=order)
        amounts = [Decimal(getattr(row.cost, metric)) for row in rows]
        assert amounts == sorted(amounts, reverse=order == "desc"), (metric, order)
    totals = [row.usage.total_tokens for row in usage(sdk, group_by=["actor"])]
    assert totals == sorted(totals, reverse=True)
    output = [row.usage.output_tokens for row in usage(sdk, group_by=["actor"], order_by="output_tokens")]
    assert output == sorted(output, reverse=True)


def test_rows_are_ordered_by_time(sdk: anthropic.Anthropic) -> None:
    """Days are in the requested order; within a day the highest amount is first in both."""
    for order, sign in (("asc", 1), ("desc", -1)):
        query = {"group_by": ["actor"], "order_by": "time", "order": order, "time_bucket_width": "1d"}
        keys = [(sign * row.starting_at.timestamp(), -Decimal(row.cost.amount)) for row in cost(sdk, **query)]
        assert keys == sorted(keys), order
        used = [(sign * row.starting_at.timestamp(), -row.usage.total_tokens) for row in usage(sdk, **query)]
        assert used == sorted(used), order


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["api_key_id", "workspace_id", "model", "product", "service_tier", "actor_type", "speed"]),
    st.data(),
)
def test_filter_equals_the_row_of_its_group(sdk: anthropic.Anthropic, dimension: str, data: st.DataObject) -> None:
    """Filtering by a value returns the amounts of its group."""
    rows = [row for row in cost(sdk, group_by=[dimension]) if getattr(row.group, dimension) is not None]
    row = data.draw(st.sampled_from(rows))
    assert money(cost(sdk, **{f"{dimension}s": [getattr(row.group, dimension)]})) == money([row])


def test_empty_key_filter_means_no_key(sdk: anthropic.Anthropic) -> None:
    """An empty `api_key_ids[]` matches usage without a key, in addition to the listed keys."""
    rows = {row.group.api_key_id: row for row in cost(sdk, group_by=["api_key_id"])}
    key = next(name for name in rows if name)
    assert money(cost(sdk, api_key_ids=["", key])) == money([rows[None], rows[key]])


def test_key_as_actor_excludes_usage_of_its_account(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """`actor_ids` with a key matches usage of the key itself, not of the account it acts for."""
    own, acting = (
        next(key.id for key in simulator.organization.keys if key.name == name)
        for name in ("prod-2-test", "billing-svc-prod")
    )
    assert money(cost(sdk, actor_ids=[own])) == money(cost(sdk, api_key_ids=[own]))
    assert cost(sdk, actor_ids=[acting]) == []
    assert cost(sdk, api_key_ids=[acting])


def test_filters_of_unused_features_match_nothing(sdk: anthropic.Anthropic) -> None:
    """Filters of features without usage return no rows."""
    for name in ("agent_ids", "session_ids", "rbac_group_ids", "slack_channel_ids"):
        assert cost(sdk, **{name: ["anything"]}) == [], name


def test_exclusion_of_deleted_users_shortens_pages(sdk: anthropic.Anthropic) -> None:
    """Without deleted users pages may be short or empty before the last one; other actors stay."""
    query: dict[str, Any] = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": END, "group_by": ["actor"]}
    rows = cost(sdk, **query)
    deleted = [row for row in rows if getattr(row.group.actor, "deleted", False)]
    remaining = cost(sdk, **query, exclude_deleted_users=True, limit=1)
    assert len(deleted) >= 2
    assert remaining == [row for row in rows if row not in deleted]
    page = sdk.beta.organization.analytics.cost.list(**query, exclude_deleted_users=True, limit=1)
    lengths = [len(one.data) for one in page.iter_pages()]
    assert lengths.count(0) == len(deleted)


# --- Identities ----------------------------------------------------------------------------------------------------


def test_every_actor_type_occurs(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Users, service accounts, a federated workload and API keys are actors of the types of the SDK."""
    rows = cost(sdk, group_by=["actor", "actor_type"])
    types = {row.group.actor.type for row in rows if row.group.actor}
    assert types == {"user_actor", "service_account_actor", "federated_actor", "api_actor"}
    assert all(row.group.actor.type == row.group.actor_type for row in rows if row.group.actor)
    people = {person.user_id: person for person in simulator.organization.people}
    for row in rows:
        if row.group.actor and row.group.actor.type == "user_actor":
            assert row.group.actor.email_address == people[row.group.actor.user_id].email


def test_former_users_stay_actors(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """A former user is deleted and keeps the e-mail; an erased account has neither e-mail nor name."""
    rows = cost(sdk, starting_at="2026-11-01T00:00:00Z", group_by=["actor"])
    actors = {row.group.actor.user_id: row.group.actor for row in rows if getattr(row.group.actor, "user_id", None)}
    left = {p.user_id: p for p in simulator.organization.people if not p.is_here(simulator.now.date())}
    assert {user_id for user_id, actor in actors.items() if actor.deleted} == left.keys() & actors.keys()
    shown = {left[user_id].account_deleted: actors[user_id] for user_id in left.keys() & actors.keys()}
    assert shown[False].email_address
    assert (shown[True].email_address, shown[True].name) == (None, "Deleted User")


def test_hidden_identities_are_separate_rows(sdk: anthropic.Anthropic) -> None:
    """Two hidden identities are two rows without an actor and with equal dimensions."""
    hidden = [row for row in cost(sdk, group_by=["actor", "actor_type", "product", "model"]) if row.group.actor is None]
    assert len(hidden) == 2
    assert hidden[0].group == hidden[1].group
    assert hidden[0].group.actor_type == "user_actor"
    assert hidden[0].cost != hidden[1].cost


def test_code_execution_has_no_model_and_product(sdk: anthropic.Anthropic) -> None:
    """Code execution is one row without product, model and tier."""
    rows = [row for row in cost(sdk, group_by=["product", "model", "service_tier"]) if row.group.product is None]
    assert len(rows) == 1
    assert (rows[0].group.model, rows[0].group.service_tier) == (None, None)
    assert rows[0].cost.requests > 0
    assert {row.group.cost_type for row in cost(sdk, group_by=["cost_type", "product"]) if not row.group.product} == {
        "code_execution"
    }


def test_default_workspace_has_its_id(sdk: anthropic.Anthropic, simulator: Simulator) -> None:
    """Analytics has the id of the default workspace, and no row without a workspace."""
    ids = {row.group.workspace_id for row in cost(sdk, group_by=["workspace_id"])}
    assert simulator.organization.workspaces[0].id in ids
    assert None not in ids


# --- Totals ---------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(groupings)
@example({"actor"})
@example({"api_key_id"})
@example({"workspace_id"})
def test_groups_add_up_to_the_total(sdk: anthropic.Anthropic, dimensions: set[str]) -> None:
    """I1 and I3: amounts, list amounts and requests of any groups add up to the row of the day."""
    totals = {row.starting_at: row for row in cost(sdk, time_bucket_width="1d")}
    rows = cost(sdk, time_bucket_width="1d", group_by=sorted(dimensions))
    assert len(totals) == 3
    for start, row in totals.items():
        parts = [part for part in rows if part.starting_at == start]
        assert money(parts) == money([row])
        assert sum(part.cost.requests for part in parts) == row.cost.requests


@settings(max_examples=20, deadline=None)
@given(groupings)
def test_token_groups_add_up_to_the_total(sdk: anthropic.Anthropic, dimensions: set[str]) -> None:
    """I1 for usage: token classes, searches and requests of any groups add up to the total."""
    assert tokens(usage(sdk, group_by=sorted(dimensions))) == tokens(usage(sdk))


@settings(max_examples=8, deadline=None)
@given(groupings)
def test_components_add_up_within_any_group(sdk: anthropic.Anthropic, dimensions: set[str]) -> None:
    """I2: cost types add up to the total, token types to the token cost, and both together to the total."""
    groups = sorted(dimensions)
    types = cost(sdk, group_by=[*groups, "cost_type"])
    by_token = cost(sdk, group_by=[*groups, "token_type"])
    both = cost(sdk, group_by=[*groups, "cost_type", "token_type"])
    assert money(types) == money(both) == money(cost(sdk))
    assert money(by_token) == money([row for row in types if row.group.cost_type == "tokens"])
    assert {row.group.cost_type for row in types} == {"tokens", "web_search", "code_execution"}
    assert {row.group.cost_type for row in by_token} == {"tokens"}
    assert len({row.group.token_type for row in by_token}) == 5
    assert all(row.cost.requests is None for row in [*types, *by_token, *both])


def test_distinct_identities_are_not_duplicates(sdk: anthropic.Anthropic) -> None:
    """I3 requires all rows without an actor; removing rows with equal dimensions loses money."""
    rows = cost(sdk, group_by=["actor", "model"])
    assert money(rows) == money(cost(sdk))
    distinct = {row.group.to_json(): row for row in rows}
    assert money(list(distinct.values())) < money(rows)


@settings(max_examples=10, deadline=None)
@given(st.sets(st.sampled_from(["actor", "api_key_id", "model", "product"]), max_size=2))
def test_buckets_add_up(sdk: anthropic.Anthropic, dimensions: set[str]) -> None:
    """I4: hours add up to their day, and days to the range."""
    groups: dict[str, Any] = {"group_by": sorted(dimensions)}
    days, hours = (cost(sdk, time_bucket_width=width, **groups) for width in ("1d", "1h"))
    assert money(days) == money(cost(sdk, **groups))
    for start in {row.starting_at for row in days}:
        day = [row for row in days if row.starting_at == start]
        within = [row for row in hours if row.starting_at.date() == start.date()]
        assert money(within) == money(day)
        assert {row.ending_at - row.starting_at for row in within} == {timedelta(hours=1)}


def test_minutes_add_up(sdk: anthropic.Anthropic) -> None:
    """I4: the minutes of a day add up to the day."""
    day: dict[str, Any] = {"ending_at": "2026-11-11T00:00:00Z"}
    minutes = cost(sdk, time_bucket_width="1m", **day)
    assert len(minutes) > 24
    assert money(minutes) == money(cost(sdk, **day))


@settings(max_examples=10, deadline=None)
@given(groupings)
def test_token_classes_add_up(sdk: anthropic.Anthropic, dimensions: set[str]) -> None:
    """I5: in every row the five token classes add up to the total."""
    for row in usage(sdk, group_by=sorted(dimensions)):
        assert sum(token_classes(row)) == row.usage.total_tokens


# Dollars per million tokens by class: input, 5-minute write, 1-hour write, cache read, output.
CARD = {
    "claude-opus-5-5": ("4", "5", "8", "0.20", "20"),
    "claude-sonnet-5-5": ("2", "2.5", "4", "0.10", "10"),
    "claude-haiku-5-5": ("0.10", "0.125", "0.20", "0.01", "0.50"),
    "claude-haiku-4-5": ("1", "1.25", "2", "0.10", "5"),
}


def test_amounts_follow_the_price_list(sdk: anthropic.Anthropic) -> None:
    """The list amount is tokens times price, half of it for batches; nine tenths of it are billed."""
    groups = ["model", "service_tier"]
    listed = {
        (row.group.model, row.group.service_tier): money([row])
        for row in cost(sdk, group_by=[*groups, "cost_type"])
        if row.group.cost_type == "tokens"
    }
    counted = {(row.group.model, row.group.service_tier): row for row in usage(sdk, group_by=groups) if row.group.model}
    assert listed.keys() == counted.keys()
    assert {tier for _, tier in listed} == {"standard", "batch"}
    for (model, tier), row in counted.items():
        cents = sum(
            (n * Decimal(price) / 10_000 for n, price in zip(token_classes(row), CARD[model], strict=True)), Decimal(0)
        )
        billed, full = listed[model, tier]
        assert abs(full - cents / (2 if tier == "batch" else 1)) < Decimal("0.01")
        assert abs(billed - full * Decimal("0.9")) < Decimal("0.01")


# --- Classic reports ------------------------------------------------------------------------------------------


def test_classic_cost_lines_add_up(simulator: Simulator, urls: Urls) -> None:
    """I6: lines by workspace and description add up to the line of the day, within rounding."""
    bounds = {"starting_at": FIRST, "ending_at": END}
    totals = list(buckets(simulator, urls, "cost_report", **bounds))
    lines = list(buckets(simulator, urls, "cost_report", **bounds, group_by=["workspace_id", "description"]))
    assert [day["starting_at"] for day in totals] == [day["starting_at"] for day in lines]
    ledger_usd = simulator.ledger.anthropic_cost_usd(*DAYS)
    for day, detail in zip(totals, lines, strict=True):
        amounts = [Decimal(line["amount"]) for line in detail["results"]]
        (own,) = day["results"]
        assert abs(sum(amounts) - Decimal(own["amount"])) <= Decimal("0.00001") * len(amounts)
        usd = ledger_usd[date.fromisoformat(day["starting_at"][:10])]
        assert abs(Decimal(own["amount"]) / 100 - usd) < Decimal("1e-6")


def test_classic_lines_have_descriptions(simulator: Simulator, urls: Urls) -> None:
    """Lines have five decimals and a description; searches and code execution have no model."""
    bounds = {"starting_at": FIRST, "ending_at": END}
    lines = [
        line
        for day in buckets(simulator, urls, "cost_report", **bounds, group_by=["workspace_id", "description"])
        for line in day["results"]
    ]
    assert all(re.fullmatch(r"\d+\.\d{5}", line["amount"]) for line in lines)
    described = {line["description"]: (line["cost_type"], line["token_type"], line["model"]) for line in lines}
    assert described["Claude Opus 5.5 Usage - Input Tokens"] == ("tokens", "uncached_input_tokens", "claude-opus-5-5")
    assert described["Web Search Usage"] == ("web_search", None, None)
    assert described["Code Execution Usage"] == ("code_execution", None, None)
    assert {line["service_tier"] for line in lines if line["model"]} == {"standard", "batch"}


def test_classic_lines_have_requested_dimensions_only(simulator: Simulator, urls: Urls) -> None:
    """An ungrouped line has only its amount; by workspace, the default workspace has no id."""
    bounds = {"starting_at": FIRST, "ending_at": END}
    for day in buckets(simulator, urls, "cost_report", **bounds):
        assert {name for name, value in day["results"][0].items() if value is not None} == {"amount", "currency"}
    default, *others = (workspace.id for workspace in simulator.organization.workspaces)
    for day in buckets(simulator, urls, "cost_report", **bounds, group_by=["workspace_id"]):
        ids = [line["workspace_id"] for line in day["results"]]
        assert None in ids
        assert default not in ids
        assert set(ids) - {None} <= set(others)
        assert len(ids) == len(set(ids))


def test_classic_cost_excludes_the_priority_tier(own: Simulator, own_urls: Urls) -> None:
    """The cost report excludes the dollars of the priority tier."""
    bounds = {"starting_at": FIRST, "ending_at": "2026-11-11T00:00:00Z"}
    before = classic(own, own_urls, "cost_report", **bounds).json()
    piece = next(piece for piece in own.ledger.usage(DAYS[0]) if piece.model)
    own.ledger.usage(DAYS[0]).append(replace(piece, service_tier="priority"))
    assert classic(own, own_urls, "cost_report", **bounds).json() == before


def test_classic_cost_has_complete_days_only(simulator: Simulator, urls: Urls) -> None:
    """A range within one day or within today is rejected with the message of the real API."""
    for first, end in (
        ("2026-11-20T00:00:00Z", "2026-11-20T14:00:00Z"),
        ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        ("2026-11-19T00:00:00Z", "2026-11-19T23:59:59Z"),
        ("2026-11-19T00:00:00Z", "2026-11-19T00:00:00Z"),
        ("2026-11-20T00:00:00Z", None),
    ):
        params = {"starting_at": first, **({"ending_at": end} if end else {})}
        response = classic(simulator, urls, "cost_report", **params)
        assert response.status_code == 400, params
        message = response.json()["error"]["message"]
        assert message == "Invalid date range: ending date must be after starting date", params


def test_classic_cost_ends_yesterday(simulator: Simulator, urls: Urls) -> None:
    """A range that ends in the future returns the past days, and no further page."""
    page = classic(
        simulator, urls, "cost_report", starting_at="2026-11-18T00:00:00Z", ending_at="2026-12-31T00:00:00Z"
    ).json()
    assert [day["starting_at"][:10] for day in page["data"]] == ["2026-11-18", "2026-11-19"]
    assert (page["has_more"], page["next_page"]) == (False, None)


def test_classic_cost_rejects_invalid_parameters(simulator: Simulator, urls: Urls) -> None:
    """Other bucket widths and dimensions, more than 31 days per page and dates without time are rejected."""
    invalid: list[dict[str, Any]] = [
        {"bucket_width": "1h"}, {"group_by": ["model"]}, {"limit": 32}, {"page": "page_nonsense"},
        {"starting_at": "2026-11-10"},
    ]  # fmt: skip
    for params in invalid:
        response = classic(simulator, urls, "cost_report", **{"starting_at": FIRST, "ending_at": END, **params})
        assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error"), params


def test_classic_cost_pages_by_day(simulator: Simulator, urls: Urls) -> None:
    """A page has seven days by default, oldest first, each once; its token names the next day."""
    bounds = {"starting_at": "2026-10-20T00:00:00Z", "ending_at": "2026-11-20T00:00:00Z"}
    page = classic(simulator, urls, "cost_report", **bounds).json()
    assert len(page["data"]) == 7
    assert b64decode(page["next_page"].removeprefix("page_")) == b"2026-10-27T00:00:00Z"
    days = [day["starting_at"] for day in buckets(simulator, urls, "cost_report", **bounds)]
    assert days == sorted(set(days))
    assert len(days) == 31
    assert [day["starting_at"] for day in buckets(simulator, urls, "cost_report", **bounds, limit=31)] == days


# --- Claude Code --------------------------------------------------------------------------------------------------


def test_claude_code_records_are_unique(simulator: Simulator, urls: Urls) -> None:
    """A day has one record per developer and terminal, with the output tokens of the ledger."""
    records = list(buckets(simulator, urls, "usage_report/claude_code", starting_at="2026-11-10", limit=3))
    keys = [(record["actor"]["email_address"], record["terminal_type"]) for record in records]
    assert len(keys) == len(set(keys)) > 10
    assert {record["date"] for record in records} == {FIRST}
    pieces = [piece for piece in simulator.ledger.usage(DAYS[0]) if piece.product == "claude_code"]
    output = sum(line["tokens"]["output"] for record in records for line in record["model_breakdown"])
    assert output == sum(piece.tokens[4] for piece in pieces)
    cents = [line["estimated_cost"]["amount"] for record in records for line in record["model_breakdown"]]
    assert {type(amount) for amount in cents} == {int}
    assert abs(sum(cents) - sum(piece.list_microcents for piece in pieces) / 10**6) <= len(cents) / 2


def test_claude_code_requires_a_date(simulator: Simulator, urls: Urls) -> None:
    """Timestamps and invalid dates are rejected."""
    for day in (FIRST, "", "10.11.2026"):
        assert classic(simulator, urls, "usage_report/claude_code", starting_at=day).status_code == 400, day


def test_claude_code_page_token_belongs_to_its_day(simulator: Simulator, urls: Urls) -> None:
    """The page token of one day is rejected for another day."""
    page = classic(simulator, urls, "usage_report/claude_code", starting_at="2026-11-10", limit=3).json()
    other = classic(simulator, urls, "usage_report/claude_code", starting_at="2026-11-11", page=page["next_page"])
    assert other.status_code == 400


def test_claude_code_has_a_delay_of_an_hour(own: Simulator, own_urls: Urls) -> None:
    """Usage of the last hour is not included yet."""
    counts = []
    for hour in (0, 12, 23):
        own.now = datetime(2026, 11, 10, hour, 30, tzinfo=UTC)
        counts.append(len(list(buckets(own, own_urls, "usage_report/claude_code", starting_at="2026-11-10"))))
    assert counts[0] == 0 < counts[1] < counts[2]
