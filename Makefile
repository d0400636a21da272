# Goldsmith: `make run` builds, boots, proves and publishes a real golden image; `make test` passes the tests.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
T ?= tests
TEMPLATE ?= examples/hardened.yaml
# Capturing a base and customising it need root, or a user with a range of subordinate ids.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
.DEFAULT_GOAL := help

.PHONY: help run test lint fmt boot bench docs ci setup setup-dev clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

run: setup ## build, boot-test, sign and publish examples/hardened.yaml (TEMPLATE=... for another one)
	@$(AS_ROOT) $(BIN)/goldsmith image build $(TEMPLATE) --create-definition

setup: ## install what is missing: OS packages with apt, the virtual environment
	@VENV=$(VENV) sh scripts/setup.sh run

setup-dev:
	@VENV=$(VENV) sh scripts/setup.sh dev

lint: setup-dev ## formatting, lint, types, and who may import whom
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

fmt: setup-dev ## put the code into the one format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

test: lint ## lint, then every test that belongs to the gate; boots real images (T=path for some of them)
	@$(BIN)/python -m pytest $(T) -m "not long"

boot: setup-dev ## only the tests that boot images, the long ones too
	@$(BIN)/python -m pytest tests -m "boot or long"

bench: setup-dev ## paired timings against named peers (installs the peers)
	@VENV=$(VENV) sh scripts/setup.sh bench
	@$(BIN)/python -m bench.run

docs: setup-dev ## write the reference pages from the code
	@$(BIN)/python scripts/reference.py

ci: test ## what CI runs

clean: ## remove the virtual environment; built images stay (see: goldsmith doctor)
	rm -rf $(VENV)
