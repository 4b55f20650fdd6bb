"""The GitHub workflows and issue forms: targets, Python versions, permissions and secrets."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from ai_usage_assets_tests.support.repository import REPOSITORY

GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file with every scalar as text: `on` is a key and not a YAML 1.1 boolean."""
    return yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - creates texts, lists and dictionaries only


def steps(path: Path) -> list[dict[str, Any]]:
    """Every step of a workflow."""
    return [step for job in read_yaml(path)["jobs"].values() for step in job["steps"]]


def used_targets(text: str) -> set[str]:
    """The targets of the `make` commands in a script."""
    return {
        word
        for line in text.splitlines()
        for command in re.split(r"&&|;|\|", line)
        if command.strip().startswith("make ")
        for word in command.split("#")[0].split()[1:]
        if re.fullmatch(r"[a-z][a-z-]+", word)
    }


def test_the_workflows_exist() -> None:
    """Tests, image, audit and release are four workflows."""
    assert [path.name for path in WORKFLOWS] == ["audit.yml", "ci.yml", "image.yml", "release.yml"]


def test_workflows_use_existing_targets() -> None:
    """Each `make` command names targets of the Makefile, and each script is valid shell."""
    scripts = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    assert [script for script in scripts if not used_targets(script) <= TARGETS] == []
    for script in scripts:
        without_expressions = re.sub(r"\$\{\{.*?\}\}", "x", script)
        subprocess.run(["bash", "-n", "-c", without_expressions], check=True, capture_output=True)


def test_ci_runs_what_the_local_script_runs() -> None:
    """Every target of .ci/run is in ci.yml."""
    script = used_targets((REPOSITORY / ".ci" / "run").read_text())
    assert {"lint", "types", "test", "docs", "lock-check"} <= script
    assert script <= {
        target for step in steps(GITHUB / "workflows/ci.yml") for target in used_targets(step.get("run", ""))
    }


def test_contributing_names_existing_targets() -> None:
    """Each `make x` in CONTRIBUTING.md, in the README and in the guides exists."""
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "deploy").rglob("*.md")]
    named = {
        target for page in pages for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"demo", "test", "docs"} <= named <= TARGETS


def test_ci_tests_every_supported_python() -> None:
    """The matrix is `requires-python`, which ends before a version, so that no supported version is untested."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    first, end = (int(minor) for minor in re.findall(r"3\.(\d+)", project["requires-python"]))
    matrix = read_yaml(GITHUB / "workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(first, end)]
    set_up = [step for path in WORKFLOWS for step in steps(path) if "setup-python" in step.get("uses", "")]
    versions = {step["with"]["python-version"] for step in set_up}
    assert versions <= {*matrix["python"], "${{ matrix.python }}"}


def test_workflows_need_no_secret_and_little_permission() -> None:
    """The only secret is the built-in token, and only the job that publishes a release can write."""
    for path in WORKFLOWS:
        assert set(re.findall(r"secrets\.(\w+)", path.read_text())) <= {"GITHUB_TOKEN"}, path
        workflow = read_yaml(path)
        assert workflow["permissions"] == {"contents": "read"}, path
        assert workflow["concurrency"]["group"], path
        assert "pull_request_target" not in workflow["on"], path
        writing = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
        assert writing == ({"publish": {"contents": "write"}} if path.name == "release.yml" else {}), path
        assert all(int(job["timeout-minutes"]) > 0 for job in workflow["jobs"].values()), path


def test_actions_are_github_s_own_and_pinned() -> None:
    """Each action has a major version, comes from GitHub, and no checkout leaves its token behind."""
    all_steps = [step for path in WORKFLOWS for step in steps(path)]
    actions = [step["uses"] for step in all_steps if "uses" in step]
    assert [action for action in actions if not re.fullmatch(r"actions/[a-z-]+@v\d+", action)] == []
    checkouts = [step for step in all_steps if step.get("uses", "").startswith("actions/checkout@")]
    assert {step["with"]["persist-credentials"] for step in checkouts} == {"false"}
    # Text of a pull request must reach a script as a variable, never as a part of it.
    assert [step for step in all_steps if "${{ github.event" in step.get("run", "")] == []


def test_issue_forms_are_complete() -> None:
    """Each form has a name, a description, and inputs with an id and a label; the bug form warns of secrets."""
    forms = [path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert {path.stem for path in forms} == {"bug", "feature"}
    for path in forms:
        form = read_yaml(path)
        assert form["name"]
        assert form["description"]
        inputs = [item for item in form["body"] if item["type"] != "markdown"]
        assert len({item["id"] for item in inputs}) == len(inputs) > 0
        assert all(item["attributes"]["label"] for item in inputs)
    assert "SECURITY.md" in (GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text()
