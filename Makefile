# Every target does its own set-up, inside the checkout (.venv/ and build/); a second run reuses what the first one made.
#
#   make demo       the whole story without hardware           make bench      measure (ONLY=wire for one family)
#   make test       lint and the tests                         make lint       ruff, pyright, import rules
#   make test-long  the slow ones too                          make size       rewrite docs/footprint.md
#   make setup      only the set-up                            make clean      forget build/ and .venv/ (keeps downloads)

PYTHON ?= python3
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
JOBS ?= 2
ONLY ?=

.DEFAULT_GOAL := help
.PHONY: help setup runtimes demo test test-long bench lint size clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@$(PYTHON) tools/bootstrap.py

runtimes: setup
	@$(PY) tools/get_micropython.py --quiet
	@$(PY) tools/get_mosquitto.py --quiet --optional

demo: runtimes
	@.venv/bin/citymote demo $(DEMO)

lint: setup
	@$(PY) -m ruff check .
	@$(PY) tools/check_imports.py
	@$(PY) -m pyright
	@$(PY) -m pyright -p firmware

test: runtimes lint
	@$(PYTEST) -n $(JOBS) --dist loadfile $(ARGS)

test-long: runtimes lint
	@$(PYTEST) -n $(JOBS) --dist loadfile -m "not bench and not hil" $(ARGS)

bench: runtimes
	@$(PY) tools/bench.py --only "$(ONLY)" $(ARGS)

size: runtimes
	@$(PY) tools/size_report.py --write docs/footprint.md

clean:
	@$(PYTHON) tools/bootstrap.py --clean
