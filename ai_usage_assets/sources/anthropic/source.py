"""All that is known of Anthropic's organisation APIs: endpoints, versions, paging, windows, what must add up.

Belongs here: the vendor's facts. Does not: HTTP (`gateway`), storage (`landing`), or what the numbers mean to finance
(`sql/`). Money and tokens come from the usage and cost analytics API, billed dollars per actor, key, workspace, model
and product. Its ungrouped and component queries are the control totals, the classic cost report an independent one,
Claude Code analytics gives productivity only, and the directory gives names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from ai_usage_assets.days import DayRange, day_end, day_start
from ai_usage_assets.http.client import ApiClient, Endpoint, RawResponse
from ai_usage_assets.http.errors import ApiError, PageTokenExpired, PermanentApiError
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.http.rate_limit import Clock, SystemClock
from ai_usage_assets.http.retry import RetryPolicy
from ai_usage_assets.sources.base import (
    DayBatch,
    EmailIdentity,
    EndpointNotAvailable,
    Extract,
    InvalidRecordError,
    KeyKind,
    Probe,
    ProbeResult,
    RejectedDay,
    Source,
)
from ai_usage_assets.sources.money import cents_to_usd, parse_decimal
from ai_usage_assets.sources.records import field_paths, reject_duplicate_keys, to_utc
from ai_usage_assets.warehouse.raw_tables import raw_table
from ai_usage_assets.warehouse.tables import Table

NAME = "anthropic"

_T = TypeVar("_T")

# Pinned by family: under the newer version the classic reports are not documented.
_CLASSIC = {"anthropic-version": "2023-06-01"}
_CURRENT = {"anthropic-version": "2026-10-21"}
_ANALYTICS = {**_CURRENT, "anthropic-beta": "analytics-usage-cost-2026-08-24"}

_ORGANIZATION = "/v1/organizations"
_PAGE_ROWS = 1000
_DEFAULT_WORKSPACE = "Default"
_PAGE_DAYS = 31

# Analytics answers from this day on, and for the last 365 days.
_ANALYTICS_SINCE, _ANALYTICS_REACH = date(2026, 1, 1), timedelta(days=364)
# It accepts 31 days at once; shorter windows bound memory and make a restart cheap.
_ANALYTICS_WINDOW_DAYS = 10
_RESTARTS = 3

# Rows may each be rounded to a millionth of a cent on the vendor's side.
ROW_ROUNDING_USD = Decimal("1e-8")

# Documented: 60 a minute for analytics, 100 for the directory; the classic text asks for restraint. One budget each.
_ENDPOINTS = [
    *(Endpoint("GET", f"{_ORGANIZATION}/analytics/{name}", 60, "analytics") for name in ("cost", "usage")),
    *(
        Endpoint("GET", f"{_ORGANIZATION}/{name}", 60, "classic")
        for name in ("cost_report", "usage_report/claude_code")
    ),
    *(
        Endpoint("GET", f"{_ORGANIZATION}/{name}", 60, "directory")
        for name in ("me", "users", "api_keys", "workspaces", "workspaces/{workspace_id}/members")
    ),
]

# Five dimensions are the vendor's ceiling; these are the five that finance asks for.
_FIVE = ("actor", "api_key_id", "workspace_id", "model", "product")

RAW_COST = raw_table(
    "raw_anthropic_cost", "Billed cost per actor, API key, workspace, model and product (analytics/cost)."
)
RAW_COST_TOTAL = raw_table(
    "raw_anthropic_cost_total", "Billed cost of the day in one row, the control total (analytics/cost, ungrouped)."
)
RAW_COST_COMPONENTS = raw_table(
    "raw_anthropic_cost_components",
    "Billed cost per workspace, model, cost type and token type: what the money was for (analytics/cost).",
)
RAW_COST_BY_ACTOR_TYPE = raw_table(
    "raw_anthropic_cost_by_actor_type", "Billed cost per type of actor, a second control (analytics/cost)."
)
RAW_USAGE = raw_table("raw_anthropic_usage", "Tokens and requests at the grain of the billed cost (analytics/usage).")
RAW_USAGE_TOTAL = raw_table(
    "raw_anthropic_usage_total", "Tokens of the day in one row, the control total (analytics/usage, ungrouped)."
)
RAW_COST_REPORT = raw_table(
    "raw_anthropic_cost_report", "The classic cost report's bucket of the day, an independent control (cost_report)."
)
RAW_CLAUDE_CODE = raw_table(
    "raw_anthropic_claude_code",
    "Claude Code sessions, lines, commits and pull requests per developer (usage_report/claude_code). Its dollars are "
    "list-price estimates and are never added to cost.",
)
RAW_ORGANIZATION = raw_table("raw_anthropic_organization", "Which organisation the key belongs to (me).", snapshot=True)
RAW_USERS = raw_table("raw_anthropic_users", "Members of the organisation (users).", snapshot=True)
RAW_API_KEYS = raw_table("raw_anthropic_api_keys", "API keys in every status (api_keys).", snapshot=True)
RAW_WORKSPACES = raw_table(
    "raw_anthropic_workspaces", "Workspaces, archived and default ones too (workspaces).", snapshot=True
)
RAW_WORKSPACE_MEMBERS = raw_table(
    "raw_anthropic_workspace_members", "Who may work in which workspace (workspaces/{id}/members).", snapshot=True
)


class _Report(msgspec.Struct, kw_only=True):
    data: list[msgspec.Raw]
    has_more: bool
    next_page: str | None = None

    def __post_init__(self) -> None:
        if self.has_more and not self.next_page:
            raise ValueError("has_more is true but next_page is missing")


class _Analytics(_Report, kw_only=True):
    # Required: without it a page does not say how far its data reaches.
    data_refreshed_at: _Instant | None


_ReportT = TypeVar("_ReportT", bound=_Report)


class _Directory(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool
    last_id: str | None = None

    def __post_init__(self) -> None:
        if self.has_more and not self.last_id:
            raise ValueError("has_more is true but last_id is missing")


_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class _Bucket(msgspec.Struct):
    starting_at: _Instant


class _Money(msgspec.Struct):
    amount: msgspec.Raw
    list_amount: msgspec.Raw
    currency: str


class _CostRow(_Bucket):
    cost: _Money


class _Tokens(msgspec.Struct):
    total_tokens: msgspec.Raw
    output_tokens: msgspec.Raw
    uncached_input_tokens: msgspec.Raw
    cache_read_input_tokens: msgspec.Raw


class _UsageRow(_Bucket):
    usage: _Tokens


class _ClassicAmount(msgspec.Struct):
    amount: msgspec.Raw
    currency: str


class _ClassicBucket(_Bucket):
    results: list[_ClassicAmount]


class _ClaudeCode(msgspec.Struct):
    date: _Instant


class _Actor(msgspec.Struct):
    user_id: str | None = None
    email_address: str | None = None


class _Group(msgspec.Struct):
    actor: _Actor | None = None
    workspace_id: str | None = None


class _Grouped(msgspec.Struct):
    group: _Group


class _Identified(msgspec.Struct):
    id: str


class _Organization(msgspec.Struct):
    name: str


class _Workspace(_Identified):
    name: str | None = None
    archived_at: str | None = None


class _DataMoved(Exception):
    """The vendor refreshed its data while a window was being read; nothing read so far may be kept."""


class Anthropic:
    """The organisation's Admin or Enterprise key, and what can be asked with it. No I/O until the first request."""

    def __init__(
        self,
        key: Callable[[], str],
        base_url: str,
        *,
        pacing: bool = True,
        retry_policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._api = ApiClient(
            NAME,
            base_url,
            authorize=lambda: {"x-api-key": key()},
            endpoints=_ENDPOINTS,
            headers={"user-agent": "ai-usage-assets"},
            retry_policy=retry_policy,
            pacing=pacing,
            clock=clock or SystemClock(),
            hint=_hint,
        )

    @property
    def server_date(self) -> str | None:
        """What the vendor's clock showed in its last answer."""
        return self._api.server_date

    def request_once(self, path: str, params: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> RawResponse:
        """One answer as it came, an error too; `headers` are all that say which version is asked."""
        return self._api.request_once("GET", f"{_ORGANIZATION}/{path}", params=params, headers=headers)

    def close(self) -> None:
        """Ends the connections."""
        self._api.close()

    def get(self, path: str, params: Sequence[tuple[str, str]], response_type: type[_T], version: dict[str, str]) -> _T:
        """One page in the promised shape."""
        page, _ = self._api.get(f"{_ORGANIZATION}/{path}", params, response_type=response_type, headers=version)
        return page

    def report(
        self, path: str, params: Sequence[tuple[str, str]], response_type: type[_ReportT], version: dict[str, str]
    ) -> Iterator[_ReportT]:
        """The pages of a report, each asked for with the cursor of the one before."""

        def fetch(cursor: str | None) -> tuple[_ReportT, str | None]:
            turned = [*params, ("page", cursor)] if cursor else params
            page = self.get(path, turned, response_type, version)
            return page, page.next_page if page.has_more else None

        return paginate(fetch, service=NAME, endpoint=path)

    def directory(self, path: str, params: Sequence[tuple[str, str]] = ()) -> tuple[list[bytes], int]:
        """All records of a directory list, and how many pages held them. Only `after_id` advances these lists."""

        def fetch(cursor: str | None) -> tuple[_Directory, str | None]:
            turned = [*params, ("limit", str(_PAGE_ROWS)), *([("after_id", cursor)] if cursor else [])]
            page = self.get(path, turned, _Directory, _CURRENT)
            return page, page.last_id if page.has_more else None

        pages = list(paginate(fetch, service=NAME, endpoint=path))
        return [bytes(record) for page in pages for record in page.data], len(pages)


def _hint(status: int, path: str) -> str | None:
    match status:
        case 401:
            return "Check ANTHROPIC_ADMIN_KEY: it must be a live Admin key of the Console, not a workspace's key."
        case 403:
            return "The key lacks a right. Use a Console Admin key, or an Enterprise key with read:analytics."
        case 404 if "/analytics/" in path:
            return "The organisation may not be enrolled in the usage and cost analytics API; ask Anthropic."
        case _:
            return None


_NOT_THIS_ORGANISATION = {"organization_type_not_supported", "organization_not_enrolled_in_beta"}
# In the vendor's own words only: a 404 of some proxy is not its answer.
_NOT_THIS_KEY = {"permission_error", "not_found_error"}


def _not_exposed(failure: ApiError, *, of_key: bool = True) -> EndpointNotAvailable | None:
    """Whether a refusal means "not for this kind of organisation, or key" rather than "something is broken"."""
    meant = failure.error_codes & _NOT_THIS_ORGANISATION or (of_key and failure.error_codes & _NOT_THIS_KEY)
    return EndpointNotAvailable(f"{failure.endpoint}: {failure.detail}") if meant else None


# --- Usage and cost analytics: six queries of one window, one watermark ------------------------------------------


@dataclass(frozen=True)
class _Query:
    table: Table
    report: str
    group_by: tuple[str, ...]

    @property
    def has_money(self) -> bool:
        """Whether its rows must add up to the day's total."""
        return self.report == "cost"


_TOTAL = _Query(RAW_COST_TOTAL, "cost", ())
_USAGE, _USAGE_TOTAL = _Query(RAW_USAGE, "usage", _FIVE), _Query(RAW_USAGE_TOTAL, "usage", ())
_QUERIES = (
    _TOTAL,
    _Query(RAW_COST, "cost", _FIVE),
    _Query(RAW_COST_COMPONENTS, "cost", ("workspace_id", "model", "cost_type", "token_type")),
    _Query(RAW_COST_BY_ACTOR_TYPE, "cost", ("actor_type",)),
    _USAGE,
    _USAGE_TOTAL,
)


@dataclass
class _DayOfQuery:
    """What one query said of one day."""

    records: list[bytes]
    amount_usd: Decimal = Decimal(0)
    list_amount_usd: Decimal = Decimal(0)
    tokens: Decimal = Decimal(0)
    metered_tokens: Decimal = Decimal(0)
    problem: str | None = None


@dataclass
class _Window:
    """What the six queries said of a window, all from one export of the vendor's data."""

    watermark: datetime | None
    pages: dict[str, int]
    days: dict[tuple[str, date], _DayOfQuery]

    def of(self, query: _Query, day: date) -> _DayOfQuery:
        return self.days.get((query.table.name, day)) or _DayOfQuery([])


def _fetch_analytics(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    """The six queries of a window, as one: a refresh in the middle, or a 410, starts it again."""
    for attempt in range(1, _RESTARTS + 1):
        try:
            window = _read_window(client, days)
        except (PageTokenExpired, _DataMoved):
            if attempt == _RESTARTS:
                for query in _QUERIES:
                    for day in days:
                        yield RejectedDay(
                            query.table,
                            day,
                            f"Anthropic refreshed its data during each of {_RESTARTS} attempts to read it; "
                            "run the day again in an hour.",
                        )
                return
            continue
        except PermanentApiError as failure:
            # A key that lacks the right to see the bill is a mistake to mend, not a fact about the contract.
            raise (_not_exposed(failure, of_key=False) or failure) from None
        for day in days:
            yield from _judge(window, day)
        return


def _read_window(client: Anthropic, days: DayRange) -> _Window:
    watermarks: set[datetime | None] = set()
    window = _Window(None, {}, {})
    for query in _QUERIES:
        params = [
            ("starting_at", _instant(day_start(days.first))),
            ("ending_at", _instant(day_end(days.last))),
            ("time_bucket_width", "1d"),
            ("order_by", "time"),
            ("order", "asc"),
            ("limit", str(_PAGE_ROWS)),
            *(("group_by[]", dimension) for dimension in query.group_by),
        ]
        pages = 0
        for page in client.report(f"analytics/{query.report}", params, _Analytics, _ANALYTICS):
            pages += 1
            watermarks.add(page.data_refreshed_at and to_utc(page.data_refreshed_at))
            if len(watermarks) > 1:
                raise _DataMoved
            for record in page.data:
                _file(window, query, bytes(record), days)
        window.pages[query.table.name] = pages
    window.watermark = watermarks.pop()
    return window


def _file(window: _Window, query: _Query, record: bytes, days: DayRange) -> None:
    """Puts a record under its day. A record that cannot be read spoils its day, not the window."""
    day = to_utc(msgspec.json.decode(record, type=_Bucket).starting_at).date()
    if not days.first <= day <= days.last:
        raise InvalidRecordError(f"a record of {query.table.name} is of {day}, which was not asked for")
    found = window.days.setdefault((query.table.name, day), _DayOfQuery([]))
    found.records.append(record)
    try:
        workspace_id = None
        if query.group_by == _FIVE:
            # Read again when the day is landed: whom the row names must be readable.
            workspace_id = msgspec.json.decode(record, type=_Grouped).group.workspace_id
        if not query.has_money:
            tokens = msgspec.json.decode(record, type=_UsageRow).usage
            for raw in (tokens.output_tokens, tokens.uncached_input_tokens, tokens.cache_read_input_tokens):
                parse_decimal(raw)
            total = parse_decimal(tokens.total_tokens)
            found.tokens += total
            # Usage of Claude Enterprise has no workspace, and may be paid by seats.
            found.metered_tokens += total if workspace_id else 0
        if query.has_money:
            reject_duplicate_keys(record, b'"cost"', b'"amount"', b'"list_amount"')
            money = msgspec.json.decode(record, type=_CostRow).cost
            if money.currency != "USD":
                raise InvalidRecordError("an amount is not in USD")
            found.amount_usd += cents_to_usd(parse_decimal(money.amount))
            found.list_amount_usd += cents_to_usd(parse_decimal(money.list_amount))
    except (msgspec.ValidationError, InvalidRecordError) as error:
        found.problem = str(error)


def _judge(window: _Window, day: date) -> Iterator[DayBatch | RejectedDay]:
    """The day's tables, or the reason why the day must not replace what is held."""
    reason, own_reason = _reason_to_refuse(window, day), _reason_to_refuse_tokens(window, day)
    incomplete = None
    if window.watermark is not None and window.watermark < day_end(day):
        incomplete = (
            f"Anthropic's data reaches only to {_instant(window.watermark)}; it lags by 4 hours, at most by 24. "
            "Run the day again later."
        )
    for query in _QUERIES:
        found = window.of(query, day)
        # What is wrong with the tokens is not wrong with the bill.
        own = None if query.has_money else own_reason
        if reason or own:
            yield RejectedDay(query.table, day, reason or own or "")
        else:
            yield DayBatch(
                table=query.table,
                day=day,
                records=found.records,
                pages=window.pages[query.table.name],
                amount_usd=found.amount_usd if query.has_money else None,
                watermark=window.watermark,
                incomplete_reason=incomplete,
            )


def _reason_to_refuse(window: _Window, day: date) -> str | None:
    if window.watermark is None:
        return "Anthropic has no data for these days yet (data_refreshed_at is null); run them again later."
    for query in _QUERIES:
        if query.has_money and (problem := _unreadable(window, query, day)):
            return problem
    control = window.of(_TOTAL, day)
    tokens = sum((window.of(query, day).metered_tokens for query in _QUERIES), Decimal(0))
    if tokens and not control.records:
        return (
            f"Anthropic counts {tokens:,} tokens but sends no bill for the day. What was held is kept; run the day "
            "again, and ask Anthropic if it stays."
        )
    for query in _QUERIES:
        if not query.has_money or query is _TOTAL:
            continue
        detail = window.of(query, day)
        for what, ours, theirs in (
            ("billed", detail.amount_usd, control.amount_usd),
            ("list price", detail.list_amount_usd, control.list_amount_usd),
        ):
            if abs(ours - theirs) > ROW_ROUNDING_USD * (len(detail.records) + len(control.records)):
                return (
                    f"the rows of {query.table.name} add up to ${ours} {what}, Anthropic's own total of the day is "
                    f"${theirs}. What was held is kept; run the day again, and report it if it stays."
                )
    return None


def _reason_to_refuse_tokens(window: _Window, day: date) -> str | None:
    for query in (_USAGE, _USAGE_TOTAL):
        if problem := _unreadable(window, query, day):
            return problem
    ours, theirs = window.of(_USAGE, day).tokens, window.of(_USAGE_TOTAL, day).tokens
    if ours != theirs:
        return (
            f"the rows of {RAW_USAGE.name} add up to {ours:,} tokens, Anthropic's own total of the day is {theirs:,}. "
            "What was held is kept; run the day again, and report it if it stays."
        )
    return None


def _unreadable(window: _Window, query: _Query, day: date) -> str | None:
    problem = window.of(query, day).problem
    return (
        problem and f"{query.table.name} has a record that cannot be read: {problem}. Report it; what was held is kept."
    )


# --- Classic reports ----------------------------------------------------------------------------------------------


def _fetch_cost_report(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    params = [
        ("starting_at", _instant(day_start(days.first))),
        ("ending_at", _instant(day_end(days.last))),
        ("bucket_width", "1d"),
        ("limit", str(_PAGE_DAYS)),
        ("group_by[]", "workspace_id"),
        ("group_by[]", "description"),
    ]
    buckets: dict[date, list[bytes]] = defaultdict(list)
    pages = 0
    try:
        for page in client.report("cost_report", params, _Report, _CLASSIC):
            pages += 1
            for record in page.data:
                bucket = msgspec.json.decode(record, type=_Bucket)
                buckets[to_utc(bucket.starting_at).date()].append(bytes(record))
    except ApiError as failure:
        raise (_not_exposed(failure) or failure) from None
    for day in days:
        if len(buckets[day]) != 1:
            yield RejectedDay(
                RAW_COST_REPORT, day, f"cost_report gave {len(buckets[day])} buckets for the day, not one."
            )
            continue
        try:
            reject_duplicate_keys(buckets[day][0])
            bucket = msgspec.json.decode(buckets[day][0], type=_ClassicBucket)
            if any(amount.currency != "USD" for amount in bucket.results):
                raise InvalidRecordError("an amount is not in USD")
            total = sum((cents_to_usd(parse_decimal(amount.amount)) for amount in bucket.results), Decimal(0))
        except (msgspec.ValidationError, InvalidRecordError) as error:
            yield RejectedDay(RAW_COST_REPORT, day, f"the bucket has an unknown shape: {error}.")
            continue
        yield DayBatch(RAW_COST_REPORT, day, buckets[day], pages, amount_usd=total)


def _fetch_claude_code(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    for day in days:
        params = [("starting_at", day.isoformat()), ("limit", str(_PAGE_ROWS))]
        try:
            pages = list(client.report("usage_report/claude_code", params, _Report, _CLASSIC))
        except ApiError as failure:
            raise (_not_exposed(failure) or failure) from None
        records = [bytes(record) for page in pages for record in page.data]
        if any(to_utc(msgspec.json.decode(record, type=_ClaudeCode).date).date() != day for record in records):
            yield RejectedDay(RAW_CLAUDE_CODE, day, "a record is of another day than was asked for.")
            continue
        yield DayBatch(RAW_CLAUDE_CODE, day, records, len(pages))


# --- Directory ----------------------------------------------------------------------------------------------------


def _fetch_organization(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    try:
        organization = client.get("me", (), msgspec.Raw, _CURRENT)
    except ApiError as failure:
        raise (_not_exposed(failure) or failure) from None
    yield DayBatch(RAW_ORGANIZATION, days.last, [bytes(organization)], 1)


def _fetch_users(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    try:
        records, pages = client.directory("users")
    except ApiError as failure:
        raise (_not_exposed(failure) or failure) from None
    if not records:
        raise InvalidRecordError("the list of users is empty")
    yield DayBatch(RAW_USERS, days.last, records, pages)


def _fetch_api_keys(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    """Without a status and then once for each: whether the plain list holds archived keys is not documented."""
    found: dict[str, bytes] = {}
    pages = 0
    try:
        for status in (None, "active", "inactive", "archived", "expired"):
            records, count = client.directory("api_keys", [("status", status)] if status else [])
            pages += count
            for record in records:
                found[msgspec.json.decode(record, type=_Identified).id] = record
    except ApiError as failure:
        raise (_not_exposed(failure) or failure) from None
    yield DayBatch(RAW_API_KEYS, days.last, list(found.values()), pages)


def _fetch_workspaces(client: Anthropic, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    members: list[bytes] = []
    member_pages = 0
    try:
        workspaces, pages = client.directory("workspaces", [("include_archived", "true"), ("include_default", "true")])
        for record in workspaces:
            workspace = msgspec.json.decode(record, type=_Workspace)
            if workspace.archived_at is not None:
                continue
            try:
                found, count = client.directory(f"workspaces/{workspace.id}/members")
            except ApiError as failure:
                # The default workspace has no list of members: everybody is in it.
                if workspace.name != _DEFAULT_WORKSPACE or failure.status not in (400, 404):
                    raise
                continue
            members += found
            member_pages += count
    except ApiError as failure:
        raise (_not_exposed(failure) or failure) from None
    yield DayBatch(RAW_WORKSPACES, days.last, workspaces, pages)
    yield DayBatch(RAW_WORKSPACE_MEMBERS, days.last, members, member_pages)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _user(record: bytes) -> tuple[Hashable, str | None]:
    actor = msgspec.json.decode(record, type=_Grouped).group.actor
    return (actor.user_id, actor.email_address) if actor and actor.user_id else (None, None)


# Product surfaces the vendor has named; the list is open.
PRODUCTS = frozenset(
    {
        "cc_security_autopatch", "chat", "chat_cowork_unified", "claude_code", "claude_console", "claude_design",
        "claude_in_chrome", "claude_tag", "cowork", "managed_agents_api", "message_batches_api", "messages_api",
        "office_agent", "other",
    }
)  # fmt: skip

ACTOR_TYPES = frozenset({"api_actor", "federated_actor", "service_account_actor", "user_actor"})

# What money can be for: types of cost, and of the tokens among them.
COMPONENTS = frozenset(
    {
        "code_execution", "session_usage", "web_search",
        "cache_creation.ephemeral_1h_input_tokens", "cache_creation.ephemeral_5m_input_tokens",
        "cache_read_input_tokens", "output_tokens", "uncached_input_tokens",
    }
)  # fmt: skip

_GROUP_FIELDS = field_paths(
    "starting_at ending_at",
    group="actor actor_type agent_id api_key_id claude_tag_category claude_tag_user_id context_window deployment_id "
    "environment_id inference_geo model organization_id product rbac_group_id service_tier session_id slack_channel_id "
    "speed user_profile_id workspace_id cost_type token_type",
    group__actor="type user_id email_address name deleted service_account_id api_key_id provider subject",
    group__actor__provider="type account_id signed_principal subscription_id project_number issuer",
)
_COST_FIELDS = _GROUP_FIELDS | field_paths(cost="amount list_amount currency requests")
_USAGE_FIELDS = _GROUP_FIELDS | field_paths(
    usage="uncached_input_tokens cache_read_input_tokens output_tokens requests total_tokens",
    usage__cache_creation="ephemeral_5m_input_tokens ephemeral_1h_input_tokens",
    usage__server_tool_use="web_search_requests",
)
_CLASSIC_FIELDS = field_paths(
    "starting_at ending_at",
    results="amount currency workspace_id description cost_type token_type model service_tier context_window "
    "inference_geo",
)

_BY_USER_ID = EmailIdentity(_user, one_to_one=False)

EXTRACTS = (
    Extract(
        "anthropic_analytics",
        NAME,
        tuple(query.table for query in _QUERIES),
        _fetch_analytics,
        window_days=_ANALYTICS_WINDOW_DAYS,
        earliest_day=lambda today: max(_ANALYTICS_SINCE, today - _ANALYTICS_REACH),
        email_identities={RAW_COST.name: _BY_USER_ID, RAW_USAGE.name: _BY_USER_ID},
        known_fields={RAW_COST.name: _COST_FIELDS, RAW_USAGE.name: _USAGE_FIELDS},
    ),
    Extract(
        "anthropic_cost_report",
        NAME,
        (RAW_COST_REPORT,),
        _fetch_cost_report,
        window_days=_PAGE_DAYS,
        known_fields={RAW_COST_REPORT.name: _CLASSIC_FIELDS},
    ),
    Extract("anthropic_claude_code", NAME, (RAW_CLAUDE_CODE,), _fetch_claude_code, may_become_empty=True),
    Extract("anthropic_organization", NAME, (RAW_ORGANIZATION,), _fetch_organization, is_snapshot=True),
    Extract("anthropic_users", NAME, (RAW_USERS,), _fetch_users, is_snapshot=True),
    Extract("anthropic_api_keys", NAME, (RAW_API_KEYS,), _fetch_api_keys, is_snapshot=True),
    Extract(
        "anthropic_workspaces",
        NAME,
        (RAW_WORKSPACES, RAW_WORKSPACE_MEMBERS),
        _fetch_workspaces,
        is_snapshot=True,
        may_become_empty=True,
    ),
)


# --- Trials -------------------------------------------------------------------------------------------------------

KEY_KINDS = (
    KeyKind("sk-ant-admin", "an Admin key of the Console"),
    KeyKind("sk-ant-api01-", "a scoped key of Claude Enterprise"),
    KeyKind("sk-ant-api", "a workspace's key, which may not see the organisation", is_rejected=True),
    KeyKind("sk-ant-oat", "a login of Claude Code, which may not see the organisation", is_rejected=True),
)
WANTED_KEY = "an Admin key (Console, Settings, Admin keys), or an analytics key of Claude Enterprise."


def _asking(path: str, ask: Callable[[Anthropic, date], ProbeResult], *, of_key: bool = True) -> Probe:
    def attempt(client: Anthropic, day: date) -> ProbeResult:
        try:
            return ask(client, day)
        except ApiError as failure:
            raise (_not_exposed(failure, of_key=of_key) or failure) from None

    return Probe(path, attempt)


def _try_me(client: Anthropic, day: date) -> ProbeResult:
    return ProbeResult(f"the key belongs to {client.get('me', (), _Organization, _CURRENT).name}")


def _try_analytics(report: str) -> Probe:
    def ask(client: Anthropic, day: date) -> ProbeResult:
        page = client.get(f"analytics/{report}", [*_day_bounds(day), ("limit", "1")], _Analytics, _ANALYTICS)
        if page.data_refreshed_at is None:
            return ProbeResult(
                f"no data for {day} yet", "Normal for an organisation that is a day old; else ask Anthropic."
            )
        reaches = f"data reaches to {page.data_refreshed_at:%Y-%m-%d %H:%M} UTC"
        late = page.data_refreshed_at < day_end(day)
        return ProbeResult(
            reaches, f"{day} is not whole yet: it lags by 4 hours, at most by 24. Run later." if late else ""
        )

    return _asking(f"analytics/{report}", ask, of_key=False)


def _try_cost_report(client: Anthropic, day: date) -> ProbeResult:
    page = client.get("cost_report", [*_day_bounds(day)[:2], ("limit", "1")], _Report, _CLASSIC)
    if len(page.data) != 1:
        raise InvalidRecordError(f"{len(page.data)} buckets came for one day")
    return ProbeResult(f"{day} is answered")


def _try_claude_code(client: Anthropic, day: date) -> ProbeResult:
    params = [("starting_at", day.isoformat()), ("limit", "1")]
    page = client.get("usage_report/claude_code", params, _Report, _CLASSIC)
    return ProbeResult(f"{day} is answered" if page.data else f"answers; nobody used Claude Code on {day}")


def _try_users(client: Anthropic, day: date) -> ProbeResult:
    if not client.get("users", [("limit", "1")], _Directory, _CURRENT).data:
        raise InvalidRecordError("the list of users is empty")
    return ProbeResult("answers")


def _try_api_keys(client: Anthropic, day: date) -> ProbeResult:
    found = client.get("api_keys", [("limit", "1")], _Directory, _CURRENT).data
    return ProbeResult("answers" if found else "answers; there is no key")


def _try_workspaces(client: Anthropic, day: date) -> ProbeResult:
    params = [("limit", "20"), ("include_default", "true")]
    page = client.get("workspaces", params, _Directory, _CURRENT)
    workspaces = [msgspec.json.decode(record, type=_Workspace) for record in page.data]
    # The default workspace has no list of members.
    own = next((workspace for workspace in workspaces if workspace.name != _DEFAULT_WORKSPACE), None)
    if own is None:
        return ProbeResult("answers; there is only the default workspace")
    client.get(f"workspaces/{own.id}/members", [("limit", "1")], _Directory, _CURRENT)
    return ProbeResult("answers, members too")


def _day_bounds(day: date) -> list[tuple[str, str]]:
    return [
        ("starting_at", _instant(day_start(day))),
        ("ending_at", _instant(day_end(day))),
        ("time_bucket_width", "1d"),
    ]


PROBES = (
    _asking("me", _try_me),
    _try_analytics("cost"),
    _try_analytics("usage"),
    _asking("cost_report", _try_cost_report),
    _asking("usage_report/claude_code", _try_claude_code),
    _asking("users", _try_users),
    _asking("api_keys", _try_api_keys),
    _asking("workspaces", _try_workspaces),
)


SOURCE = Source(
    name=NAME,
    label="Anthropic",
    connect=Anthropic,
    extracts=EXTRACTS,
    probes=PROBES,
    key_kinds=KEY_KINDS,
    wanted_key=WANTED_KEY,
    money_tables={"billed": (RAW_COST,)},
)
