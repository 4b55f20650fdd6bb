"""A picture of a page, taken by a Chromium that is on the machine.

Belongs here: finding it and asking it. Does not: making pages.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from ai_usage_assets.errors import OperatorError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS = 120


class BrowserError(OperatorError):
    """No picture was taken; the message says why."""


def find_browser() -> str | None:
    """The browser's path; None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def take_screenshot(browser: str, page: Path, into: Path, size: tuple[int, int]) -> None:
    """Writes a PNG of a page of (width, height) pixels. Raises BrowserError."""
    with tempfile.TemporaryDirectory() as profile:
        # Without a sandbox, which a container does not let it make: the page has no script and asks nothing of anybody.
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", f"--screenshot={into.absolute()}",
            page.absolute().as_uri(),
        ]  # fmt: skip
        try:
            # The command is made here, of paths.
            ended = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrowserError(f"{browser} took no picture of {page}: {error}") from None
    if ended.returncode or not into.exists():
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BrowserError(f"{browser} took no picture of {page}: exit code {ended.returncode} {' '.join(last)}")
