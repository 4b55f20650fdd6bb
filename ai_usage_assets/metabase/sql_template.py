"""A card's SQL with its variables, as Metabase reads and fills it.

Belongs here: finding `{{variables}}` and `[[optional clauses]]`, and filling them in with parameters of the warehouse.
Does not: what the variables mean (`spec`), or asking for rows. Only Metabase's basic variables are used: what becomes
of a field filter depends on the server's own idea of a table, and cannot be tried without one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_CLAUSE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


class TemplateError(ValueError):
    """SQL that Metabase would misread; the message says what and where."""


def find_variables(sql: str) -> list[str]:
    """The variables of a card's SQL, in the order in which they are met. Raises QueryError."""
    _check(sql)
    return list(dict.fromkeys(_VARIABLE.findall(sql)))


def fill(sql: str, values: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, str]]:
    """The statement Metabase sends for these values, and its parameters by name.

    A clause one of whose variables has no value is left out; several values stand in their place separated by commas,
    as in `IN ({{vendor}})`. Raises QueryError.
    """
    _check(sql)
    parameters: dict[str, str] = {}

    def variable(found: re.Match[str]) -> str:
        placed = {f"{found[1]}_{number}": value for number, value in enumerate(values[found[1]])}
        parameters.update(placed)
        return ", ".join(f"@{each}" for each in placed)

    def clause(found: re.Match[str]) -> str:
        return found[1] if all(values.get(name) for name in _VARIABLE.findall(found[1])) else ""

    return _VARIABLE.sub(variable, _CLAUSE.sub(clause, sql)), parameters


def remove_clauses(sql: str, absent: Collection[str]) -> str:
    """The SQL without the clauses of variables that nobody can set."""

    def clause(found: re.Match[str]) -> str:
        return "" if set(_VARIABLE.findall(found[1])) & set(absent) else found[0]

    return _CLAUSE.sub(clause, sql)


def _check(sql: str) -> None:
    """Metabase counts brackets wherever they stand, comments and strings included, and knows no clause in a clause.

    Nor is a variable required anywhere: a card would be blank until somebody chooses a value.
    """
    rest = _CLAUSE.sub("", sql)
    for clause in _CLAUSE.findall(sql):
        if "[[" in clause:
            raise TemplateError(f"[[ inside of [[ ]]: {clause.strip()[:60]!r}")
        if not _VARIABLE.search(clause):
            raise TemplateError(f"[[ ]] without a variable: {clause.strip()[:60]!r}")
    if "[[" in rest or "]]" in rest:
        raise TemplateError("[[ and ]] do not belong to each other")
    if re.search(r"\{\{\{|\}\}\}", sql) or re.search(r"\{\{|\}\}", _VARIABLE.sub("", sql)):
        raise TemplateError("{{ and }} must stand around one name of letters, digits and _")
    if required := _VARIABLE.search(rest):
        raise TemplateError(
            f"{required[0]} stands outside of [[ ]], and nothing is shown until a value is chosen: "
            "put the clause that it is in into [[ ]]"
        )
