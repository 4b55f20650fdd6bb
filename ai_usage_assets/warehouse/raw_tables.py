"""The raw tables: the record of a source byte for byte, and its envelope."""

from __future__ import annotations

from ai_usage_assets.warehouse.tables import Column, Table


def raw_table(name: str, description: str, *, snapshot: bool = False) -> Table:
    """A raw table: the record verbatim and its envelope, one partition a day.

    `snapshot` tables (directories, the sheet) say what was true when they were read, so their day is the day of the
    read; the others hold what happened on their day.
    """
    day = (
        Column("snapshot_date", "DATE", "UTC day on which the directory was read.", required=True)
        if snapshot
        else Column("usage_date", "DATE", "UTC day the record belongs to.", required=True)
    )
    return Table(
        name=name,
        layer="raw",
        description=description,
        columns=(day, *_ENVELOPE),
        partition_by=day.name,
    )


_ENVELOPE = (
    Column(
        "record_no",
        "INT64",
        "Number of the record within its day, from 1, in the order of its bytes: the same records give the same "
        "numbers whatever order or pages they came in. Two equal records are two rows.",
        required=True,
    ),
    Column("payload", "STRING", "The record as the vendor sent it, byte for byte.", required=True),
    Column(
        "carried_email",
        "STRING",
        "E-mail this record had in an earlier pull, kept because the vendor no longer sends it.",
    ),
    Column(
        "fetched_at",
        "TIMESTAMP",
        "When this content of the day was first pulled; a pull that finds the same content changes nothing.",
        required=True,
    ),
)

# The sheet is not a list of records: its rows carry where they stood and whether they may be used.
RAW_MAPPING_SHEET = Table(
    name="raw_mapping_sheet",
    layer="raw",
    description="Every version of every tab of the mapping sheet that was ever accepted, row by row; never changed "
    "afterwards. Rejected rows are kept with the reason. A cell that looks like a secret is not kept.",
    columns=(
        Column("snapshot_date", "DATE", "UTC day on which this version was first read.", required=True),
        Column("tab", "STRING", "Name of the tab.", required=True),
        Column("snapshot_id", "STRING", "Fingerprint of the tab's content.", required=True),
        Column("read_at", "TIMESTAMP", "When this version was first read.", required=True),
        Column("row_no", "INT64", "Row number as the sheet shows it; 0 marks the version itself.", required=True),
        Column("payload", "STRING", "The row as a JSON object of normalised text.", required=True),
        Column("reject_reason", "STRING", "Why the row is not used; NULL for a row that is."),
    ),
    partition_by="snapshot_date",
    cluster_by=("tab",),
)
