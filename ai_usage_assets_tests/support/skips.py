"""A pytest plugin: `--known-skips-only` fails the session when a test is skipped for a reason that is not known.

A test that silently stops running looks like one that passes.
"""

from __future__ import annotations

import re

import pytest

# What a machine can lack. The whole reason must match.
KNOWN_REASONS = (
    r"PostgreSQL is not installed",
    r"Terraform is not installed; .*",
    r"curl is not installed",
    r"Chromium is not installed",
    r"Metabase's API description is not available",
    r"not a git checkout",
    # `container.unsupported_reason`
    r"a separate file system needs root",
    r"[\w, -]+ not found",
    r"this machine does not allow namespaces",
)


def is_known(reason: str) -> bool:
    """Whether a test may be skipped for this reason."""
    return any(re.fullmatch(known, reason, re.DOTALL) for known in KNOWN_REASONS)


class _UnexpectedSkips:
    """Collects the skipped tests. With xdist, the process that prints the results has the reports of all workers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remembers a test that was skipped for an unknown reason."""
        self._add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remembers a module that was skipped for an unknown reason."""
        self._add(report)

    def _add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # An expected failure is reported as skipped too.
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not is_known(reason):
            self.lines.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fails the session."""
        if self.lines and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Lists the tests."""
        if self.lines:
            terminalreporter.section("tests skipped for an unknown reason (ai_usage_assets_tests/support/skips.py)")
            for line in self.lines:
                terminalreporter.write_line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    parser.addoption(
        "--known-skips-only", action="store_true", help="fail when a test is skipped for a reason that is not known"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the collector."""
    if config.getoption("known_skips_only"):
        config.pluginmanager.register(_UnexpectedSkips())
