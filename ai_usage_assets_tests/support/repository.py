"""The repository itself: its path, and its wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def build_wheel(files: Mapping[str, Path], folder: Path) -> Path:
    """Builds the wheel in `folder` from nothing but these files (name -> path), without network access."""
    for name, path in files.items():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", folder / "wheel", folder / "source"],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel
