# Everything a newcomer runs. `make setup` comes first by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
BENCHMARKS ?= roofline inference training_step field peers growth from_file streaming
OUT ?= runs/demo

define newline


endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow bench study check format clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed ## make .venv with everything for development

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "vov3d needs Python 3.10 or newer; set PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch $(TORCH_FLAGS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## train on the built-in motion set, or with DATA=folder on your videos; ends in runs/demo/report.html
	$(BIN)/vov3d demo --out $(OUT) $(if $(DATA),--data '$(DATA)')

test: setup ## run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-slow: setup ## run the tests that take minutes: kills, fuzzing, several nodes
	$(BIN)/pytest -m slow --numprocesses 2 --dist loadfile

bench: setup ## measure what a CPU takes, in about a quarter of an hour, and write docs/performance.md anew
	$(foreach part,$(BENCHMARKS),$(BIN)/python benchmarks/$(part).py$(newline))
	$(BIN)/python docs/make_tables.py

study: setup ## train and test what docs/evidence.md asks for, about an hour on two cores, and write it anew
	$(BIN)/python studies/evidence.py --share 1/2 & first=$$!; $(BIN)/python studies/evidence.py --share 2/2 && wait $$first
	$(BIN)/python studies/clip_times.py
	$(BIN)/python docs/make_tables.py

check: setup ## lint, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built, keep runs
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
