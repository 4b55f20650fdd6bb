"""What a vendor's room offers the rest of the house: pulls and what a pull brings, trials and kinds of keys.

Belongs here: the shapes that every vendor shares, and the one conversion of their cents into dollars. Does not: facts
of one vendor (its own module), or what happens to the records (`landing`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.client import RetryPolicy
from ai_usage_assets.warehouse.tables import Table

if TYPE_CHECKING:
    from ai_usage_assets.checks.base import Check

# Both vendors send cents. Dollars carry nine decimals, as NUMERIC does.
_NINE_DECIMALS = Decimal("1e-9")
# What both engines hold of a number before it becomes dollars; DuckDB has no room for more.
_EIGHTEEN_DECIMALS = Decimal("1e-18")
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
# A million million: cents below ten billion dollars, and more tokens than a day has.
_LARGEST = Decimal(10) ** 12


class NotExposed(Exception):
    """This key or plan may not see what was asked for; that is a fact about the contract, not a failed pull."""


class NotCredible(ValueError):
    """A record that cannot be what the vendor means; the message says why, without its content."""


# As strict as the narrower of both engines, which would refuse a whole view for one number it cannot read.
_NUMBER = re.compile(rb'"?(-?[0-9]{1,30}(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,2})?)"?')


def number(raw: msgspec.Raw) -> Decimal:
    """A JSON number, or a text that holds one, rounded to 18 decimals as `sql/` does. Raises NotCredible for others."""
    found = _NUMBER.fullmatch(bytes(raw))
    if found is None:
        raise NotCredible("an amount is not a number")
    value = Decimal(found[1].decode())
    if abs(value) > _LARGEST:
        raise NotCredible("an amount is beyond anything that can be meant")
    held = _EXACT.quantize(value, _EIGHTEEN_DECIMALS)
    return value if value == held else held


def optional_number(raw: msgspec.Raw) -> Decimal | None:
    """The same for a field that may be null or absent (an empty Raw)."""
    return None if bytes(raw) in (b"", b"null") else number(raw)


def refuse_doubles(record: bytes, *names: bytes) -> None:
    """Raises NotCredible when an object of the record has a field twice: each parser may take another of them.

    With `names`, as they are written, it is only looked for where one of these comes twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise NotCredible("a field stands twice")

    if not names or any(record.count(name) > 1 for name in names):
        # Numbers are not looked at, and Python refuses to read one that is thousands of digits long.
        try:
            json.loads(record, object_pairs_hook=once, parse_int=str, parse_float=str)
        except RecursionError:
            raise NotCredible("its fields are nested too deeply") from None


def dollars(cents: Decimal) -> Decimal:
    """Cents as `number` reads them, as dollars: divided once, rounded once (half away from zero), at 9 decimals.

    Raises NotCredible for what is not a finite amount below ten billion dollars.
    """
    if not cents.is_finite() or abs(cents) > _LARGEST:
        raise NotCredible("an amount is not a number of cents below ten billion dollars")
    return _EXACT.quantize(_EXACT.divide(cents, Decimal(100)), _NINE_DECIMALS)


# Small enough to be credible, and with no decimals that `number` would round.
_PLAIN_LINES = re.compile(rb"(?:-?[0-9]{1,9}(?:\.[0-9]{1,18})?\n)+")
# Nothing to round: seven decimals of a cent are nine of a dollar.
_SHORT_LINES = re.compile(rb"(?:-?[0-9]{1,9}(?:\.[0-9]{1,7})?\n)+")
_SEVEN_DECIMALS = Decimal("1e-7")


def dollars_of_all(cents: Iterable[msgspec.Raw]) -> Decimal | None:
    """`dollars(number(...))` of each, summed, in a quarter of the time.

    None where one of them is not an ordinary JSON number: then they must be looked at one by one.
    """
    lines = [b"%b\n" % amount for amount in cents]
    if not _PLAIN_LINES.fullmatch(joined := b"".join(lines)) or len(texts := joined.decode().split()) != len(lines):
        return None
    amounts: Iterable[Decimal] = map(Decimal, texts)
    if not _SHORT_LINES.fullmatch(joined):
        round_once = _EXACT.quantize
        amounts = (round_once(amount, _SEVEN_DECIMALS) for amount in amounts)
    return sum(amounts, Decimal(0)).scaleb(-2)


def dollars_of_parts(total_cents: Decimal, kept: Decimal, fee_cents: Decimal) -> Decimal:
    """A total of which a part is kept, and a fee, as dollars: rounded once, at the end."""
    return dollars(_EXACT.fma(total_cents, kept, fee_cents))


def utc(moment: datetime) -> datetime:
    """An instant of a record in UTC. Raises NotCredible at the ends of time, where there is none."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise NotCredible("a moment is beyond anything that can be meant") from None


def fields(*names: str, **inner: str) -> frozenset[str]:
    """Paths of the fields of a record: `fields("a b", c="d")` are a, b, c and c.d; `__` in a name is a dot."""
    paths = {name for text in names for name in text.split()}
    for outer, text in inner.items():
        path = outer.replace("__", ".")
        paths |= {path, *(f"{path}.{name}" for name in text.split())}
    return frozenset(paths)


@dataclass(frozen=True)
class PulledDay:
    """All records of one raw table and day, as one finished pull brought them."""

    table: Table
    day: date
    records: Sequence[bytes]
    pages: int
    expected_records: int | None = None
    amount_usd: Decimal | None = None
    watermark: datetime | None = None
    # Why the vendor's data does not reach the end of the day yet; None for a whole day.
    incomplete: str | None = None


@dataclass(frozen=True)
class RefusedDay:
    """A day whose records must not replace what is held: it was not pulled whole, or does not add up."""

    table: Table
    day: date
    reason: str


@dataclass(frozen=True)
class EmailIdentity:
    """How to know a record again when the vendor has taken its e-mail away.

    `read` gives a record's identity and its e-mail. `one_to_one`: each stored record lends its e-mail once (events);
    otherwise the identity is the person's own id and lends it to all.
    """

    read: Callable[[bytes], tuple[Hashable, str | None]]
    one_to_one: bool


@dataclass(frozen=True)
class Pull:
    """One thing a vendor can be asked for: the raw tables it fills, and how.

    `fetch(client, days)` yields PulledDay or RefusedDay for every table and day asked for. It may raise a gateway
    Failure, NotExposed or NotCredible. A snapshot is of the moment, so it is asked for the day of the read only.
    `earliest(today)` is the first day the vendor still answers for, where it sets a limit. `may_become_empty`: a day
    that had records may truly have none when it is asked for again; for all others that is a pull that went wrong.
    """

    name: str
    vendor: str
    tables: tuple[Table, ...]
    fetch: Callable[[Any, DayRange], Iterator[PulledDay | RefusedDay]]
    window_days: int = 1
    snapshot: bool = False
    earliest: Callable[[date], date] | None = None
    may_become_empty: bool = False
    emails: dict[str, EmailIdentity] = field(default_factory=dict)
    # Per table, every field its records are known to have, as paths: a new one is worth a look.
    fields: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """What a trial found, for a person; `next_step` where it is worth a look."""

    text: str
    next_step: str = ""


@dataclass(frozen=True)
class Trial:
    """The smallest request that shows whether an endpoint answers this key.

    `attempt(client, day)` asks for a finished day. It may raise a gateway Failure, NotExposed or NotCredible.
    """

    endpoint: str
    attempt: Callable[[Any, date], Told]


@dataclass(frozen=True)
class KeyKind:
    """What a key that begins like this is. `refused`: the vendor will not take it."""

    prefix: str
    what: str
    refused: bool = False


class SourceClient(Protocol):
    """The HTTP client of one source. Each source adds its own read methods."""

    @property
    def server_date(self) -> str | None:
        """The `Date` header of the last response."""

    def close(self) -> None:
        """Closes the connections."""


class Connect(Protocol):
    """Creates a client; no request is sent, and no secret is read, before the first use."""

    def __call__(
        self, key: Callable[[], str], base_url: str, *, pacing: bool = True, retry_policy: RetryPolicy | None = None
    ) -> SourceClient:
        """`key` is called for each connection; without `pacing`, rate limits are not kept (simulators only)."""


@dataclass(frozen=True)
class Source:
    """Everything that the pipeline knows of one vendor; `registry.load_sources` returns all of them.

    `money_tables` names, for each cost basis that the vendor's raw tables determine, the tables it depends on: a month
    close requires all of them.
    """

    name: str
    label: str
    connect: Connect
    extracts: tuple[Pull, ...]
    probes: tuple[Trial, ...]
    key_kinds: tuple[KeyKind, ...]
    wanted_key: str
    bill_table: Table
    money_tables: Mapping[str, tuple[Table, ...]]

    def load_checks(self) -> tuple[Check, ...]:
        """The asset checks of this source: `CHECKS` of its module `checks`, imported late because it is heavy."""
        module = import_module(f"ai_usage_assets.sources.{self.name}.checks")
        return cast("tuple[Check, ...]", module.CHECKS)
