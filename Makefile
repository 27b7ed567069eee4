# Every target does its own set-up, inside the checkout (.venv/ and build/); a second run reuses what the first one made.
#
#   make demo       the whole story without hardware           make bench      measure (ONLY=wire for one family)
#   make test       lint and the tests                         make lint       ruff, pyright, import rules
#   make test-long  the slow ones too                          make size       rewrite docs/footprint.md
#   make setup      only the set-up                            make clean      forget build/ and .venv/ (keeps downloads)

PYTHON ?= python3
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# One more than two cores: a node in the air lives in real time, and a test that waits for it leaves its core idle.
JOBS ?= 3
ONLY ?=

# A file's tests stay together, for what they share, and files keep their order: the long ones are in e2e and firmware.
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Tests start many a Python, and one that may not keep what it has compiled takes twice the time to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup runtimes demo test test-long bench lint pytest size clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@$(PYTHON) tools/bootstrap.py

runtimes: setup
	@$(PY) tools/get_micropython.py --quiet
	@$(PY) tools/get_mosquitto.py --quiet --optional

# Who came for this does not wait for the tests' tools.
demo:
	@$(PYTHON) tools/bootstrap.py --for demo
	@$(PY) tools/get_micropython.py --quiet
	@.venv/bin/citymote demo $(DEMO)

lint: setup
	@$(PY) -m ruff check .
	@$(PY) tools/check_imports.py
	@$(PY) -m pyright
	@$(PY) -m pyright -p firmware

pytest: runtimes
	@$(PYTEST) $(SPREAD) $(MARKED) $(ARGS)

# Side by side, once the environment is there.
test: runtimes
	@$(MAKE) --no-print-directory -j2 lint pytest

test-long: export MARKED := -m "not bench and not hil"
test-long: runtimes
	@$(MAKE) --no-print-directory -j2 lint pytest

bench: runtimes
	@$(PY) tools/bench.py --only "$(ONLY)" $(ARGS)

size: runtimes
	@$(PY) tools/size_report.py --write docs/footprint.md

clean:
	@$(PYTHON) tools/bootstrap.py --clean
