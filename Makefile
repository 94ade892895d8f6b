# make repro | test | lint | clean. Each sets up .venv first, once.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: setup repro test lint clean
setup: $(READY)

$(READY): requirements.lock pyproject.toml pipeline/plots_page.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(VENV)/bin/python -m pipeline.plots_page
	@touch $@

# The whole pipeline on the data that params.yaml names: as committed, the demo.
repro: setup
	dvc repro
	@memorability leaderboard

test: setup
	python -m pytest

lint: setup
	ruff check .
	ruff format --check .
	mypy

clean:
	rm -rf $(VENV) .states logs
