"""Packs `sql/` and `deploy/` into the wheel, inside the package; everything else is in pyproject.toml.

In a checkout these folders stay at the top of the repository, where `ai_usage_assets.package_data` finds them too.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["ai_usage_assets", "ai_usage_assets.*"]),
        "ai_usage_assets.sql",
        "ai_usage_assets.deploy",
    ],
    package_dir={"ai_usage_assets.sql": "sql", "ai_usage_assets.deploy": "deploy"},
    package_data={
        "ai_usage_assets": ["py.typed", "**/*.j2"],
        "ai_usage_assets.sql": ["**/*.sql"],
        "ai_usage_assets.deploy": [
            "dagster/*.yaml",
            "metabase/*.yaml",
            *(f"metabase/{folder}/**/*" for folder in ("dashboards", "filters", "shared")),
        ],
    },
    include_package_data=False,
)
