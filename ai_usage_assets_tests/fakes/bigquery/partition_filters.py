"""Finds the partitioned tables that a statement reads without a filter on their days.

BigQuery's optimizer is not public, so only safe rules are followed, and a doubtful case counts as unfiltered. A filter
compares the bare column with a constant. It does not pass from one side of a join to the other, to the side that an
outer join fills with NULL, through an aggregate or window that does not have the column as a key, or through LIMIT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlglot import exp

from ai_usage_assets.warehouse import googlesql, tables

Names = frozenset[str]
_NONE: Names = frozenset()


@dataclass(frozen=True)
class Relation:
    """A table or view: its columns, the column of its days, its query."""

    columns: tuple[str, ...]
    partition_column: str | None = None
    query: str | None = None


@dataclass(frozen=True, order=True)
class Unfiltered:
    """A table read whole: its name, the column to filter by, and the views between it and the statement."""

    table: str
    column: str
    via: tuple[str, ...] = ()


def relations(tables: Iterable[tables.Table]) -> dict[str, Relation]:
    """The project's own tables and views, as if every table of days required a filter."""
    return {
        f"{googlesql.WRITTEN_DATASET}.{table.name}": Relation(
            table.column_names, None if table.is_view else table.partition_by, table.query if table.is_view else None
        )
        for table in tables
    }


def unfiltered(statement: str, known: Mapping[str, Relation], default_dataset: str | None = None) -> list[Unfiltered]:
    """Every table of `known` (by "dataset.table") that the statement reads, or changes, without a filter."""
    tree = _parsed(statement)
    walk = _Walk({name.lower(): relation for name, relation in known.items()}, (default_dataset or "").lower())
    match tree:
        case exp.Create() | exp.Insert():
            if tree.expression is not None:
                walk.query(tree.expression, _NONE, _written_ctes(tree), ())
        case exp.Delete() | exp.Update():
            walk.change(tree.this, tree.args.get("where"), ())
            walk.nested([*tree.args.get("expressions", []), tree.args.get("where"), tree.args.get("from_")])
        case exp.Merge():
            walk.merge(tree)
        case _:
            walk.query(tree, _NONE, {}, ())
    return sorted(walk.found)


@dataclass(frozen=True)
class _CTE:
    """A query by name, and the names it knows itself."""

    query: exp.Expr
    known: Mapping[str, _CTE] = field(hash=False)


@dataclass(eq=False)
class _Source:
    """One item of FROM; itself, not its likeness."""

    alias: str
    columns: tuple[str, ...]
    node: exp.Expr
    # Filters of the statement's WHERE, or from outside, do not reach what an outer join may leave out.
    is_nullable: bool = False
    filtered: set[str] = field(default_factory=set)


class _Walk:
    """One statement."""

    def __init__(self, known: Mapping[str, Relation], default_dataset: str) -> None:
        self._known = known
        self._default = default_dataset
        self._seen: set[tuple[str, Names, tuple[str, ...]]] = set()
        self.found: set[Unfiltered] = set()

    def query(self, node: exp.Expr, filtered: Names, ctes: Mapping[str, _CTE], via: tuple[str, ...]) -> None:
        """`filtered` are the columns of its result that are filtered outside."""
        while isinstance(node, exp.Subquery | exp.Paren):
            ctes = {**ctes, **_written_ctes(node, ctes)}
            node = node.this
        ctes = {**ctes, **_written_ctes(node, ctes)}
        if isinstance(node, exp.SetOperation):
            names = self._columns(node, ctes)
            for branch in (node.this, node.expression):
                own = self._columns(branch, ctes)
                passed = {mine for name, mine in zip(names, own, strict=False) if name in filtered}
                self.query(branch, _NONE if node.args.get("limit") else frozenset(passed), ctes, via)
        elif isinstance(node, exp.Select):
            self._select(node, filtered, ctes, via)

    def change(self, target: exp.Expr, condition: exp.Expr | None, via: tuple[str, ...]) -> None:
        """The table that a DELETE, UPDATE or MERGE changes is read by its condition."""
        source = self._source(target, {})
        if condition is not None:
            condition = condition.this if isinstance(condition, exp.Where) else condition
            source.filtered |= {name for _, name in _restricted(condition, [source])}
        self._read(source, {}, via)

    def merge(self, tree: exp.Merge) -> None:
        """Target and source are both read."""
        self.change(tree.this, tree.args["on"], ())
        source = self._source(tree.args["using"], {})
        self._read(source, {}, ())
        self.nested([tree.args["on"], tree.args.get("whens")])

    def nested(
        self, expressions: Iterable[exp.Expr | None], ctes: Mapping[str, _CTE] | None = None, via: tuple[str, ...] = ()
    ) -> None:
        """Queries inside expressions; nothing outside filters them."""
        for query in _queries(expressions):
            self.query(query, _NONE, ctes or {}, via)

    def _select(self, select: exp.Select, filtered: Names, ctes: Mapping[str, _CTE], via: tuple[str, ...]) -> None:
        sources = self._sources(select, ctes)
        where = select.args.get("where")
        for source, name in _restricted(where.this, sources) if where else ():
            if not source.is_nullable:
                source.filtered.add(name)
        for name in filtered:
            inside = self._inside(select, name, sources)
            if inside is not None and not inside[0].is_nullable:
                inside[0].filtered.add(inside[1])
        for source in sources:
            self._read(source, ctes, via)
        joined = [join.args.get("on") for join in select.args.get("joins") or []]
        others = (select.args.get(part) for part in ("where", "having", "qualify", "group", "order"))
        self.nested([*select.expressions, *joined, *others], ctes, via)

    def _sources(self, select: exp.Select, ctes: Mapping[str, _CTE]) -> list[_Source]:
        start = select.args.get("from_")
        if start is None:
            return []
        sources = [self._source(start.this, ctes)]
        for join in select.args.get("joins") or []:
            joined = self._source(join.this, ctes)
            if join.side in ("RIGHT", "FULL"):
                for source in sources:
                    source.is_nullable = True
            joined.is_nullable = join.side in ("LEFT", "FULL")
            on = join.args.get("on")
            for source, name in _restricted(on, [*sources, joined]) if on is not None else ():
                if (join.side == "" and not source.is_nullable) or (join.side == "LEFT" and source is joined):
                    source.filtered.add(name)
            sources.append(joined)
        return sources

    def _source(self, node: exp.Expr, ctes: Mapping[str, _CTE]) -> _Source:
        alias = node.alias_or_name.lower()
        match node:
            case exp.Table():
                if not node.db and node.name.lower() in ctes:
                    cte = ctes[node.name.lower()]
                    return _Source(alias, self._columns(cte.query, cte.known), node)
                relation = self._known.get(self._name(node))
                return _Source(alias, tuple(c.lower() for c in relation.columns) if relation else (), node)
            case exp.Subquery():
                return _Source(alias, self._columns(node, ctes), node)
        return _Source(alias, (), node)

    def _name(self, table: exp.Table) -> str:
        return f"{table.db or self._default}.{table.name}".lower()

    def _read(self, source: _Source, ctes: Mapping[str, _CTE], via: tuple[str, ...]) -> None:
        node, filtered = source.node, frozenset(source.filtered)
        if isinstance(node, exp.Subquery):
            self.query(node, filtered, ctes, via)
            return
        if not isinstance(node, exp.Table):
            self.nested([node], ctes, via)
            return
        if not node.db and node.name.lower() in ctes:
            cte = ctes[node.name.lower()]
            self.query(cte.query, filtered, cte.known, via)
            return
        name = self._name(node)
        relation = self._known.get(name)
        if relation is None:
            return
        if relation.query is not None:
            if (name, filtered, via) not in self._seen:
                self._seen.add((name, filtered, via))
                query = _parsed(relation.query)
                own = self._columns(query, {})
                passed = {mine for mine, shown in zip(own, source.columns, strict=False) if shown in filtered}
                self.query(query, frozenset(passed), {}, (*via, name))
        elif relation.partition_column and relation.partition_column.lower() not in filtered:
            self.found.add(Unfiltered(name, relation.partition_column, via))

    def _columns(self, node: exp.Expr, ctes: Mapping[str, _CTE]) -> tuple[str, ...]:
        """The names of a query's columns."""
        while isinstance(node, exp.Subquery | exp.Paren | exp.SetOperation):
            ctes = {**ctes, **_written_ctes(node, ctes)}
            node = node.this
        ctes = {**ctes, **_written_ctes(node, ctes)}
        names: list[str] = []
        assert isinstance(node, exp.Select)
        for shown in node.expressions:
            if not shown.is_star:
                names.append(shown.alias_or_name.lower())
                continue
            star = shown.this if isinstance(shown, exp.Column) else shown
            without = {one.name.lower() for one in star.args.get("except_") or ()}
            of = shown.table.lower() if isinstance(shown, exp.Column) else None
            for source in self._sources(node, ctes):
                if of in (None, source.alias):
                    names += [name for name in source.columns if name not in without]
        return tuple(names)

    def _inside(self, select: exp.Select, name: str, sources: list[_Source]) -> tuple[_Source, str] | None:
        """The source's column behind a column of the result, if a filter on the one is a filter on the other."""
        if select.args.get("limit") or select.args.get("offset"):
            return None
        behind: exp.Expr = exp.column(name)
        for shown in select.expressions:
            if not shown.is_star and shown.alias_or_name.lower() == name:
                behind = shown.unalias()
        found = _column(behind, sources)
        if found is None:
            return None
        # A bare column beside aggregates can only be a key of the groups.
        group = select.args.get("group")
        if group is not None and group.find(exp.Rollup, exp.Cube, exp.GroupingSets):
            return None
        for part in (*select.expressions, select.args.get("qualify")):
            for window in _own(part, exp.Window) if part is not None else ():
                if found not in [_column(key, sources) for key in window.args.get("partition_by") or ()]:
                    return None
        return found


def _written_ctes(node: exp.Expr, known: Mapping[str, _CTE] | None = None) -> dict[str, _CTE]:
    made: dict[str, _CTE] = {}
    written = node.args.get("with_")
    for cte in written.expressions if written is not None else ():
        made[cte.alias.lower()] = _CTE(cte.this, {**(known or {}), **made})
    return made


def _queries(expressions: Iterable[exp.Expr | None]) -> Iterator[exp.Expr]:
    """The outermost queries in there."""
    for expression in expressions:
        if isinstance(expression, exp.Select | exp.SetOperation):
            yield expression
        elif expression is not None:
            yield from _queries(expression.iter_expressions())


def _own(expression: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    """Nodes of a kind in an expression, not in queries inside it."""
    if isinstance(expression, exp.Query):
        return []
    found = [expression] if isinstance(expression, kind) else []
    for inner in expression.iter_expressions():
        found += _own(inner, kind)
    return found


def _column(node: exp.Expr, sources: list[_Source]) -> tuple[_Source, str] | None:
    """The source's column that a bare name means."""
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Column) or node.is_star:
        return None
    name, table = node.name.lower(), node.table.lower()
    fitting = [source for source in sources if name in source.columns and table in ("", source.alias)]
    # Two without a table are joined by USING: in doubt, the first one's.
    return (fitting[0], name) if fitting else None


def _restricted(condition: exp.Expr, sources: list[_Source]) -> list[tuple[_Source, str]]:
    """The columns that a condition holds to something constant."""
    compared: list[tuple[exp.Expr, tuple[exp.Expr, ...]]]
    match condition:
        case exp.Paren():
            return _restricted(condition.this, sources)
        case exp.And():
            return [*_restricted(condition.left, sources), *_restricted(condition.right, sources)]
        case exp.Or():
            right = _restricted(condition.right, sources)
            return [one for one in _restricted(condition.left, sources) if one in right]
        case exp.Between():
            compared = [(condition.this, (condition.args["low"], condition.args["high"]))]
        case exp.In():
            listed = (*condition.expressions, condition.args.get("unnest"), condition.args.get("query"))
            compared = [(condition.this, tuple(one for one in listed if one is not None))]
        case exp.EQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            compared = [(condition.left, (condition.right,)), (condition.right, (condition.left,))]
        case _:
            return []
    return [
        column
        for node, others in compared
        if all(_is_constant(other) for other in others) and (column := _column(node, sources))
    ]


def _is_constant(node: exp.Expr) -> bool:
    return node.find(exp.Column, exp.Query) is None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> exp.Expr:
    return googlesql.parse(text)
