# Every target makes .venv first when it is missing; nothing but Python, make and a registry is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What readers of the store use, for the tests of docs/how-to/clients.md. In a folder of its own: PyArrow imports
# pandas wherever it finds it, and every command would pay for that.
CLIENTS := pandas polars
STAMP := $(VENV)/installed
# dbt starts twice as fast with its bytecode cached.
unexport PYTHONDONTWRITEBYTECODE
# dbt, the materializer and the server are used by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo movielens recommendation test soak mutants lint format serve bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/clients $(CLIENTS) --constraint constraints.txt
	@touch $@

demo: $(STAMP) ## Run the main job on the sample: build, gate, publish, push, look up
	@$(BIN)/python -m examples.demo

movielens: $(STAMP) ## Run the main job on MovieLens 100k, which it downloads
	@$(BIN)/python -m examples.movielens.run

recommendation: $(STAMP) ## Run three pipelines: features, training, inference
	@$(BIN)/python -m examples.recommendation.run

test: $(STAMP) ## Run every test
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

soak: $(STAMP) ## Run the tests that draw examples, with many more of them
	TESTS_PROFILE=soak $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m 'hypothesis or soak'

mutants: $(STAMP) ## See each known bug turn the test red that is there for it
	@$(BIN)/python -m tests.mutants.run

lint: $(STAMP) ## Check style and types of Python and SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dbt --quiet --warn-error parse
	$(BIN)/sqlfluff lint --processes 1 dbt_project/models dbt_project/tests/*.sql

format: $(STAMP) ## Put Python and SQL into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix dbt_project/models dbt_project/tests/*.sql

serve: $(STAMP) ## Serve lookups on http://127.0.0.1:8000
	@$(BIN)/feature-server

bench: $(STAMP) $(VENV)/plot ## Run every benchmark, within 40 minutes, or with QUICK=1 small ones; OUT= is where the table goes
	@$(BIN)/python -m benchmarks.run $(if $(OUT),--out $(OUT))

# Only the picture wants it, so nothing else sees it.
$(VENV)/plot: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $@ matplotlib --constraint constraints.txt

clean: ## Stop the embedded online store, remove what the store and its tools wrote
	@if [ -x $(BIN)/materializer ]; then \
		for home in .feature_store $(addprefix .feature_store/,demo movielens readme recommendation tutorial) examples/recommendation/.feature_store; do \
			if [ -d $$home ]; then FEATURE_STORE_HOME=$$home $(BIN)/materializer stop; fi; \
		done; \
	fi
	rm -rf .feature_store target logs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf $(addprefix examples/recommendation/,.feature_store .dbt_packages package-lock.yml target logs)
