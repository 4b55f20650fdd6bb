"""Describe rows and codes of the warehouse in the words of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ai_usage_assets.finance.report.base import Report
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import format_count, format_date, format_date_range, format_usd
from ai_usage_assets.warehouse.base import Row

NO_TEAM = "No team"
NO_NAME = "Not in the people tab"
BASIS = {"billed": "Billed", "included": "Included in seats", None: "Billed and included"}
BUDGET_REMARKS = {
    "budgeted": "",
    "unspent": "no spend yet",
    "missing": "no budget in the sheet",
    "duplicate": "several budgets in the sheet; none is used",
    "negative": "negative budget in the sheet; not used",
    "rejected": "the row in the sheet is invalid",
    "unallocated": "unallocated spend has no budget",
}
# This control is another API that is close by design and not equal.
_APPROXIMATE_CONTROL = "classic_cost_report"
CONTROLS = {
    "day_total": "the vendor's daily total",
    "cost_components": "the vendor's totals by component",
    "actor_types": "the vendor's totals by user type",
    "loaded_records": "the loaded records, added up independently",
    _APPROXIMATE_CONTROL: "the vendor's other cost report (close by design, not equal)",
}
DAY_STATUS = {
    "complete": "final",
    "provisional": "provisional",
    "incomplete": "incomplete at the vendor",
    "failed": "failed",
    "not_exposed": "not exposed to this key or plan",
    "not_configured": "not configured",
    "not_loaded": "not loaded",
}
_OUTCOMES = {
    "success": "succeeded",
    "failed": "failed",
    "interrupted": "was interrupted",
}
_MAX_CHECKS_NAMED = 5


def find_alarms(report: Report) -> Iterator[str]:
    """Finds the reasons why the figures are not reliable yet."""
    if report.last_run and report.last_run["outcome"] in ("failed", "interrupted"):
        yield f"{describe_run(report.last_run)} Its data may be missing."
    failed = list(dict.fromkeys(check_name(row) for row in report.checks if row["blocking"] and not row["passed"]))
    if failed:
        more = f", and {len(failed) - _MAX_CHECKS_NAMED} more" if len(failed) > _MAX_CHECKS_NAMED else ""
        listed = ", ".join(failed[:_MAX_CHECKS_NAMED])
        yield f"{format_count(len(failed), 'blocking check')} failed: {listed}{more}."
    for row in report.controls:
        if row["different_days"] and row["control"] != _APPROXIMATE_CONTROL:
            verb = "differs" if row["different_days"] == 1 else "differ"
            yield (
                f"{format_count(row['different_days'], 'day')} of {source_label(row['vendor'])} {verb} from "
                f"{CONTROLS[row['control']]}, by {format_usd(row['difference_usd'])} in total."
            )


def describe_checks(checks: Sequence[Row]) -> str:
    """How many checks passed. A check with several current results passes only if all of them passed."""
    if not checks:
        return "No check has run yet."
    distinct = {check_name(row) for row in checks}
    failed = {check_name(row) for row in checks if not row["passed"]}
    last = max(row["checked_at"] for row in checks)
    return (
        f"{len(distinct) - len(failed)} of {format_count(len(distinct), 'check')} passed; the last one ran on "
        f"{format_date(last.date())} at {last:%H:%M} UTC."
    )


def check_name(check: Row) -> str:
    """The name of a check and its asset."""
    return f"{check['check_name'].replace('_', ' ')} ({check['asset']})"


def describe_run(run: Row) -> str:
    """The outcome of a run."""
    has_days = run["first_day"] and run["last_day"]
    days = f" for {format_date_range(run['first_day'], run['last_day'])}" if has_days else ""
    name = f"The last run ({run['job']}, {format_date(run['started_at'].date())}{days})"
    if run["outcome"] == "running":
        return f"{name} had not ended when this page was written."
    return f"{name} {_OUTCOMES[run['outcome']]}."


def describe_subject(anomaly: Row, with_people: bool) -> str:
    """The model, key, team or person whose cost is anomalous."""
    dimension = anomaly["dimension"]
    if dimension == "person" and not with_people:
        return "A person"
    label = "API key" if dimension == "api_key" else dimension.replace("_", " ").capitalize()
    return f"{label} {anomaly['dimension_name'] or anomaly['dimension_value'] or '(no name)'}"


def describe_principal(row: Row, with_people: bool) -> str:
    """The principal of unallocated spend."""
    if row["person_email"] or (row["principal_type"] == "user" and row["principal_id"]):
        person = row["person_email"] or row["principal_id"]
        return f"Person {person}" if with_people else "A person without a cost center"
    if row["api_key_id"]:
        return f"API key {row['api_key_name'] or row['api_key_id']}"
    if row["principal_id"]:
        return f"{str(row['principal_type']).replace('_', ' ').capitalize()} {row['principal_id']}"
    if row["workspace_id"]:
        return f"Workspace {row['workspace_name'] or row['workspace_id']}"
    return "No principal"
