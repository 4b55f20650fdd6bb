"""The embedded warehouse when the machine is unkind: locked, full, read-only, damaged, gone, used by two at once."""

from __future__ import annotations

import ctypes
import os
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

import duckdb
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.extracts import load_extract, log_unloaded_days
from ai_usage_assets.sources.base import DayBatch
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import Company, empty, make_company
from ai_usage_assets_tests.faults.runs import Order, Prepared, ai_usage, asked, daily_job, execute

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY = date(2026, 11, 10)
RAW = ("raw_cursor_usage_events", "raw_cursor_members", "raw_anthropic_claude_code")


# --- the machine ----------------------------------------------------------------------------------------------------


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond the size: what is written behind it fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def hold(path: Path) -> Callable[[], None]:
    """Has another process open the file; what comes back makes it let go."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    def let_go() -> None:
        holder.communicate(timeout=30)

    return let_go


def as_anybody() -> None:
    """Makes the process one to which the permissions of files apply, which they do not to root."""
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


def pulled(*records: bytes) -> DayBatch:
    """What a pull of the day brought."""
    cents = Decimal(len(records)) / 100
    return DayBatch(EVENTS.tables[0], DAY, records, 1, expected_records=len(records), amount_usd=cents)


def held(warehouse: DuckDBWarehouse) -> tuple[int, int]:
    """How many records are held, and how many the log says."""
    (rows,) = warehouse.rows("SELECT COUNT(*) AS n FROM ai_usage.raw_cursor_usage_events")
    (log,) = warehouse.rows("SELECT SUM(records) AS n FROM ai_usage.ops_asset_days")
    return rows["n"], int(log["n"])


# --- the file -------------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_day_as_it_was(warehouse: DuckDBWarehouse) -> None:
    """A day that does not fit is told with what to do, what was held stays whole, and with room the next run lands."""
    load_extract(warehouse, EVENTS, [pulled(event(1), event(2))], RunContext("r1", NOW))
    warehouse.close()
    large = pulled(*(event(number, size=3000) for number in range(3000)))
    with disk_of(warehouse.path.stat().st_size + 100_000):
        with pytest.raises(WarehouseError, match="disk has room") as caught:
            load_extract(warehouse, EVENTS, [large], RunContext("r2", NOW + timedelta(hours=1)))
        assert "\n" not in str(caught.value)
        assert held(warehouse) == (2, 2)
        warehouse.close()
        # Somebody else, and somebody who comes while there is no room yet.
        assert held(DuckDBWarehouse(warehouse.path)) == (2, 2)
    assert load_extract(warehouse, EVENTS, [large], RunContext("r3", NOW + timedelta(hours=2)))[0].changed
    warehouse.close()
    assert held(warehouse) == (3000, 3000)


def test_a_full_disk_while_tables_are_made_is_told(tmp_path: Path) -> None:
    """A first run for which there is no room at all says so; with room it begins again."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    with disk_of(20_000), pytest.raises(WarehouseError, match="disk has room"):
        warehouse.prepare(catalog.tables())
    warehouse.close()
    warehouse.prepare(catalog.tables())
    assert warehouse.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_runs") == [{"n": 0}]
    warehouse.close()


def _truncated(content: bytearray) -> bytes:
    return content[:6000]


def _flipped(content: bytearray) -> bytes:
    for position in range(20_000, len(content), 1000):
        content[position] ^= 0xFF
    return content


def _newer(content: bytearray) -> bytes:
    # Behind a checksum and DuckDB's name stands the version of the format.
    content[12:20] = struct.pack("<Q", 1500)
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    content[:8] = struct.pack("<Q", checksum)
    return content


def _made_by_another_version(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE ai_usage.ai_usage.ops_runs ALTER version TYPE INTEGER USING 1")


def _spoilt(spoil: Callable[[bytearray], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(spoil(bytearray(path.read_bytes()))) and None


def _unwritable(*names: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        for name in names:
            (path.parent / name).chmod(0o555 if (path.parent / name).is_dir() else 0o444)

    return make


def _no_history(path: Path) -> None:
    (path.parent / "dagster" / "history").mkdir(parents=True)
    (path.parent / "dagster" / "history" / "runs.db").write_bytes(b"not a database" * 1000)


def _unwritable_home(path: Path) -> None:
    _no_history(path)
    (path.parent / "dagster" / "history").chmod(0o555)
    (path.parent / "dagster" / "history" / "runs.db").chmod(0o444)


@pytest.mark.parametrize(
    ("happened", "says"),
    [
        (_spoilt(_truncated), "damaged"),
        (_spoilt(_flipped), "damaged"),
        (_spoilt(_newer), "newer DuckDB"),
        (_made_by_another_version, "of another version"),
        (_unwritable("ai_usage.duckdb"), "can be written"),
        (_unwritable("."), "cannot be written"),
        (_unwritable_home, "DAGSTER_HOME"),
        (_no_history, "is not a SQLite database"),
    ],
    ids=[
        "truncated", "flipped", "newer", "other version", "read-only file", "read-only folder", "read-only home",
        "history",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_in_a_line(tmp_path: Path, happened: Callable[[Path], None], says: str) -> None:
    """`ai-usage run` says of a file, folder or home it cannot use what is wrong and what to do, and touches none."""
    path = tmp_path / "ai_usage.duckdb"
    warehouse = DuckDBWarehouse(empty(path))
    load_extract(warehouse, EVENTS, [pulled(event(1), event(2))], RunContext("r1", NOW))
    warehouse.close()
    happened(path)
    before = path.read_bytes()
    try:
        done = ai_usage(
            "run", "--day", "2026-11-10", "--days", "1",
            before_start=as_anybody, AI_USAGE_DUCKDB_PATH=str(path), AI_USAGE_NOW=NOW.isoformat(),
        )  # fmt: skip
    finally:
        for changed in (tmp_path, *tmp_path.rglob("*")):
            changed.chmod(0o755)
    assert done.returncode in (1, 2)
    # The days, the command, that no vendor is configured, and what is wrong.
    told = done.stderr.splitlines()
    assert len(told) == 4, done.stderr
    assert told[-1].startswith("ai-usage: ")
    assert str(tmp_path) in told[-1]
    assert says in told[-1]
    assert path.read_bytes() == before


# --- others who use it ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company that no test changes."""
    with make_company(tmp_path_factory.mktemp("shared") / "ai_usage.duckdb", people=36) as company:
        yield company


def at(company: Company, path: Path) -> Company:
    """The same company, loaded into a file of its own."""
    return replace(company, settings=replace(company.settings, duckdb_path=path))


def raw_days(company: Company) -> dict[str, list[str]]:
    """Every raw row but of snapshots, whatever the moment it was fetched."""
    return {
        table.name: sorted(str(row) for row in company.rows(
            f"SELECT usage_date, record_no, payload, carried_email FROM ai_usage.{table.name}"
        ))
        for table in catalog.raw()
        if table.partition_by == "usage_date"
    }  # fmt: skip


def test_a_run_waits_for_a_file_that_is_in_use(shared: Company, tmp_path: Path) -> None:
    """Somebody who opens the file while a vendor answers, and closes it again, costs the run time and nothing else."""
    calm, disturbed = at(shared, tmp_path / "calm.duckdb"), at(shared, tmp_path / "disturbed.duckdb")
    assert calm.run("2026-11-10", lane="cursor").success
    timers: list[threading.Timer] = []

    def disturb(number: int) -> None:
        if number == 2:
            timers.append(threading.Timer(1.5, hold(disturbed.settings.duckdb_path)))
            timers[0].start()

    with asked(shared.simulator, disturb):
        assert disturbed.run("2026-11-10", lane="cursor").success
    timers[0].join()
    assert raw_days(disturbed) == raw_days(calm)


def test_a_file_that_stays_in_use_fails_the_run_in_a_line(
    shared: Company, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that is not let go is told without a traceback; the next run lands the day and notes the failed one."""
    company = at(shared, tmp_path / "w.duckdb")
    settings = replace(company.settings, fixed_now=company.simulator.now)
    job = daily_job(settings, lambda: DuckDBWarehouse(settings.duckdb_path, lock_wait_seconds=0.3), RAW)
    letting_go: list[Callable[[], None]] = []

    def disturb(number: int) -> None:
        if number == 1:
            letting_go.append(hold(settings.duckdb_path))

    with asked(company.simulator, disturb):
        assert not execute(job, DayRange(DAY, DAY))
    letting_go[0]()
    said = capfd.readouterr().err
    assert "is in use by another process" in said
    assert "Traceback" not in said
    assert "ai_usage_assets.warehouses" not in said
    assert execute(job, DayRange(DAY, DAY))
    outcomes = company.rows("SELECT outcome FROM ai_usage.ops_runs ORDER BY started_at")
    assert [row["outcome"] for row in outcomes] == ["interrupted", "success"]


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Prepared, Prepared]]:
    """Two processes for runs at once."""
    with Prepared() as one, Prepared() as other:
        yield one, other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DayRange(date(2026, 11, 9), date(2026, 11, 10)), DayRange(date(2026, 11, 9), date(2026, 11, 10))),
        (DayRange(date(2026, 11, 8), date(2026, 11, 10)), DayRange(date(2026, 11, 9), date(2026, 11, 11))),
    ],
    ids=["the same days", "overlapping days"],
)
def test_two_runs_at_once_are_as_good_as_one(
    shared: Company, pair: tuple[Prepared, Prepared], tmp_path: Path, one: DayRange, other: DayRange
) -> None:
    """Two processes that load the same days at once both succeed, and what they leave is what one of them would."""
    assets = ("raw_cursor_usage_events", "raw_anthropic_claude_code", "raw_mapping_sheet", "int_cursor_activity_daily")
    whole = DayRange(min(one.first, other.first), max(one.last, other.last))
    both, alone = at(shared, tmp_path / "both.duckdb"), at(shared, tmp_path / "alone.duckdb")
    settings = replace(both.settings, fixed_now=both.simulator.now)
    codes: list[int] = []

    def run(process: Prepared, chosen: DayRange, says: Path) -> None:
        codes.append(process.run(Order(settings, chosen, assets, None, says)))

    files = [tmp_path / "one.txt", tmp_path / "other.txt"]
    runs = [threading.Thread(target=run, args=arguments) for arguments in zip(pair, (one, other), files, strict=True)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join(timeout=120)
    assert codes == [0, 0], [file.read_text() for file in files]
    expected = replace(alone.settings, fixed_now=alone.simulator.now)
    assert execute(daily_job(expected, lambda: DuckDBWarehouse(expected.duckdb_path), assets), whole)
    for name in assets:
        query = f"SELECT * FROM ai_usage.{name}"
        assert sorted(map(str, both.rows(query))) == sorted(map(str, alone.rows(query))), name
    outcomes = both.rows("SELECT outcome FROM ai_usage.ops_runs")
    assert [row["outcome"] for row in outcomes] == ["success", "success"]
    assert both.rows("SELECT asset FROM ai_usage.ops_restatements") == []


# --- what is known, and what is not any more ------------------------------------------------------------------------


def test_a_file_that_was_deleted_is_begun_again(shared: Company, tmp_path: Path) -> None:
    """Without the file of earlier runs the next one makes a new one, whose log holds its own day alone."""
    company = at(shared, tmp_path / "w.duckdb")
    assert company.run("2026-11-09", lane="anthropic").success
    company.settings.duckdb_path.unlink()
    assert company.run("2026-11-10", lane="anthropic").success
    days = company.rows("SELECT DISTINCT usage_date, status FROM ai_usage.ops_asset_days WHERE is_daily")
    assert days == [{"usage_date": DAY, "status": "complete"}]


def test_a_clock_that_was_set_back_loses_nothing(company: Company) -> None:
    """A run that believes in an earlier day leaves what is held byte for byte, as does one under the right clock."""
    right, wrong = company.simulator.now, datetime(2026, 11, 12, 6, tzinfo=UTC)
    found = []
    for moment in (right, wrong, right):
        assert company.run("2026-11-10", "2026-11-11", lane="cursor", fixed_now=moment).success
        found.append(company.rows("SELECT * FROM ai_usage.raw_cursor_usage_events ORDER BY usage_date, record_no"))
    assert found[0] == found[1] == found[2]


def test_days_from_the_future_are_told(warehouse: DuckDBWarehouse) -> None:
    """What was tried on a day that has not come says that a clock is wrong; what was tried today does not."""
    (check,) = [check for check in CHECKS if check.name == "no_future_loads"]
    log_unloaded_days(warehouse, EVENTS, [DAY], RunContext("r", NOW), "failed", "503")
    assert not check.run(CheckContext(warehouse, DayRange(DAY, DAY), NOW.date()))
    (finding,) = check.run(CheckContext(warehouse, DayRange(DAY, DAY), NOW.date() - timedelta(days=1)))
    assert finding.message == "the newest load attempt is dated 2026-11-20, after today (2026-11-19)"
