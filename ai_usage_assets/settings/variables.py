"""The environment variables that the project reads, and warnings about unknown ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from ai_usage_assets.redaction import redact_line
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings.log_settings import LOG_VARIABLES, read_variables
from ai_usage_assets.settings.model import MODELS, variable_fields

# Only this prefix is checked: names such as ANTHROPIC_API_KEY can belong to other programs.
_PREFIX = "AI_USAGE_"


@dataclass(frozen=True)
class Variable:
    """One environment variable, its section in docs/settings.md, and its description there."""

    name: str
    group: str
    meaning: str
    default: str = ""


def list_variables() -> tuple[Variable, ...]:
    """Every variable that the project reads, in the order of docs/settings.md within each group."""
    return tuple(_variables())


def _variables() -> Iterator[Variable]:
    for entry in SOURCES:
        unset = f"{entry.label} is not configured and is skipped"
        yield Variable(entry.key_variable, "sources", f"secret: {entry.key_meaning}", unset)
        default = f"`{entry.default_base_url}`"
        yield Variable(entry.base_url_variable, "sources", f"address of {entry.label}'s API", default)
    for model in MODELS:
        for name, field in variable_fields(model).items():
            extra = cast("dict[str, Any]", field.json_schema_extra)
            default = extra["shown_default"] or _format_default(field.default)
            yield Variable(name, extra["group"], field.description or "", default)
    for name, meaning in LOG_VARIABLES.items():
        yield Variable(name, "platform", meaning)


def _format_default(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "`on`" if value else "`off`"
        case str() | Path():
            return f"`{value}`"
        case _:
            return str(value)


def describe_unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """A warning for each `AI_USAGE_*` variable that is not a setting, without its value."""
    known = {variable.name.removeprefix(_PREFIX): variable.name for variable in list_variables()}
    warnings = []
    for name in sorted(read_variables(environment)):
        if name.startswith(_PREFIX) and name not in known.values():
            closest = get_close_matches(name.removeprefix(_PREFIX), known, n=1)
            advice = f"did you mean {known[closest[0]]}?" if closest else "docs/settings.md lists the settings."
            warnings.append(f"{redact_line(name, with_people=False)} is not a setting and is ignored; {advice}")
    return warnings
