"""The report of the month, as the last step of a run.

If the report cannot be written, the step logs a warning and does not fail the run: the models are built by then.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from ai_usage_assets import days
from ai_usage_assets.defs.stages import Stage, build_step
from ai_usage_assets.finance.report import data
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES

# A day, and two hours for a run that is late.
_FRESH_FOR = timedelta(hours=26)


def build_report_asset() -> dg.AssetsDefinition:
    """The asset `report`, which depends on the tables and views that it shows."""
    shown = {*data.tables_shown()} - {table.name for table in OPS_TABLES}
    spec = dg.AssetSpec(
        "report",
        deps=sorted(shown),
        description="The headline numbers of the month, and the complete page in the file of AI_USAGE_REPORT. "
        "Written at the end of every run that loads the latest day. If a blocking check failed, the report "
        "shows it.",
        group_name="report",
        kinds={"html"},
        owners=["team:finance", "team:platform"],
        # See docs/decisions/0026-dagster-ui.md.
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_FRESH_FOR),
    )
    return build_step(Stage.REPORT, "report", _write_report, specs=[spec])


def _write_report(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
    """Writes the page and yields the headline numbers as metadata; nothing for earlier days or without a figure.

    A run of earlier days must not make the asset fresh.
    """
    # Imported here because only this step renders.
    from ai_usage_assets.finance.report import render

    settings: Settings = context.resources.settings
    warehouse: Warehouse = context.resources.warehouse
    metadata: dict[str, dg.MetadataValue | str] = {}
    run_days = days.range_from_tags(context.run.tags)
    if run_days and run_days.last < days.last_finished_day(settings.now()):
        context.log.info("The report is not written for earlier days; `ai-usage report` writes it.")
        return
    try:
        content = data.load_report(warehouse, settings.now(), only_headlines=settings.report_path is None)
        metadata["summary"] = dg.MetadataValue.md(render.render_markdown(content))
        if settings.report_path:
            render.write_report(content, settings.report_path)
            metadata["page"] = dg.MetadataValue.path(str(settings.report_path.absolute()))
    except Exception as error:  # noqa: BLE001 - a warning, see above
        message = f"The report was not written: {redact(f'{type(error).__name__}: {error}')}"
        metadata["problem"] = message
        context.log.warning(message)
    if "summary" in metadata:
        yield dg.Output(None, "report", metadata=metadata)
