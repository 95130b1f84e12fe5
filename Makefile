# make demo: everything in a few minutes; make test: the tests. Both set up what they need, once.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
PYTEST := $(RUN) -m pytest -n auto --dist worksteal
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all paper findings tensorboard bench lint format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV), once: a few minutes"
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[dev,notebook]"
	touch $(STAMP)

demo: $(STAMP) ## the paper's network and a better one under both losses, on embedded data (minutes)
	$(RUN) -m vsr_lightning.train -m experiment=quick,quick_residual_fusion loss=mse,perceptual $(ARGS)

test: $(STAMP) ## run the tests (minutes)
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(STAMP) ## all tests, also those that kill processes and start several, with coverage (a quarter of an hour)
	$(PYTEST) -m "not slow" --cov --cov-report=term $(ARGS)
	$(PYTEST) -m slow $(ARGS)

paper: $(STAMP) ## the paper, strictly: published data, ImageNet features, 50 epochs (a GPU, or hours)
	$(RUN) -m vsr_lightning.train -m loss=mse,perceptual experiment=paper $(ARGS)

findings: $(STAMP) ## docs/findings.md anew; from other runs than those kept: make findings ARGS=runs/findings
	$(RUN) -m vsr_lightning.findings $(ARGS)

tensorboard: $(STAMP) ## the dashboards of all runs
	$(RUN) -m tensorboard.main --logdir runs $(ARGS)

bench: $(STAMP) ## how fast it is, as ratios measured side by side (minutes)
	$(RUN) -m benchmarks $(ARGS)

lint: $(STAMP) ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(STAMP) ## let ruff put the code in order
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean: ## remove the environment and the caches, not the runs
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist
