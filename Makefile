# Every target sets up its own environment, so each works as the first command on a fresh clone.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Two at once: most tests keep one core busy. Fixtures of a file are built once.
PARALLEL := -n 2 --dist loadfile

.PHONY: quickstart test test-fast test-latest test-lowest lock lint format

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "igep needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.lock
	$(RUN) -m pip install --quiet --no-deps --editable .
	touch $@

quickstart: $(VENV)/installed  ## train with and without geometry, save, reload, answer from RGB, print the table
	$(RUN) trainers/experiments/quickstart.py --output outputs/quickstart

test: lint  ## lint, then every test
	$(RUN) -m pytest $(PARALLEL) --durations=15

test-fast: lint  ## without the tests that train for long or start other processes
	$(RUN) -m pytest $(PARALLEL) -m "not slow"

test-latest: .venv-latest  ## every test on the newest releases that pyproject.toml allows
	.venv-latest/bin/python -m pytest $(PARALLEL)

test-lowest: .venv-lowest  ## the core tests on the lowest releases that pyproject.toml allows
	.venv-lowest/bin/python -m pytest $(PARALLEL) -m "not slow"

# Made anew at every call: what is newest changes from day to day.
.PHONY: .venv-latest .venv-lowest
.venv-latest: RESOLUTION := highest
.venv-lowest: RESOLUTION := lowest-direct
.venv-latest .venv-lowest: .venv-uv/bin/uv
	.venv-uv/bin/uv venv --quiet --clear --seed --python $(PYTHON) $@
	.venv-uv/bin/uv pip install --quiet --python $@ --resolution $(RESOLUTION) --editable ".[test]"
	.venv-uv/bin/uv pip list --python $@ | grep -E "^(torch|torchvision|transformers|trl|peft|accelerate|datasets|gradio|numpy) "

lock: .venv-uv/bin/uv  ## requirements.lock, for Python 3.11 and newer; newest releases with `make lock UPGRADE=--upgrade`
	.venv-uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra test --no-annotate $(UPGRADE) \
		--custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

.venv-uv/bin/uv:
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/python -m pip install --quiet uv

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(VENV)/installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
