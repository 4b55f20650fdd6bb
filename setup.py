"""Adds `sql/` and `deploy/` to the wheel as packages inside `ai_usage_assets`; setup.cfg lists their files.

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
)
