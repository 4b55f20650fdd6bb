"""What is not known of Anthropic's organisation APIs for sure, and the fewest requests that would settle it.

Belongs here: the questions, and how an answer is read without keeping whom it names. Does not: what is known
(`anthropic`), how many requests may be sent (`questions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.days import ONE_DAY, day_end, day_start
from ai_usage_assets.sources.anthropic.analytics import DIMENSIONS
from ai_usage_assets.sources.anthropic.client import (
    ANALYTICS,
    CLASSIC,
    CURRENT,
    ORGANIZATION,
    PAGE_ROWS,
    AnthropicClient,
    format_instant,
)
from ai_usage_assets.sources.anthropic.tables import NAME, ROW_ROUNDING_USD
from ai_usage_assets.sources.questions import (
    Answer,
    Asking,
    Facts,
    NotAnswered,
    Parameters,
    Question,
    Seen,
    counts,
    fields_of,
    form,
)

# Days that may still grow tell little of sums.
_SETTLED = timedelta(days=3)
_LONG_AGO = timedelta(days=400)


class AnthropicQuestions:
    """Twenty GETs, in an order in which later questions use what earlier ones learnt."""

    vendor = NAME
    most_requests = 20

    def __init__(self, client: AnthropicClient, now: datetime) -> None:
        self.ask = Asking(self.most_requests)
        self._client = client
        self._now = now
        self._today = now.astimezone(UTC).date()
        # The day that is looked at closely, and its total; yesterday until the first answer chooses.
        self._day = self._today - ONE_DAY
        self._total: dict[str, Any] | None = None
        self._rows: list[dict[str, Any]] = []

    def questions(self) -> tuple[Question, ...]:
        """All of them."""
        return (
            Question("me", "Which fields does the organisation have, and what does its id look like?", self._me),
            Question(
                "daily_totals",
                "Does analytics/cost answer for 31 days, how old is its data, are there negative days, which fields "
                "does its envelope have?",
                self._daily_totals,
            ),
            Question("no_beta_header", "What does analytics answer without its beta header?", self._no_beta_header),
            Question("six_dimensions", "What does analytics answer to six dimensions?", self._six_dimensions),
            Question("unknown_parameter", "Is an unknown query parameter refused or ignored?", self._unknown_parameter),
            Question(
                "unaligned_start",
                "Is a starting_at inside a day snapped to the bucket, refused, or taken as it is?",
                self._unaligned_start,
            ),
            Question("future_end", "What does analytics answer for an ending_at in the future?", self._future_end),
            Question("older_version", "Does analytics answer under version 2023-06-01?", self._older_version),
            Question("altered_cursor", "What does an altered cursor get?", self._altered_cursor),
            Question(
                "five_dimensions",
                "Do the rows of five dimensions add up to the total of the day, and are there twins and rows without "
                "an actor?",
                self._five_dimensions,
            ),
            Question(
                "components",
                "Do the rows by cost type and token type add up to the total, and which types are there?",
                self._components,
            ),
            Question("service_tiers", "Which service tiers are billed (priority too)?", self._service_tiers),
            Question(
                "tokens",
                "Is total_tokens the sum of its parts, and in which context windows is each model counted?",
                self._tokens,
            ),
            Question(
                "classic_equals_analytics",
                "Does the classic cost report of a day equal analytics: the billed amount, or the list amount?",
                self._classic_equals_analytics,
            ),
            Question(
                "classic_current_version", "Does the classic cost report answer under the newer version?", self._newer
            ),
            Question("classic_retention", "Does the classic cost report reach back 400 days?", self._retention),
            Question(
                "key_statuses",
                "Does the list of API keys without a status hold archived ones? Whom do keys act as, and is that whom "
                "their usage names?",
                self._key_statuses,
            ),
            Question(
                "claude_code_current_version",
                "Does Claude Code analytics answer under the newer version?",
                self._claude_code,
            ),
        )

    # --- asking --------------------------------------------------------------------------------------------------

    def _get(self, path: str, params: Parameters, version: dict[str, str]) -> Seen:
        told = " ".join(version.values())
        return self.ask(
            lambda: self._client.request_once(path, params, version),
            f"GET {ORGANIZATION}/{path}",
            params,
            version=told,
        )

    def _analytics(
        self,
        *more: tuple[str, str],
        group_by: Sequence[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        report: str = "cost",
        version: dict[str, str] = ANALYTICS,
    ) -> Seen:
        params = [
            ("starting_at", format_instant(start or day_start(self._day))),
            ("ending_at", format_instant(end or day_end(self._day))),
            ("time_bucket_width", "1d"),
            *(("group_by[]", name) for name in group_by),
            *(more or [("limit", str(PAGE_ROWS))]),
        ]
        return self._get(f"analytics/{report}", params, version)

    def _adds_up(self, seen: Seen) -> tuple[str, Facts]:
        """Whether the rows of a query are the day's total."""
        page = seen.expect()
        rows = page["data"]
        if page["has_more"]:
            return "more rows than one page holds, so no sum", {"rows_on_page": len(rows), "has_more": True}
        if self._total is None:
            return "no day with cost, so no sum", {"rows": len(rows)}
        facts: Facts = {"rows": len(rows)}
        close = True
        for name in ("amount", "list_amount"):
            difference = _sum(rows, name) - _cents(self._total, name)
            facts[f"{name}_difference_cents"] = difference
            close &= abs(difference) <= 100 * ROW_ROUNDING_USD * (len(rows) + 1)
        exact = not any(facts[f"{name}_difference_cents"] for name in ("amount", "list_amount"))
        return f"{len(rows)} rows {'equal' if exact else 'round to' if close else 'DIFFER from'} the total", facts

    # --- answers -------------------------------------------------------------------------------------------------

    def _me(self) -> Answer:
        value = self._get("me", (), CURRENT).expect()
        facts = {"fields": fields_of([value]), "id": form(value.get("id"))}
        return Answer(f"fields {', '.join(facts['fields'])}; the id is a {facts['id']}", facts)

    def _daily_totals(self) -> Answer:
        start = day_start(self._today - timedelta(days=31))
        page = self._analytics(start=start, end=day_start(self._today)).expect()
        rows = page["data"]
        amounts = {_day(row): _cents(row, "amount") for row in rows}
        paid = [day for day, amount in amounts.items() if amount > 0]
        settled = [day for day in paid if day <= self._today - _SETTLED]
        if paid:
            self._day = max(settled or paid)
            self._total = next(row for row in rows if _day(row) == self._day)
        reaches = page.get("data_refreshed_at")
        lag = (self._now - _moment(reaches)).total_seconds() / 3600 if reaches else None
        facts: Facts = {
            "envelope": fields_of([page]),
            "row": fields_of(rows),
            "cost": fields_of(row["cost"] for row in rows),
            "group": fields_of(row["group"] for row in rows),
            "days_with_rows": len(amounts),
            "rows": len(rows),
            "negative_days": sum(amount < 0 for amount in amounts.values()),
            "most_decimals_of_cents": max((_decimals(row["cost"]["amount"]) for row in rows), default=0),
            "currencies": counts(row["cost"]["currency"] for row in rows),
            "data_is_hours_old": None if lag is None else round(lag, 1),
            "organization_id": form(page["organization_id"]) if "organization_id" in page else "absent",
        }
        old = "no data" if lag is None else f"data {lag:.1f} h old"
        return Answer(f"{len(amounts)} of 31 days have cost; {old}; {facts['negative_days']} negative days", facts)

    def _no_beta_header(self) -> Answer:
        return _status(self._analytics(("limit", "1"), version=CURRENT))

    def _six_dimensions(self) -> Answer:
        return _status(self._analytics(("limit", "1"), group_by=(*DIMENSIONS, "service_tier")))

    def _unknown_parameter(self) -> Answer:
        seen = self._analytics(("limit", "1"), ("no_such_parameter", "1"))
        return Answer("ignored" if seen.ok else f"refused: {seen.short}", {"ignored": seen.ok})

    def _unaligned_start(self) -> Answer:
        seen = self._analytics(start=day_start(self._day) + timedelta(minutes=30))
        if not seen.ok:
            return _status(seen)
        rows = seen.value["data"]
        begins = counts(f"{_moment(row['starting_at']):%H:%M}" for row in rows)
        same = None if self._total is None else _sum(rows, "amount") == _cents(self._total, "amount")
        facts = {"asked_from": "00:30", "buckets_begin_at": begins, "amount_is_that_of_the_whole_day": same}
        told = f"200; buckets begin at {', '.join(begins) or 'nothing'}"
        return Answer(told + ("" if same is None else f", with the {'whole' if same else 'rest of the'} day"), facts)

    def _future_end(self) -> Answer:
        seen = self._analytics(start=day_start(self._today - ONE_DAY), end=day_end(self._today + 3 * ONE_DAY))
        if not seen.ok:
            return _status(seen)
        days = sorted({_day(row) for row in seen.value["data"]})
        facts = {"latest_bucket_is_days_from_today": (days[-1] - self._today).days if days else None}
        future = bool(days) and days[-1] > self._today
        return Answer(f"200; {len(days)} days have cost, {'some' if future else 'none'} in the future", facts)

    def _older_version(self) -> Answer:
        seen = self._analytics(version={**ANALYTICS, **CLASSIC})
        if not seen.ok:
            return _status(seen)
        rows = seen.value["data"]
        same = self._total is None or rows == [self._total]
        return Answer(f"200; the day's row is {'the same' if same else 'another'}", {"same_row": same})

    def _altered_cursor(self) -> Answer:
        first = self._analytics(("limit", "1"), group_by=DIMENSIONS).expect()
        cursor = first.get("next_page")
        if not cursor:
            raise NotAnswered("the day has no second page")
        middle = len(cursor) // 2
        altered = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
        answer = _status(self._analytics(("limit", "1"), ("page", altered), group_by=DIMENSIONS))
        return Answer(answer.told, {**answer.facts, "cursor": form(cursor), "cursor_characters": len(cursor)})

    def _five_dimensions(self) -> Answer:
        seen = self._analytics(group_by=DIMENSIONS)
        told, facts = self._adds_up(seen)
        self._rows = seen.value["data"]
        groups = [row["group"] for row in self._rows]
        actors = [group["actor"] for group in groups]
        twins = sum(number - 1 for number in Counter(map(repr, groups)).values())
        facts |= {
            "twins": twins,
            "without_actor": actors.count(None),
            "actor_types": counts(actor and actor.get("type") for actor in actors),
            "actor_fields": {
                kind: fields_of(actor for actor in actors if actor and actor.get("type") == kind)
                for kind in sorted({actor["type"] for actor in actors if actor})
            },
            "users_without_email": sum(
                actor["type"] == "user_actor" and not actor.get("email_address") for actor in actors if actor
            ),
            "with_api_key": sum(group["api_key_id"] is not None for group in groups),
            "without_workspace": sum(group["workspace_id"] is None for group in groups),
            "products": counts(group["product"] for group in groups),
            "negative_rows": sum(_cents(row, "amount") < 0 for row in self._rows),
        }
        return Answer(f"{told}; {twins} twin{'s' * (twins != 1)}, {facts['without_actor']} without an actor", facts)

    def _components(self) -> Answer:
        seen = self._analytics(group_by=("workspace_id", "model", "cost_type", "token_type"))
        told, facts = self._adds_up(seen)
        groups = [row["group"] for row in seen.value["data"]]
        facts |= {
            "cost_types": counts(group["cost_type"] for group in groups),
            "token_types": counts(group["token_type"] for group in groups),
            "models": counts(group["model"] for group in groups),
        }
        return Answer(f"{told}; {', '.join(facts['cost_types'])}", facts)

    def _service_tiers(self) -> Answer:
        seen = self._analytics(group_by=("service_tier",))
        told, facts = self._adds_up(seen)
        facts["service_tiers"] = counts(row["group"]["service_tier"] for row in seen.value["data"])
        return Answer(f"{told}; {', '.join(facts['service_tiers'])}", facts)

    def _tokens(self) -> Answer:
        rows = self._analytics(group_by=("model", "context_window"), report="usage").expect()["data"]
        off = [row for row in rows if _parts(row["usage"]) != row["usage"]["total_tokens"]]
        facts: Facts = {
            "rows": len(rows),
            "rows_whose_total_is_not_the_sum": len(off),
            "fields": fields_of(row["usage"] for row in rows),
            "context_windows": counts(f"{row['group']['model']} {row['group']['context_window']}" for row in rows),
        }
        return Answer(f"total_tokens is the sum of its parts in {len(rows) - len(off)} of {len(rows)} rows", facts)

    def _classic(self, day: date, version: dict[str, str]) -> Seen:
        params = [
            ("starting_at", format_instant(day_start(day))),
            ("ending_at", format_instant(day_end(day))),
            ("limit", "1"),
        ]
        return self._get("cost_report", [*params, ("group_by[]", "description")], version)

    def _classic_equals_analytics(self) -> Answer:
        buckets = self._classic(self._day, CLASSIC).expect()["data"]
        results = [result for bucket in buckets for result in bucket["results"]]
        facts: Facts = {
            "buckets": len(buckets),
            "results": len(results),
            "fields": fields_of(results),
            "cost_types": counts(result.get("cost_type") for result in results),
            "service_tiers": counts(result.get("service_tier") for result in results),
            "negative_results": sum(Decimal(result["amount"]) < 0 for result in results),
        }
        if self._total is None:
            return Answer("no day with cost to compare", facts)
        theirs = sum((Decimal(result["amount"]) for result in results), Decimal(0))
        matches = []
        for name in ("amount", "list_amount"):
            difference = theirs - _cents(self._total, name)
            facts[f"minus_analytics_{name}_cents"] = difference
            # The classic report rounds each line at five decimals of a cent.
            if abs(difference) <= Decimal("0.00001") * (len(results) + 1):
                matches.append(name)
        facts["matches"] = matches
        told = f"it equals {' and '.join(matches)}" if matches else "it equals neither (priority tier is not in it)"
        return Answer(f"{told}, within its rounding" if matches else told, facts)

    def _newer(self) -> Answer:
        return _status(self._classic(self._day, CURRENT))

    def _retention(self) -> Answer:
        seen = self._classic(self._today - _LONG_AGO, CLASSIC)
        if not seen.ok:
            return _status(seen)
        results = sum(len(bucket["results"]) for bucket in seen.value["data"])
        facts = {"buckets": len(seen.value["data"]), "results": results}
        return Answer(f"200, with {results or 'no'} results (an organisation may be younger)", facts)

    def _key_statuses(self) -> Answer:
        page = self._get("api_keys", [("limit", str(PAGE_ROWS))], CURRENT).expect()
        archived = self._get("api_keys", [("status", "archived"), ("limit", "1")], CURRENT).expect()["data"]
        keys = page["data"]
        statuses = counts(key["status"] for key in keys)
        principals = {key["id"]: (key.get("principal") or {}).get("type") for key in keys}
        facts: Facts = {
            "statuses": statuses,
            "has_more": page["has_more"],
            "there_are_archived": bool(archived),
            "fields": fields_of(keys),
            "id": counts(form(key["id"]) for key in keys),
            "scopes": counts((key.get("scope") or {}).get("type") for key in keys),
            "principals": counts(principals.values()),
            "created_by": counts((key.get("created_by") or {}).get("type") for key in keys),
            "actor_of_usage_by_principal_of_key": counts(
                f"{principals[row['group']['api_key_id']]} -> {(row['group']['actor'] or {}).get('type')}"
                for row in self._rows
                if row["group"]["api_key_id"] in principals
            ),
        }
        if "archived" in statuses:
            told = "the plain list holds archived keys"
        elif archived:
            told = "the plain list leaves archived keys out" + (" of its first page" if page["has_more"] else "")
        else:
            told = "there is no archived key to tell by"
        return Answer(told, facts)

    def _claude_code(self) -> Answer:
        params = [("starting_at", self._day.isoformat()), ("limit", "1")]
        return _status(self._get("usage_report/claude_code", params, CURRENT))


def _status(seen: Seen) -> Answer:
    return Answer(f"{seen.short}" + (f": {seen.said}" if seen.said else ""), {"status": seen.status})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _day(row: dict[str, Any]) -> date:
    return _moment(row["starting_at"]).date()


def _cents(row: dict[str, Any], name: str) -> Decimal:
    return Decimal(row["cost"][name])


def _sum(rows: Sequence[dict[str, Any]], name: str) -> Decimal:
    return sum((_cents(row, name) for row in rows), Decimal(0))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _parts(usage: dict[str, Any]) -> int:
    written = sum(usage["cache_creation"].values())
    names = ("uncached_input_tokens", "cache_read_input_tokens", "output_tokens")
    return int(written + sum(usage[name] for name in names))
