# Every target sets up its own environment, so each works as the first command on a fresh clone.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Two at once: most tests keep one core busy. Fixtures of a file are built once.
PARALLEL := -n 2 --dist loadfile

.PHONY: quickstart test test-fast lint format

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "igep needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --editable ".[test]"
	touch $@

quickstart: $(VENV)/installed  ## train with and without geometry, save, reload, answer from RGB, print the table
	$(RUN) trainers/quickstart.py --output outputs/quickstart

test: lint  ## lint, then every test
	$(RUN) -m pytest $(PARALLEL) --durations=15

test-fast: lint  ## without the tests that train for long or start other processes
	$(RUN) -m pytest $(PARALLEL) -m "not slow"

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
