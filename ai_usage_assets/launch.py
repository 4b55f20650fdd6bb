"""Dagster as a process: the exact command for a run or the UI, and the home it needs.

Belongs here: command lines and environments. Does not: which days to run (`days`), or what a run does.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ai_usage_assets.days import DayRange, run_tags
from ai_usage_assets.logs import cloud
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


@dataclass(frozen=True)
class Command:
    """A Dagster command and what its environment holds on top of the present one."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
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

    def run(self, environment: Mapping[str, str]) -> int:
        """Runs it to its end with `environment` in place of the present one, and gives its exit code.

        Whatever ends this process ends it too, in Dagster's own order: its servers are not left behind.
        """
        self._make_home()
        # A shell starts what runs in the background deaf to interrupts, and Dagster stops its servers by interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        process = subprocess.Popen(self._line, env={**environment, **self.environment})  # noqa: S603 - own arguments
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()

    @property
    def _line(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]

    def _make_home(self) -> None:
        home = Path(self.environment["DAGSTER_HOME"])
        try:
            home.mkdir(parents=True, exist_ok=True)
            if not (home / "dagster.yaml").exists():
                shutil.copy(_DEPLOY / "dagster.yaml", home / "dagster.yaml")
        except OSError as error:
            raise SettingsError(f"{home} cannot be made ({error.strerror}); set DAGSTER_HOME.") from None
        # Dagster would tell of these on a page.
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
        module="ai_usage_assets.logs.process" if as_json else "dagster",
    )


def ui(settings: Settings, port: int) -> Command:
    """The command that opens the UI on loopback."""
    return Command(
        ("dev", "-m", _MODULE, "-h", "127.0.0.1", "-p", str(port)),
        _home(settings) | _QUIET,
    )


def home(settings: Settings) -> Path:
    """Where Dagster keeps the history of runs: DAGSTER_HOME, else beside the warehouse."""
    return settings.dagster_home or settings.duckdb_path.parent / "dagster"


def _home(settings: Settings) -> dict[str, str]:
    return {"DAGSTER_HOME": str(home(settings).absolute())}
