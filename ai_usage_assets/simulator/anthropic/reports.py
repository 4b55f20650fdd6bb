"""The classic cost report and the Claude Code report."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ai_usage_assets.simulator.anthropic.base import (
    Endpoints,
    bad_request,
    day_bounds,
    decode_cursor,
    encode_cursor,
    floor_instant,
    format_cents,
    format_instant,
    read_instant,
    read_limit,
)
from ai_usage_assets.simulator.anthropic_usage import TOKEN_TYPES
from ai_usage_assets.simulator.organization import ApiKey
from ai_usage_assets.simulator.records import Usage
from ai_usage_assets.simulator.server import Request

_TOKEN_NAMES = dict(
    zip(TOKEN_TYPES, ("Input Tokens", "5m Cache Write", "1h Cache Write", "Cache Read", "Output Tokens"), strict=True)
)


def _description(cost_type: str | None, token_type: str | None, model: str | None) -> str:
    if model and token_type:
        family, *version = model.removeprefix("claude-").split("-")
        return f"Claude {family.capitalize()} {'.'.join(version)} Usage - {_TOKEN_NAMES[token_type]}"
    return {"web_search": "Web Search Usage", "code_execution": "Code Execution Usage"}.get(cost_type or "", "Usage")


class Reports(Endpoints):
    """The classic reports."""

    def _buckets(self, request: Request, end: datetime) -> tuple[list[date], str | None]:
        """The days of one page of a classic report, and the cursor of the next."""
        first = read_instant(request.one("starting_at"), "starting_at")
        if end <= first:
            raise bad_request("Invalid date range: ending date must be after starting date")
        limit = read_limit(request, 7, 31)
        cursor = request.one("page")
        start = first.date()
        if cursor:
            try:
                start = datetime.fromisoformat(base64.b64decode(cursor.removeprefix("page_")).decode()).date()
            except ValueError:
                raise bad_request("page: invalid cursor") from None
        days: list[date] = []
        while len(days) < limit and datetime(start.year, start.month, start.day, tzinfo=UTC) < end:
            days.append(start)
            start += timedelta(days=1)
        following = datetime(start.year, start.month, start.day, tzinfo=UTC)
        more = "page_" + base64.b64encode(format_instant(following).encode()).decode() if following < end else None
        return days, more

    def _ending(self, request: Request) -> datetime:
        return read_instant(request.one("ending_at"), "ending_at") if request.one("ending_at") else self._now()

    def cost_report(self, request: Request) -> dict[str, Any]:
        """The classic cost report, by day."""
        if (request.one("bucket_width") or "1d") != "1d":
            raise bad_request("bucket_width: only 1d is supported")
        groups = request.many("group_by")
        if set(groups) - {"workspace_id", "description"}:
            raise bad_request("group_by[]: only workspace_id and description are supported")
        # Only complete past days are returned: a window within one day is empty.
        days, more = self._buckets(request, floor_instant(min(self._ending(request), self._now()), timedelta(days=1)))
        data = [{**day_bounds(day), "results": self._cost_results(day, groups)} for day in days]
        return {"data": data, "has_more": more is not None, "next_page": more}

    def _cost_results(self, day: date, groups: Sequence[str]) -> list[dict[str, Any]]:
        sums: dict[tuple[Any, ...], int] = defaultdict(int)
        for piece in self._ledger.usage(day):
            if (piece.service_tier or "").startswith("priority"):
                continue
            workspace = self.classic_workspace(piece.workspace_id) if "workspace_id" in groups else None
            for cost_type, token_type, _, billed in piece.components:
                # Without the description, a workspace has one line.
                line: tuple[Any, ...] = ()
                if "description" in groups:
                    model = piece.model if cost_type == "tokens" else None
                    line = (cost_type, token_type, model, piece.service_tier if model else None)
                sums[(workspace, *line)] += billed
        results = []
        for (workspace, *described), billed in sums.items():
            kind, counted, model_name, tier = described or (None, None, None, None)
            results.append(
                {
                    # Five decimals of a cent.
                    "amount": format_cents(round(billed, -1))[:-1],
                    "currency": "USD",
                    "workspace_id": workspace,
                    "description": _description(kind, counted, model_name) if described else None,
                    "cost_type": kind,
                    "token_type": counted,
                    "model": model_name,
                    "service_tier": tier,
                    "context_window": "0-200k" if model_name else None,
                    "inference_geo": "global" if model_name else None,
                }
            )
        return results

    def claude_code(self, request: Request) -> dict[str, Any]:
        """Claude Code activity of a day."""
        try:
            day = date.fromisoformat(request.one("starting_at") or "")
        except ValueError:
            raise bad_request("starting_at: must be a date such as 2026-01-31") from None
        limit = read_limit(request, 20, 1000)
        keys = {key.id: key for key in self._ledger.organization.keys}
        records: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
        for piece in self._ledger.usage(day):
            if piece.product == "claude_code" and piece.at <= self._now() - timedelta(hours=1):
                records[(self._code_actor(piece, keys), piece.terminal)].append(piece)
        rows = [self._code_row(day, actor, terminal, pieces) for (actor, terminal), pieces in sorted(records.items())]
        offset = 0
        if cursor := request.one("page"):
            fingerprint, offset, *_ = decode_cursor(cursor)
            if fingerprint != f"claude_code/{day}":
                raise bad_request("page: this cursor belongs to a request with other parameters")
        more = offset + limit < len(rows)
        return {
            "data": rows[offset : offset + limit],
            "has_more": more,
            "next_page": encode_cursor(f"claude_code/{day}", offset + limit, "") if more else None,
        }

    def _code_actor(self, piece: Usage, keys: dict[str, ApiKey]) -> tuple[str, str]:
        if piece.actor and piece.actor.kind == "user":
            rendered = self.render_actor(piece.actor) or {}
            return "user_actor", rendered.get("email_address") or "deleted@acme.test"
        return "api_actor", keys[piece.api_key_id].name if piece.api_key_id else "unknown"

    def _code_row(self, day: date, actor: tuple[str, str], terminal: str, pieces: list[Usage]) -> dict[str, Any]:
        kind, name = actor
        output = sum(piece.tokens[4] for piece in pieces)
        by_model: dict[str, list[Usage]] = defaultdict(list)
        for piece in pieces:
            by_model[piece.model or ""].append(piece)
        return {
            "date": day_bounds(day)["starting_at"],
            "actor": {"type": kind, "email_address" if kind == "user_actor" else "api_key_name": name},
            "organization_id": self._ledger.organization.uuid,
            "customer_type": "api",
            "subscription_type": None,
            "terminal_type": terminal,
            "is_remote": False,
            "core_metrics": {
                "num_sessions": max(1, len(pieces) + output // 40_000),
                "lines_of_code": {"added": output // 60, "removed": output // 210},
                "commits_by_claude_code": output // 25_000,
                "pull_requests_by_claude_code": output // 90_000,
            },
            "tool_actions": {"edit_tool": {"accepted": output // 900, "rejected": output // 9_000}},
            "model_breakdown": [
                {
                    "model": model,
                    "tokens": {
                        "input": sum(piece.tokens[0] for piece in model_pieces),
                        "output": sum(piece.tokens[4] for piece in model_pieces),
                        "cache_read": sum(piece.tokens[3] for piece in model_pieces),
                        "cache_creation": sum(piece.tokens[1] + piece.tokens[2] for piece in model_pieces),
                    },
                    # An estimate: the list price, rounded to cents.
                    "estimated_cost": {
                        "currency": "USD",
                        "amount": round(sum(p.list_microcents for p in model_pieces) / 10**6),
                    },
                }
                for model, model_pieces in by_model.items()
            ],
        }
