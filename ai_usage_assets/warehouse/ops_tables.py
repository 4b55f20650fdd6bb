"""The `ops_*` tables, which the pipeline itself writes: runs, the day log, check results, restatements, closes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict

from ai_usage_assets.warehouse.tables import Column, Table

OPS_RUNS = Table(
    name="ops_runs",
    layer="ops",
    description="One row per run of a job.",
    columns=(
        Column("run_id", "STRING", "Dagster's id of the run.", required=True),
        Column("job", "STRING", "Name of the job.", required=True),
        Column("started_at", "TIMESTAMP", "Start of the run.", required=True),
        Column("finished_at", "TIMESTAMP", "End of the run; NULL while it runs, or if it was killed."),
        Column("first_day", "DATE", "First UTC day of the run."),
        Column("last_day", "DATE", "Last UTC day of the run."),
        Column(
            "outcome",
            "STRING",
            "running, success, failed or interrupted (stopped from outside; the next run sets it for a killed run).",
            required=True,
        ),
        Column("version", "STRING", "Version of this project.", required=True),
        Column(
            "execution", "STRING", "Execution of the Cloud Run job; this and the next three columns are NULL elsewhere."
        ),
        Column("task_index", "INT64", "Number of the task within the execution, from 0."),
        Column("task_count", "INT64", "Number of tasks of the execution."),
        Column("attempt", "INT64", "Number of earlier attempts of the task."),
        Column("image", "STRING", "Container image; NULL outside a container."),
        Column(
            "secret_versions",
            "STRING",
            "JSON object: name of each secret read from Secret Manager -> its version. NULL for none.",
        ),
        Column("days", "INT64", "Number of UTC days of the run."),
        Column("seconds", "NUMERIC", "Duration of the run."),
        Column(
            "landed_records",
            "INT64",
            "Records of the raw days that the run replaced; days with unchanged content do not count.",
        ),
        Column("landed_bytes", "INT64", "Bytes of these records, as the vendors sent them."),
        Column("landed_usd", "NUMERIC", "Billed and included dollars in these records."),
    ),
)

OPS_ASSET_DAYS = Table(
    name="ops_asset_days",
    layer="ops",
    description="The day log: for each raw table and day, how the last attempt to load it ended and what is loaded. "
    "This table, not Dagster's event log, states whether a day is loaded.",
    columns=(
        Column("asset", "STRING", "Raw table.", required=True),
        Column("vendor", "STRING", "Name of the source.", required=True),
        Column("usage_date", "DATE", "UTC day; for a snapshot, the day of the read.", required=True),
        Column(
            "is_daily",
            "BOOL",
            "Whether the raw table needs records for every day; a snapshot exists only for days on which it was read.",
        ),
        Column(
            "status",
            "STRING",
            "How the last attempt ended: complete, incomplete (the vendor's data does not reach the end of the day "
            "yet), failed (earlier data stays), not_exposed (the key or plan has no access), not_configured (no key).",
            required=True,
        ),
        Column("message", "STRING", "Reason, and what to do; NULL when complete."),
        Column("attempted_at", "TIMESTAMP", "Time of the last attempt.", required=True),
        Column("completed_at", "TIMESTAMP", "Time of the last complete attempt."),
        Column("landed_at", "TIMESTAMP", "Time at which the loaded content was first received."),
        Column("records", "INT64", "Number of loaded records."),
        Column("expected_records", "INT64", "Number of records that the vendor reports; NULL where it reports none."),
        Column("amount_usd", "NUMERIC", "Dollars in the loaded records; NULL where they have no amounts."),
        Column("pages", "INT64", "Number of pages of the extract."),
        Column("watermark", "TIMESTAMP", "Time up to which the vendor reports its data as complete."),
        Column("content_digest", "STRING", "SHA-256 of the loaded records."),
        Column("bytes", "INT64", "Bytes of the loaded records; NULL for a tab of the sheet."),
        Column("landed_run_id", "STRING", "Run that loaded the content; NULL for a tab of the sheet."),
        Column("run_id", "STRING", "Run that made the last attempt.", required=True),
    ),
)


class DayLogEntry(TypedDict):
    """A row of OPS_ASSET_DAYS for one raw table and day. `amount_usd` is in dollars."""

    asset: str
    vendor: str
    usage_date: date
    is_daily: bool
    status: str
    message: str | None
    attempted_at: datetime
    completed_at: datetime | None
    landed_at: datetime | None
    records: int | None
    expected_records: int | None
    amount_usd: Decimal | None
    pages: int | None
    watermark: datetime | None
    content_digest: str | None
    bytes: int | None
    landed_run_id: str | None
    run_id: str


OPS_CHECK_RESULTS = Table(
    name="ops_check_results",
    layer="ops",
    description="One row per asset check and run.",
    columns=(
        Column("run_id", "STRING", "Dagster's id of the run.", required=True),
        Column("checked_at", "TIMESTAMP", "Time of the check.", required=True),
        Column("asset", "STRING", "Checked asset.", required=True),
        Column("check_name", "STRING", "Name of the check.", required=True),
        Column("passed", "BOOL", "Whether the check passed.", required=True),
        Column("severity", "STRING", "WARN or ERROR.", required=True),
        Column("blocking", "BOOL", "Whether a failure stops the assets downstream.", required=True),
        Column("amount_usd", "NUMERIC", "Dollars that the findings affect; NULL where they affect none."),
        Column("message", "STRING", "What happened, how much it affects, what to do.", required=True),
        Column(
            "scope",
            "STRING",
            "What the check reads: days (the days of the run), until (everything up to the last of them), now (the "
            "current state, whatever the days of the run).",
        ),
    ),
)

OPS_RESTATEMENTS = Table(
    name="ops_restatements",
    layer="ops",
    description="One row for each change by a vendor to a day that was already loaded completely.",
    columns=(
        Column("asset", "STRING", "Raw table.", required=True),
        Column("vendor", "STRING", "Vendor.", required=True),
        Column("usage_date", "DATE", "UTC day that changed.", required=True),
        Column("restated_at", "TIMESTAMP", "Time at which the new content was received.", required=True),
        Column("run_id", "STRING", "Run that loaded the new content.", required=True),
        Column("old_records", "INT64", "Records before."),
        Column("new_records", "INT64", "Records now."),
        Column("old_amount_usd", "NUMERIC", "Dollars before; NULL where the records have no amounts."),
        Column("new_amount_usd", "NUMERIC", "Dollars now."),
    ),
)

OPS_RESTATEMENT_PARTS = Table(
    name="ops_restatement_parts",
    layer="ops",
    description="Parts of a restated day: its total, and every model, API key, workspace and principal whose dollars "
    "changed. The changes of one dimension add up to the change of the total. A day whose loaded records differed from "
    "its day log has no parts.",
    columns=(
        Column("asset", "STRING", "Raw table.", required=True),
        Column("vendor", "STRING", "Vendor.", required=True),
        Column("usage_date", "DATE", "UTC day that changed.", required=True),
        Column("restated_at", "TIMESTAMP", "Time at which the new content was received.", required=True),
        Column("run_id", "STRING", "Run that loaded the new content.", required=True),
        Column("cost_basis", "STRING", "billed or included.", required=True),
        Column("dimension", "STRING", "total, model, api_key, workspace or principal.", required=True),
        Column(
            "dimension_value", "STRING", "The vendor's id or name; NULL for the total, and where the records name none."
        ),
        Column("old_amount_usd", "NUMERIC", "Dollars before; NULL for a new value."),
        Column("new_amount_usd", "NUMERIC", "Dollars now; NULL for a value that is gone."),
    ),
)

OPS_MONTH_CLOSES = Table(
    name="ops_month_closes",
    layer="ops",
    description="One row per closed month, written once, after its lines and totals. Lines and totals without a row "
    "here belong to a close that did not complete, and do not count.",
    columns=(
        Column("month", "DATE", "First day of the closed month.", required=True),
        Column("close_id", "STRING", "Fingerprint of everything that the close froze.", required=True),
        Column("closed_at", "TIMESTAMP", "Time of the close.", required=True),
        Column("as_of_date", "DATE", "UTC day of the last run before the close.", required=True),
        Column(
            "mapping_snapshot",
            "STRING",
            "Versions of the sheet's tabs that the attribution used: the first characters of their snapshot_id in "
            "raw_mapping_sheet. NULL for a journal without lines.",
        ),
        Column("charges_usd", "NUMERIC", "Dollars of the month's own spend.", required=True),
        Column("corrections_usd", "NUMERIC", "Dollars of the corrections of earlier months.", required=True),
        Column("lines", "INT64", "Number of journal lines.", required=True),
        Column("version", "STRING", "Version of this project that closed it.", required=True),
    ),
)

OPS_CLOSE_TOTALS = Table(
    name="ops_close_totals",
    layer="ops",
    description="The vendors' totals of a closed month before attribution; the charges of its journal add up to them "
    "to the last digit.",
    columns=(
        Column("close_id", "STRING", "Id of the close.", required=True),
        Column("month", "DATE", "First day of the month.", required=True),
        Column("vendor", "STRING", "Vendor.", required=True),
        Column("cost_basis", "STRING", "billed or seat.", required=True),
        Column("amount_usd", "NUMERIC", "Dollars.", required=True),
        Column(
            "content_digest",
            "STRING",
            "SHA-256 over the days of its raw tables and the digest of the records of each; NULL where none is loaded.",
        ),
    ),
)

OPS_JOURNAL_LINES = Table(
    name="ops_journal_lines",
    layer="ops",
    description="The journal of closed months for a ledger; rows never change. Only lines whose close_id is in "
    "ops_month_closes count; kpi_chargeback shows those.",
    columns=(
        Column("close_id", "STRING", "Id of the close.", required=True),
        Column("line_id", "STRING", "Number of the line: AI, the posting month, and a number from 1.", required=True),
        Column("posting_month", "DATE", "First day of the month in which the line is posted.", required=True),
        Column("posting_date", "DATE", "Last day of that month.", required=True),
        Column("usage_month", "DATE", "First day of the month of the usage.", required=True),
        Column(
            "line_type", "STRING", "charge (the month's own spend) or correction (of a closed month).", required=True
        ),
        Column("reason", "STRING", "Reason of a correction, as in kpi_chargeback; NULL for a charge."),
        Column("vendor", "STRING", "Vendor.", required=True),
        Column("cost_basis", "STRING", "billed or seat; included usage is not spend and has no line.", required=True),
        Column("product", "STRING", "Product, as in fct_cost_daily."),
        Column("team", "STRING", "Team; NULL where the attribution has none."),
        Column("cost_center", "STRING", "Cost center; NULL for unallocated spend."),
        Column(
            "account_key",
            "STRING",
            "Vendor and cost basis in one value, for choosing the ledger account.",
            required=True,
        ),
        Column("currency", "STRING", "USD.", required=True),
        Column("amount_usd", "NUMERIC", "Dollars, exact; negative for a credit.", required=True),
        Column(
            "ledger_usd",
            "NUMERIC",
            "amount_usd rounded to two decimals, so that the lines of one vendor, cost basis and usage month add up to "
            "their exact sum, rounded once.",
            required=True,
        ),
        Column("description", "STRING", "Text of the line.", required=True),
    ),
)

OPS_TABLES = (
    OPS_RUNS,
    OPS_ASSET_DAYS,
    OPS_CHECK_RESULTS,
    OPS_RESTATEMENTS,
    OPS_RESTATEMENT_PARTS,
    OPS_MONTH_CLOSES,
    OPS_CLOSE_TOTALS,
    OPS_JOURNAL_LINES,
)
