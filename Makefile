# flatdex: `make demo` and `make test` set up all that they need. `make help` lists the rest.

PYTHON ?= python3
# The configuration that build, promote, push, publish and serve work on.
CONFIG ?= $(firstword $(wildcard flatdex.yaml build/demo/flatdex.yaml))
SNAPSHOT ?=
TARGET ?=
PORT ?= 8080
# Where install-units writes to.
UNITS ?= /etc/systemd/system
SYSUSERS ?= /etc/sysusers.d
# Tests wait for servers and disks most of the time: more of them run at once than there are processors.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))

BIN := .venv/bin
FLATDEX := $(BIN)/flatdex $(if $(CONFIG),-c $(CONFIG))
INSTALLED := .venv/.flatdex
EQUIPPED := .venv/.flatdex-tests
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
CHECKED := .venv/.flatdex-checkers
# What pages are checked with: accessibility, and valid HTML. Newer ones may find more.
CHECKERS := axe-core@4.14.1 vnu-jar@26.9.27

.DEFAULT_GOAL := help
.PHONY: help demo serve build promote push rollback publish install-units test lint bench clean packages-demo packages-test packages-bench

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "build, promote, push, rollback, publish and serve take CONFIG=FILE (default: flatdex.yaml, else the demo's);"
	@echo "promote and rollback take SNAPSHOT=ID, push takes TARGET=NAME, serve takes PORT=N, all take PYTHON=python3.x."

demo: packages-demo $(INSTALLED)  ## run the main job on example images: build, promote, push, verify
	@$(BIN)/python -m demo

serve: $(INSTALLED)  ## show what was promoted on http://127.0.0.1:8080/ (a preview)
	@$(FLATDEX) serve --port $(PORT)

build: $(INSTALLED)  ## read the sources and write a snapshot
	@$(FLATDEX) build

promote: $(INSTALLED)  ## let `current` name a snapshot
	@$(FLATDEX) promote $(SNAPSHOT)

push: $(INSTALLED)  ## copy what `current` names to the targets
	@$(FLATDEX) push $(TARGET)

rollback: $(INSTALLED)  ## publish again what was current before, or SNAPSHOT, and hold it
	@$(FLATDEX) rollback $(SNAPSHOT)

publish: $(INSTALLED)  ## build, promote and push: the one for cron
	@$(FLATDEX) publish

install-units: $(INSTALLED)  ## write units for systemd: a watch, and a publish by a timer
	@test -n "$(CONFIG)" || { echo "name a configuration: make install-units CONFIG=/etc/flatdex/flatdex.yaml"; exit 2; }
	@$(FLATDEX) units --sysusers "$(SYSUSERS)" "$(UNITS)"

test: packages-test lint $(CHECKED)  ## run all checks and tests, against real servers and the real client
	$(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

lint: $(EQUIPPED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: packages-bench $(EQUIPPED)  ## measure against a floor taken in the same run
	$(BIN)/python -m bench

clean:  ## remove what was built here: .venv, build, caches
	rm -rf .venv build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages-demo:
	@PYTHON="$(PYTHON)" setup/packages demo

packages-test:
	@PYTHON="$(PYTHON)" setup/packages test

packages-bench:
	@PYTHON="$(PYTHON)" setup/packages bench

$(INSTALLED): setup.cfg pyproject.toml
	@test -x $(BIN)/pip || { echo "making a virtual environment in .venv"; $(PYTHON) -m venv --clear .venv; }
	@echo "installing flatdex into .venv"
	@$(PIP) --editable .
	@touch $@

$(EQUIPPED): $(INSTALLED)
	@echo "installing what the tests need into .venv"
	@$(PIP) --editable ".[test]"
	@touch $@

$(CHECKED): $(EQUIPPED)
	@echo "installing what pages are checked with into .venv"
	@npm install --prefix .venv --no-save --ignore-scripts --no-audit --no-fund --silent $(CHECKERS)
	@touch $@
