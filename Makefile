# make repro | test | lint | photos | clean. Each sets up .venv first, once.
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: setup repro test lint photos clean
setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing some 220 packages, PyTorch the largest (5 GB with CUDA): 3 to 10 minutes, once."
	$(VENV)/bin/python -m pip install --progress-bar on --disable-pip-version-check --require-hashes --requirement requirements.lock \
		| { grep --line-buffered -E '^(Collecting|Downloading|Installing|Successfully)' || true; } | cut -c1-100
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The whole pipeline on the data that params.yaml names: as committed, the quick demo.
repro: setup
	dvc repro
	@memorability leaderboard
	@python -m pipeline.done

test: setup
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations 25

# The released model, from MemCat's pictures at external/memcat; params.yaml becomes profiles/photos.yaml.
photos: setup
	cp profiles/photos.yaml params.yaml
	dvc repro
	memorability crossval photos
	memorability crossval photos --by category
	memorability release photos --to src/memorability/released/photos

lint: setup
	ruff check .
	ruff format --check .
	mypy

clean:
	rm -rf $(VENV) .states logs
