"""The template syntax of a card's SQL: `{{variables}}` and `[[optional clauses]]`, as Metabase reads and fills it.

Only Metabase's basic variables are used. What a field filter expands to depends on the server's own metadata, so it
cannot be tested without a server.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_CLAUSE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


class TemplateError(ValueError):
    """SQL that Metabase would misread. The message quotes the part."""


def find_variables(sql: str) -> list[str]:
    """Return the variables of a card's SQL in order of appearance. Raises TemplateError."""
    _validate(sql)
    return list(dict.fromkeys(_VARIABLE.findall(sql)))


def fill(sql: str, values: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, str]]:
    """Return the statement that Metabase sends for these values, and its query parameters by name.

    A clause with a variable without a value is dropped. Several values become a comma-separated list, as in
    `IN ({{vendor}})`. Raises TemplateError.
    """
    _validate(sql)
    parameters: dict[str, str] = {}

    def fill_variable(match: re.Match[str]) -> str:
        expanded = {f"{match[1]}_{number}": value for number, value in enumerate(values[match[1]])}
        parameters.update(expanded)
        return ", ".join(f"@{name}" for name in expanded)

    def fill_clause(match: re.Match[str]) -> str:
        return match[1] if all(values.get(name) for name in _VARIABLE.findall(match[1])) else ""

    return _VARIABLE.sub(fill_variable, _CLAUSE.sub(fill_clause, sql)), parameters


def remove_clauses(sql: str, variables: Collection[str]) -> str:
    """Return the SQL without the clauses that use one of these variables."""
    return _CLAUSE.sub(lambda match: match[0] if set(variables).isdisjoint(_VARIABLE.findall(match[1])) else "", sql)


def _validate(sql: str) -> None:
    """Reject what Metabase misreads: it matches brackets everywhere, in comments and strings too, and nests nothing."""
    outside = _CLAUSE.sub("", sql)
    for clause in _CLAUSE.findall(sql):
        if "[[" in clause:
            raise TemplateError(f"[[ inside [[ ]]: {clause.strip()[:60]!r}")
        if not _VARIABLE.search(clause):
            raise TemplateError(f"[[ ]] without a variable: {clause.strip()[:60]!r}")
    if "[[" in outside or "]]" in outside:
        raise TemplateError("unbalanced [[ and ]]")
    if re.search(r"\{\{\{|\}\}\}", sql) or re.search(r"\{\{|\}\}", _VARIABLE.sub("", sql)):
        raise TemplateError("{{ and }} must enclose one name of letters, digits and _")
    if required := _VARIABLE.search(outside):
        raise TemplateError(
            f"{required[0]} is outside [[ ]], so the card is empty until a value is chosen; put the clause into [[ ]]"
        )
