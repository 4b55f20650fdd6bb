"""Finds the files that the package needs besides its Python code."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def data_folder(name: str) -> Path:
    """The folder `sql` or `deploy`.

    A wheel contains it inside the package. In a checkout it is at the top of the repository.
    """
    package = Path(str(files("ai_usage_assets")))
    installed = package / name
    return installed if installed.is_dir() else package.parent / name
