"""Finds the partitioned tables that a statement reads without a filter on their days.

BigQuery's optimizer is not public, so the rules are conservative, and a doubtful case counts as unfiltered. A filter
compares the bare column with a constant. It does not pass from one side of a join to the other, to the side that an
outer join fills with NULL, through an aggregate or window that does not have the column as a key, or through LIMIT.

In this module, `ctes` are the common table expressions that a query can use, and `via` are the views between the
statement and the query.
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
    """A table or view. `partition_column` is None if it requires no filter; `query` is None unless it is a view."""

    columns: tuple[str, ...]
    partition_column: str | None = None
    query: str | None = None


@dataclass(frozen=True, order=True)
class UnfilteredTable:
    """A table that is read without a filter on `column`, and the views through which it is read: the first path."""

    table: str
    column: str
    via: tuple[str, ...] = ()


def project_relations(tables: Iterable[tables.Table]) -> dict[str, Relation]:
    """Return the tables and views by "dataset.table"; every partitioned table requires a filter."""
    return {
        f"{googlesql.WRITTEN_DATASET}.{table.name}": Relation(
            table.column_names, None if table.is_view else table.partition_by, table.query if table.is_view else None
        )
        for table in tables
    }


def find_unfiltered(
    statement: str, relations: Mapping[str, Relation], default_dataset: str | None = None
) -> list[UnfilteredTable]:
    """Find the tables of `relations` (by "dataset.table") that a statement reads or changes without a filter."""
    tree = parse_cached(statement)
    analysis = _FilterAnalysis(
        {name.lower(): relation for name, relation in relations.items()}, (default_dataset or "").lower()
    )
    match tree:
        case exp.Create() | exp.Insert():
            if tree.expression is not None:
                analysis.analyze_query(tree.expression, _NONE, _declared_ctes(tree), ())
        case exp.Delete() | exp.Update():
            analysis.analyze_target(tree.this, tree.args.get("where"), ())
            analysis.analyze_nested([*tree.args.get("expressions", []), tree.args.get("where"), tree.args.get("from_")])
        case exp.Merge():
            analysis.analyze_merge(tree)
        case _:
            analysis.analyze_query(tree, _NONE, {}, ())
    return sorted(analysis.unfiltered)


@dataclass(frozen=True)
class _CTE:
    """A common table expression. `ctes` are those that its query can use."""

    query: exp.Expr
    ctes: Mapping[str, _CTE] = field(hash=False)


@dataclass(eq=False)
class _Source:
    """An item of FROM. Two items are never equal, also if they read the same table."""

    alias: str
    columns: tuple[str, ...]
    node: exp.Expr
    # An outer join fills the columns with NULL: a filter in WHERE or of an outer query does not reach the table.
    is_nullable: bool = False
    filtered: set[str] = field(default_factory=set)


class _FilterAnalysis:
    """The analysis of one statement; `unfiltered` is its result."""

    def __init__(self, relations: Mapping[str, Relation], default_dataset: str) -> None:
        self._relations = relations
        self._default_dataset = default_dataset
        self._visited: set[tuple[str, Names]] = set()
        self.unfiltered: set[UnfilteredTable] = set()

    def analyze_query(self, node: exp.Expr, filtered: Names, ctes: Mapping[str, _CTE], via: tuple[str, ...]) -> None:
        """Analyze a query. `filtered` are the columns of its result that outer queries filter."""
        while isinstance(node, exp.Subquery | exp.Paren):
            ctes = {**ctes, **_declared_ctes(node, ctes)}
            node = node.this
        ctes = {**ctes, **_declared_ctes(node, ctes)}
        if isinstance(node, exp.SetOperation):
            names = self._columns(node, ctes)
            for branch in (node.this, node.expression):
                branch_names = self._columns(branch, ctes)
                passed = {inner for name, inner in zip(names, branch_names, strict=False) if name in filtered}
                self.analyze_query(branch, _NONE if node.args.get("limit") else frozenset(passed), ctes, via)
        elif isinstance(node, exp.Select):
            self._analyze_select(node, filtered, ctes, via)

    def analyze_target(self, target: exp.Expr, condition: exp.Expr | None, via: tuple[str, ...]) -> None:
        """Analyze the table that a DELETE, UPDATE or MERGE changes."""
        source = self._source(target, {})
        if condition is not None:
            condition = condition.this if isinstance(condition, exp.Where) else condition
            source.filtered |= {name for _, name in _filtered_columns(condition, [source])}
        self._analyze_source(source, {}, via)

    def analyze_merge(self, tree: exp.Merge) -> None:
        """Analyze a MERGE, which reads its target and its source."""
        self.analyze_target(tree.this, tree.args["on"], ())
        source = self._source(tree.args["using"], {})
        self._analyze_source(source, {}, ())
        self.analyze_nested([tree.args["on"], tree.args.get("whens")])

    def analyze_nested(
        self, expressions: Iterable[exp.Expr | None], ctes: Mapping[str, _CTE] | None = None, via: tuple[str, ...] = ()
    ) -> None:
        """Analyze the queries inside expressions. Outer filters do not apply to them."""
        for query in _outermost_queries(expressions):
            self.analyze_query(query, _NONE, ctes or {}, via)

    def _analyze_select(
        self, select: exp.Select, filtered: Names, ctes: Mapping[str, _CTE], via: tuple[str, ...]
    ) -> None:
        sources = self._sources(select, ctes)
        where = select.args.get("where")
        for source, name in _filtered_columns(where.this, sources) if where else ():
            if not source.is_nullable:
                source.filtered.add(name)
        for name in filtered:
            column = self._find_source_column(select, name, sources)
            if column is not None and not column[0].is_nullable:
                column[0].filtered.add(column[1])
        for source in sources:
            self._analyze_source(source, ctes, via)
        conditions = [join.args.get("on") for join in select.args.get("joins") or []]
        clauses = (select.args.get(clause) for clause in ("where", "having", "qualify", "group", "order"))
        self.analyze_nested([*select.expressions, *conditions, *clauses], ctes, via)

    def _sources(self, select: exp.Select, ctes: Mapping[str, _CTE]) -> list[_Source]:
        from_clause = select.args.get("from_")
        if from_clause is None:
            return []
        sources = [self._source(from_clause.this, ctes)]
        for join in select.args.get("joins") or []:
            joined = self._source(join.this, ctes)
            if join.side in ("RIGHT", "FULL"):
                for source in sources:
                    source.is_nullable = True
            joined.is_nullable = join.side in ("LEFT", "FULL")
            on = join.args.get("on")
            for source, name in _filtered_columns(on, [*sources, joined]) if on is not None else ():
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
                    return _Source(alias, self._columns(cte.query, cte.ctes), node)
                relation = self._relations.get(self._name(node))
                return _Source(alias, tuple(c.lower() for c in relation.columns) if relation else (), node)
            case exp.Subquery():
                return _Source(alias, self._columns(node, ctes), node)
        return _Source(alias, (), node)

    def _name(self, table: exp.Table) -> str:
        return f"{table.db or self._default_dataset}.{table.name}".lower()

    def _analyze_source(self, source: _Source, ctes: Mapping[str, _CTE], via: tuple[str, ...]) -> None:
        node, filtered = source.node, frozenset(source.filtered)
        if isinstance(node, exp.Subquery):
            self.analyze_query(node, filtered, ctes, via)
            return
        if not isinstance(node, exp.Table):
            self.analyze_nested([node], ctes, via)
            return
        if not node.db and node.name.lower() in ctes:
            cte = ctes[node.name.lower()]
            self.analyze_query(cte.query, filtered, cte.ctes, via)
            return
        name = self._name(node)
        relation = self._relations.get(name)
        if relation is None:
            return
        if relation.query is not None:
            if (name, filtered) not in self._visited:
                self._visited.add((name, filtered))
                query = parse_cached(relation.query)
                names = zip(self._columns(query, {}), source.columns, strict=False)
                passed = {inner for inner, column in names if column in filtered}
                self.analyze_query(query, frozenset(passed), {}, (*via, name))
        elif relation.partition_column and relation.partition_column.lower() not in filtered:
            self.unfiltered.add(UnfilteredTable(name, relation.partition_column, via))

    def _columns(self, node: exp.Expr, ctes: Mapping[str, _CTE]) -> tuple[str, ...]:
        """Return the column names of a query."""
        while isinstance(node, exp.Subquery | exp.Paren | exp.SetOperation):
            ctes = {**ctes, **_declared_ctes(node, ctes)}
            node = node.this
        ctes = {**ctes, **_declared_ctes(node, ctes)}
        names: list[str] = []
        assert isinstance(node, exp.Select)
        for projection in node.expressions:
            if not projection.is_star:
                names.append(projection.alias_or_name.lower())
                continue
            star = projection.this if isinstance(projection, exp.Column) else projection
            excluded = {column.name.lower() for column in star.args.get("except_") or ()}
            alias = projection.table.lower() if isinstance(projection, exp.Column) else None
            for source in self._sources(node, ctes):
                if alias in (None, source.alias):
                    names += [name for name in source.columns if name not in excluded]
        return tuple(names)

    def _find_source_column(self, select: exp.Select, name: str, sources: list[_Source]) -> tuple[_Source, str] | None:
        """Return the source column of a result column, if a filter on the result also filters the source."""
        if select.args.get("limit") or select.args.get("offset"):
            return None
        expression: exp.Expr = exp.column(name)
        for projection in select.expressions:
            if not projection.is_star and projection.alias_or_name.lower() == name:
                expression = projection.unalias()
        column = _resolve_column(expression, sources)
        if column is None:
            return None
        # In a query with GROUP BY, a bare column is a key.
        group = select.args.get("group")
        if group is not None and group.find(exp.Rollup, exp.Cube, exp.GroupingSets):
            return None
        for clause in (*select.expressions, select.args.get("qualify")):
            for window in _find_outside_subqueries(clause, exp.Window) if clause is not None else ():
                if column not in [_resolve_column(key, sources) for key in window.args.get("partition_by") or ()]:
                    return None
        return column


def _declared_ctes(node: exp.Expr, outer: Mapping[str, _CTE] | None = None) -> dict[str, _CTE]:
    ctes: dict[str, _CTE] = {}
    with_clause = node.args.get("with_")
    for cte in with_clause.expressions if with_clause is not None else ():
        ctes[cte.alias.lower()] = _CTE(cte.this, {**(outer or {}), **ctes})
    return ctes


def _outermost_queries(expressions: Iterable[exp.Expr | None]) -> Iterator[exp.Expr]:
    """Yield the queries in expressions, without their subqueries."""
    for expression in expressions:
        if isinstance(expression, exp.Select | exp.SetOperation):
            yield expression
        elif expression is not None:
            yield from _outermost_queries(expression.iter_expressions())


def _find_outside_subqueries(expression: exp.Expr, node_type: type[exp.Expr]) -> list[exp.Expr]:
    """Return the nodes of a type in an expression, except those in subqueries."""
    if isinstance(expression, exp.Query):
        return []
    nodes = [expression] if isinstance(expression, node_type) else []
    for inner in expression.iter_expressions():
        nodes += _find_outside_subqueries(inner, node_type)
    return nodes


def _resolve_column(node: exp.Expr, sources: list[_Source]) -> tuple[_Source, str] | None:
    """Return the source and name of a bare column, or None for another expression."""
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Column) or node.is_star:
        return None
    name, table = node.name.lower(), node.table.lower()
    matching = [source for source in sources if name in source.columns and table in ("", source.alias)]
    # An unqualified column of several sources is joined by USING: choose the first source.
    return (matching[0], name) if matching else None


def _filtered_columns(condition: exp.Expr, sources: list[_Source]) -> list[tuple[_Source, str]]:
    """Return the columns that a condition compares with constants."""
    comparisons: list[tuple[exp.Expr, tuple[exp.Expr, ...]]]
    match condition:
        case exp.Paren():
            return _filtered_columns(condition.this, sources)
        case exp.And():
            return [*_filtered_columns(condition.left, sources), *_filtered_columns(condition.right, sources)]
        case exp.Or():
            right = _filtered_columns(condition.right, sources)
            return [column for column in _filtered_columns(condition.left, sources) if column in right]
        case exp.Between():
            comparisons = [(condition.this, (condition.args["low"], condition.args["high"]))]
        case exp.In():
            operands = (*condition.expressions, condition.args.get("unnest"), condition.args.get("query"))
            comparisons = [(condition.this, tuple(operand for operand in operands if operand is not None))]
        case exp.EQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            comparisons = [(condition.left, (condition.right,)), (condition.right, (condition.left,))]
        case _:
            return []
    return [
        column
        for node, operands in comparisons
        if all(_is_constant(operand) for operand in operands) and (column := _resolve_column(node, sources))
    ]


def _is_constant(node: exp.Expr) -> bool:
    return node.find(exp.Column, exp.Query) is None


@lru_cache(maxsize=1024)
def parse_cached(text: str) -> exp.Expr:
    """Parse a statement. Callers must not change the shared tree."""
    return googlesql.parse(text)
