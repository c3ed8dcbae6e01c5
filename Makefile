.PHONY: help demo test lint bench chaos sandbox load clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:
	@echo "make demo      watch events from a Flask app and a replay file arrive at a collector"
	@echo "make sandbox   run a local collector to look at"
	@echo "make test      lint, types, layers, and every test"
	@echo "make lint      lint, types and layers only"
	@echo "make chaos     break everything on purpose, and count (writes docs/reliability.md)"
	@echo "make load      2,000 requests a second into the sandbox while its page is open"
	@echo "make bench     measure against other SDKs (writes benchmarks/results.md)"

# The virtual environment, with what the lock file pins. Made anew when the lock changes.
$(READY): requirements.lock pyproject.toml
	@echo "Setting up $(VENV) (once; a minute or so)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock 2> $(VENV)/pip.log \
		|| (cat $(VENV)/pip.log >&2; exit 1)
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

chaos: $(READY)
	@bash scripts/install_servers.sh
	@$(BIN)/python -m tests.chaos $(ARGS)

bench:
	@bash benchmarks/run.sh $(ARGS)

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
