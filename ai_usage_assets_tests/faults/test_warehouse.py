"""The DuckDB file when it is locked, damaged, read-only or deleted, on a full disk, or used by two runs at once."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest

from ai_usage_assets import cli
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.sources.base import DayBatch
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.conftest import Company, copy_empty_warehouse, serve_company
from ai_usage_assets_tests.faults.runs import (
    ForkServer,
    RunRequest,
    daily_job,
    execute,
    observe_requests,
)
from ai_usage_assets_tests.support.landing import load_extract, log_unloaded_days

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY = date(2026, 11, 10)
RAW = ("raw_cursor_usage_events", "raw_cursor_members", "raw_anthropic_claude_code")


# --- the machine ----------------------------------------------------------------------------------------------------


@contextmanager
def disk_limit(size_bytes: int) -> Iterator[None]:
    """Within the block, no file of this process can grow beyond the size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lock_file(path: Path) -> Callable[[], None]:
    """Opens the file in another process; the returned function closes it."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"

    def unlock() -> None:
        process.communicate(timeout=30)

    return unlock


def drop_root_access() -> None:
    """Makes file permissions apply to this process, also for root."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def event(number: int, size: int = 0) -> bytes:
    """A usage event on the day."""
    stamp = int(datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp() * 1000) + number
    return b'{"timestamp":"%d","model":"%s","kind":"Usage-based","chargedCents":1}' % (
        stamp,
        os.urandom(size).hex().encode(),
    )


def day_batch(*records: bytes) -> DayBatch:
    """The day with these records."""
    cents = Decimal(len(records)) / 100
    return DayBatch(EVENTS.tables[0], DAY, records, 1, expected_records=len(records), amount_usd=cents)


def record_counts(warehouse: DuckDBWarehouse) -> tuple[int, int]:
    """The number of loaded records, and the number in the day log."""
    (rows,) = warehouse.rows("SELECT COUNT(*) AS n FROM ai_usage.raw_cursor_usage_events")
    (log,) = warehouse.rows("SELECT SUM(records) AS n FROM ai_usage.ops_asset_days")
    return rows["n"], int(log["n"])


# --- the file -------------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_earlier_records(warehouse: DuckDBWarehouse) -> None:
    """A day that does not fit is an error, the earlier records stay, and with space the next run loads the day."""
    load_extract(warehouse, EVENTS, [day_batch(event(1), event(2))], RunContext("r1", NOW))
    warehouse.close()
    large = day_batch(*(event(number, size=3000) for number in range(300)))
    with disk_limit(warehouse.path.stat().st_size + 100_000):
        with pytest.raises(WarehouseError, match="disk has space") as caught:
            load_extract(warehouse, EVENTS, [large], RunContext("r2", NOW + timedelta(hours=1)))
        assert "\n" not in str(caught.value)
        assert record_counts(warehouse) == (2, 2)
        warehouse.close()
        # Also for another connection while the disk is full.
        assert record_counts(DuckDBWarehouse(warehouse.path)) == (2, 2)
    assert load_extract(warehouse, EVENTS, [large], RunContext("r3", NOW + timedelta(hours=2)))[0].changed
    warehouse.close()
    assert record_counts(warehouse) == (300, 300)


def test_a_full_disk_while_tables_are_created_is_reported(tmp_path: Path) -> None:
    """A first run without disk space fails; with space it can run again."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    with disk_limit(20_000), pytest.raises(WarehouseError, match="disk has space"):
        warehouse.prepare(OPS_TABLES)
    warehouse.close()
    warehouse.prepare(OPS_TABLES)
    assert warehouse.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_runs") == [{"n": 0}]
    warehouse.close()


def _truncated(content: bytearray) -> bytearray:
    return content[:6000]


def _flipped(content: bytearray) -> bytearray:
    for position in range(20_000, len(content), 1000):
        content[position] ^= 0xFF
    return content


def _newer(content: bytearray) -> bytearray:
    # The version of the format follows a checksum and the name of DuckDB.
    content[12:20] = struct.pack("<Q", 1500)
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    content[:8] = struct.pack("<Q", checksum)
    return content


def _of_another_version(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE ai_usage.ops_runs ALTER version TYPE INTEGER USING 1")


def _changed_content(change: Callable[[bytearray], bytearray]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(bytearray(path.read_bytes())))


def _read_only(*names: str) -> Callable[[Path], None]:
    def protect(path: Path) -> None:
        for name in names:
            (path.parent / name).chmod(0o555 if (path.parent / name).is_dir() else 0o444)

    return protect


def _damaged_history(path: Path) -> None:
    (path.parent / "dagster" / "history").mkdir(parents=True)
    (path.parent / "dagster" / "history" / "runs.db").write_bytes(b"not a database" * 1000)


def _read_only_home(path: Path) -> None:
    _damaged_history(path)
    (path.parent / "dagster" / "history").chmod(0o555)
    (path.parent / "dagster" / "history" / "runs.db").chmod(0o444)


def _damaged_warehouse(folder: Path, damage: Callable[[Path], object]) -> tuple[Path, list[str], dict[str, str]]:
    """A damaged file with records, and the arguments and settings of a run on it."""
    path = folder / "warehouse.duckdb"
    warehouse = DuckDBWarehouse(copy_empty_warehouse(path))
    load_extract(warehouse, EVENTS, [day_batch(event(1), event(2))], RunContext("r1", NOW))
    warehouse.close()
    damage(path)
    settings = {"AI_USAGE_DUCKDB_PATH": str(path), "AI_USAGE_NOW": NOW.isoformat()}
    return path, ["run", "--day", "2026-11-10", "--days", "1"], settings


def _assert_reported_in_one_line(output: str, folder: Path, message: str) -> None:
    # The days, the command, the missing vendors, and the error.
    lines = output.splitlines()
    assert len(lines) == 4, output
    assert lines[-1].startswith("ai-usage: ")
    assert str(folder) in lines[-1]
    assert message in lines[-1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_changed_content(_truncated), "damaged"),
        (_changed_content(_flipped), "damaged"),
        (_changed_content(_newer), "newer DuckDB"),
        (_of_another_version, "another version of this project wrote the file"),
        (_damaged_history, "is not a SQLite database"),
    ],
    ids=["truncated", "flipped", "newer", "other version", "history"],
)
def test_an_unusable_file_is_reported_in_one_line(
    tmp_path: Path,
    damage: Callable[[Path], object],
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`ai-usage run` reports a file that it cannot use in one line, and does not change it."""
    path, arguments, settings = _damaged_warehouse(tmp_path, damage)
    before = path.read_bytes()
    with patch.dict(os.environ, {"HOME": str(tmp_path), "COLUMNS": "200", **settings}, clear=True):
        assert cli.main(arguments) in (1, 2)
    _assert_reported_in_one_line(capfd.readouterr().err, tmp_path, message)
    assert path.read_bytes() == before


# Runs `ai-usage` once for each file.
_RUN_EACH = """
import os, sys
from ai_usage_assets import cli
for path in sys.argv[1:]:
    os.environ["AI_USAGE_DUCKDB_PATH"] = path
    code = cli.main(["run", "--day", "2026-11-10", "--days", "1"])
    print("exit code", code, file=sys.stderr)
"""


def test_missing_permissions_are_reported_in_one_line(tmp_path: Path) -> None:
    """`ai-usage run` reports a file, folder or home that it cannot write in one line, and changes none of them."""
    cases: tuple[tuple[Callable[[Path], object], str], ...] = (
        (_read_only("warehouse.duckdb"), "are writable"),
        (_read_only("."), "is not writable"),
        (_read_only_home, "DAGSTER_HOME"),
    )
    before: dict[Path, bytes] = {}
    for number, (damage, _) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, _, settings = _damaged_warehouse(folder, damage)
        before[path] = path.read_bytes()
    inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    try:
        process = subprocess.run(
            [sys.executable, "-c", _RUN_EACH, *map(str, before)],
            env={**inherited, **settings, "HOME": str(tmp_path), "COLUMNS": "200"},
            preexec_fn=drop_root_access,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    finally:
        for protected in (tmp_path, *tmp_path.rglob("*")):
            protected.chmod(0o755)
    *outputs, rest = re.split(r"exit code [12]\n", process.stderr)
    assert rest == ""
    for path, output, (_, message) in zip(before, outputs, cases, strict=True):
        _assert_reported_in_one_line(output, path.parent, message)
        assert path.read_bytes() == before[path]


# --- concurrent use -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company that no test changes."""
    with serve_company(tmp_path_factory.mktemp("shared") / "warehouse.duckdb", people=36) as company:
        yield company


def with_file(company: Company, path: Path) -> Company:
    """The company with another warehouse file."""
    return replace(company, settings=replace(company.settings, duckdb_path=path))


def test_a_run_waits_for_a_file_that_is_in_use(shared: Company, tmp_path: Path) -> None:
    """When another process opens the file for a while during a run, the run waits and loads the same rows."""
    calm, disturbed = (
        with_file(shared, copy_empty_warehouse(tmp_path / name)) for name in ("calm.duckdb", "disturbed.duckdb")
    )
    assert calm.load("2026-11-09", "2026-11-10", selection="cursor_usage_events").success
    timers: list[threading.Timer] = []

    def disturb(number: int) -> None:
        if number == 2:
            timers.append(threading.Timer(1.5, lock_file(disturbed.settings.duckdb_path)))
            timers[0].start()

    with observe_requests(shared.simulator, disturb):
        assert disturbed.run("2026-11-09", "2026-11-10", selection="cursor_usage_events").success
    timers[0].join()
    rows = "SELECT usage_date, record_no, payload, carried_email FROM ai_usage.raw_cursor_usage_events ORDER BY 1, 2"
    assert disturbed.rows(rows) == calm.rows(rows)


def test_a_file_that_stays_in_use_fails_the_run(
    shared: Company, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failure has no traceback; the next run loads the day and records the failed run as interrupted."""
    company = with_file(shared, copy_empty_warehouse(tmp_path / "w.duckdb"))
    settings = replace(company.settings, fixed_now=company.simulator.now)
    job = daily_job(settings, lambda: DuckDBWarehouse(settings.duckdb_path, lock_wait_seconds=0.3), RAW)
    unlocks: list[Callable[[], None]] = []

    def disturb(number: int) -> None:
        if number == 1:
            unlocks.append(lock_file(settings.duckdb_path))

    with observe_requests(company.simulator, disturb):
        assert not execute(job, DayRange(DAY, DAY))
    unlocks[0]()
    output = capfd.readouterr().err
    assert "is in use by another process" in output
    assert "Traceback" not in output
    assert "ai_usage_assets.warehouse." not in output
    assert execute(job, DayRange(DAY, DAY))
    outcomes = company.rows("SELECT outcome FROM ai_usage.ops_runs ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["interrupted", "success"]


@pytest.fixture(scope="module")
def other_process() -> Iterator[ForkServer]:
    """A process for a second run at once."""
    with ForkServer() as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DayRange(date(2026, 11, 9), date(2026, 11, 10)), DayRange(date(2026, 11, 9), date(2026, 11, 10))),
        (DayRange(date(2026, 11, 8), date(2026, 11, 10)), DayRange(date(2026, 11, 9), date(2026, 11, 11))),
    ],
    ids=["the same days", "overlapping days"],
)
def test_two_runs_at_once_load_what_one_would(
    shared: Company, other_process: ForkServer, tmp_path: Path, one: DayRange, other: DayRange
) -> None:
    """Two processes that load the same days at once both succeed and leave what one of them would."""
    assets = ("raw_cursor_usage_events", "raw_anthropic_claude_code", "raw_mapping_sheet", "int_cursor_activity_daily")
    all_days = DayRange(min(one.first, other.first), max(one.last, other.last))
    both, alone = (with_file(shared, copy_empty_warehouse(tmp_path / name)) for name in ("both.duckdb", "alone.duckdb"))
    settings = replace(both.settings, fixed_now=both.simulator.now)
    output = tmp_path / "other.txt"
    codes: list[int] = []
    started = threading.Event()

    def run_other() -> None:
        request = RunRequest(settings, other, assets, None, output)
        codes.append(other_process.run(request, lambda pid: started.set()))

    thread = threading.Thread(target=run_other)
    thread.start()
    assert started.wait(timeout=120)
    assert execute(daily_job(settings, lambda: DuckDBWarehouse(settings.duckdb_path), assets), one)
    thread.join(timeout=120)
    assert codes == [0], output.read_text()
    loaded = alone.load(str(all_days.first), str(all_days.last), selection=assets)
    assert loaded.success, loaded.failures()
    for name in assets:
        query = f"SELECT * FROM ai_usage.{name}"
        assert sorted(map(str, both.rows(query))) == sorted(map(str, alone.rows(query))), name
    outcomes = both.rows("SELECT outcome FROM ai_usage.ops_runs")
    assert [row["outcome"] for row in outcomes] == ["success", "success"]
    assert both.rows("SELECT asset FROM ai_usage.ops_restatements") == []


# --- lost files and wrong clocks ------------------------------------------------------------------------------------


def test_a_deleted_file_is_created_again(shared: Company, tmp_path: Path) -> None:
    """Without the file of earlier runs, the next run creates one whose day log has its own day only."""
    company = with_file(shared, copy_empty_warehouse(tmp_path / "w.duckdb"))
    assert company.load("2026-11-09", selection="cursor_usage_events").success
    company.close()
    company.settings.duckdb_path.unlink()
    assert company.run("2026-11-10", selection="cursor_usage_events").success
    days = company.rows("SELECT DISTINCT usage_date, status FROM ai_usage.ops_asset_days WHERE is_daily")
    assert days == [{"usage_date": DAY, "status": "complete"}]


def test_a_clock_set_back_loses_nothing(company: Company) -> None:
    """A run with the clock of an earlier day keeps the loaded records byte for byte."""
    right, wrong = company.simulator.now, datetime(2026, 11, 12, 6, tzinfo=UTC)
    contents = []
    for now in (right, wrong, right):
        assert company.load("2026-11-10", "2026-11-11", selection="cursor", fixed_now=now).success
        contents.append(company.rows("SELECT * FROM ai_usage.raw_cursor_usage_events ORDER BY usage_date, record_no"))
    assert contents[0] == contents[1] == contents[2]


def test_loads_in_the_future_are_a_finding(warehouse: DuckDBWarehouse) -> None:
    """An attempt on a day that has not come yet is a finding; one of today is not."""
    (check,) = [check for check in CHECKS if check.name == "no_future_loads"]
    log_unloaded_days(warehouse, EVENTS, [DAY], RunContext("r", NOW), "failed", "503")
    assert not check.run(CheckContext(warehouse, DayRange(DAY, DAY), NOW.date()))
    (finding,) = check.run(CheckContext(warehouse, DayRange(DAY, DAY), NOW.date() - timedelta(days=1)))
    assert finding.message == "the newest load attempt is dated 2026-11-20, after today (2026-11-19)"
