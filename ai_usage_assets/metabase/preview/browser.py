"""Screenshots of pages with an installed Chromium."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from ai_usage_assets.errors import OperatorError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_SECONDS = 120


class BrowserError(OperatorError):
    """The screenshot failed; the message gives the reason."""


def find_browser() -> str | None:
    """Return the path of Chromium, or None if it is not installed."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def take_screenshot(browser: str, page: Path, target: Path, size: tuple[int, int]) -> None:
    """Write a PNG of (width, height) pixels. Raises BrowserError."""
    with tempfile.TemporaryDirectory() as profile:
        # A container does not allow Chromium's sandbox. The page is ours, without scripts and external resources.
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", f"--screenshot={target.absolute()}",
            page.absolute().as_uri(),
        ]  # fmt: skip
        try:
            result = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrowserError(f"{browser}: no screenshot of {page}: {error}") from None
    if result.returncode or not target.exists():
        last = result.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BrowserError(f"{browser}: no screenshot of {page}: exit code {result.returncode} {' '.join(last)}")
