# Every target sets up what it needs: `.venv` is made once and only again when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
METHODS := erm mixup regmixup
RUNS := $(METHODS:%=runs/digits/%)

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-all lint format benchmarks readme clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(VENV)/.installed ## make .venv and install hfmix into it (once)

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hfmix needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

quickstart: install ## train, measure and compare ERM, mixup and RegMixup on handwritten digits
	@for method in $(METHODS); do \
	  $(BIN)/accelerate launch --quiet --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
	    -m hfmix.train recipes/digits/$$method.yaml --overwrite \
	    $$(test $$method = erm || echo --baseline runs/digits/erm) || exit; \
	done
	@$(BIN)/hfmix compare $(RUNS) --out runs/digits/comparison
	@printf '%s\n' \
	  '' \
	  'Next:' \
	  '  publish a run       $(BIN)/hfmix push runs/digits/regmixup --repo-id <your-name>/digits-regmixup' \
	  '  your own images     $(BIN)/hfmix train recipes/finetune.yaml --dataset_name <folder with one subfolder a class>' \
	  '  every option        $(BIN)/hfmix train --help'

# Two files at a time, each in one thread: nets as small as the tests' gain nothing from more. In the order of the
# files, as what starts processes of its own and takes longest would else come last.
test: install ## the tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-all: install ## the tests and what takes longer
	$(BIN)/pytest

lint: install ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: install ## measure the figures of experiments/benchmarks/
	$(BIN)/python experiments/benchmarks/startup.py
	$(BIN)/python experiments/benchmarks/mixing.py
	$(BIN)/python experiments/benchmarks/mixing_gpu.py
	$(BIN)/python experiments/benchmarks/losses.py
	$(BIN)/python experiments/benchmarks/corruptions.py
	$(BIN)/python experiments/benchmarks/sounds.py
	$(BIN)/python experiments/benchmarks/evaluation.py
	$(BIN)/python experiments/benchmarks/trainer.py
	$(BIN)/python experiments/benchmarks/loading.py
	$(BIN)/python experiments/benchmarks/step.py
	$(BIN)/python experiments/benchmarks/epoch.py
	$(BIN)/python experiments/benchmarks/training_gpu.py

readme: install ## put the last quickstart's table and figure, and the results, into their pages
	$(BIN)/python -m experiments.papers.update_readme runs/digits/comparison
	$(BIN)/python -m experiments.papers.pages

clean: ## remove .venv and runs
	rm -rf $(VENV) runs
