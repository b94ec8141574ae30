# Developers' entry point. `make run` needs nothing but Python 3.11 or newer; `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
EXTRA ?= cpu
ARGS ?=
WORKERS ?= 2
BIN := $(VENV)/bin
CONSTRAINTS := -c constraints.txt
RUN := $(EXTRA),viz
DEVELOPMENT := $(RUN),dev,docs

# uv installs fast; where it cannot reach the index that pip is configured for, pip does the same job.
# Bytecode is compiled once here: without it every process spends half a minute on imports.
define install
unset PYTHONDONTWRITEBYTECODE; \
$(BIN)/python -m pip install --quiet uv $(CONSTRAINTS) && \
$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -e '.[$(1)]' $(CONSTRAINTS) \
|| $(BIN)/python -m pip install -e '.[$(1)]' $(CONSTRAINTS)
endef

LOCK_OPTIONS := --universal --python-version 3.11.5 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links

.PHONY: help venv install install-dev run test pytest test-fast test-lowest e2e lint format bench gpu-check scale typecheck audit secrets torture viz viz-site mlflow docs docs-serve lock release-check clean
help:            ## list the targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/ -/'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("ViXML needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(RUN))
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(DEVELOPMENT))
	@touch $@ $(VENV)/.installed-run

venv: $(BIN)/python            ## create the virtual environment
install: $(VENV)/.installed-run            ## install what runs need, with Kedro-Viz
install-dev: $(VENV)/.installed-dev            ## install everything for development

run: install            ## the main job: demo data to the comparison of four variants (ARGS="--pipelines=study --params ...")
	unset PYTHONDONTWRITEBYTECODE; $(BIN)/kedro run $(ARGS)

# a worker takes 2 GB of main memory; which tests go to it together: tests/conftest.py
PYTEST := unset PYTHONDONTWRITEBYTECODE; $(BIN)/python -m pytest -n $(WORKERS)

test: install-dev lint            ## install, lint, types, tests: what CI runs (WORKERS=2 processes)
	@$(MAKE) --no-print-directory -j 2 typecheck pytest

pytest: install-dev            ## all tests (ARGS="tests/models -x"; WORKERS=0: in one process)
	$(PYTEST) $(ARGS)

test-fast: install-dev            ## tests without the end-to-end runs
	$(PYTEST) -m "not e2e" $(ARGS)

LOWEST := --resolution lowest-direct --extra $(EXTRA) --extra viz
test-lowest: $(BIN)/python            ## test-fast with the lowest versions that pyproject.toml allows (VENV=.venv-lowest: leave .venv alone)
	@mkdir -p build
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --no-annotate $(LOWEST) pyproject.toml -o build/lowest.txt
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -e '.[$(RUN),dev]' -c build/lowest.txt
	$(PYTEST) -m "not e2e" $(ARGS)

e2e: install-dev            ## only the end-to-end runs
	$(PYTEST) -m e2e $(ARGS)

lint: install-dev            ## ruff and the layers contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

audit: install-dev            ## known vulnerabilities of the installed packages (queries a public database)
	@mkdir -p build
	$(BIN)/python -m pip freeze --local --exclude-editable > build/installed.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r build/installed.txt $(ARGS)

secrets: install-dev            ## secrets in tracked files; part of the tests
	$(BIN)/python -m pytest tests/security/test_secrets.py -q

format: install-dev            ## apply ruff's fixes and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install-dev            ## every hot path against its oracle (ARGS=--quick, ARGS="--only search"); docs/explanation/benchmarks.md
	unset PYTHONDONTWRITEBYTECODE; $(BIN)/python -m benchmarks $(ARGS)

gpu-check:            ## checks and benchmarks on a GPU; needs little more than torch (ARGS=--quick: without a GPU)
	PYTHONPATH=src $(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu_check $(ARGS)

scale: install-dev            ## the whole line at LF-AmazonTitles-1.3M's numbers, made up, on a CPU (ARGS="--scale 0.02")
	unset PYTHONDONTWRITEBYTECODE; $(BIN)/python -m benchmarks.scale $(ARGS)

typecheck: install-dev            ## mypy
	$(BIN)/mypy

viz: install            ## Kedro-Viz in the browser
	$(BIN)/kedro viz run $(ARGS)

viz-site: install            ## Kedro-Viz with the results as a static site in build/: for any web server
	unset PYTHONDONTWRITEBYTECODE; $(BIN)/kedro viz build --include-previews

docs: install-dev            ## the documentation site in build/site; a warning is an error
	$(BIN)/python -m vixml.configuration.reference docs/reference/configuration.md
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

docs-serve: docs            ## the documentation site in the browser, updated as you edit
	$(BIN)/mkdocs serve $(ARGS)

mlflow: install            ## MLflow's user interface on the project's store
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/kedro mlflow ui $(ARGS)

torture: install-dev            ## SIGKILL every variant's run at 20 random moments each, rerun, compare (ARGS="--kills 4")
	unset PYTHONDONTWRITEBYTECODE; $(BIN)/python tests/e2e/torture.py $(ARGS)

lock: install-dev            ## requirements.lock: all packages of constraints.txt with hashes, without a registry's name
	{ sed '/^[^#]/,$$d' requirements.lock; $(BIN)/uv pip compile --quiet --no-header $(LOCK_OPTIONS) \
	  --extra $(EXTRA) --extra viz --extra dev --extra docs $(CONSTRAINTS) pyproject.toml; } > build-lock.tmp && mv build-lock.tmp requirements.lock

release-check: install-dev            ## build, check, install the wheel elsewhere, run the demo from it, serve its model (ARGS=--keep)
	unset PYTHONDONTWRITEBYTECODE; PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/e2e/release_check.py $(ARGS)

clean:            ## remove caches and build products; data, runs and the environment stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .viz
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
