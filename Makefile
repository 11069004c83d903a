# Each target makes the virtual environment that it needs; CI runs the same targets. Many tests wait for sockets
# and processes, so that more of them than there are cores run beside each other.
# What Python compiles is kept: else each of pytest's workers, and each program of a test, compiles it again.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV ?= .venv$(addprefix -,$(filter-out python3,$(notdir $(PYTHON))))
BIN = $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP = $(VENV)/.installed
WORKERS = -n 4 --dist worksteal

.PHONY: setup demo test test-slow test-all test-uvloop test-lowest coverage check bench budgets hunt docs dist clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev --group examples --group openapi --group bench --group docs
	touch $(STAMP)

setup: $(STAMP) ## the virtual environment .venv, with all that the targets below need

DEMO = .venv-demo/.installed

$(DEMO): pyproject.toml
	@echo "installing what the demo needs (make test and make check need more), some seconds"
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[cli]"
	@touch $(DEMO)

demo: $(DEMO) ## 60 leads through a local LeadSquared emulator, to their outcomes
	.venv-demo/bin/leadsquared demo

test: $(STAMP) ## all tests but the slow ones, with Chromium; PYTHON=python3.13 runs them on another Python
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

test-slow: $(STAMP) ## the slow tests: killed processes, whole programs, days in virtual time
	$(BIN)/python -m pytest $(WORKERS) -m slow

test-all: test test-slow ## all tests

test-uvloop: $(STAMP) ## the tests that have an event loop, on uvloop
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and not browser" --uvloop

test-lowest: ## as test, with the lowest version of every dependency that pyproject.toml allows
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(PYTHON) tests/lowest.py > $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --editable ".[all]" --group dev --constraint $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/python -m pytest $(WORKERS) -m "not slow and not browser" --ignore tests/examples --ignore tests/test_benchmarks.py

coverage: $(STAMP) ## make test, measured; lists the lines and branches that it does not run, and fails under 95 %
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(WORKERS) -m "not slow"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: $(STAMP) ## linters and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

bench: $(STAMP) ## what things cost, beside the peers and against their budgets; writes docs/benchmarks
	$(BIN)/python -m benchmarks --keep

SECONDS ?= 300

hunt: $(STAMP) ## look for errors at random, for SECONDS=300: crashes, cancellations, faults, a bad network, mutants
	$(BIN)/python -m tests.hunt --seconds $(SECONDS)

budgets: $(STAMP) ## the ratios that must not get worse, with room for noise
	$(BIN)/python -m benchmarks.budgets

docs: $(STAMP) ## the documentation site, in site/; fails for a broken link or a public name without an entry
	$(BIN)/python docs/scripts/build_site.py
	$(BIN)/python docs/scripts/check_site.py

dist: $(STAMP) ## build what would be published into dist/, and install and use it with each extra
	rm -rf dist
	$(BIN)/python -m pip install --quiet --group dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m tests.distribution dist

clean:
	rm -rf dist site .pages .cache .venv* .mypy_cache .pytest_cache .ruff_cache .hypothesis
