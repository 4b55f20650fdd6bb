"""Configuration of the documentation site: `make docs` builds it from the Markdown files where they are.

The source folder is the repository, so a relative link works on the site as it does in a checkout. Only the files in
`NAVIGATION` are pages.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.application import Sphinx

project = "ai_usage_assets"
html_title = "AI usage"

# The sidebar: caption, then pages without their suffix.
NAVIGATION = {
    "Use": [
        "docs/guides/your_own_keys",
        "docs/mapping_sheet",
        "docs/read_the_figures",
        "docs/guides/close_a_month",
        "docs/guides/dagster_ui",
        "docs/troubleshooting",
    ],
    "Deploy": [
        "deploy/README",
        "deploy/metabase/README",
        "docs/container",
        "docs/wheel",
        "docs/shared_run_history",
    ],
    "Reference": ["docs/glossary", "docs/data_dictionary", "docs/settings", "docs/focus"],
    "Extend": [
        "docs/guides/add_a_kpi",
        "docs/guides/add_a_check",
        "docs/guides/add_a_dashboard",
        "docs/guides/add_a_source",
        "CONTRIBUTING",
    ],
    "Background": [
        "docs/architecture",
        "SECURITY",
        "docs/performance",
        "docs/decisions/README",
        "docs/mutation_testing",
        "docs/bigquery_emulators",
        "CHANGELOG",
    ],
}

root_doc = "README"
include_patterns = [
    "README.md",
    *(f"{page}.md" for pages in NAVIGATION.values() for page in pages),
    "docs/decisions/0*.md",
]
# Folders that need no search for pages.
exclude_patterns = [".*", "build", "data", "dist", "ai_usage_assets", "ai_usage_assets_tests", "sql"]

extensions = ["myst_parser"]
# Links to headings, with the same anchors as on GitHub.
myst_heading_anchors = 3
# Examples of shell commands and of SQL templates have no language, and Metabase's SQL is not quite SQL.
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}


def _add_navigation(_app: Sphinx, page: str, source: list[str]) -> None:
    """Adds the table of contents to two pages, where GitHub would show the directive as text."""
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(f"/{p}" for p in pages)
            source[0] += "\n```\n"
    elif page == "docs/decisions/README":
        source[0] += "\n\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def _add_index(app: Sphinx, error: Exception | None) -> None:
    """Makes the start page the index of the folder."""
    if error is None and app.builder.format == "html":
        shutil.copy(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Connects the two hooks."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _add_index)
