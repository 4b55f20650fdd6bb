"""Loads days into a warehouse without Dagster: the extracts, their landing, the models and their checks."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.checks.results import CheckResult, evaluate_checks
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.days import describe_failure, load_days
from ai_usage_assets.landing.sheet import read_sheet
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.keys import connect
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.transform import build_models, model_parameters
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets_tests.support.rebuilding_warehouse import shared_models

# The models that are tables, for `selection`; views show their changes by themselves.
STORED_MODELS = tuple(model.name for model in catalog.models() if not model.is_view)


class _RecordedLines(logging.Handler):
    """Keeps every line that is logged."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the line and its labels."""
        self.lines.append(f"{record.getMessage()} {getattr(record, 'labels', '')}")


@dataclass
class LoadResult:
    """The result of a load, with the same questions as `RunResult`."""

    run_id: str
    # The description of the failure, by extract.
    errors: dict[str, str] = field(default_factory=dict)
    checks: list[CheckResult] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def success(self) -> bool:
        """Whether every extract loaded a day and no blocking check failed."""
        return not self.errors and all(result.passed or not result.check.blocking for result in self.checks)

    def failures(self) -> dict[str, str]:
        """The messages of failed extracts."""
        return self.errors

    def failed_checks(self) -> dict[str, str]:
        """The messages of failed checks, by asset and check."""
        return {_name(result): result.message for result in self.checks if not result.passed}

    def findings(self, check: str) -> list[str]:
        """The findings of a check, which is named `asset.check`."""
        (result,) = (result for result in self.checks if _name(result) == check)
        return [finding.message for finding in result.findings]

    def text(self) -> str:
        """All text of the load: the lines, and the messages and findings of checks."""
        findings = [finding.message for result in self.checks for finding in result.findings]
        return "\n".join([*self.lines, *findings, *self.failed_checks().values()])


def _name(result: CheckResult) -> str:
    return f"{result.check.asset}.{result.check.name}"


@contextmanager
def _recorded(lines: list[str]) -> Iterator[logging.Logger]:
    """A logger of every level that also adds its lines to the list."""
    log = logging.getLogger(__name__)
    log.setLevel(logging.DEBUG)
    handler = _RecordedLines(lines)
    log.addHandler(handler)
    yield log
    log.removeHandler(handler)


def load_selection(
    warehouse: Warehouse, settings: Settings, days: DayRange, selection: str | Sequence[str]
) -> LoadResult:
    """Loads the selected raw tables and rebuilds the selected models, and evaluates the checks of all of them.

    `selection` names vendors, extracts or tables. Unlike a run, it rebuilds the models after any failure.
    """
    names = {selection} if isinstance(selection, str) else {*selection}
    extracts = [
        extract
        for extract in catalog.EXTRACTS
        if names & {extract.vendor, extract.name, *(table.name for table in extract.tables)}
    ]
    models = [model for model in catalog.models() if model.name in names]
    known = {name for extract in extracts for name in (extract.vendor, extract.name, *(t.name for t in extract.tables))}
    assert names <= known | {model.name for model in models} | {RAW_MAPPING_SHEET.name}, "an unknown name"
    run = RunContext(f"load-{uuid4()}", settings.now(), settings.accept_loss)
    result = LoadResult(run.run_id)
    checked: list[str] = []
    with _recorded(result.lines) as log:
        for extract in extracts:
            days_of_extract = [run.now.date()] if extract.is_snapshot else list(days)
            client = connect(extract.vendor, settings)
            landed = load_days(warehouse, extract, client, days_of_extract, run, log)
            if client:
                client.close()
            if failure := describe_failure(extract, landed):
                result.errors[extract.name] = failure
                log.error(failure)
            else:
                checked += [table.name for table in extract.tables]
        if RAW_MAPPING_SHEET.name in names:
            sheet = MappingSheet(settings.sheet_id, settings.sheets_url, pacing=False) if settings.sheet_id else None
            read_sheet(warehouse, sheet, run, log)
            checked.append(RAW_MAPPING_SHEET.name)
    context = CheckContext(warehouse, days, run.now.date())
    result.checks += _evaluate(checked, context, run)
    stored = [model for model in models if not model.is_view]
    # What all sources share is computed from any of their models.
    due = [model for model in catalog.models() if model in stored or (stored and model in shared_models())]
    for built in build_models(warehouse, due, model_parameters(settings, days.first, days.last)):
        if built.error:
            result.errors[built.table.name] = built.error
    result.checks += _evaluate([model.name for model in models], context, run)
    return result


def _evaluate(assets: Collection[str], context: CheckContext, run: RunContext) -> list[CheckResult]:
    return evaluate_checks([check for check in CHECKS if check.asset in assets], context, run.run_id)
