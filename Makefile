# Everything that one does with this project; `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos check lint types docs format requirements broker env clean

# Two at a time: much of a test is waiting for processes. tests/conftest.py says what stays together.
PARALLEL := --numprocesses 2 --dist loadscope --no-loadscope-reorder
FAULTS := $(addprefix tests/acceptance/test_,draining.py events.py failures.py kills.py network.py)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make the environments, the demo model, the local broker and browser, where missing
	@deploy/local/setup edges rasa model broker browser promtool

demo: ## Run the demo bot behind the bridge (ONCE=1: play it through once and end)
	@deploy/local/setup rasa model broker
	.venv-rasa/bin/python deploy/demo/run.py $(if $(ONCE),--once)

test: setup ## Run all tests beside rasa, then those that need no rasa on a current Python
	.venv-rasa/bin/python -m pytest $(PARALLEL) tests
	.venv/bin/python -m pytest $(PARALLEL) tests/unit tests/integration

chaos: setup ## Run the fault tests at length, on both Pythons (about 15 minutes)
	RASA_BRIDGE_CHAOS=1 .venv-rasa/bin/python -m pytest $(FAULTS)
	RASA_BRIDGE_CHAOS=1 .venv/bin/python -m pytest $(FAULTS)

check: lint types test ## Run everything that CI runs

lint: ## Check style and format
	@deploy/local/setup edges
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: ## Check the types
	@deploy/local/setup edges
	.venv/bin/mypy --strict bridge worker

docs: ## Build the documentation site into build/docs; broken links and anchors fail
	@deploy/local/setup docs
	.venv-docs/bin/mkdocs build --strict --clean

format: ## Format, and fix what can be fixed
	@deploy/local/setup edges
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

requirements: ## Pin the newest releases that fit deploy/requirements/*.in
	deploy/local/setup requirements

broker: ## Run a private RabbitMQ in the foreground
	python3 deploy/local/broker.py run

env: ## Write .env for docker-compose.yml, with random passwords
	@deploy/make-env

clean: ## Remove environments, caches and the demo model; nothing outside this directory
	rm -rf .venv .venv-rasa .venv-docs .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	rm -rf deploy/demo/models
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Kept: .env, deploy/demo/*.db (conversations), ~/.cache/rasa-channel-bridge (local broker)."
