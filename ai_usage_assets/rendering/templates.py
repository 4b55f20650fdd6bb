"""HTML from a template beside the code that fills it.

Belongs here: how templates are read, the same for every page. Does not: what a page says, pictures (`pictures`).
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def template_environment(folder: Path) -> Environment:
    """The templates of a folder. What is filled in is escaped; what is not there is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
