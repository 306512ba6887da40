# Each target installs what it needs: Python 3.11 or later, make and (for the tests) apt as root are enough.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo up test coverage faults fuzz check fmt bench mutants conformance openapi statements package migrate database setup lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Libraries that exist as source only are built by the setuptools that requirements/build.txt pins, and not by one that pip fetches.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation
JOBS ?= 2

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: $(VENV)/.local ## generate an image and a video on the local cloud and check them; ARGS=--exit ends afterwards
	@$(BIN)/python -m devcloud.demo $(ARGS)

up: $(VENV)/.local ## run the local cloud and keep its data in .devcloud/data; ARGS="--port 9000 --fresh"
	@$(BIN)/python -m devcloud up --data .devcloud/data $(ARGS)

test: setup $(if $(filter tests/unit%,$(ARGS)),,database) ## run every test, and install and start what the tests need; ARGS=tests/unit for a part
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

coverage: override ARGS += --cov
coverage: test ## run the tests like make test, and print the lines and branches that they miss; ARGS=tests/unit for a part

faults: setup database ## run the crash tests with every step in every variant (about half an hour)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/faults --every-point --timeout 900 $(ARGS)

fuzz: setup ## send random requests to the API for 15 minutes, and probe 5,000 broken media files; ARGS="--fuzz-minutes 60"
	$(BIN)/python -m pytest -n 0 tests/fuzz --fuzz-minutes 15 $(ARGS)

check: setup ## check style, formatting, types and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup ## format the code and sort its imports
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

bench: setup ## measure imports, transfers and the OSS emulator, as ratios against a peer in the same run
	$(BIN)/python -m bench $(ARGS)

# A later run continues: only mutants of changed functions, or those that ARGS names, are run again.
mutants: setup ## change rules and use cases, and list the changes that no unit test finds; ARGS="shared.domain.keys*"
	$(BIN)/python -m mutmut run --max-children $(JOBS) $(ARGS)
	@$(BIN)/python -m tests.mutants

conformance: setup ## run oss2's own tests against the OSS emulator (signatures V1 and V4); OSS2_TESTS=path of a tests folder
	$(BIN)/python -m tests.conformance $(ARGS)

openapi: $(VENV)/.local ## generate functions/api/openapi.json from the routes and the models
	$(BIN)/python -m openapi

statements: setup ## at a release: record the SQL of this release, which must work on the next schema
	$(BIN)/python -m tests.contract.released_statements

package: $(VENV)/.local ## build dist/ with one folder per function, ready to deploy
	$(BIN)/python -m devcloud package --into dist $(ARGS)

migrate: $(VENV)/.local ## create or update the tables of the database at DATABASE_URL
	$(BIN)/python -m alembic -c migrations/alembic.ini upgrade head

database: setup ## find the database server of the tests: MYSQL_URL, an installed mariadbd, or apt's mariadb-server-core
	@$(BIN)/python -m tests.mariadb

setup: $(VENV)/.dev ## create .venv with everything that the tests and the local cloud need

# Two steps, so that the demo does not wait for the libraries of the tests.
$(VENV)/.local: requirements/build.txt requirements/local.txt
	@echo "setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 …")'
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null && $(PYTHON) -m venv $(VENV); }
	@$(PIP) --only-binary :all: -r requirements/build.txt
	@$(PIP) -r requirements/local.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.local
	@echo "adding the libraries of the tests"
	@$(PIP) -r requirements/dev.txt
	@touch $@

UV := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
FC_PLATFORM := --python-version 3.12 --python-platform x86_64-manylinux_2_31

lock: setup ## pin every requirement again, with hashes; ARGS=--upgrade for newer versions
	$(PIP) uv
	$(UV) --universal --python-version 3.11 $(ARGS) requirements/build.in -o requirements/build.txt
	$(UV) --universal --python-version 3.11 $(ARGS) requirements/dev.in -o requirements/dev.txt
	$(UV) --universal --python-version 3.11 -c requirements/dev.txt requirements/local.in -o requirements/local.txt
	$(UV) $(FC_PLATFORM) -c requirements/dev.txt requirements/api.in -o functions/api/requirements.txt
	$(UV) $(FC_PLATFORM) -c requirements/dev.txt requirements/webhooks.in -o functions/deliver_webhooks/requirements.txt
	for function in generate_image generate_video index_outputs clean_up; do \
	  $(UV) $(FC_PLATFORM) -c requirements/dev.txt requirements/worker.in -o functions/$$function/requirements.txt; \
	done

clean: ## remove build results and the local cloud's data, but not .venv
	rm -rf dist build mutants .coverage .coverage.* .devcloud .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
