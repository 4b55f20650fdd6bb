"""The endpoints analytics/cost and analytics/usage."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from ai_usage_assets.simulator.anthropic.base import (
    AnthropicFaultOptions,
    ApiRequestError,
    Endpoints,
    bad_request,
    decode_cursor,
    dimension_value,
    encode_cursor,
    floor_instant,
    format_cents,
    format_instant,
    token_counts,
)
from ai_usage_assets.simulator.anthropic.query import FOREIGN_DIMENSIONS, OWN_DIMENSIONS, AnalyticsQuery
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.organization import vendor_id
from ai_usage_assets.simulator.records import Usage
from ai_usage_assets.simulator.server import Request

_BETA = "analytics-usage-cost-2026-08-24"


class Analytics(Endpoints):
    """Usage and cost by dimensions, projected from the ledger's usage records."""

    def __init__(self, ledger: Ledger, options: AnthropicFaultOptions, now: Callable[[], datetime]) -> None:
        super().__init__(ledger, options, now)
        self._exports = 0
        self._projections: OrderedDict[str, list[list[dict[str, Any]]]] = OrderedDict()
        self._organization_id = vendor_id(ledger.seed, "org_", "acme")

    def clear_cache(self) -> None:
        """Drops projections of an older ledger."""
        self._projections.clear()

    def respond(self, request: Request, family: str) -> dict[str, Any]:
        """Responds to analytics/cost or analytics/usage."""
        betas = {beta.strip() for beta in request.headers.get("anthropic-beta", "").split(",")}
        if _BETA not in betas:
            raise bad_request(f"anthropic-beta: this endpoint requires {_BETA}")
        query = AnalyticsQuery.read(request, family, self._now())
        cursor = request.one("page")
        if cursor and self._options.refreshes_while_paging:
            self._options.refreshes_while_paging -= 1
            self._exports += 1
        export = f"{self._export_at().isoformat()}#{self._exports}"
        offset, turn = 0, 0
        if cursor:
            fingerprint, offset, cursor_export, turn = decode_cursor(cursor)
            if fingerprint != query.fingerprint:
                raise bad_request("page: this cursor belongs to a request with other parameters")
            if cursor_export != export and self._options.expire_cursors:
                raise ApiRequestError(
                    410, "invalid_request_error", "page: this cursor has expired because the data was refreshed"
                )
            if cursor_export != export:
                # A new row comes before the position of the old cursor, so one row is returned twice.
                offset -= 1
        if self._options.empty_export or query.first >= self._export_at():
            return {
                "data": [],
                "has_more": False,
                "next_page": None,
                "data_refreshed_at": None,
                "organization_id": self._organization_id,
            }
        combinations = self._project(query, family)
        size = min(query.limit, self._options.page_rows)
        if self._options.paging == "empty pages" and turn % 2 == 0:
            size = 0
        page, following = combinations[offset : offset + size], offset + size
        more = following < len(combinations)
        if size and more and family in self._options.drifting_reports:
            # Always after the start of this page; otherwise the list would not end.
            following = max(following + self._options.drift, offset + 1)
        # Removed after paging, as the API does: a page can be short or empty and have a next page.
        rows = [row for rows in page for row in rows if not (query.exclude_deleted and _is_deleted(row))]
        return {
            "data": [self._options.edit_row(copy.deepcopy(row)) for row in rows] if self._options.edit_row else rows,
            "has_more": more,
            "next_page": self._next_page(encode_cursor(query.fingerprint, following, export, turn + 1), cursor)
            if more
            else None,
            # Each export reaches a little further than the one before.
            "data_refreshed_at": format_instant(self._export_at() + timedelta(minutes=self._exports)),
            "organization_id": self._organization_id,
        }

    def _next_page(self, following: str, current: str | None) -> str | None:
        match self._options.paging:
            case "same cursor":
                return current or following
            case "no cursor":
                return None
            case _:
                return following

    def _export_at(self) -> datetime:
        """The instant up to which the export has data: the last full four hours, less the lag."""
        now = self._now() - self._options.lag
        return now.replace(hour=now.hour // 4 * 4, minute=0, second=0, microsecond=0)

    def _project(self, query: AnalyticsQuery, family: str) -> list[list[dict[str, Any]]]:
        """The rows of each combination, in the requested order."""
        name = f"{query.fingerprint}/{self._export_at().isoformat()}/{self._options.rounds_rows}"
        if name in self._projections:
            return self._projections[name]
        groups: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
        for piece in self._visible(query.first, query.end):
            if query.matches(piece):
                bucket = floor_instant(piece.at, query.bucket) if query.bucket else query.first
                groups[(bucket, *(dimension_value(piece, name) for name in query.dimensions))].append(piece)
        combinations = []
        for (bucket, *values), pieces in groups.items():
            group: dict[str, Any] = dict.fromkeys((*OWN_DIMENSIONS, *FOREIGN_DIMENSIONS))
            group |= dict(zip(query.dimensions, values, strict=True))
            if "actor" in query.dimensions:
                # Rendered after grouping: two actors that render alike are two rows.
                group["actor"] = self.render_actor(group["actor"])
            bounds = {
                "starting_at": format_instant(bucket),
                "ending_at": format_instant(bucket + query.bucket if query.bucket else query.end),
            }
            rows = (
                _cost_rows(bounds, group, pieces, query.fan_out, self._amount)
                if family == "cost"
                else [_usage_row(bounds, group, pieces)]
            )
            if rows:
                combinations.append((query.sort_key(bucket, pieces), rows))
        combinations.sort(key=lambda item: item[0])
        result = [rows for _, rows in combinations]
        self._projections[name] = result
        while len(self._projections) > 32:
            self._projections.popitem(last=False)
        return result

    def _amount(self, microcents: int) -> str:
        # Adds a third of a ten-thousandth, so that no row is an integer number of millionths anymore.
        return format_cents(round(Fraction(microcents * 30_001, 30_000)) if self._options.rounds_rows else microcents)

    def _visible(self, first: datetime, end: datetime) -> Iterable[Usage]:
        end = min(end, self._export_at())
        day = first.date()
        while datetime(day.year, day.month, day.day, tzinfo=UTC) < end:
            yield from (piece for piece in self._ledger.usage(day) if first <= piece.at < end)
            day += timedelta(days=1)


def _cost_rows(
    bounds: dict[str, str],
    group: dict[str, Any],
    pieces: Sequence[Usage],
    fan_out: Sequence[str],
    amount: Callable[[int], str],
) -> list[dict[str, Any]]:
    sums: dict[tuple[str | None, str | None], list[int]] = {}
    for piece in pieces:
        for cost_type, token_type, listed, billed in piece.components:
            if "token_type" in fan_out and "cost_type" not in fan_out and cost_type != "tokens":
                continue
            line = (cost_type if fan_out else None, token_type if "token_type" in fan_out else None)
            total = sums.setdefault(line, [0, 0])
            total[0] += listed
            total[1] += billed
    if not fan_out:
        sums.setdefault((None, None), [0, 0])
    return [
        {
            **bounds,
            "group": {**group, "cost_type": cost_type, "token_type": token_type},
            "cost": {
                "amount": amount(billed),
                "list_amount": amount(listed),
                "currency": "USD",
                "requests": None if fan_out else sum(piece.requests for piece in pieces),
            },
        }
        for (cost_type, token_type), (listed, billed) in sums.items()
    ]


def _is_deleted(row: dict[str, Any]) -> bool:
    actor = row["group"]["actor"]
    return actor is not None and bool(actor.get("deleted"))


def _usage_row(bounds: dict[str, str], group: dict[str, Any], pieces: Sequence[Usage]) -> dict[str, Any]:
    counts = {**token_counts(pieces), "requests": sum(piece.requests for piece in pieces)}
    return {**bounds, "group": group, "usage": {**counts, "total_tokens": sum(sum(piece.tokens) for piece in pieces)}}
