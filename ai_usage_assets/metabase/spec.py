"""The dashboards that are wanted, read from `deploy/metabase`, and what is wrong with them as written.

Belongs here: the form of the files, and everything that can be held against itself without a warehouse or a Metabase.
Does not: Metabase's own form of the same (`build`), rows.

    deploy/metabase/filters.yaml              what can be filtered by, on any dashboard
    deploy/metabase/filters/month.sql         the values a filter offers
    deploy/metabase/dashboards/overview.yaml  one dashboard: tabs of rows of cards
    deploy/metabase/dashboards/overview/      the SQL of its cards, one file each
    deploy/metabase/shared.yaml               cards that any dashboard may show, each under its own name
    deploy/metabase/shared/                   their SQL
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.metabase.sql_template import TemplateError, fill, find_variables, remove_clauses
from ai_usage_assets.package_data import data_folder
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.warehouse import googlesql

DASHBOARDS_DIR = data_folder("deploy") / "metabase"
# Metabase's grid.
COLUMNS = 24

Display = Literal[
    "area", "bar", "combo", "line", "pie", "progress", "row", "scalar", "smartscalar", "table", "waterfall"
]
# How a number is read: dollars, dollars and cents, dollars of a small thing, a share, a count, a plain number.
NumberFormat = Literal["usd", "cents", "unit_usd", "percent", "count", "number"]
# When a rule colours a cell: Metabase's own words, and those that need numbers.
Operator = Literal[
    "=", "!=", "<", "<=", ">", ">=", "is-null", "not-null", "is-true", "is-false", "contains", "does-not-contain",
    "starts-with", "ends-with",
]  # fmt: skip
ORDERS = ("<", "<=", ">", ">=")
Text = Annotated[str, Field(min_length=1)]
Colour = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]
# Of one of a card's settings; the largest of ours has 18.
_MOST_PARTS = 10_000
# Keys are names of files, stand in `{{...}}`, and are put together with dots.
_KEY = re.compile(r"[A-Za-z0-9_]+")
# In place of SQL that cannot be used, which is told once: the rest is read all the same.
_UNREAD = "SELECT 1 AS unread"


class _Loader(yaml.SafeLoader):
    """YAML in which every key is a text, and none is there twice: the first would be lost without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                    raise yaml.composer.ComposerError(None, None, f"{key.value} is no text: quote it", key.start_mark)
                # A series has the name of what somebody called a team.
                if not key.value.isprintable():
                    raise yaml.composer.ComposerError(None, None, f"{key.value!r} is no key", key.start_mark)
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(key.value)
        return node


class SpecError(OperatorError):
    """Dashboards that cannot be made as they are written; each line says in which file, what, and what is expected."""

    exit_code = 2

    def __init__(self, *lines: str) -> None:
        # They quote names of files, and SQL.
        super().__init__("\n".join(redact_line(line, with_people=False) for line in lines))


class _Strict(BaseModel):
    # A misspelt key is an error: Metabase itself would drop it without a word.
    model_config = ConfigDict(extra="forbid", frozen=True)


class Filter(_Strict):
    """What people choose at the top of a dashboard; its values come from `filters/<key>.sql`, in their only column."""

    name: Text
    multiple: bool = True
    sql: Text


class Column(_Strict):
    """How a column of a card is shown."""

    title: Text | None = None
    form: NumberFormat | None = None
    # In the cells of a table, a bar as long as the number is large.
    mini_bar: bool = False


class Click(_Strict):
    """What a click on a card does: sets a filter of this dashboard, or opens another with filters set."""

    # Filter -> column of the card whose value it takes.
    filters: dict[str, Text] = Field(min_length=1)
    dashboard: Text | None = None


def column_key(name: str) -> str:
    """A column's key in column_settings, which is a text of JSON: Metabase finds no other way of writing it."""
    return json.dumps(["name", name], separators=(",", ":"), ensure_ascii=False)


def _column_key(key: str) -> str:
    try:
        match json.loads(key):
            case ["name", str(name)] if key == column_key(name):
                return key
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"the key of a column is written '{column_key('COLUMN')}'")


class _Part(BaseModel):
    # Metabase gets it as it is written and not as it could be read. Keys that are not looked into here are its own.
    model_config = ConfigDict(strict=True)


class _Series(_Part):
    title: str | None = None
    display: Literal["area", "bar", "line"] | None = None
    color: Colour | None = None


class _Comparison(_Part):
    id: Text
    type: Text
    column: Text | None = None
    label: Text | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> _Comparison:
        if self.type == "anotherColumn" and not (self.column and self.label):
            raise ValueError("anotherColumn needs a column and a label")
        return self


class _Rule(_Part):
    columns: list[Text]
    type: Literal["single", "range"]
    operator: Operator | None = None
    value: Any = None
    color: Colour | None = None
    highlight_row: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> _Rule:
        if self.type == "range":
            return self
        if not (self.operator and self.color):
            raise ValueError("single needs an operator and a color")
        if self.operator in ORDERS and (isinstance(self.value, bool) or not isinstance(self.value, int | float)):
            raise ValueError(f"{self.operator} needs a number as its value")
        if self.operator in ("=", "!=") and self.value is None:
            raise ValueError(f"{self.operator} needs a value")
        return self


class _Known(_Part):
    # Of the settings that are looked into here what they are; of all others Metabase knows.
    dimensions: list[Text] = Field(default=[], alias="graph.dimensions")
    metrics: list[Text] = Field(default=[], alias="graph.metrics")
    series: dict[str, _Series] = Field(default={}, alias="series_settings")
    columns: dict[Annotated[str, AfterValidator(_column_key)], dict[str, Any]] = Field(
        default={}, alias="column_settings"
    )
    field: Text = Field(default="", alias="scalar.field")
    comparisons: list[_Comparison] = Field(default=[], alias="scalar.comparisons")
    value: Text = Field(default="", alias="progress.value")
    goal: Text = Field(default="", alias="progress.goal")
    color: Colour = Field(default="", alias="progress.color")
    formatting: list[_Rule] = Field(default=[], alias="table.column_formatting")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    for key, value in given.items():
        if _is_endless(value):
            raise ValueError(f"{key}: it has more than {_MOST_PARTS:,} parts; is there an alias of aliases?")
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{key}: it is no JSON: {error}") from None
    _Known.model_validate(given)
    return given


def _is_endless(given: Any) -> bool:
    """Whether it is more than anybody writes: a few lines of aliases are millions of parts once written out."""
    left, count = [given], 0
    while left and count <= _MOST_PARTS:
        one, count = left.pop(), count + 1
        if isinstance(one, dict | list | tuple):
            left += one.values() if isinstance(one, dict) else one
    return count > _MOST_PARTS


Settings = Annotated[dict[str, Any], AfterValidator(_settings)]


class Card(_Strict):
    """A question: SQL, and how its rows are drawn."""

    name: Text
    # What the number is, in which unit, of which days: shown to the reader beside the title.
    description: Text
    display: Display
    columns: dict[str, Column] = {}
    # Metabase's visualization_settings beside the columns' forms.
    settings: Settings = {}
    click: Click | None = None
    sql: Text

    @cached_property
    def variables(self) -> list[str]:
        """The filters it takes."""
        return find_variables(self.sql)


class Placed(_Strict):
    """A card's place in a row."""

    card: Text
    width: int = Field(ge=1, le=COLUMNS)


class CardRow(_Strict):
    """Cards side by side."""

    height: int = Field(ge=2, le=30)
    cards: list[Placed] = Field(min_length=1)


class TextRow(_Strict):
    """Words over the whole width: a heading, or Markdown."""

    heading: Text | None = None
    text: Text | None = None
    height: int = Field(default=1, ge=1, le=10)


def _kind(row: Any) -> str:
    """Which of the two is meant by a row, so that nothing is told of the other."""
    if isinstance(row, dict):
        return "TextRow" if "cards" not in row and row.keys() & {"heading", "text"} else "CardRow"
    return "TextRow" if isinstance(row, TextRow) else "CardRow"


Row = Annotated[Annotated[CardRow, Tag("CardRow")] | Annotated[TextRow, Tag("TextRow")], Discriminator(_kind)]


class Tab(_Strict):
    """A page of a dashboard."""

    name: Text
    rows: list[Row] = Field(min_length=1)

    def cards(self) -> Iterator[str]:
        """The keys of its cards, in reading order."""
        for row in self.rows:
            if isinstance(row, CardRow):
                yield from (placed.card for placed in row.cards)


class Dashboard(_Strict):
    """One reader's question, answered on tabs."""

    key: Text
    name: Text
    reader: Text
    question: Text
    filters: list[str] = []
    tabs: list[Tab] = Field(min_length=1)
    cards: dict[str, Card]


class Spec(_Strict):
    """Everything that is wanted of a Metabase."""

    filters: dict[str, Filter]
    dashboards: list[Dashboard]
    # Cards that several dashboards may show, by key.
    shared: frozenset[str] = frozenset()

    def in_dataset(self, dataset: str) -> Spec:
        """The same, asked of a dataset of another name."""

        def moved(one: Any) -> Any:
            return one.model_copy(update={"sql": googlesql.in_dataset(one.sql, dataset)})

        return Spec(
            filters={key: moved(one) for key, one in self.filters.items()},
            dashboards=[
                each.model_copy(update={"cards": {key: moved(card) for key, card in each.cards.items()}})
                for each in self.dashboards
            ],
            shared=self.shared,
        )


def read_spec(root: Path = DASHBOARDS_DIR) -> Spec:
    """The dashboards of a folder. Raises SpecError with a line for everything that is wrong."""
    wrong: list[str] = []
    filters, shared = _filters(root, wrong), _shared(root, wrong)
    if filters is None or shared is None:
        # Without them nothing else can be said.
        raise SpecError(*wrong)
    wrong += _strays(root, filters)
    dashboards, unread = [], set()
    for path in sorted((root / "dashboards").glob("*.yaml")):
        wrong += _bad_keys([path.stem], f"dashboards/{path.name}: the name before .yaml")
        given = _document(path, wrong)
        if given is not None and isinstance(given.get("cards"), dict):
            given["cards"] = _cards(given["cards"], path, wrong)
        if given is not None and (made := _made(Dashboard, {**given, "key": path.stem}, path.name, wrong)):
            dashboards.append(_with_filters_told(_with_shared(made, shared, filters), filters))
        else:
            unread.add(path.stem)
    spec = Spec(filters=filters, dashboards=dashboards, shared=frozenset(shared))
    wrong += validate_spec(spec, unread)
    if wrong:
        raise SpecError(*wrong)
    return spec


def _filters(root: Path, wrong: list[str]) -> dict[str, Filter] | None:
    given = _document(root / "filters.yaml", wrong)
    if given is None:
        return None
    wrong += _bad_keys(given, "filters.yaml: the key of filter")
    read_spec = {
        key: _with_sql(one, root / "filters", key, f"filters.yaml: filter {key}", wrong) for key, one in given.items()
    }
    return {
        key: _made(Filter, one, f"filters.yaml: {key}", wrong) or Filter(name=f"filter {key}", sql=_UNREAD)
        for key, one in read_spec.items()
    }


def _bad_keys(keys: Iterable[str], what: str) -> list[str]:
    return [f"{what} {key!r} must be of letters, digits and _ only" for key in keys if not _KEY.fullmatch(key)]


def _strays(root: Path, filters: Mapping[str, Filter]) -> list[str]:
    """Files in which nobody would look: what they say would not be missed, but archived."""
    values = {path.name for path in (root / "filters").glob("[!.]*")} - {f"{key}.sql" for key in filters}
    others = {
        path.name
        for path in (root / "dashboards").glob("[!.]*")
        if path.suffix != ".yaml" and not (path.parent / f"{path.name if path.is_dir() else path.stem}.yaml").is_file()
    }
    found = [f"filters/{name} belongs to no filter of filters.yaml" for name in sorted(values)]
    return found + [f"dashboards/{name} belongs to no dashboard, which is a file .yaml" for name in sorted(others)]


def _shared(root: Path, wrong: list[str]) -> dict[str, Card] | None:
    path = root / "shared.yaml"
    given = _document(path, wrong) if path.exists() else {}
    if given is None:
        return None
    return {
        key: _made(Card, card, f"{path.name}: {key}", wrong)
        or Card(name=f"card {key}", description="not read", display="table", sql=_UNREAD)
        for key, card in _cards(given, path, wrong).items()
    }


def _with_shared(dashboard: Dashboard, shared: Mapping[str, Card], filters: Mapping[str, Filter]) -> Dashboard:
    """The dashboard with the shared cards that it shows: under its name, and with the filters that its own cards take.

    So a filter that changes nothing but a shared card is still found to be one too many.
    """
    absent = filters.keys() - {name for card in dashboard.cards.values() for name in card.variables}
    taken = {
        key: shared[key].model_copy(
            update={"name": f"{dashboard.name}: {shared[key].name}", "sql": remove_clauses(shared[key].sql, absent)}
        )
        for tab in dashboard.tabs
        for key in tab.cards()
        if key in shared.keys() - dashboard.cards.keys()
    }
    return dashboard.model_copy(update={"cards": {**taken, **dashboard.cards}})


def _with_filters_told(dashboard: Dashboard, filters: Mapping[str, Filter]) -> Dashboard:
    """The dashboard with descriptions that end with the filters that change nothing: Metabase does not say it."""

    def told(card: Card) -> Card:
        others = [filters[key].name for key in dashboard.filters if key in filters and key not in card.variables]
        if not others:
            return card
        *first, last = others
        names = f"filters {', '.join(first)} and {last} do" if first else f"filter {last} does"
        return card.model_copy(update={"description": f"{card.description.strip()} The {names} not change it."})

    return dashboard.model_copy(update={"cards": {key: told(card) for key, card in dashboard.cards.items()}})


def value_column(key: str, wanted: Filter) -> str:
    """The only column of a filter's values. Raises SpecError when there is another number of them."""
    try:
        columns = googlesql.selected_columns(wanted.sql)
    except googlesql.UnsupportedSQL as error:
        raise SpecError(f"filters/{key}.sql cannot be read: {' '.join(str(error).split())[:200]}") from None
    if len(columns) != 1 or columns[0] in ("", "*"):
        raise SpecError(f"filters/{key}.sql must select one named column, the values; it selects {columns}.")
    return columns[0]


def validate_spec(spec: Spec, unread: Collection[str]) -> list[str]:
    """What the dashboards say that cannot all be true: names met twice, filters without effect, rows too wide.

    Nothing is told that may be right with the dashboards `unread`, which are there and could not be read.
    """
    wrong = [
        f"filters: {key}.sql must not have variables" for key, one in spec.filters.items() if find_variables(one.sql)
    ]
    for key, one in spec.filters.items():
        try:
            value_column(key, one)
        except SpecError as error:
            wrong.append(str(error))
    names = Counter(card.name for dashboard in spec.dashboards for card in dashboard.cards.values())
    names.update(dashboard.name for dashboard in spec.dashboards)
    wrong += [f"the name {name!r} is given {count} times" for name, count in names.items() if count > 1]
    if not spec.dashboards and not unread:
        wrong.append("dashboards/*.yaml: there are none, and all that Metabase has of ours would be archived")
    if not unread:
        shown = {key for dashboard in spec.dashboards for tab in dashboard.tabs for key in tab.cards()}
        wrong += [f"shared.yaml: card {key} is on no dashboard" for key in sorted(spec.shared - shown)]
    by_key = dict.fromkeys(unread) | {dashboard.key: dashboard for dashboard in spec.dashboards}
    for dashboard in spec.dashboards:
        wrong += [f"{dashboard.key}.yaml: {line}" for line in _of_dashboard(dashboard, spec.filters, by_key)]
    return wrong


def _of_dashboard(
    dashboard: Dashboard, filters: dict[str, Filter], by_key: Mapping[str, Dashboard | None]
) -> Iterator[str]:
    shown = [key for tab in dashboard.tabs for key in tab.cards()]
    yield from (f"card {key} is on no tab" for key in dashboard.cards.keys() - set(shown))
    yield from (f"card {key} is shown and not described" for key in set(shown) - dashboard.cards.keys())
    yield from (f"card {key} is shown {count} times" for key, count in Counter(shown).items() if count > 1)
    yield from (f"there is no filter {key} in filters.yaml" for key in set(dashboard.filters) - filters.keys())
    for key, count in Counter(dashboard.filters).items():
        if count > 1:
            yield f"filter {key} is there {count} times"
    for key, count in Counter(tab.name for tab in dashboard.tabs).items():
        if count > 1:
            yield f"tab {key} is there {count} times"
    for tab in dashboard.tabs:
        for row in tab.rows:
            if isinstance(row, CardRow) and (width := sum(placed.width for placed in row.cards)) > COLUMNS:
                keys = ", ".join(placed.card for placed in row.cards)
                yield f"tab {tab.name}: the row {keys} is {width} columns wide, of {COLUMNS}: cards would overlap"
            elif isinstance(row, TextRow) and (row.heading is None) == (row.text is None):
                yield f"tab {tab.name}: a row of words has either a heading or a text"
    for key, card in dashboard.cards.items():
        for name in set(card.variables) - set(dashboard.filters):
            yield f"card {key}: {{{{{name}}}}} is no filter of this dashboard: nobody can set it"
        if card.click:
            opened = card.click.dashboard or dashboard.key
            if opened not in by_key:
                yield f"card {key}: a click opens {opened}, which is no dashboard"
            elif target := by_key[opened]:
                for name in card.click.filters.keys() - set(target.filters):
                    yield f"card {key}: a click sets {name}, which is no filter of {opened}"
    if all(card.sql != _UNREAD for card in dashboard.cards.values()):
        taken = {name for card in dashboard.cards.values() for name in card.variables}
        yield from (f"filter {key} changes no card" for key in dashboard.filters if key in filters.keys() - taken)


def _document(path: Path, wrong: list[str]) -> dict[str, Any] | None:
    try:
        # It is a safe loader.
        found = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506
    except RecursionError:
        wrong.append(f"{path.name}: it is nested too deep")
        return None
    except OSError as error:
        wrong.append(f"{path}: {error.strerror}")
        return None
    except (ValueError, AttributeError, LookupError, yaml.YAMLError) as error:
        wrong.append(f"{path.name}: {error}")
        return None
    if not isinstance(found, dict):
        wrong.append(f"{path.name}: keys and values are expected")
        return None
    return found


def _cards(given: dict[str, Any], path: Path, wrong: list[str]) -> dict[str, Any]:
    """Cards of a file, each with its SQL, which lies in the folder of the file's name."""
    folder = path.with_suffix("")
    unused = {file.stem for file in folder.glob("*.sql")} - given.keys()
    wrong += [f"{path.name}: {folder.name}/{name}.sql belongs to no card" for name in sorted(unused)]
    wrong += _bad_keys(given, f"{path.name}: the key of card")
    return {key: _with_sql(card, folder, key, f"{path.name}: card {key}", wrong) for key, card in given.items()}


def _with_sql(given: Any, folder: Path, key: str, where: str, wrong: list[str]) -> Any:
    if not isinstance(given, dict):
        return given
    # Another key may name a file elsewhere, and is told where keys are.
    if not _KEY.fullmatch(key):
        return {**given, "sql": _UNREAD}
    file = f"{folder.name}/{key}.sql"
    try:
        # What an editor puts before a text is none of it.
        sql = (folder / f"{key}.sql").read_text("utf-8-sig").strip()
        # As Metabase sends it when everything is chosen, and when nothing is.
        for chosen in [find_variables(sql), []] if find_variables(sql) else [[]]:
            googlesql.check_query(fill(sql, {name: ["x"] for name in chosen})[0])
    except FileNotFoundError:
        wrong.append(f"{where}: there is no {file}, which must have its SQL")
    except OSError as error:
        wrong.append(f"{where}: {file} cannot be read: {error.strerror}")
    except (UnicodeDecodeError, TemplateError, googlesql.UnsupportedSQL) as error:
        wrong.append(f"{where}: {file} cannot be read: {' '.join(str(error).split())[:300]}")
    else:
        return {**given, "sql": sql}
    return {**given, "sql": _UNREAD}


def _made(model: Any, given: Any, where: str, wrong: list[str]) -> Any:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            place = ".".join(str(part) for part in one["loc"] if part not in ("CardRow", "TextRow"))
            wrong.append(f"{where}: {place}: {one['msg']}")
        return None
