"""The jobs against the simulated company, and loads without Dagster: what is loaded, kept and reported."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import msgspec
import pytest
from rich.console import Console

from ai_usage_assets import catalog
from ai_usage_assets.commands.month_summary import print_month_summary
from ai_usage_assets.commands.status import print_status
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.defs.run_recorder import infer_outcome
from ai_usage_assets.registry import SOURCES, source_label
from ai_usage_assets.simulator.cursor.api import CursorAPI
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, NOW, Company, serve_company
from ai_usage_assets_tests.support.loading import STORED_MODELS

# What publishes the bills, and one vendor's bill with it; the facts are views.
BILL = ("anthropic", "int_anthropic_cost_daily")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, two_days: Path) -> Iterator[Company]:
    """A company with two days that one run loaded; read-only."""
    path = tmp_path_factory.mktemp("loaded") / "ai_usage.duckdb"
    with serve_company(shutil.copyfile(two_days, path)) as company:
        company.keep_open()
        yield company


def _days() -> tuple[date, date]:
    return date.fromisoformat(LOADED_DAY), date.fromisoformat(NEXT_DAY)


def test_figures_equal_the_ledger(loaded: Company) -> None:
    """Dollars, tokens and events equal the ledger to the last digit, and cost centers an independent attribution."""
    first, last = _days()
    ledger = loaded.simulator.ledger
    expected = {(day, "anthropic", "billed"): usd for day, usd in ledger.anthropic_cost_usd(first, last).items()}
    for day, sums in ledger.cursor_usd(first, last).items():
        expected |= {(day, "cursor", basis): usd for basis, usd in sums.items() if usd}
    expected |= {(day, "cursor", "seat"): usd for day, usd in ledger.seat_usd(first, last).items()}
    rows = loaded.rows(
        "SELECT usage_date, vendor, cost_basis, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
        "WHERE vendor IN ('anthropic', 'cursor') GROUP BY usage_date, vendor, cost_basis"
    )
    assert {(row["usage_date"], row["vendor"], row["cost_basis"]): row["usd"] for row in rows if row["usd"]} == expected
    by_center = ledger.spend_by_cost_center(first, last, removed_emails=loaded.simulator.removed_emails)
    rows = loaded.rows(
        "SELECT cost_center, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily WHERE cost_basis = 'billed' "
        "GROUP BY cost_center"
    )
    assert {row["cost_center"]: row["usd"] for row in rows} == by_center
    tokens = loaded.rows("SELECT SUM(total_tokens) AS n FROM ai_usage.fct_tokens_daily WHERE vendor = 'anthropic'")
    events = loaded.rows("SELECT SUM(requests) AS n FROM ai_usage.fct_cost_daily WHERE vendor = 'cursor'")
    assert tokens[0]["n"] == sum(ledger.anthropic_tokens(first, last).values())
    assert events[0]["n"] == sum(ledger.cursor_events(first, last).values())


def _metadata(company: Company, asset: str, name: str) -> str:
    """An entry of the metadata of the last materialization."""
    (record,) = company.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    assert record.asset_materialization
    return str(record.asset_materialization.metadata[name].value)


def test_a_run_for_the_latest_day_attaches_the_months_headlines(loaded_company: Company) -> None:
    """The report asset has the headlines, which say that the month is too low while days are missing."""
    loaded_company.simulator.now = datetime(2026, 11, 11, 14, tzinfo=UTC)
    assert loaded_company.run(LOADED_DAY, selection="report").success
    summary = _metadata(loaded_company, "report", "summary")
    assert "too low" in summary
    assert "days of Anthropic missing" in summary


def test_a_run_of_earlier_days_does_not_refresh_the_report(loaded_company: Company) -> None:
    """Only a run of the latest day materializes the report, so its freshness policy is true."""
    assert loaded_company.simulator.now.date() > date.fromisoformat(NEXT_DAY)
    assert loaded_company.run(LOADED_DAY, selection="report").success
    assert not loaded_company.instance.fetch_materializations(dg.AssetKey("report"), limit=1).records


def test_every_attribution_method_occurs(loaded: Company) -> None:
    """The simulated company has usage for every attribution rule."""
    rows = {row["m"] for row in loaded.rows("SELECT DISTINCT attribution_method AS m FROM ai_usage.fct_cost_daily")}
    assert rows == {
        "api_key_map", "service_account_map", "user_map", "vendor_actor", "workspace_map", "key_creator", "unallocated",
        "automation_map", "cloud_agent_map", "seat", "key_principal",
    }  # fmt: skip


def test_split_parts_add_up_to_the_row(loaded: Company) -> None:
    """The three parts of a key shared 33.3, 33.3 and 33.4 percent add up to the vendor's amount exactly."""
    key = next(key for key in loaded.simulator.organization.keys if key.name == "shared-sandbox")
    parts = loaded.rows(
        "SELECT usage_date, COUNT(DISTINCT team) AS teams, SUM(amount_usd) AS usd, SUM(requests) AS requests "
        f"FROM ai_usage.fct_cost_daily WHERE api_key_id = '{key.id}' GROUP BY usage_date ORDER BY usage_date"
    )
    totals = loaded.rows(
        "SELECT usage_date, SUM(amount_usd) AS usd, SUM(requests) AS requests FROM ai_usage.int_anthropic_cost_daily "
        f"WHERE api_key_id = '{key.id}' GROUP BY usage_date ORDER BY usage_date"
    )
    assert [(row["usd"], row["requests"]) for row in parts] == [(row["usd"], row["requests"]) for row in totals]
    assert {row["teams"] for row in parts} == {3}


def test_records_are_verbatim(loaded: Company) -> None:
    """A raw record is byte for byte what the vendor sent."""
    day = date(2026, 11, 10)
    stored = loaded.rows("SELECT payload FROM ai_usage.raw_cursor_usage_events WHERE usage_date = @day", day=day)
    api = loaded.simulator.apis["cursor"]
    assert isinstance(api, CursorAPI)
    encode = msgspec.json.Encoder(decimal_format="number").encode
    sent = [encode(api._render_event(event)) for event in loaded.simulator.ledger.events(day)]
    assert sorted(row["payload"].encode() for row in stored) == sorted(sent)


def test_kpi_views_have_rows(loaded: Company) -> None:
    """Each KPI view has rows, and the months add up to the facts."""
    for view in ("daily", "monthly", "by_person"):
        total = loaded.rows(f"SELECT SUM(spend_usd) AS usd FROM ai_usage.kpi_spend_{view}")[0]["usd"]
        fact = loaded.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily WHERE cost_basis <> 'included'")
        assert total == fact[0]["usd"], view
    for view in (
        *("kpi_unit_cost", "kpi_model_mix", "kpi_unallocated", "kpi_reconciliation", "kpi_completeness"),
        *("kpi_token_cost", "kpi_cache_savings", "kpi_discount", "kpi_seat_utilization", "kpi_productivity"),
    ):
        assert loaded.rows(f"SELECT COUNT(*) AS n FROM ai_usage.{view}")[0]["n"], view


def test_token_costs_add_up_to_the_bill(loaded: Company) -> None:
    """Costs by token type add up to the bill, within the vendor's rounding of rows; each type has a price."""
    (rows,) = loaded.rows(
        "SELECT SUM(amount_usd) AS usd, COUNTIF(tokens > 0 AND usd_per_million IS NULL) AS unpriced "
        "FROM ai_usage.kpi_token_cost WHERE vendor = 'anthropic'"
    )
    (bill,) = loaded.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.int_anthropic_cost_daily")
    assert abs(rows["usd"] - bill["usd"]) < Decimal("0.0001")
    assert rows["unpriced"] == 0


def test_unallocated_is_spend_without_a_cost_center(loaded: Company) -> None:
    """kpi_unallocated has exactly the spend without a cost center, and a next step for each row."""
    total = loaded.rows("SELECT SUM(spend_usd) AS usd FROM ai_usage.kpi_unallocated")[0]["usd"]
    fact = loaded.rows(
        "SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
        "WHERE cost_center IS NULL AND cost_basis <> 'included'"
    )
    assert total == fact[0]["usd"]
    assert all(row["next_step"] for row in loaded.rows("SELECT next_step FROM ai_usage.kpi_unallocated"))


def test_reconciliation_is_equal_to_the_last_digit(loaded: Company) -> None:
    """Every control total is equal except the classic cost report, which is rounded."""
    rows = loaded.rows(
        "SELECT control, status, COUNT(*) AS n FROM ai_usage.kpi_reconciliation GROUP BY control, status"
    )
    assert {row["control"] for row in rows if row["status"] != "equal"} <= {"classic_cost_report"}
    assert not [row for row in rows if row["status"] == "differs"]
    assert len({row["control"] for row in rows}) == 5


def test_days_that_no_run_requested_are_not_loaded(loaded: Company) -> None:
    """A finished day that no run requested is `not_loaded`, neither failed nor zero."""
    rows = loaded.rows("SELECT usage_date, status FROM ai_usage.kpi_completeness WHERE asset = 'raw_anthropic_cost'")
    status = {row["usage_date"]: row["status"] for row in rows}
    assert status[date(2026, 11, 9)] == "not_loaded"
    assert status[date(2026, 11, 10)] == "provisional"
    assert max(status) == NOW.date() - timedelta(days=1)


def test_second_run_and_rebuild_change_no_row(loaded_company: Company) -> None:
    """Loading the same day again changes no row of any table, nor does a rebuild."""
    company = loaded_company
    # Views follow from the tables.
    tables = [table.name for table in catalog.tables() if not table.is_view and table not in OPS_TABLES]
    before = company.content(*tables)
    company.simulator.now += timedelta(seconds=1)
    again = company.run(LOADED_DAY)
    assert again.success, again.failures()
    assert company.content(*tables) == before
    emptied = ("int_anthropic_cost_daily", "int_cursor_usage_daily", "int_cursor_seat_daily", "dim_person")
    for name in emptied:
        company.keep_open()._connect().execute(f"DELETE FROM {name}")
    assert company.content(*tables) != before
    company.close()
    company.simulator.requests.clear()
    company.simulator.fault_options.faults.down |= {"anthropic", "cursor", "sheets"}
    result = company.run(LOADED_DAY, job="rebuild", selection=emptied)
    assert result.success, result.failures()
    assert company.content(*tables) == before
    assert company.simulator.requests == []


@pytest.mark.parametrize(("down", "fresh"), [("anthropic", "cursor"), ("cursor", "anthropic")])
def test_one_vendor_down_leaves_the_other_fresh(
    company: Company, down: str, fresh: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """If one vendor rejects the key, the other is loaded, and the run fails with the reason and the next step."""
    # Neither keys nor e-mail addresses appear in any event or line of the run.
    getattr(company.simulator.fault_options, down).unauthorized = True
    # The whole job in one of the two cases.
    narrow = ("anthropic_analytics", "cursor_usage_events", *STORED_MODELS, "kpi_completeness")
    result = company.run(LOADED_DAY, selection=narrow if down == "cursor" else None)
    assert not result.success
    printed = capfd.readouterr().err
    output = "\n".join([*(repr(event) for event in result.events), caplog.text, printed])
    assert company.simulator.ANTHROPIC_KEY not in output
    assert company.simulator.CURSOR_KEY not in output
    assert "@acme.test" not in output
    marked = {line.split()[1].rstrip(":") for line in printed.splitlines() if line.startswith("✗")}
    assert marked >= {"cursor_usage_events" if down == "cursor" else "anthropic_analytics"}
    assert f"{down.upper()}_ADMIN_KEY" in printed
    # The first rejection of the key stops all extracts of the vendor.
    assert [name for name, _ in company.simulator.requests].count(down) == 1
    # The last line names the vendor and the cause.
    last = printed.strip().splitlines()[-1]
    assert {source_label(down), "401"} <= {*re.findall(r"\w+", last)}
    assert source_label(fresh) not in last
    assert f"raw_{'cursor_usage_events' if fresh == 'cursor' else 'anthropic_cost'}: 1 day" in printed
    # Besides the vendor's extracts, the check that every day is complete fails.
    assert all(step.startswith((down, "check_models")) for step in result.failures())
    assert "401" in next(iter(result.failures().values()))
    rows = company.rows("SELECT DISTINCT vendor FROM ai_usage.fct_cost_daily WHERE cost_basis = 'billed'")
    assert {row["vendor"] for row in rows} & {down, fresh} == {fresh}
    states = company.rows(
        "SELECT DISTINCT vendor, status FROM ai_usage.kpi_completeness WHERE usage_date = @day AND is_bill",
        day=date(2026, 11, 10),
    )
    statuses = {(row["vendor"], row["status"]) for row in states if row["vendor"] in (down, fresh)}
    assert statuses == {(down, "failed"), (fresh, "provisional")}
    assert {"✗", "failed"} <= {*_render_status(company, width=200).split()}


def test_restated_day_is_replaced(loaded_company: Company) -> None:
    """A restated day has its new total and no row of the old one."""
    loaded_company.simulator.revise(date(2026, 11, 10), Decimal("0.5"))
    assert loaded_company.load(LOADED_DAY, NEXT_DAY, selection=BILL).success
    rows = loaded_company.rows(
        "SELECT usage_date, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
        "WHERE vendor = 'anthropic' GROUP BY usage_date"
    )
    expected = loaded_company.simulator.ledger.anthropic_cost_usd(*_days())
    assert {row["usage_date"]: row["usd"] for row in rows} == expected


def test_removed_person_keeps_their_history(loaded_company: Company) -> None:
    """After Cursor removes an e-mail from its history, a reload carries it forward and the attribution stays."""
    company = loaded_company
    expected = company.rows(
        "SELECT person_email, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily GROUP BY person_email"
    )
    events = company.simulator.ledger.events(date(2026, 11, 10))
    email = next(event.email for event in events if event.email and not event.identity_kind)
    company.simulator.now += timedelta(days=1)
    company.simulator.remove_person(email, date(2026, 11, 21))
    result = company.load(LOADED_DAY, selection=("cursor", "raw_mapping_sheet", *STORED_MODELS))
    assert result.success, result.failures()
    now = company.rows("SELECT person_email, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily GROUP BY person_email")
    assert {row["person_email"]: row["usd"] for row in now} == {row["person_email"]: row["usd"] for row in expected}
    carried = company.rows("SELECT COUNT(*) AS n FROM ai_usage.raw_cursor_usage_events WHERE carried_email IS NOT NULL")
    assert carried[0]["n"] > 0


@pytest.mark.parametrize("selection", ["anthropic", "cursor"])
def test_key_of_another_vendor_is_not_sent(company: Company, selection: str) -> None:
    """With the keys mixed up no request is sent, the days fail, and the message names the variables."""
    keys = {"anthropic": company.simulator.CURSOR_KEY, "cursor": company.simulator.ANTHROPIC_KEY}
    result = company.load(LOADED_DAY, selection=selection, sources={name: {"key": key} for name, key in keys.items()})
    assert not result.success
    assert company.simulator.requests == []
    assert all("it was not sent" in message and "_ADMIN_KEY" in message for message in result.failures().values())
    assert not any(key in result.text() for key in keys.values())


def test_vendor_without_key_is_not_configured(company: Company) -> None:
    """A vendor without a key is skipped, its days are `not_configured`, and the run succeeds."""
    selection = ("anthropic", "cursor", *STORED_MODELS, "kpi_completeness")
    result = company.load(LOADED_DAY, selection=selection, sources={"cursor": {"key": None}})
    assert result.success, result.failed_checks()
    states = company.rows("SELECT DISTINCT status FROM ai_usage.ops_asset_days WHERE vendor = 'cursor'")
    assert [row["status"] for row in states] == ["not_configured"]
    # Its days are not missing, because the vendor was never used.
    shown = io.StringIO()
    warehouse = company.warehouse
    print_month_summary(warehouse, Console(file=shown, width=120))
    warehouse.close()
    (over,) = company.rows("SELECT COUNT(*) AS days FROM ai_usage.dim_date WHERE is_over")
    assert f"1 of {over['days']} vendor days are loaded" in shown.getvalue()


def test_run_without_any_key(company: Company, capfd: pytest.CaptureFixture[str]) -> None:
    """A run of the whole job without any vendor succeeds, reports each as not configured, and ends with the report."""
    result = company.run(LOADED_DAY, sources={entry.name: {"key": None} for entry in SOURCES}, sheet_id=None)
    assert result.success, result.failures()
    assert company.simulator.requests == []
    printed = capfd.readouterr().err
    for name in (*(entry.key_variable for entry in SOURCES), "AI_USAGE_SHEET_ID"):
        assert f"{name} is not set" in printed
    # The report comes last, so that it has every check result.
    begun = [event.step_key for event in result.events if event.event_type == dg.DagsterEventType.STEP_START]
    assert begun[-1] == "report"


def test_enterprise_key(company: Company) -> None:
    """An Enterprise key gets the bill, and `not exposed` for what only a Console organization has."""
    company.simulator.fault_options.anthropic.enterprise_key = True
    result = company.load(LOADED_DAY, selection="anthropic")
    assert result.success, result.failures()
    states = company.rows("SELECT asset, status FROM ai_usage.ops_asset_days WHERE vendor = 'anthropic'")
    status = {row["asset"]: row["status"] for row in states}
    assert status["raw_anthropic_cost"] == "complete"
    assert {
        status[name] for name in ("raw_anthropic_cost_report", "raw_anthropic_claude_code", "raw_anthropic_api_keys")
    } == {"not_exposed"}


def test_edited_sheet_changes_the_attribution_of_history(loaded_company: Company) -> None:
    """A row added to the sheet changes the attribution of days that were loaded before, without reloading them."""
    key = next(key for key in loaded_company.simulator.organization.keys if key.name == "prod-2-test")
    mapping = loaded_company.simulator.sheet("key_mapping")
    loaded_company.simulator.set_sheet(
        "key_mapping", [*mapping, ["anthropic", "api_key", key.id, "", "Platform", "CC-1010", "", "", "", ""]]
    )
    loaded_company.simulator.now += timedelta(days=1)
    assert loaded_company.load("2026-11-12", selection=("raw_mapping_sheet", "int_key_mapping", *BILL)).success
    rows = loaded_company.rows(
        "SELECT DISTINCT usage_date, attribution_method AS m FROM ai_usage.fct_cost_daily "
        f"WHERE api_key_id = '{key.id}'"
    )
    assert {(row["usage_date"], row["m"]) for row in rows} == {
        (date(2026, 11, 10), "api_key_map"),
        (date(2026, 11, 12), "api_key_map"),
    }


def _multiply_amounts(company: Company) -> None:
    """Turns cents into dollars in every loaded record."""
    warehouse = company.warehouse
    warehouse._connect().execute(
        'UPDATE raw_anthropic_cost SET payload = regexp_replace(payload, \'"(amount|list_amount)":"([0-9.]+)"\', '
        "'\"\\1\":\"\\2e2\"', 'g')"
    )
    warehouse.close()


def test_rebuild_stops_at_failed_raw_checks(loaded_company: Company) -> None:
    """Raw records in the wrong unit stop a rebuild as they stop a run, and the facts stay unchanged."""
    before = loaded_company.content("int_anthropic_cost_daily")
    _multiply_amounts(loaded_company)
    result = loaded_company.run(LOADED_DAY, job="rebuild", selection=("raw_anthropic_cost", "int_anthropic_cost_daily"))
    assert not result.success
    assert "raw_anthropic_cost.currency_unit" in result.failed_checks()
    rows = loaded_company.rows(
        "SELECT check_name, passed FROM ai_usage.ops_check_results WHERE asset = 'raw_anthropic_cost'"
    )
    # The results of all checks are stored, also of those after the one that failed.
    assert {row["check_name"] for row in rows} == {c.name for c in CHECKS if c.asset == "raw_anthropic_cost"}
    assert "currency_unit" in {row["check_name"] for row in rows if not row["passed"]}
    assert loaded_company.content("int_anthropic_cost_daily") == before


def test_an_invalid_or_unreadable_sheet_stops_nothing(loaded_company: Company) -> None:
    """A run uses the last version of a cleared tab, and of all tabs while Google is down; one check fails."""
    selection = ("raw_mapping_sheet", "int_key_mapping")
    before = loaded_company.content("int_key_mapping")
    good = loaded_company.simulator.sheet("key_mapping")
    loaded_company.simulator.set_sheet("key_mapping", [])
    result = loaded_company.run(LOADED_DAY, selection=selection)
    assert result.success, result.failures()
    assert "key_mapping" in result.failed_checks()["raw_mapping_sheet.tabs_valid"]
    tabs = _metadata(loaded_company, "raw_mapping_sheet", "tabs").splitlines()
    assert "| key_mapping | 0 | 0 | its first row is empty" in tabs[2]
    assert loaded_company.content("int_key_mapping") == before
    loaded_company.simulator.set_sheet("key_mapping", good)
    loaded_company.simulator.fault_options.faults.down.add("sheets")
    result = loaded_company.run(LOADED_DAY, selection=selection)
    assert result.success, result.failures()
    assert "503" in result.failed_checks()["raw_mapping_sheet.tabs_valid"]
    assert loaded_company.content("int_key_mapping") == before


def test_run_that_ended_between_two_steps_is_interrupted(company: Company) -> None:
    """A run without a failed step is a success only if every planned step has ended."""
    assert company.run(LOADED_DAY, selection="cursor_members").success
    (job,) = company._jobs.values()
    (run,) = company.instance.get_runs()
    assert infer_outcome(company.instance, run) == "success"
    begun = company.instance.create_run_for_job(job, tags=run.tags)
    assert infer_outcome(company.instance, begun) == "interrupted"


def _render_status(company: Company, width: int) -> str:
    """The output of `ai-usage status`."""
    shown = io.StringIO()
    warehouse = company.warehouse
    print_status(warehouse, Console(file=shown, width=width), day_count=40)
    warehouse.close()
    return shown.getvalue()


def test_status_shows_one_reason_once_and_fits_a_narrow_terminal(company: Company) -> None:
    """A rejected key is one paragraph of the status, not one per table; no table is wider than the terminal."""
    company.simulator.fault_options.cursor.unauthorized = True
    assert not company.load(LOADED_DAY, selection="cursor").success
    shown = _render_status(company, width=80)
    assert " ".join(shown.split()).count("Invalid Team API Key") == 1
    assert "and 4 more" in shown
    tables = [line for line in shown.splitlines() if line.startswith("│")]
    assert any(line.startswith("│ cursor_usage_events ") for line in tables)
    assert all(len(line) <= 80 for line in tables)
