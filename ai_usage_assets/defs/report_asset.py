"""The report as the last step of a run.

Belongs here: making it when everything else of the run has ended, and attaching it to the run. Does not: what it says.
Whatever goes wrong with it is told and fails nothing: the figures are published by then.
"""

import dagster as dg

from ai_usage_assets import days
from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.finance.report import data
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import Warehouse


@dg.asset(
    name="report",
    description="What finance opens: the headline numbers of the month, in words, and the whole page where "
    "AI_USAGE_REPORT names a file. Made last in every run for the latest day, also when a check has stopped the line, "
    "which it then says.",
    group_name="report",
    kinds={"html"},
    owners=["team:finance", "team:platform"],
    # It depends on nothing, so that nothing can stop it; steps run one at a time, and this one has the lowest priority.
    op_tags={"dagster/priority": "-100"},
    required_resource_keys=STEP_RESOURCES,
)
def report(context: dg.AssetExecutionContext) -> None:
    """Makes the report."""
    # Imported late: it is the last step that draws.
    from ai_usage_assets.finance.report import render

    settings: Settings = context.resources.settings
    warehouse: Warehouse = context.resources.warehouse
    metadata: dict[str, dg.MetadataValue | str] = {}
    chosen = days.range_from_tags(context.run.tags)
    if chosen and chosen.last < days.last_finished_day(settings.now()):
        context.add_asset_metadata({"summary": "Runs of earlier days make none; `ai-usage report` does."})
        return
    try:
        made = data.load_report(warehouse, settings.now(), only_headlines=settings.report_path is None)
        metadata["summary"] = dg.MetadataValue.md(render.render_markdown(made))
        if settings.report_path:
            render.write_report(made, settings.report_path)
            metadata["page"] = dg.MetadataValue.path(str(settings.report_path.absolute()))
    except Exception as error:  # noqa: BLE001 - the day's figures are there; their page must not fail their run
        told = f"The report was not made: {redact(f'{type(error).__name__}: {error}')}"
        metadata["problem"] = told
        context.log.warning(told)
    context.add_asset_metadata(metadata)
