# Everything a person does with this checkout. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help demo up setup test check lint types contracts quick fuzz bench format lock clean
SHELL := /bin/bash
PY := .venv/bin/python
# Two processes: containers of one run share a machine, and two cores are the smallest machine that we promise to be quick on.
JOBS ?= 2
FUZZ ?= 60

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: ## install what is needed and run real pipelines in containers
	@scripts/demo

up: setup ## run a whole server here: pages, worker, runner; Ctrl-C ends it
	@PATH="$$PWD/.venv/bin:$$PATH" $(PY) -m honcho start

setup: ## make .venv with Hako and the tools for development
	@scripts/setup --dev

test: setup ## every test
	@HAKO_LEAKS=fail $(PY) -m pytest -q -n $(JOBS) $(TESTS); code=$$?; echo $$code > build/test-code; exit $$code

check: setup lint types contracts quick ## linters, types, import contracts, documentation, quick tests; under a minute

lint:
	@$(PY) -m ruff check -q . && $(PY) -m ruff format -q --check . && echo "lint: passed"

types:
	@$(PY) -m mypy --no-error-summary && echo "types: passed"

contracts:
	@out=$$(.venv/bin/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }; echo "contracts: passed"

quick:
	@$(PY) -m pytest -q -n $(JOBS) -m 'not slow and not network and not root'

fuzz: setup ## mutate Dockerfiles for FUZZ=60 seconds, and see that each is read or refused
	@$(PY) -m tests.sandbox.dockerfile.fuzzing --seconds $(FUZZ)

bench: setup ## measure Hako beside podman, runc and bwrap
	@$(PY) -m bench $(BENCH)

format: setup ## format the code and sort the imports
	@$(PY) -m ruff check -q --fix --select I . ; $(PY) -m ruff format .

lock: ## resolve the lock files anew from pyproject.toml
	@scripts/lock

clean: ## remove .venv, caches and build products; images and containers stay
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
