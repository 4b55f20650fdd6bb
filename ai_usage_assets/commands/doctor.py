"""`ai-usage doctor`: every credential, endpoint, tab and permission is tried once, and told in a line.

Belongs here: in which order things are tried, and what a person reads of it: what works, what does not, what to do.
Does not: how a vendor is asked (its `TRIALS`), nor anything that writes. What is shown holds no key and no e-mail.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ai_usage_assets import days
from ai_usage_assets.commands import launch
from ai_usage_assets.http.errors import ApiError, TransientApiError
from ai_usage_assets.http.retry import RetryPolicy
from ai_usage_assets.http.transport import describe_proxy
from ai_usage_assets.redaction import redact
from ai_usage_assets.registry import KEY_VARIABLES_TEXT, load_sources, source_entry
from ai_usage_assets.secret_manager import SecretError, resolve_secret, version_read
from ai_usage_assets.settings import Settings, SettingsError, is_loopback
from ai_usage_assets.sources.base import EndpointNotAvailable, InvalidRecordError, Source, SourceClient
from ai_usage_assets.sources.keys import identify_key
from ai_usage_assets.warehouse.base import WarehouseBusyError, WarehouseError
from ai_usage_assets.warehouse.factory import open_warehouse

Outcome = Literal["works", "absent", "look", "fails"]

_MARKS: dict[Outcome, tuple[str, str]] = {
    "works": ("✓", "green"),
    "absent": ("–", "dim"),
    "look": ("!", "yellow"),
    "fails": ("✗", "bold red"),
}

# Somebody is waiting: once more after half a second, and no long waits.
_QUICK = RetryPolicy(
    max_attempts=2, first_wait_seconds=0.5, max_wait_seconds=5, total_wait_seconds=5, attempt_seconds=20
)  # fmt: skip
_UNANSWERED = 2
_MOST_SKEW_SECONDS = 300
_LITTLE_SPACE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One line: what was tried, how it went, and what to do if it did not go well."""

    room: str
    what: str
    outcome: Outcome
    told: str
    next_step: str = ""


def run(settings: Settings, console: Console) -> int:
    """Tries everything and tells it: 0 when nothing fails, else 1."""
    console.print(Text(versions(), "dim"))
    outcomes = show(examine(settings), console)
    failed, look = outcomes.count("fails"), outcomes.count("look")
    if failed:
        told = f"{failed} of {len(outcomes)} do{'es' * (failed == 1)} not work; mend what is marked ✗, and ask again."
        verdict("fails", told, console)
    elif not settings.configured_sources:
        told = f"Nothing fails, but no vendor is configured: set {KEY_VARIABLES_TEXT}."
        verdict("look", told, console)
    else:
        told = (
            "Everything that is configured works" + (f"; {look} worth a look" * bool(look)) + ". Next: `ai-usage run`"
        )
        verdict("look" if look else "works", told, console)
    return int(bool(failed))


def refuse(error: SettingsError, console: Console) -> int:
    """Tells what is wrong with the settings, without which nothing else can be tried; gives their exit code."""
    show((Finding("Settings", "environment", "fails", line) for line in str(error).splitlines()), console)
    verdict("fails", "Nothing else was tried. Mend these variables, and ask again.", console)
    return error.exit_code


# --- what is tried ------------------------------------------------------------------------------------------------


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything that can be tried, one after the other; nothing is changed anywhere."""
    yield from _settings(settings)
    for source in load_sources():
        yield from _source(source, settings)
    yield from _sheet(settings)
    yield from _warehouse(settings)
    yield _dagster_home(settings)


def _settings(settings: Settings) -> Iterator[Finding]:
    room = "Settings"
    yield Finding(room, "environment", "works", "every variable that is set can be read")
    try:
        chosen = days.trailing_range(settings.now(), settings.start_date)
        yield Finding(room, "days", "works", f"a run now loads {chosen} (UTC)")
    except days.DayError as error:
        yield Finding(room, "days", "look", str(error), "Until then there is nothing to load; see AI_USAGE_START_DATE.")
    if settings.fixed_now:
        simulated = settings.is_simulated
        yield Finding(
            room,
            "AI_USAGE_NOW",
            "absent" if simulated else "look",
            f"runs believe it is {settings.fixed_now:%Y-%m-%d %H:%M} UTC",
            "" if simulated else "Unset it, unless you reproduce a run: every morning would be that one.",
        )
    if settings.accept_loss:
        yield Finding(
            room,
            "AI_USAGE_ACCEPT_LOSS",
            "look",
            "every run lets an empty day replace a full one",
            "Unset it; accept a loss once, with `ai-usage run --accept-loss`.",
        )


def _source(source: Source, settings: Settings) -> Iterator[Finding]:
    variable = source_entry(source.name).key_variable
    own = settings.sources[source.name]
    if not own.key:
        yield Finding(source.label, "key", "absent", f"{variable} is not set, so {source.label} is not pulled")
        return
    try:
        key = resolve_secret(own.key, settings.secrets_emulator, total_seconds=_QUICK.attempt_seconds)
    except SecretError as error:
        yield Finding(source.label, "key", "fails", *_sentences(str(error)))
        return
    version = version_read(own.key)
    secret = own.key.partition("/versions/")[0]
    place = f"Secret Manager, {secret}, version {version}" if version else variable
    finding = _key(source, key, place)
    yield finding
    if finding.outcome == "fails":
        return
    proxy = _proxy(source.label, own.base_url)
    if proxy:
        yield proxy
        if proxy.outcome == "fails":
            return
    if is_loopback(own.base_url):
        yield Finding(source.label, "address", "absent", f"{own.base_url}: simulated, not the vendor")
    client = source.connect(lambda: key, own.base_url, pacing=settings.pacing, retry_policy=_QUICK)
    try:
        yield from _tried(source, client, days.last_finished_day(settings.now()))
        if client.server_date:
            yield _clock(source.label, client.server_date)
    finally:
        client.close()


def _proxy(room: str, url: str) -> Finding | None:
    try:
        shown = describe_proxy(url)
    except SettingsError as error:
        return Finding(room, "proxy", "fails", *str(error).split("; ", 1))
    return Finding(room, "proxy", "works", f"requests go through {shown}") if shown else None


def _key(source: Source, key: str, place: str) -> Finding:
    needed = f"Needed: {source.wanted_key}"
    match identify_key(key):
        case None:
            unknown = f"{place} holds something that begins like no key of {source.label}"
            return Finding(source.label, "key", "look", unknown, needed)
        case (owner, kind) if owner.name != source.name:
            foreign = f"{place} holds {kind.description}; it was not sent to {source.label}"
            return Finding(source.label, "key", "fails", foreign, needed)
        case (_, kind) if kind.is_rejected:
            return Finding(source.label, "key", "look", f"{place} holds {kind.description}", needed)
        case (_, kind):
            return Finding(source.label, "key", "works", f"{kind.description} ({place})")


def _tried(source: Source, client: SourceClient, day: date) -> Iterator[Finding]:
    unanswered = 0
    for number, probe in enumerate(source.probes):
        try:
            told = probe.run(client, day)
        except EndpointNotAvailable as reason:
            words = (str(reason).partition(": ")[2] or str(reason)).replace(".: ", ": ")
            yield Finding(source.label, probe.endpoint, "absent", f"not for this key or plan: {words}")
        except ApiError as failure:
            yield _failed(source.label, probe.endpoint, failure)
            unanswered += isinstance(failure, TransientApiError)
            # What the first is refused for, the others would be; and who is down need not be asked eight times.
            hopeless = failure.status in (None, 401, 402) or unanswered == _UNANSWERED
            if hopeless and (rest := [later.endpoint for later in source.probes[number + 1 :]]):
                yield Finding(source.label, f"{len(rest)} more", "absent", f"not tried after that: {', '.join(rest)}")
                return
        except (InvalidRecordError, msgspec.MsgspecError) as problem:
            told_wrong = f"the answer is not what was asked for: {problem}"
            yield Finding(source.label, probe.endpoint, "fails", told_wrong, "Report it; a run would refuse it too.")
        else:
            unanswered = 0
            outcome: Outcome = "look" if told.next_step else "works"
            yield Finding(source.label, probe.endpoint, outcome, told.text, told.next_step)


def _failed(room: str, what: str, failure: ApiError) -> Finding:
    answered = f"answered {failure.status}: " if failure.status is not None else ""
    tried = f", {failure.attempts} times" if failure.attempts > 1 else ""
    request = f" (request {failure.request_id})" if failure.request_id else ""
    return Finding(room, what, "fails", f"{answered}{failure.detail}{tried}{request}", failure.next_step)


def _clock(label: str, server_date: str) -> Finding:
    try:
        theirs = parsedate_to_datetime(server_date)
        seconds = (datetime.now(UTC) - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))).total_seconds()
    except (ValueError, OverflowError):
        return Finding(label, "clock", "absent", f"{label} does not say what time it has")
    if abs(seconds) <= _MOST_SKEW_SECONDS:
        return Finding(label, "clock", "works", f"this machine's and {label}'s agree")
    told = f"this machine is {abs(seconds) / 60:,.0f} min {'ahead of' if seconds > 0 else 'behind'} {label}"
    return Finding(label, "clock", "look", told, "Set the clock (NTP): it decides which days are over.")


def _sheet(settings: Settings) -> Iterator[Finding]:
    room = "Sheet"
    if not settings.sheet_id:
        told = "AI_USAGE_SHEET_ID is not set: spend stays without teams and cost centers"
        yield Finding(room, "spreadsheet", "absent", told)
        return
    proxy = _proxy(room, settings.sheets_url)
    if proxy and proxy.outcome == "fails":
        yield proxy
        return
    # Pandas and pandera take a second to import.
    from ai_usage_assets.sources.mapping_sheet.sheet import MappingSheet, account, check_tab

    sheet = MappingSheet(settings.sheet_id, settings.sheets_url, pacing=settings.pacing, retry_policy=_QUICK)
    try:
        values = sheet.read()
    except SecretError as error:
        yield Finding(room, "spreadsheet", "fails", *_sentences(str(error)))
        return
    except ApiError as failure:
        finding = _failed(room, "spreadsheet", failure)
        refused = failure.status in (403, 404) and not is_loopback(settings.sheets_url)
        whom = f" {account()}" if refused else ""
        yield Finding(room, finding.what, finding.outcome, finding.told, finding.next_step + whom)
        return
    finally:
        sheet.close()
    yield Finding(room, "spreadsheet", "works", "can be read")
    for tab, cells in values.items():
        snapshot = check_tab(tab, cells, last_good_row_count=None, today=settings.now().date())
        good, bad = len(snapshot.accepted), snapshot.rejected
        rows = f"{good} row{'s' * (good != 1)} can be used"
        if snapshot.refused:
            yield Finding(room, tab, "fails", *_sentences(snapshot.refused))
        elif bad:
            first = f"row {bad[0].row_no}: {bad[0].reject_reason}"
            yield Finding(
                room, tab, "look", f"{rows}, {len(bad)} cannot", f"Mend them in the sheet; the first is {first}"
            )
        elif snapshot.warnings:
            yield Finding(room, tab, "look", rows, "; ".join(snapshot.warnings))
        else:
            yield Finding(room, tab, "works", rows)


def _warehouse(settings: Settings) -> Iterator[Finding]:
    if settings.warehouse == "bigquery":
        yield from _bigquery(settings)
    else:
        yield from _duckdb(settings)


def _bigquery(settings: Settings) -> Iterator[Finding]:
    from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse

    room = "Warehouse"
    held = list(_held(settings, room, "dataset", settings.warehouse_location))
    yield from held
    if any(finding.outcome == "fails" for finding in held):
        return
    try:
        # Checked for its rights and its meaning, and not done.
        warehouse = BigQueryWarehouse.from_settings(settings, retry_seconds=10)
        warehouse.estimate_bytes("DELETE FROM ai_usage.ops_runs WHERE run_id = @run_id", {"run_id": ""})
    except WarehouseError as error:
        if "Not found" in str(error):
            yield Finding(room, "rights", "absent", "to change rows: known when there is a table to try it on")
        else:
            yield Finding(room, "rights", "fails", *_sentences(str(error)))
    else:
        yield Finding(room, "rights", "works", "this account may start jobs and change rows")


def _duckdb(settings: Settings) -> Iterator[Finding]:
    room, path = "Warehouse", settings.duckdb_path.absolute()
    yield _folder(room, "folder", path.parent, "AI_USAGE_DUCKDB_PATH")
    try:
        free = shutil.disk_usage(_existing(path.parent)).free
        size = path.stat().st_size if path.exists() else 0
    except OSError as error:
        yield Finding(room, "file", "fails", f"{path} cannot be looked at: {error.strerror}", _CHANGE_PATH)
        return
    # A rewrite of everything may need as much again.
    enough = free > max(size, _LITTLE_SPACE_BYTES)
    told = f"{free / 1024**3:,.1f} GiB free"
    yield Finding(room, "space", "works" if enough else "look", told, "" if enough else "Make room before it is full.")
    if path.is_dir():
        yield Finding(room, "file", "fails", f"{path} is a folder", "Name a file in AI_USAGE_DUCKDB_PATH.")
        return
    if not path.exists():
        yield Finding(room, "file", "absent", f"{path.name} is not there yet: the first run makes it")
        return
    try:
        # Opened for writing, and nothing is written.
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        yield Finding(room, "file", "fails", f"{path.name} cannot be written: {error.strerror}", _CHANGE_PATH)
        return
    yield from _held(settings, room, "file", f"{path.name}, {size / 1024**2:,.0f} MiB")


_CHANGE_PATH = "Give this account the right to write there, or set AI_USAGE_DUCKDB_PATH."


def _held(settings: Settings, room: str, what: str, shown: str) -> Iterator[Finding]:
    from ai_usage_assets import catalog

    warehouse = open_warehouse(settings, read_only=True)
    try:
        schema_conflicts = warehouse.schema_conflicts(catalog.tables())
        told = "opens, and can be written" if what == "file" else "can be asked"
        yield Finding(room, what, "works", f"{shown}: {told}")
        if schema_conflicts is None:
            yield Finding(room, "tables", "absent", f"none in {settings.dataset} yet: the first run makes them")
            return
        for problem in schema_conflicts:
            yield Finding(room, "tables", "fails", *_sentences(problem))
        if schema_conflicts:
            return
        yield Finding(room, "tables", "works", "are those of this version, or can be brought to it")
        held = warehouse.rows(
            "SELECT vendor, COUNT(DISTINCT usage_date) AS n, MIN(usage_date) AS first_day, MAX(usage_date) AS last_day "
            "FROM ai_usage.ops_asset_days WHERE is_daily AND completed_at IS NOT NULL GROUP BY vendor ORDER BY vendor"
        )
        for row in held:
            told = f"{row['n']} of {str(row['vendor']).capitalize()} are held, {row['first_day']} to {row['last_day']}"
            yield Finding(room, "days", "works", told)
        if not held:
            yield Finding(room, "days", "absent", "none is held yet: `ai-usage run`")
        for run in warehouse.rows("SELECT outcome, started_at FROM ai_usage.ops_runs ORDER BY started_at DESC LIMIT 1"):
            outcome: Outcome = "works" if run["outcome"] == "success" else "look"
            step = "" if outcome == "works" else "`ai-usage status` says why, if it is over."
            yield Finding(room, "last run", outcome, f"{run['outcome']}, {run['started_at']:%Y-%m-%d %H:%M} UTC", step)
    except WarehouseBusyError:
        told = f"{shown}: in use by another process, a run or a tool that has it open"
        yield Finding(room, what, "fails", told, "Wait for it, or close it; a run would wait a minute and give up.")
    except WarehouseError as error:
        yield Finding(room, what, "fails", *_sentences(str(error)))
    finally:
        warehouse.close()


def _dagster_home(settings: Settings) -> Finding:
    return _folder("Dagster", "home", launch.dagster_home(settings).absolute(), "DAGSTER_HOME")


def _folder(room: str, what: str, folder: Path, variable: str) -> Finding:
    try:
        existing = _existing(folder)
        if not existing.is_dir():
            return Finding(room, what, "fails", f"{existing} is a file, not a folder", f"Name another in {variable}.")
        # On Linux such a file has not even a name.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        step = f"Give this account the right to write there, or set {variable}."
        return Finding(room, what, "fails", f"{folder} cannot be written: {error.strerror}", step)
    if existing == folder:
        return Finding(room, what, "works", f"{folder} can be written")
    return Finding(room, what, "works", f"{folder} is not there yet, and can be made")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


# --- what is shown ------------------------------------------------------------------------------------------------


def versions() -> str:
    """What answers may depend on: this program, what it stands on, and the machine's kind."""
    parts = [f"ai-usage {version('ai-usage-assets')}", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *(f"{name} {version(name)}" for name in ("dagster", "duckdb")), platform.system()])


def _sentences(message: str) -> tuple[str, str]:
    """What is wrong, and the rest: what to do."""
    wrong, _, rest = message.partition(". ")
    return wrong, rest


def show(findings: Iterable[Finding], console: Console) -> list[Outcome]:
    """Prints each line when it is known, rooms apart."""
    room, outcomes = "", []
    for finding in findings:
        if finding.room != room:
            room = finding.room
            console.print()
            console.print(Text(room, "bold"))
        mark, style = _MARKS[finding.outcome]
        told = Text(redact(finding.told))
        if finding.next_step:
            told.append(f"\n→ {redact(finding.next_step)}", style=style)
        line = Table.grid(padding=(0, 1))
        line.add_column(width=3, justify="right")
        line.add_column(width=29, overflow="fold")
        line.add_column(overflow="fold")
        line.add_row(Text(mark, style), Text(finding.what), told)
        console.print(line)
        outcomes.append(finding.outcome)
    return outcomes


def verdict(outcome: Outcome, told: str, console: Console) -> None:
    """The last line."""
    console.print()
    console.print(Text.assemble((f"{_MARKS[outcome][0]} ", _MARKS[outcome][1]), told))
