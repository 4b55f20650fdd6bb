"""Tests the settings: the days a run would load, and settings that were meant for one occasion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ai_usage_assets import days
from ai_usage_assets.commands.diagnostics import Diagnostic
from ai_usage_assets.settings import Settings

_SECTION = "Settings"


def diagnose_settings(settings: Settings) -> Iterator[Diagnostic]:
    """Tests settings that are valid by themselves."""
    yield Diagnostic(_SECTION, "environment", "ok", "every variable that is set is valid")
    try:
        run_days = days.trailing_range(settings.now(), settings.start_date)
        yield Diagnostic(_SECTION, "days", "ok", f"`ai-usage run` loads {run_days} (UTC)")
    except days.DayError as error:
        advice = "There is nothing to load until then; see AI_USAGE_START_DATE."
        yield Diagnostic(_SECTION, "days", "warning", str(error), advice)
    if settings.fixed_now:
        simulated = settings.is_simulated
        yield Diagnostic(
            _SECTION,
            "AI_USAGE_NOW",
            "info" if simulated else "warning",
            f"the clock is fixed at {settings.fixed_now:%Y-%m-%d %H:%M} UTC",
            "" if simulated else "Unset it unless you reproduce a run: every run would load the same days.",
        )
    if settings.accept_loss:
        yield Diagnostic(
            _SECTION,
            "AI_USAGE_ACCEPT_LOSS",
            "warning",
            "every run lets an empty day replace a loaded one",
            "Unset it; accept a loss once with `ai-usage run --accept-loss`.",
        )


def diagnose_unknown_variables(warnings: Iterable[str]) -> Iterator[Diagnostic]:
    """One warning for each variable that looks like a setting and is none."""
    for warning in warnings:
        yield Diagnostic(_SECTION, "environment", "warning", warning)
