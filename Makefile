.PHONY: help demo test test-pythons test-versions lint bench chaos docs sandbox load clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready

help:
	@echo "make demo      watch events from a Flask app and a replay file arrive at a collector"
	@echo "make sandbox   run a local collector to look at"
	@echo "make test      lint, types, layers, and every test"
	@echo "make test-pythons  every test on newer Pythons, each in a Debian of its own (root, debootstrap)"
	@echo "make test-versions  the integrations with the oldest and newest versions of their frameworks"
	@echo "make lint      lint, types and layers only"
	@echo "make chaos     break everything on purpose, and count (writes docs/reliability.md)"
	@echo "make load      2,000 requests a second into the sandbox while its page is open"
	@echo "make docs      a site of all docs with a reference, below build/docs/site"
	@echo "make bench     measure against other SDKs (writes benchmarks/results.md)"

# The virtual environment, with what the lock file pins. Made anew when the lock changes.
$(LOCKED): requirements.lock
	@echo "Setting up $(VENV) (once; a minute or so)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock 2> $(VENV)/pip.log \
		|| (cat $(VENV)/pip.log >&2; exit 1)
	@touch $(LOCKED)

$(READY): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 2>> $(VENV)/pip.log \
		|| (cat $(VENV)/pip.log >&2; exit 1)
	@$(BIN)/python -m compileall -q totango_sdk
	@touch $(READY)

demo: $(READY)
	@$(BIN)/python scripts/demo.py $(if $(KEEP),--keep)

sandbox: $(READY)
	@$(BIN)/totango sandbox $(if $(PORT),--port $(PORT))

load: $(READY)
	@bash scripts/install_servers.sh
	@$(BIN)/python scripts/load_sandbox.py $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet totango_sdk examples scripts tests || (echo "run: $(BIN)/ruff format totango_sdk examples scripts tests"; exit 1)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

test: lint
	@bash scripts/install_servers.sh
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --cov --cov-report=term $(ARGS)

test-pythons:
	@bash scripts/test_pythons.sh $(ARGS)

test-versions: $(READY)
	@bash scripts/install_servers.sh
	@$(BIN)/python scripts/test_versions.py $(ARGS)

chaos: $(READY)
	@bash scripts/install_servers.sh
	@$(BIN)/python -m tests.chaos $(ARGS)

docs: $(READY)
	@$(BIN)/python scripts/docs.py

bench:
	@bash benchmarks/run.sh $(ARGS)

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
