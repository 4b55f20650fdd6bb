"""Dagster as a process: the exact command for a run or the UI, and the home it needs.

Belongs here: command lines and environments. Does not: which days to run (`days`), or what a run does.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from ai_usage_assets.days import DayRange, run_tags
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.logs import cloud
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import PROJECT_ROOT, Settings, SettingsError

_MODULE = "ai_usage_assets.definitions"
_DEPLOY = PROJECT_ROOT / "deploy" / "dagster"

# What Dagster keeps in its home, as far as every run writes it.
_HISTORY = (
    "history",
    "history/runs.db",
    "history/runs",
    "history/runs/index.db",
    "schedules",
    "schedules/schedules.db",
)

# Every `dagster job execute` announces that another command does the same; nobody who runs this can act on it.
_QUIET = {"PYTHONWARNINGS": "ignore::FutureWarning"}

# gRPC tells of its forks and its connections on stderr, past every logger.
_MUTE = {"GRPC_VERBOSITY": "ERROR"}


class Ended(NamedTuple):
    """How a process came to its end: its exit code, and whether this one had been asked to end."""

    code: int
    was_asked: bool


def as_child() -> Ended:
    """This very command once more, in a process beneath this one, which only passes signals on.

    The kernel keeps from the first process of a container every signal for which it has no handler, and neither a
    Python that starts nor a Dagster that loads has one: a job that is asked to end would be killed ten seconds later.
    """
    return _attend([sys.executable, *sys.orig_argv[1:]], os.environ)


def _attend(line: list[str], environment: Mapping[str, str], ends_by: signal.Signals | None = None) -> Ended:
    """Runs it to its end; whatever asks this process to end asks that one, by the same signal or by `ends_by`."""
    process: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if process is not None:
            process.send_signal(ends_by or number)

    # A shell starts what runs in the background deaf to interrupts, and Dagster stops its servers by interrupts.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, pass_on)
    process = subprocess.Popen(line, env=dict(environment))  # noqa: S603 - own arguments
    for number in tuple(asked):
        # Asked before there was anybody to pass it on to.
        process.send_signal(ends_by or number)
    code = process.wait()
    # As a shell tells that a signal ended it.
    return Ended(128 - code if code < 0 else code, bool(asked))


@dataclass(frozen=True)
class Command:
    """A Dagster command and what its environment holds on top of the present one."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    # Where Dagster keeps the history of runs, if not in files.
    postgres: str | None = field(default=None, repr=False)
    # What runs them: Dagster, or what makes lines for Cloud Logging of all that Dagster says.
    module: str = "dagster"

    def __str__(self) -> str:
        """As it can be copied into a shell."""
        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*assignments, shlex.join(["dagster", *self.arguments])])

    def become(self) -> NoReturn:
        """Replaces this process, so that a scheduler's signals reach Dagster and its exit code is ours."""
        self._make_home()
        sys.stderr.flush()
        # The outputs are handed on as they were found.
        cloud.release()
        os.execve(sys.executable, self._line, {**os.environ, **self.environment})  # noqa: S606 - own arguments

    def run(self, environment: Mapping[str, str] | None = None) -> Ended:
        """Runs it to its end, perhaps with `environment` in place of the present one.

        Whatever ends this process ends it too, in Dagster's own order: its servers are not left behind.
        """
        self._make_home()
        ends_by = signal.SIGINT if self.arguments[0] == "dev" else None
        return _attend(self._line, {**(environment or os.environ), **self.environment}, ends_by)

    @property
    def _line(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]

    def _make_home(self) -> None:
        home = Path(self.environment["DAGSTER_HOME"])
        try:
            home.mkdir(parents=True, exist_ok=True)
            if not (home / "dagster.yaml").exists():
                parts = [_DEPLOY / "dagster.yaml", *([_DEPLOY / "postgres.yaml"] if self.postgres else [])]
                (home / "dagster.yaml").write_text("\n".join(part.read_text() for part in parts))
        except OSError as error:
            raise SettingsError(f"{home} cannot be made ({error.strerror}); set DAGSTER_HOME.") from None
        # Dagster would tell of these on a page.
        if self.postgres:
            _reach(self.postgres)
            return
        for path in (home / name for name in _HISTORY):
            written = next(found for found in (path, *path.parents) if found.exists())
            if not os.access(written, os.W_OK):
                raise SettingsError(
                    f"{written} cannot be written, and Dagster keeps its history of runs there; set DAGSTER_HOME."
                )
            if path.is_file() and not _is_database(path):
                raise SettingsError(
                    f"{path} is no database. Move {home} away, a new one is made: which days are held is known to the "
                    "warehouse alone."
                )


def _is_database(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(16) in (b"", b"SQLite format 3\0")


def _reach(url: str) -> None:
    """Raises a line for a database that does not answer."""
    if find_spec("dagster_postgres") is None:
        raise SettingsError(
            "DAGSTER_PG_URL is set, and dagster-postgres is not installed: install the extra `postgres`, or unset the "
            "variable."
        )
    import psycopg2

    try:
        psycopg2.connect(url.replace("+psycopg2", "", 1), connect_timeout=10).close()
    except psycopg2.Error as error:
        said = redact(str(error).strip().splitlines()[0].rstrip("."))
        raise HistoryError(
            f"The database of DAGSTER_PG_URL cannot be used: {said}. Mend it, or unset the variable: the run then "
            "keeps its history in files, and which days are held is known to the warehouse alone."
        ) from None


class HistoryError(OperatorError):
    """Dagster's history of runs cannot be kept; the message says where, and what to do."""


def job(settings: Settings, chosen: DayRange, name: str, *, accept_loss: bool = False) -> Command:
    """The command that runs a job for these days."""
    tags = {
        **run_tags(chosen),
        # Without it a run from the command line does not show up on the job's page in the UI.
        ".dagster/repository": f"__repository__@{_MODULE}",
    }
    as_json = settings.logs == "json"
    return Command(
        ("job", "execute", "-m", _MODULE, "-j", name, "--tags", json.dumps(tags), "-c", str(_DEPLOY / "run.yaml")),
        _home(settings) | _QUIET | (_MUTE if as_json else {}) | ({"AI_USAGE_ACCEPT_LOSS": "on"} if accept_loss else {}),
        settings.dagster_postgres,
        module="ai_usage_assets.logs.process" if as_json else "dagster",
    )


def ui(settings: Settings, port: int) -> Command:
    """The command that opens the UI on loopback."""
    return Command(
        ("dev", "-m", _MODULE, "-h", "127.0.0.1", "-p", str(port)),
        _home(settings) | _QUIET,
        settings.dagster_postgres,
    )


def home(settings: Settings) -> Path:
    """Where Dagster keeps the history of runs: DAGSTER_HOME, else beside the warehouse.

    With a database for it a folder inside, so that neither kind of history meets the configuration of the other.
    """
    chosen = settings.dagster_home or settings.duckdb_path.parent / "dagster"
    return chosen / "postgres" if settings.dagster_postgres else chosen


def _home(settings: Settings) -> dict[str, str]:
    return {"DAGSTER_HOME": str(home(settings).absolute())}
