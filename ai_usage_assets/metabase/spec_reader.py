"""Read the dashboards from `deploy/metabase`. Every error of every file is collected before SpecError is raised.

deploy/metabase/filters.yaml              the filters that any dashboard may use
deploy/metabase/filters/month.sql         the values of a filter
deploy/metabase/dashboards/overview.yaml  one dashboard: tabs with rows of cards
deploy/metabase/dashboards/overview/      the SQL of its cards, one file each
deploy/metabase/shared.yaml               cards that any dashboard may show, each under its own name
deploy/metabase/shared/                   their SQL
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ai_usage_assets.metabase.spec_models import Card, Dashboard, Filter, Spec, SpecError
from ai_usage_assets.metabase.spec_validation import INVALID_SQL, validate_spec
from ai_usage_assets.metabase.sql_template import TemplateError, fill, find_variables, remove_clauses
from ai_usage_assets.package_data import data_folder
from ai_usage_assets.warehouse import googlesql

DASHBOARDS_DIR = data_folder("deploy") / "metabase"
# Keys are file names, appear in `{{...}}` and are joined with dots.
_KEY = re.compile(r"[A-Za-z0-9_]+")
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys and keys that are not text."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                    raise yaml.composer.ComposerError(None, None, f"{key.value} is not text; quote it", key.start_mark)
                if not key.value.isprintable():
                    raise yaml.composer.ComposerError(None, None, f"{key.value!r} is not a key", key.start_mark)
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"duplicate key {key.value}", key.start_mark)
                seen.add(key.value)
        return node


def read_spec(root: Path = DASHBOARDS_DIR) -> Spec:
    """Read and validate the dashboards of a folder. Raises SpecError with one line per error."""
    errors: list[str] = []
    filters, shared = _read_filters(root, errors), _read_shared(root, errors)
    if filters is None or shared is None:
        raise SpecError(*errors)
    errors += _find_stray_files(root, filters)
    dashboards, invalid = [], set()
    for path in sorted((root / "dashboards").glob("*.yaml")):
        errors += _check_keys([path.stem], f"dashboards/{path.name}: the dashboard key")
        document = _read_yaml(path, errors)
        if document is not None and isinstance(document.get("cards"), dict):
            document["cards"] = _read_cards(document["cards"], path, errors)
        dashboard = document and _parse(Dashboard, {**document, "key": path.stem}, path.name, errors)
        if dashboard:
            dashboards.append(_describe_unused_filters(_add_shared(dashboard, shared, filters), filters))
        else:
            invalid.add(path.stem)
    spec = Spec(filters=filters, dashboards=dashboards, shared=frozenset(shared))
    errors += validate_spec(spec, invalid)
    if errors:
        raise SpecError(*errors)
    return spec


def _read_filters(root: Path, errors: list[str]) -> dict[str, Filter] | None:
    document = _read_yaml(root / "filters.yaml", errors)
    if document is None:
        return None
    errors += _check_keys(document, "filters.yaml: the filter key")
    filters = {}
    for key, value in document.items():
        given = _add_sql(value, root / "filters", key, f"filters.yaml: filter {key}", errors)
        parsed = _parse(Filter, given, f"filters.yaml: {key}", errors)
        filters[key] = parsed or Filter(name=f"filter {key}", sql=INVALID_SQL)
    return filters


def _read_shared(root: Path, errors: list[str]) -> dict[str, Card] | None:
    path = root / "shared.yaml"
    document = _read_yaml(path, errors) if path.exists() else {}
    if document is None:
        return None
    return {
        key: _parse(Card, card, f"{path.name}: {key}", errors)
        or Card(name=f"card {key}", description="invalid", display="table", sql=INVALID_SQL)
        for key, card in _read_cards(document, path, errors).items()
    }


def _check_keys(keys: Iterable[str], what: str) -> list[str]:
    return [f"{what} {key!r} may only have letters, digits and _" for key in keys if not _KEY.fullmatch(key)]


def _find_stray_files(root: Path, filters: Mapping[str, Filter]) -> list[str]:
    """Report files that belong to nothing: a misnamed file would silently remove its object."""
    stray = {path.name for path in (root / "filters").glob("[!.]*")} - {f"{key}.sql" for key in filters}
    errors = [f"filters/{name} belongs to no filter in filters.yaml" for name in sorted(stray)]
    for path in sorted((root / "dashboards").glob("[!.]*")):
        yaml_name = f"{path.name if path.is_dir() else path.stem}.yaml"
        if path.suffix != ".yaml" and not (path.parent / yaml_name).is_file():
            errors.append(f"dashboards/{path.name} belongs to no dashboard; a dashboard is a .yaml file")
    return errors


def _add_shared(dashboard: Dashboard, shared: Mapping[str, Card], filters: Mapping[str, Filter]) -> Dashboard:
    """Add the shared cards that the dashboard shows, prefixed with its name.

    Clauses of filters that none of the dashboard's own cards uses are removed, so that such a filter is reported.
    """
    unused = filters.keys() - {name for card in dashboard.cards.values() for name in card.variables}
    shown = {key for tab in dashboard.tabs for key in tab.cards()}
    added = {
        key: card.model_copy(update={"name": f"{dashboard.name}: {card.name}", "sql": remove_clauses(card.sql, unused)})
        for key, card in shared.items()
        if key in shown and key not in dashboard.cards
    }
    return dashboard.model_copy(update={"cards": {**added, **dashboard.cards}})


def _describe_unused_filters(dashboard: Dashboard, filters: Mapping[str, Filter]) -> Dashboard:
    """Append to each card's description which filters do not apply to it; Metabase does not show that."""

    def describe(card: Card) -> Card:
        unused = [filters[key].name for key in dashboard.filters if key in filters and key not in card.variables]
        if not unused:
            return card
        *first, last = unused
        names = f"filters {', '.join(first)} and {last} do" if first else f"filter {last} does"
        return card.model_copy(update={"description": f"{card.description.strip()} The {names} not apply."})

    return dashboard.model_copy(update={"cards": {key: describe(card) for key, card in dashboard.cards.items()}})


def _read_yaml(path: Path, errors: list[str]) -> dict[str, Any] | None:
    try:
        document = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    except RecursionError:
        errors.append(f"{path.name}: nested too deeply")
    except OSError as error:
        errors.append(f"{path}: {error.strerror}")
    except (ValueError, AttributeError, LookupError, yaml.YAMLError) as error:
        errors.append(f"{path.name}: {error}")
    else:
        if isinstance(document, dict):
            return document
        errors.append(f"{path.name}: expected a mapping")
    return None


def _read_cards(cards: dict[str, Any], path: Path, errors: list[str]) -> dict[str, Any]:
    """Add to each card its SQL from the folder named like the YAML file."""
    folder = path.with_suffix("")
    unused = {file.stem for file in folder.glob("*.sql")} - cards.keys()
    errors += [f"{path.name}: {folder.name}/{name}.sql belongs to no card" for name in sorted(unused)]
    errors += _check_keys(cards, f"{path.name}: the card key")
    return {key: _add_sql(card, folder, key, f"{path.name}: card {key}", errors) for key, card in cards.items()}


def _add_sql(given: Any, folder: Path, key: str, where: str, errors: list[str]) -> Any:
    # An invalid key could name a file elsewhere; _check_keys reports it.
    if not isinstance(given, dict) or not _KEY.fullmatch(key):
        return {**given, "sql": INVALID_SQL} if isinstance(given, dict) else given
    file = f"{folder.name}/{key}.sql"
    try:
        # utf-8-sig: an editor may write a byte order mark.
        sql = (folder / f"{key}.sql").read_text("utf-8-sig").strip()
        # As Metabase sends it with no filter set, and with every filter set.
        googlesql.check_query(fill(sql, {})[0])
        if names := find_variables(sql):
            googlesql.check_query(fill(sql, {name: ["x"] for name in names})[0])
    except FileNotFoundError:
        errors.append(f"{where}: {file} does not exist")
    except OSError as error:
        errors.append(f"{where}: cannot read {file}: {error.strerror}")
    except (UnicodeDecodeError, TemplateError, googlesql.UnsupportedSQL) as error:
        errors.append(f"{where}: {file}: invalid SQL: {' '.join(str(error).split())[:300]}")
    else:
        return {**given, "sql": sql}
    return {**given, "sql": INVALID_SQL}


def _parse(model: type[Model], given: Any, where: str, errors: list[str]) -> Model | None:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            place = ".".join(str(part) for part in one["loc"] if part not in ("CardRow", "TextRow"))
            errors.append(f"{where}: {place}: {one['msg']}")
        return None
