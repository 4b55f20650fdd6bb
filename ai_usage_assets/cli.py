"""`ai-usage`: the commands a person types, or a scheduler.

Belongs here: arguments, and becoming the right process. Does not: work. `run` chooses and validates days, prints the
Dagster command and becomes it, because `dagster job execute` itself accepts a day that is not over, one that is in the
future, and a range that is empty.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.text import Text

from ai_usage_assets import days
from ai_usage_assets.commands import launch
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.logs import capture
from ai_usage_assets.metabase import commands as metabase
from ai_usage_assets.registry import KEY_VARIABLES_TEXT
from ai_usage_assets.settings import LogSettings, Settings, SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.warehouse.base import Row, Warehouse


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 = all well, 1 = the work failed, 2 = it was asked for wrongly."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without a letter shows another, and does not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if arguments is None and os.getpid() == 1:
        return launch.reexec_as_child().code
    if LogSettings.from_environment().log_format == "json":
        capture.start_capture()
    try:
        parsed = _parser().parse_args(arguments)
        code: int = parsed.command(parsed)
    except OperatorError as error:
        _say(f"ai-usage: {error}", logging.ERROR, event="refused")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return code


def _say(message: str, level: int = logging.INFO, *, style: str = "", event: str | None = None) -> None:
    """A line beside the work, which is not its result."""
    voice = capture.current_writer()
    if voice:
        voice.write(level, message, event=event)
        return
    if level >= logging.WARNING and "\n" in message:
        # Each line stands alone, wherever it is read.
        mark, _, rest = message.partition(" ")
        for line in rest.splitlines():
            _say(f"{mark} {line}", level)
        return
    styled = "bold red" if level >= logging.ERROR else "yellow" if level >= logging.WARNING else style
    mark, space, rest = message.partition(" ") if level >= logging.WARNING else ("", "", message)
    terminal = Console(stderr=True, soft_wrap=True, highlight=False)
    terminal.print(Text.assemble((mark, styled), space, (rest, style)))


class _Parser(argparse.ArgumentParser):
    """Says what was asked for wrongly to whoever listens."""

    def error(self, message: str) -> NoReturn:
        if capture.current_writer():
            raise SettingsError(f"{message} (see `{self.prog} --help`)")
        super().error(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ai-usage", description="Who spends what on AI tools, and is it right?")
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="pull, land, build and check finished UTC days")
    run.add_argument(
        "--day",
        default="yesterday",
        help="last day: yesterday (default) or YYYY-MM-DD, in UTC; one day alone needs --days 1",
    )
    run.add_argument(
        "--days",
        type=int,
        default=days.TRAILING_DAYS,
        help=f"how many days, ending with --day (default {days.TRAILING_DAYS}: vendors restate that long)",
    )
    run.add_argument("--job", choices=("daily", "rebuild"), default="daily", help="rebuild asks no vendor")
    run.add_argument("--accept-loss", action="store_true", help="let an empty day or a shrunken tab replace a full one")
    run.add_argument("--if-missing", action="store_true", help="do nothing when a good run has brought these days")
    run.add_argument("--dry-run", action="store_true", help="only say which days and which command")
    run.set_defaults(command=_run)

    backfill = commands.add_parser("backfill", help="load days of the past; as one of several tasks, its part of them")
    backfill.add_argument("--from", dest="first", required=True, metavar="DAY", help="first day, YYYY-MM-DD, in UTC")
    backfill.add_argument("--to", dest="last", required=True, metavar="DAY", help="last day, or yesterday")
    backfill.add_argument(
        "--days-per-run",
        type=int,
        default=days.TRAILING_DAYS,
        metavar="N",
        help="more days than these are loaded by several runs in turn, which bounds the memory "
        f"(default {days.TRAILING_DAYS}, as a run of every day)",
    )
    backfill.add_argument("--dry-run", action="store_true", help="only say which days and which commands")
    backfill.set_defaults(command=_backfill)

    freshness = commands.add_parser(
        "freshness", help="whether a good daily run brought the latest day; exit code 1 if not"
    )
    freshness.add_argument(
        "--hours", type=int, default=26, help="how long after its end, midnight UTC, a day may take (default 26)"
    )
    freshness.set_defaults(command=_freshness)

    demo = commands.add_parser("demo", help="two months of a simulated company, in a warehouse of its own")
    demo.set_defaults(command=_demo)

    ui = commands.add_parser("ui", help="the Dagster UI; without any key, on the demo's company")
    ui.add_argument("--port", type=int, default=3000, help="port on this machine (default 3000)")
    ui.set_defaults(command=_ui)

    status = commands.add_parser("status", help="which days are there, the last runs, failed checks")
    status.add_argument("--days", type=int, default=40, help="how many days back (default 40)")
    status.set_defaults(command=_status)

    digest = commands.add_parser("digest", help="what was spent yesterday and this month, and where to look")
    digest.add_argument("--send", action="store_true", help="to the chat of AI_USAGE_DIGEST_WEBHOOK, too")
    digest.set_defaults(command=_digest)

    close = commands.add_parser("close", help="freeze a settled month's journal; without a month, say which can be")
    close.add_argument("--month", metavar="MONTH", help="YYYY-MM, in UTC; a month that is closed stays as it is")
    close.add_argument("--dry-run", action="store_true", help="only say what would be frozen")
    close.add_argument("--csv", type=Path, metavar="FILE", help="also write the closed month's journal for a ledger")
    close.set_defaults(command=_close)

    doctor = commands.add_parser("doctor", help="try every credential, endpoint, tab and permission; changes nothing")
    doctor.add_argument(
        "--probe",
        nargs="?",
        const="",
        metavar="FILE",
        help="instead, ask the vendors what is not known of their APIs, and write the answers, without people and keys",
    )
    doctor.add_argument(
        "--probe-rate-limit",
        action="store_true",
        help="with --probe, also use up Cursor's limit of a minute (21 rapid reads)",
    )
    doctor.set_defaults(command=_doctor)

    report = commands.add_parser("report", help="one HTML page for a person: what is spent, against what, by whom")
    report.add_argument("--month", help="which month, YYYY-MM (default: that of the last day that is over)")
    report.add_argument(
        "--out", default="report.html", metavar="FILE", help="where it is written (default report.html)"
    )
    report.add_argument("--with-people", action="store_true", help="with names and e-mail addresses")
    report.set_defaults(command=_report)

    sql = commands.add_parser("sql", help="the statements under sql/")
    check = sql.add_subparsers(required=True, metavar="command").add_parser("check", help="whether they can be run")
    check.add_argument(
        "--real",
        action="store_true",
        help="ask the configured BigQuery project, by dry runs that change and cost nothing",
    )
    check.set_defaults(command=_sql_check)

    focus = commands.add_parser("focus", help="charges in the columns of FOCUS, for FinOps tools")
    export = focus.add_subparsers(required=True, metavar="command").add_parser("export", help="a month as files")
    export.add_argument("--month", required=True, metavar="YYYY-MM", help="calendar month, in UTC")
    export.add_argument("--format", choices=("parquet", "csv", "both"), default="both", help="which files")
    export.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder (default this one)")
    export.add_argument(
        "--focus-version", choices=("1.2", "1.3", "1.4"), default="1.2", help="whose columns (default 1.2)"
    )
    export.add_argument("--with-people", action="store_true", help="with the e-mail of each person, as x_Person")
    export.set_defaults(command=_focus_export)

    metabase.add_commands(commands, _say, partial(_existing_warehouse, read_only=True))

    simulator = commands.add_parser("simulator", help="serve simulated Anthropic, Cursor and Sheets APIs on loopback")
    simulator.add_argument("--seed", type=int, default=7, help="which company (default 7)")
    simulator.add_argument("--ports", type=int, nargs=3, default=(8701, 8702, 8703), metavar="PORT")
    simulator.set_defaults(command=_simulator)
    return parser


# A command's heavier imports wait until it runs: `--help` and `--dry-run` answer at once.


def _run(parsed: argparse.Namespace) -> int:
    settings = Settings.from_environment()
    chosen = days.trailing_range(settings.now(), settings.start_date, day=parsed.day, days=parsed.days)
    if parsed.if_missing and _is_there(settings, chosen, parsed.job):
        return 0
    command = launch.job_command(settings, chosen, parsed.job, accept_loss=parsed.accept_loss)
    _announce(settings, parsed.job, chosen, [command])
    if not parsed.dry_run:
        _prepare(settings)
        command.exec()
    return 0


def _is_there(settings: Settings, chosen: days.DayRange, job: str) -> bool:
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import open_warehouse

    warehouse = open_warehouse(settings, read_only=True)
    found = run_log.covering(warehouse, job, chosen)
    warehouse.close()
    if found:
        _say(f"{job}: {chosen} is there, by run {found['run_id'][:8]}, which ended {_moment(found)}. Nothing to do.")
    return found is not None


def _backfill(parsed: argparse.Namespace) -> int:
    settings = Settings.from_environment()
    asked = days.date_range(settings.now(), settings.start_date, parsed.first, parsed.last)
    if not 1 <= parsed.days_per_run <= days.MAX_DAYS:
        raise SettingsError(f"--days-per-run is {parsed.days_per_run}; it takes 1 to {days.MAX_DAYS}.")
    index, count = settings.cloud_run.task_index, settings.cloud_run.task_count
    if index >= count:
        raise SettingsError(
            f"CLOUD_RUN_TASK_INDEX is {index} and CLOUD_RUN_TASK_COUNT {count}: tasks count from 0, to {count - 1}."
        )
    if count > 1:
        _say(f"backfill: task {index + 1} of {count} for {asked} (UTC)")
    chosen = days.split_for_task(asked, index, count)
    if chosen is None:
        _say("There are more tasks than days, and no day is left for this one.")
        return 0
    parts = days.chunk_days(chosen, parsed.days_per_run)
    commands = [launch.job_command(settings, part, "daily") for part in parts]
    # Of many runs each says its days when it begins.
    _announce(settings, "backfill", chosen, commands if parsed.dry_run or len(commands) == 1 else [])
    if parsed.dry_run:
        return 0
    _prepare(settings)
    if len(commands) == 1:
        commands[0].exec()
    return _one_after_another(parts, commands)


def _one_after_another(parts: Sequence[days.DayRange], commands: Sequence[launch.DagsterCommand]) -> int:
    """Each in a process of its own. What fails does not stop the rest: a bad day of the past is no reason for a gap."""
    failed: list[str] = []
    for number, (part, command) in enumerate(zip(parts, commands, strict=True), 1):
        _say(f"backfill: run {number} of {len(parts)}, {part}")
        ended = command.run()
        if ended.was_interrupted:
            told = f"The backfill was interrupted in {part}; what had landed is held."
            for what, days_of_runs in (("Failed", failed), ("Not begun", list(map(str, parts[number:])))):
                told += f" {what}: {'; '.join(days_of_runs)}." if days_of_runs else ""
            raise WorkFailed(f"{told} Run it again.")
        if ended.code:
            failed.append(str(part))
    if failed:
        raise WorkFailed(
            f"{len(failed)} of {len(parts)} runs of the backfill failed: {'; '.join(failed)}. The lines of each say "
            "why; mend that, and ask for these days again."
        )
    _say(f"backfill: all {len(parts)} runs went well.")
    return 0


class WorkFailed(OperatorError):
    """A command has done its work, and it did not go well."""


def _freshness(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import open_warehouse

    settings = Settings.from_environment()
    if not 1 <= parsed.hours <= _MOST_HOURS:
        raise SettingsError(f"--hours is {parsed.hours}; it takes 1 to {_MOST_HOURS}.")
    warehouse = open_warehouse(settings, read_only=True)
    found = run_log.fresh(warehouse, settings.now(), parsed.hours)
    last = found or run_log.last_success(warehouse)
    are_known = run_log.is_kept(warehouse)
    warehouse.close()
    if found:
        _say(
            f"fresh: run {found['run_id'][:8]} brought {_span(found)} and ended well, {_moment(found)}.", event="fresh"
        )
        return 0
    told = (
        f"the last good one ended {_moment(last)}, for {_span(last)}"
        if last
        else f"there has never been one in {settings.warehouse_location}"
    )
    advice = "`ai-usage doctor` says what is wrong now; then `ai-usage run`."
    if are_known:
        advice = f"`ai-usage status` says how the last ones ended, {advice}"
    due = days.last_finished_day(settings.now() - timedelta(hours=parsed.hours))
    raise WorkFailed(
        f"No good daily run has brought {due}, which ended more than {parsed.hours} hours ago; {told}. {advice}"
    )


# A year.
_MOST_HOURS = 24 * 366


def _moment(run: Row) -> str:
    return f"{run['finished_at']:%Y-%m-%d %H:%M} UTC"


def _span(run: Row) -> str:
    return str(days.DayRange(run["first_day"], run["last_day"]))


def _announce(settings: Settings, name: str, chosen: days.DayRange, commands: Sequence[launch.DagsterCommand]) -> None:
    _say(f"{name}: {chosen} (UTC), {len(chosen)} day{'s' * (len(chosen) != 1)}, into {settings.warehouse_location}")
    for command in commands:
        _say(f"$ {command}", style="dim")
    if name != "rebuild" and not settings.configured_sources:
        told = f"No vendor is configured, nothing will be pulled: set {KEY_VARIABLES_TEXT}."
        _say(f"! {told}", logging.WARNING)


def _prepare(settings: Settings) -> None:
    """Says now, and in a line, what Dagster would say on a page."""
    from ai_usage_assets import catalog
    from ai_usage_assets.http.transport import describe_proxy
    from ai_usage_assets.warehouse.factory import open_warehouse

    for base_url in settings.base_urls_in_use:
        # Raises SettingsError for a proxy that cannot be used.
        describe_proxy(base_url)
    # So is a warehouse that is locked, of another version, or none.
    warehouse = open_warehouse(settings)
    warehouse.prepare(catalog.tables())
    warehouse.close()


def _answers() -> Console:
    """Where tables are printed; a file or a pipe has no width of its own."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=110)


def _demo(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import demo

    return demo.run(_answers(), Console(stderr=True))


def _ui(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import demo

    settings = Settings.from_environment()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", parsed.port))
        except (OSError, OverflowError) as error:
            raise SettingsError(f"Port {parsed.port} cannot be used ({error}); choose another with --port.") from None
    if settings.configured_sources or settings.sheet_id:
        launch.ui_command(settings, parsed.port).exec()
    Console(stderr=True).print("No key is set, so the UI opens on the simulated company of `ai-usage demo`.")
    with demo.company() as (_, environment):
        return launch.ui_command(Settings.from_environment(environment), parsed.port).run(environment).code


def _status(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import screens

    settings = Settings.from_environment()
    if not 1 <= parsed.days <= days.MAX_DAYS:
        raise SettingsError(f"--days is {parsed.days}; it takes 1 to {days.MAX_DAYS}.")
    screens.status(_existing_warehouse(settings), _answers(), days_back=parsed.days)
    return 0


def _existing_warehouse(settings: Settings, *, read_only: bool = False) -> Warehouse:
    """The warehouse, of which only what is there is asked: no file is made."""
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import open_warehouse

    in_a_file = settings.warehouse == "duckdb"
    warehouse = open_warehouse(settings, read_only=read_only)
    if (in_a_file and not settings.duckdb_path.exists()) or not run_log.is_kept(warehouse):
        demo = " For that of the demo, set AI_USAGE_DUCKDB_PATH=data/demo/warehouse.duckdb." if in_a_file else ""
        raise SettingsError(
            f"There is no warehouse at {settings.warehouse_location} yet: `ai-usage run` makes it.{demo}"
        )
    return warehouse


def _report(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.finance.report import data, render

    settings = Settings.from_environment()
    month = None if parsed.month is None else days.parse_month(parsed.month)
    warehouse = _existing_warehouse(settings)
    made = data.load_report(warehouse, settings.now(), month, with_people=parsed.with_people)
    warehouse.close()
    file = Path(parsed.out)
    try:
        render.write_report(made, file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written ({error.strerror}); name another with --out.") from None
    _say(f"report: written for a browser, {file.absolute().as_uri()}")
    return 0


def _digest(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.finance import digest
    from ai_usage_assets.secret_manager import SecretError

    settings = Settings.from_environment()
    if parsed.send and not settings.digest_webhook:
        raise SettingsError(
            "--send needs AI_USAGE_DIGEST_WEBHOOK: the address of a chat's webhook, or a secret's name."
        )
    warehouse = _existing_warehouse(settings, read_only=True)
    made = digest.build_digest(warehouse, days.last_finished_day(settings.now()), with_people=settings.digest_people)
    warehouse.close()
    _answers().print(str(made), highlight=False, markup=False, soft_wrap=True)
    if parsed.send:
        try:
            digest.send_digest(made, settings)
        except SecretError as error:
            raise WorkFailed(str(error)) from None
        _say("Sent.")
    return 0


def _close(parsed: argparse.Namespace) -> int:
    from ai_usage_assets import catalog
    from ai_usage_assets.commands import screens
    from ai_usage_assets.finance.close import readiness

    settings = Settings.from_environment()
    if parsed.csv and (not parsed.month or parsed.dry_run):
        raise SettingsError("--csv writes the journal of a closed month: give --month, and no --dry-run.")
    if parsed.csv and (parsed.csv.is_dir() or not parsed.csv.absolute().parent.is_dir()):
        raise SettingsError(f"--csv is {str(parsed.csv)!r}; it takes a file in a folder that is there.")
    month = days.parse_finished_month(settings.now(), parsed.month) if parsed.month else None
    warehouse = _existing_warehouse(settings)
    # A warehouse that an older version has filled has no journal yet.
    warehouse.prepare(catalog.tables())
    try:
        if month is None:
            screens.months(readiness.load_month_statuses(warehouse, settings.start_date, settings.now()), _answers())
            return 0
        return _close_month(warehouse, month, settings, parsed)
    finally:
        warehouse.close()


def _close_month(warehouse: Warehouse, first: date, settings: Settings, parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import screens
    from ai_usage_assets.finance.close import journal, layouts, readiness
    from ai_usage_assets.finance.close.base import CloseError

    now = settings.now()
    made, held = None, journal.find_close(warehouse, first)
    if held is None:
        month = readiness.days_to_close(first, readiness.first_recorded_day(warehouse, settings.start_date))
        if found := readiness.find_blockers(warehouse, month, now.date(), settings.start_date):
            reasons = "\n".join(map(str, found))
            raise CloseError(f"{parsed.month} cannot be closed, and nothing was frozen:\n{reasons}")
        made = journal.draft_close(warehouse, first, now)
        for note in readiness.find_notes(warehouse, month):
            _say(f"! {note}", logging.WARNING)
        if parsed.dry_run:
            _show(lambda: screens.journal(made.close, made.lines, _answers()))
            _say(f"{parsed.month} can be closed; this was a dry run, and nothing was frozen.")
            return 0
        held = journal.freeze_close(warehouse, made)
    lines = journal.load_journal(warehouse, held)
    _show(lambda: screens.journal(held, lines, _answers()))
    if made and held == made.close:
        _say(f"{parsed.month} is closed. What changes from now on is corrected in the next month.")
    else:
        _say(f"{parsed.month} is closed since {held['closed_at']:%Y-%m-%d %H:%M} UTC. Nothing was changed.")
    if parsed.csv:
        written = layouts.write_csv(parsed.csv, held, lines)
        _say(f"{written:,} {'line is' if written == 1 else 'lines are'} in {parsed.csv}.")
        if left := len(lines) - written:
            _say(f"{left:,} more {'is' if left == 1 else 'are'} 0.00 in cents, and left out.")
    return 0


def _show(table: Callable[[], None]) -> None:
    """What is for a person; whoever reads entries can read the warehouse."""
    if not capture.current_writer():
        table()


def _focus_export(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.finance import focus

    settings = Settings.from_environment()
    month = focus.parse_month(parsed.month)
    warehouse = _existing_warehouse(settings, read_only=True)
    done = focus.export_focus(
        warehouse, month, parsed.out, parsed.format, version=parsed.focus_version, with_people=parsed.with_people
    )
    warehouse.close()
    terminal = Console(soft_wrap=True, highlight=False, markup=False)
    for line in focus.summarize_export(done, parsed.focus_version, month):
        terminal.print(line)
    for line in focus.export_warnings(done):
        _say(f"! {line}", logging.WARNING)
    return 0


def _doctor(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import doctor

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return doctor.refuse(error, _answers())
    # What was tried again is told with what came of it.
    logging.getLogger("ai_usage_assets").setLevel(logging.ERROR)
    if parsed.probe_rate_limit and parsed.probe is None:
        raise SettingsError("--probe-rate-limit is a part of --probe; give both.")
    if parsed.probe is not None:
        from ai_usage_assets.commands import probe

        file = Path(parsed.probe) if parsed.probe else None
        return probe.run(settings, file, _answers(), rate_limit=parsed.probe_rate_limit)
    return doctor.run(settings, _answers())


def _sql_check(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import sql_check

    settings = Settings.from_environment()
    if parsed.real and settings.warehouse != "bigquery":
        raise SettingsError("--real asks BigQuery: set AI_USAGE_WAREHOUSE=bigquery and GOOGLE_CLOUD_PROJECT.")
    return sql_check.real(settings, _answers()) if parsed.real else sql_check.offline(_answers())


def _simulator(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import demo
    from ai_usage_assets.simulator import Simulator

    settings = Settings.from_environment()
    simulator = Simulator(settings.now(), seed=parsed.seed)
    with ExitStack() as stack:
        try:
            urls = stack.enter_context(simulator.serve(ports=tuple(parsed.ports)))
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"The ports {parsed.ports} cannot be used ({error}); choose others with --ports."
            ) from None
        terminal = Console(soft_wrap=True, highlight=False)
        terminal.print("Simulated vendors, until Ctrl-C. In another terminal:")
        for name, value in demo.environment(simulator, urls).items():
            terminal.print(f"export {name}={value}")
        # Never into the warehouse of a real company.
        terminal.print(
            f"export AI_USAGE_WAREHOUSE=duckdb AI_USAGE_DUCKDB_PATH=data/simulated-{parsed.seed}/warehouse.duckdb"
        )
        terminal.print("ai-usage run")
        signal.pause()
    return 0
