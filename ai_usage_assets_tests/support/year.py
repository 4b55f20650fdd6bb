"""Writes the simulated company's year into a warehouse without servers and without the job.

The rows come from the ledger and, where the ledger lacks them, from the responses of the simulated vendors.
`test_year.py` compares them with a run of the job.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from ai_usage_assets import catalog
from ai_usage_assets.days import TRAILING_DAYS, DayRange
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.sheet import load_sheet
from ai_usage_assets.simulator import FaultOptions, Simulator, company_calendar
from ai_usage_assets.simulator.anthropic_usage import TOKEN_TYPES
from ai_usage_assets.simulator.cursor.base import CursorFaultOptions
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.organization import MIN_PEOPLE
from ai_usage_assets.simulator.records import Usage, cost_basis
from ai_usage_assets.simulator.server import Request
from ai_usage_assets.sources.mapping_sheet.tabs import TABS
from ai_usage_assets.sources.mapping_sheet.validation import validate_tab
from ai_usage_assets.sources.money import cents_to_usd
from ai_usage_assets.transform import build_models
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RESTATEMENTS
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.support.warehouse_rows import create_warehouse

YEAR = DayRange(date(2025, 10, 1), date(2026, 11, 22))
# The morning after the last day.
NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)

Row = dict[str, Any]

_ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}


def simulator(people: int = MIN_PEOPLE, **changed: Any) -> Simulator:
    """The company of the year with Anthropic and Cursor, which have removed no e-mails: every day was loaded in time.

    `changed` is set on its ledger: `injected_anomalies=()` is the same year without anomalies.
    """
    warehouse = Simulator(
        NOW, people=people, fault_options=FaultOptions(cursor=CursorFaultOptions(strip_removed_emails=False))
    )
    # `filled` reads the APIs of these two vendors only.
    warehouse.ledger.other_charges = ()
    for name, value in changed.items():
        setattr(warehouse.ledger, name, value)
    return warehouse


def simulated_year(path: Path, people: int = MIN_PEOPLE, **changed: Any) -> DuckDBWarehouse:
    """Creates a warehouse at `path` with the year, as if every day had been loaded on the next morning.

    The same ledger is `simulator(people, **changed).ledger`; what was planted in it is `.spikes`.
    """
    return filled(path, simulator(people, **changed), YEAR)


def filled(path: Path, company: Simulator, days: DayRange) -> DuckDBWarehouse:
    """Creates a warehouse at `path` with these days of a company, as its vendors report them now."""
    today = company.now.date()
    warehouse = create_warehouse(path, days.first, today)
    _land_sheet(warehouse, company)
    # Inserting columns takes a second per year, inserting rows a minute.
    warehouse.close()
    with duckdb.connect(str(path)) as connection:
        for table, rows in _tables(company, days):
            _load(connection, table, rows)
    bounds = {"first_day": days.first, "today": today, "start_day": days.first, "end_day": days.last}
    models = [table for table in catalog.models() if not table.is_view and not table.is_rebuilt_by_day]
    assert all(result.error is None for result in build_models(warehouse, models, bounds))
    return warehouse


def _load(connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
    number: dict[date, int] = defaultdict(int)
    for row in rows:
        if "fact_no" in table.column_names:
            number[row["usage_date"]] += 1
            row["fact_no"] = number[row["usage_date"]]
    content = pa.table(
        {c.name: pa.array([row.get(c.name) for row in rows], _ARROW[c.type or ""]) for c in table.columns}
    )
    connection.register("content", content)
    connection.execute(f'INSERT INTO ai_usage."{table.name}" BY NAME SELECT * FROM content')
    connection.unregister("content")


def _tables(company: Simulator, days: DayRange) -> Iterator[tuple[Table, list[Row]]]:
    ledger = company.ledger
    money, tokens = _anthropic_rows(ledger, days)
    facts = {
        "int_anthropic_cost_daily": money,
        "int_anthropic_tokens_daily": tokens,
        "int_anthropic_component_daily": _component_rows(ledger, days),
        "int_anthropic_control_daily": _control_rows(ledger, days),
        "int_anthropic_activity_daily": _claude_code_rows(company, days),
        "int_cursor_usage_daily": _cursor_rows(company, days),
        "int_cursor_activity_daily": _daily_usage_rows(company, days),
        "int_cursor_seat_daily": _seat_rows(ledger, days),
    }
    for name, rows in facts.items():
        yield catalog.table(name), rows
    for name, records in _directories(company).items():
        envelope = {"snapshot_date": company.now.date(), "fetched_at": company.now}
        yield (
            catalog.table(name),
            [{**envelope, "record_no": n, "payload": record.decode()} for n, record in enumerate(records, 1)],
        )
    yield OPS_ASSET_DAYS, list(_asset_days(company, days))
    yield OPS_RESTATEMENTS, list(_restatements(company, days))


# --- from the ledger ----------------------------------------------------------------------------------------------


def _anthropic_rows(ledger: Ledger, days: DayRange) -> tuple[list[Row], list[Row]]:
    emails = {p.user_id: None if p.account_deleted else p.email for p in ledger.organization.people}
    money, tokens = [], []
    for day in days:
        grouped: dict[tuple[Any, ...], list[Usage]] = defaultdict(list)
        for piece in ledger.usage(day):
            actor = piece.actor
            kind, actor_id = (actor.kind, actor.id) if actor and actor.kind != "unknown" else ("none", None)
            grouped[(kind, actor_id, piece.api_key_id, piece.workspace_id, piece.product, piece.model)].append(piece)
        for (kind, actor_id, api_key_id, workspace_id, product, model), pieces in grouped.items():
            email = emails.get(str(actor_id)) if kind == "user" else None
            identity = {
                "usage_date": day,
                "identity_key": _key("anthropic", kind, actor_id, email, api_key_id, workspace_id),
                "product": product,
                "model": model,
                "principal_type": kind,
                "principal_id": actor_id,
                "user_email": email,
                "api_key_id": api_key_id,
                "workspace_id": workspace_id,
                "requests": sum(piece.requests for piece in pieces),
            }
            counts = [sum(column) for column in zip(*(piece.tokens for piece in pieces), strict=True)]
            names = ("uncached_input", "cache_write_5m", "cache_write_1h", "cache_read", "output", "total")
            money.append(
                {
                    **identity,
                    "amount_usd": _usd(sum(piece.billed_microcents for piece in pieces)),
                    "list_amount_usd": _usd(sum(piece.list_microcents for piece in pieces)),
                }
            )
            tokens.append(
                {
                    **identity,
                    **{f"{name}_tokens": n for name, n in zip(names, [*counts, sum(counts)], strict=True)},
                    "web_search_requests": sum(piece.web_searches for piece in pieces),
                }
            )
    return money, tokens


def _component_rows(ledger: Ledger, days: DayRange) -> list[Row]:
    actual = []
    for day in days:
        sums: dict[tuple[str, str | None, str], list[int]] = defaultdict(lambda: [0, 0])
        for piece in ledger.usage(day):
            for cost_type, token_type, listed, billed in piece.components:
                total = sums[(piece.workspace_id, piece.model, _CLASSES.get(token_type or "", cost_type))]
                total[0] += billed
                total[1] += listed
        actual += [
            {
                "usage_date": day, "workspace_id": workspace_id, "model": model, "token_class": token_class,
                "amount_usd": _usd(billed), "list_amount_usd": _usd(listed),
            }
            for (workspace_id, model, token_class), (billed, listed) in sums.items()
        ]  # fmt: skip
    return actual


_CLASSES = dict(
    zip(TOKEN_TYPES, ("uncached_input", "cache_write_5m", "cache_write_1h", "cache_read", "output"), strict=True)
)


def _control_rows(ledger: Ledger, days: DayRange) -> list[Row]:
    controls = ("detail", "day_total", "cost_components", "actor_types", "classic_cost_report")
    return [
        {"usage_date": day, "control": control, "control_usd": usd, "records": 1}
        for day, usd in ledger.anthropic_cost_usd(days.first, days.last).items()
        for control in controls
    ]


def _cursor_rows(company: Simulator, days: DayRange) -> list[Row]:
    nameless = company.removed_emails if company.fault_options.cursor.strip_removed_emails else ()
    actual = []
    for day in days:
        grouped: dict[tuple[Any, ...], list[Any]] = {}
        for event in company.ledger.events(day):
            email = None if event.email in nameless and not event.identity_kind else event.email
            group = (cost_basis(event.kind), event.model, event.identity_kind, event.identity_id, email)
            # Requests, dollars, and tokens in the vendor's order: input, output, written, read.
            sums = grouped.setdefault(group, [0, Decimal(0), None, None, None, None])
            sums[0] += 1
            sums[1] += cents_to_usd(event.charged_cents)
            if event.tokens:
                sums[2:] = [(total or 0) + n for total, n in zip(sums[2:], event.tokens, strict=True)]
        for (basis, model, identity_kind, identity_id, email), (requests, usd, *counts) in grouped.items():
            ids = {f"{kind}_id": identity_id if kind == identity_kind else None for kind in _ROBOTS}
            actual.append(
                {
                    "usage_date": day,
                    "identity_key": _key("cursor", *ids.values(), email),
                    "cost_basis": basis,
                    "model": model,
                    "principal_type": identity_kind or ("user" if email else "none"),
                    "principal_id": identity_id or email,
                    "user_email": email,
                    **ids,
                    "requests": requests,
                    "amount_usd": usd,
                    "uncached_input_tokens": counts[0],
                    "output_tokens": counts[1],
                    "cache_write_tokens": counts[2],
                    "cache_read_tokens": counts[3],
                }
            )
    return actual


_ROBOTS = ("automation", "service_account", "cloud_agent")


def _seat_rows(ledger: Ledger, days: DayRange) -> list[Row]:
    """Members of each day's snapshot, including those who have left."""
    return [
        {
            "usage_date": day,
            "identity_key": _key("seat", person.email, person.cursor_user_id),
            "user_id": person.cursor_user_id,
            "user_email": person.email,
            "role": person.cursor_role,
            "source": "snapshot",
            "is_paid": person.is_here(day) and person.cursor_role != "free-owner",
        }
        for day in days
        for person in ledger.organization.people
        if person.cursor_role and person.joined <= day
    ]


def _asset_days(company: Simulator, days: DayRange) -> Iterator[Row]:
    ledger = company.ledger
    usd: dict[str, Mapping[date, Decimal]] = {
        "raw_anthropic_cost": ledger.anthropic_cost_usd(days.first, days.last),
        "raw_cursor_usage_events": {
            day: sum(sums.values(), Decimal(0)) for day, sums in ledger.cursor_usd(days.first, days.last).items()
        },
    }
    for pull in catalog.EXTRACTS:
        for table in pull.tables:
            for day in [company.now.date()] if pull.is_snapshot else days:
                # Every run loads the trailing range again.
                last = min(_morning(day + timedelta(days=TRAILING_DAYS)), company.now)
                restated = company_calendar.RESTATEMENTS.get(day) if table.name in usd else None
                yield {
                    "asset": table.name,
                    "vendor": pull.vendor,
                    "usage_date": day,
                    "is_daily": not pull.is_snapshot,
                    "status": "complete",
                    "attempted_at": last,
                    "completed_at": last,
                    "landed_at": _morning(restated[1]) if restated else _morning(day + timedelta(days=1)),
                    "amount_usd": usd.get(table.name, {}).get(day),
                    "run_id": f"run of {last.date()}",
                }


def _restatements(company: Simulator, days: DayRange) -> Iterator[Row]:
    """Days whose cost differs from their first load."""
    ledger = company.ledger
    first_said = Ledger(
        ledger.seed, ledger.organization, company.now, factors={}, injected_anomalies=ledger.injected_anomalies
    )
    for day, (_, on) in company_calendar.RESTATEMENTS.items():
        if day not in days:
            continue
        for asset, vendor in (("raw_anthropic_cost", "anthropic"), ("raw_cursor_usage_events", "cursor")):
            old, new = (
                book.anthropic_cost_usd(day, day)[day]
                if vendor == "anthropic"
                else sum(book.cursor_usd(day, day)[day].values(), Decimal(0))
                for book in (first_said, ledger)
            )
            records = len(ledger.usage(day) if vendor == "anthropic" else ledger.events(day))
            yield {
                "asset": asset, "vendor": vendor, "usage_date": day, "restated_at": _morning(on),
                "run_id": f"run of {on}", "old_records": records, "new_records": records,
                "old_amount_usd": old, "new_amount_usd": new,
            }  # fmt: skip


# --- from what the vendors answer ---------------------------------------------------------------------------------


def _claude_code_rows(company: Simulator, days: DayRange) -> list[Row]:
    actual = []
    for day in days:
        sums: dict[tuple[str | None, str | None], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for record in _anthropic(company, "usage_report/claude_code", starting_at=str(day))["data"]:
            core, actor = record["core_metrics"], record["actor"]
            total = sums[(actor.get("email_address"), actor.get("api_key_name"))]
            total[0] += core["num_sessions"]
            total[1] += core["lines_of_code"]["added"]
            total[2] += core["commits_by_claude_code"]
            total[3] += core["pull_requests_by_claude_code"]
        for (email, key_name), (sessions, lines, commits, pull_requests) in sums.items():
            kind = "user" if email else "api_key"
            actual.append(
                {
                    "usage_date": day, "identity_key": _key("claude_code", kind, email, key_name),
                    "principal_type": kind, "user_email": email, "api_key_name": key_name, "sessions": sessions,
                    "lines_added": lines, "commits": commits, "pull_requests": pull_requests,
                }
            )  # fmt: skip
    return actual


def _daily_usage_rows(company: Simulator, days: DayRange) -> list[Row]:
    actual = []
    for start in range(0, len(days), 30):
        first = days.first + timedelta(days=start)
        last = min(first + timedelta(days=29), days.last)
        body = {
            "startDate": int(_morning(first, 0).timestamp() * 1000),
            "endDate": int(_morning(last, 0).timestamp() * 1000),
            "page": 1,
            "pageSize": 1000,
        }
        for record in _cursor(company, "POST", "/teams/daily-usage-data", body)["data"]:
            counters = ("agentRequests", "chatRequests", "composerRequests", "cmdkUsages")
            actual.append(
                {
                    "usage_date": date.fromisoformat(record["day"]),
                    "identity_key": _key("cursor", None, None, None, record.get("email")),
                    "user_email": record.get("email"), "user_id": record["userId"], "is_active": record["isActive"],
                    "requests": sum(record[name] for name in counters),
                    "lines_added": record["totalLinesAdded"], "lines_accepted": record["acceptedLinesAdded"],
                }
            )  # fmt: skip
    return actual


def _directories(company: Simulator) -> dict[str, list[bytes]]:
    """Raw records of the directories on the last morning."""
    keys = [
        key
        for status in ("active", "inactive", "archived", "expired")
        for key in _anthropic(company, "api_keys", status=status, limit="1000")["data"]
    ]
    listed = {
        "raw_anthropic_users": _anthropic(company, "users", limit="1000")["data"],
        "raw_anthropic_api_keys": keys,
        "raw_anthropic_workspaces": _anthropic(
            company, "workspaces", limit="1000", include_archived="true", include_default="true"
        )["data"],
        "raw_cursor_members": _cursor(company, "GET", "/teams/members")["teamMembers"],
        "raw_cursor_spend": [_cursor(company, "POST", "/teams/spend", {"page": 1, "pageSize": 1000})],
    }
    return {name: [msgspec.json.encode(record) for record in records] for name, records in listed.items()}


def _anthropic(company: Simulator, path: str, **query: str) -> dict[str, Any]:
    query = {"limit": "1000", **query}
    headers = {"x-api-key": company.ANTHROPIC_KEY, "anthropic-version": "2026-10-21"}
    return _answer(
        company.apis["anthropic"].handle(Request("GET", f"/v1/organizations/{path}", (*query.items(),), headers, b""))
    )


def _cursor(company: Simulator, method: str, path: str, body: Any = None) -> dict[str, Any]:
    headers = {"authorization": "Basic " + base64.b64encode(f"{company.CURSOR_KEY}:".encode()).decode()}
    return _answer(company.apis["cursor"].handle(Request(method, path, (), headers, msgspec.json.encode(body or {}))))


def _answer(response: Any) -> dict[str, Any]:
    assert response.status == 200, response.body
    actual: dict[str, Any] = msgspec.json.decode(response.body)
    return actual


def _land_sheet(warehouse: DuckDBWarehouse, company: Simulator) -> None:
    tabs = [validate_tab(tab, company.sheet(tab), last_good_row_count=None, today=company.now.date()) for tab in TABS]
    assert all(tab.rejection is None and not tab.rejected for tab in tabs), tabs
    load_sheet(warehouse, tabs, RunContext(f"run of {company.now.date()}", company.now))


# --- small things -------------------------------------------------------------------------------------------------


def _key(*parts: str | None) -> str:
    """The identity key of these parts."""
    return "|".join((part or "").replace("%", "%25").replace("|", "%7C") for part in parts)


def _morning(day: date, hour: int = 6) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def _usd(microcents: int) -> Decimal:
    return Decimal(microcents).scaleb(-8)
