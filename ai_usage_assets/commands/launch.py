"""Builds and runs Dagster commands: a job, or the UI, with the Dagster home they need."""

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
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ai_usage_assets.days import DayRange, tags_for_range
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.logs.capture import stop_capture
from ai_usage_assets.package_data import data_folder
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.settings import Settings

_DEFINITIONS_MODULE = "ai_usage_assets.definitions"
_DEPLOY_DIR = data_folder("deploy") / "dagster"

# What every run writes in the Dagster home.
_HISTORY_PATHS = (
    "history",
    "history/runs.db",
    "history/runs",
    "history/runs/index.db",
    "schedules",
    "schedules/schedules.db",
)

# `dagster job execute` warns on every start that it is superseded by another command.
IGNORE_FUTURE_WARNINGS = {"PYTHONWARNINGS": "ignore::FutureWarning"}

# gRPC prints notes about forks and connections to stderr.
GRPC_ERRORS_ONLY = {"GRPC_VERBOSITY": "ERROR"}


class HistoryError(OperatorError):
    """Dagster cannot write its run history; the message says where, and what to do."""


class ProcessResult(NamedTuple):
    """How a process ended: its exit code, and whether this process received SIGINT or SIGTERM meanwhile."""

    code: int
    was_interrupted: bool


def reexec_as_child() -> ProcessResult:
    """Runs this command again in a child process and forwards signals to it.

    The kernel ignores signals to PID 1 of a container that have no handler, and neither a starting Python nor a loading
    Dagster has one. Without the child, a job that receives SIGTERM would be killed ten seconds later.
    """
    return _supervise([sys.executable, *sys.orig_argv[1:]], os.environ)


def _supervise(
    command: list[str], environment: Mapping[str, str], stop_signal: signal.Signals | None = None
) -> ProcessResult:
    """Runs a process until it ends. SIGINT and SIGTERM are forwarded to it, as `stop_signal` if given."""
    process: subprocess.Popen[bytes] | None = None
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        if process is not None:
            process.send_signal(stop_signal or number)

    # Shells start background processes with SIGINT ignored, and Dagster stops its servers by SIGINT.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, forward)
    process = subprocess.Popen(command, env=dict(environment))  # noqa: S603 - own arguments
    for number in tuple(received):
        # Received before the process existed.
        process.send_signal(stop_signal or number)
    code = process.wait()
    # Shells report death by signal N as 128 + N.
    return ProcessResult(128 - code if code < 0 else code, bool(received))


@dataclass(frozen=True)
class DagsterCommand:
    """A Dagster command line and the environment variables it adds to those of this process."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    # The address of the PostgreSQL database with Dagster's run history; None for files.
    postgres: str | None = field(default=None, repr=False)
    module: str = "dagster"

    def __str__(self) -> str:
        """The command as it can be pasted into a shell."""
        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*assignments, shlex.join(["dagster", *self.arguments])])

    def exec(self) -> NoReturn:
        """Replaces this process, so that signals reach Dagster and its exit code is that of the command."""
        self.prepare_home()
        sys.stderr.flush()
        stop_capture()
        os.execve(sys.executable, self._command_line, {**os.environ, **self.environment})  # noqa: S606 - own arguments

    def run(self, environment: Mapping[str, str] | None = None) -> ProcessResult:
        """Runs the command in a child process until it ends. `environment` replaces that of this process.

        Signals that end this process end the child first, so that no server of Dagster is left behind.
        """
        self.prepare_home()
        stop_signal = signal.SIGINT if self.arguments[0] == "dev" else None
        return _supervise(self._command_line, {**(environment or os.environ), **self.environment}, stop_signal)

    @property
    def _command_line(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]

    def prepare_home(self) -> None:
        """Creates the Dagster home with its configuration.

        Raises SettingsError or HistoryError if Dagster cannot write its run history; Dagster itself would only print a
        traceback.
        """
        home = Path(self.environment["DAGSTER_HOME"])
        try:
            home.mkdir(parents=True, exist_ok=True)
            if not (home / "dagster.yaml").exists():
                names = ["dagster.yaml", "postgres.yaml" if self.postgres else "sqlite.yaml"]
                (home / "dagster.yaml").write_text("\n".join((_DEPLOY_DIR / name).read_text() for name in names))
        except OSError as error:
            raise SettingsError(f"{home} cannot be created ({error.strerror}); set DAGSTER_HOME.") from None
        if self.postgres:
            _check_postgres(self.postgres)
            return
        for path in (home / name for name in _HISTORY_PATHS):
            nearest = next(parent for parent in (path, *path.parents) if parent.exists())
            if not os.access(nearest, os.W_OK):
                raise SettingsError(
                    f"{nearest} is not writable, and Dagster stores its run history there; set DAGSTER_HOME."
                )
            if path.is_file() and not _is_sqlite(path):
                raise SettingsError(
                    f"{path} is not a SQLite database. Move {home} away; the next run creates a new one. No loaded "
                    "data is lost."
                )


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def _check_postgres(url: str) -> None:
    """Raises HistoryError for a database that cannot be reached."""
    if find_spec("dagster_postgres") is None:
        raise SettingsError(
            "DAGSTER_PG_URL is set, but dagster-postgres is not installed: install the extra `postgres`, or unset the "
            "variable."
        )
    import psycopg2

    try:
        psycopg2.connect(url.replace("+psycopg2", "", 1), connect_timeout=10).close()
    except psycopg2.Error as error:
        reason = redact(str(error).strip().splitlines()[0].rstrip("."))
        raise HistoryError(
            f"Cannot connect to the database of DAGSTER_PG_URL: {reason}. Fix it, or unset the variable to store the "
            "run history in files."
        ) from None


def job_command(settings: Settings, days: DayRange, job: str, *, accept_loss: bool = False) -> DagsterCommand:
    """The command that runs a job for a range of days."""
    tags = {
        **tags_for_range(days),
        # Without it the UI does not list the run on the page of its job.
        ".dagster/repository": f"__repository__@{_DEFINITIONS_MODULE}",
    }
    json_logs = settings.log_format == "json"
    return DagsterCommand(
        (
            *("job", "execute", "-m", _DEFINITIONS_MODULE, "-j", job),
            *("--tags", json.dumps(tags), "-c", str(_DEPLOY_DIR / "run.yaml")),
        ),
        _home_variable(settings)
        | IGNORE_FUTURE_WARNINGS
        | (GRPC_ERRORS_ONLY if json_logs else {})
        | ({"AI_USAGE_ACCEPT_LOSS": "on"} if accept_loss else {}),
        settings.dagster_postgres_url,
        module="ai_usage_assets.logs.dagster_process" if json_logs else "dagster",
    )


def ui_command(settings: Settings, port: int) -> DagsterCommand:
    """The command that serves the Dagster UI on 127.0.0.1."""
    return DagsterCommand(
        ("dev", "-m", _DEFINITIONS_MODULE, "-h", "127.0.0.1", "-p", str(port)),
        _home_variable(settings) | IGNORE_FUTURE_WARNINGS,
        settings.dagster_postgres_url,
    )


def dagster_home(settings: Settings) -> Path:
    """The Dagster home: DAGSTER_HOME, else the folder `dagster` next to the DuckDB file.

    With PostgreSQL it is a subfolder, so that the two kinds of configuration do not overwrite each other.
    """
    home = settings.dagster_home or settings.duckdb_path.parent / "dagster"
    return home / "postgres" if settings.dagster_postgres_url else home


def _home_variable(settings: Settings) -> dict[str, str]:
    return {"DAGSTER_HOME": str(dagster_home(settings).absolute())}
