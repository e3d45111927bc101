# Every task of this project. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo unit test test-rasa test-pro test-edges lowest chaos simulate bench check lint types docs format requirements broker env build sbom images clean

# Where it is set, each of the many hundred processes that the tests start compiles all its imports.
unexport PYTHONDONTWRITEBYTECODE

RASA := .venv-rasa/bin/python
EDGES := .venv/bin/python
PRO := .venv-pro/bin/python

# tests/conftest.py decides which tests stay together. Long tests come first and those of a fraction
# of a second last, so that no process is left with a long one. PROCESSES is for each of the parts of
# `make test`, which run at once; JOBS=1 runs one after the other.
PROCESSES := 2
JOBS := 3
PARALLEL := --numprocesses $(PROCESSES) --max-worker-restart 0 --dist loadscope --no-loadscope-reorder
FAULTS := $(addprefix tests/acceptance/test_,alarm.py draining.py events.py failures.py frozen.py \
    fuzz.py hangs.py kills.py network.py slow_clients.py stalled.py turn_kills.py)
FAULTS += $(addprefix tests/integration/test_,pacing.py trace_kills.py)

# Tests that run once, on the current Python: they check files, drive a browser, or test commands whose
# libraries and broker access other tests cover on both. CONTRIBUTING.md ("What runs where") has the
# reasons; this list makes the choice.
SAME := $(addprefix tests/unit/,commands deploy connectors/test_docs.py connectors/test_layout.py \
    monitor/test_runbooks.py broker/test_generations.py delivery/test_some_recipients_fail.py)
SAME += $(addprefix tests/unit/test_,docs_examples.py docs_pages.py homes.py)
SAME += $(addprefix tests/integration/,$(addprefix test_,api.py blocked.py cli.py dashboard.py \
    dead_commands.py dead_order.py dead_replay.py due_messages.py examples.py figures.py kept_replies.py \
    metrics.py monitor_page.py monitor_receipts.py overflow.py overflow_turns.py pacing.py packaging.py \
    pause.py receipts.py resize_cuts.py status.py topology_and_send.py trace_kills.py turn_groups.py \
    urgent.py webchat.py webchat_example.py) $(addprefix connectors/test_,connectors.py hostile.py))
SAME += $(addprefix tests/simulation/test_,every_await.py loop.py model.py planted.py schedules_odd.py)
# The other half of the simulated schedules runs with rasa only.
OLDEST := tests/simulation/test_schedules_even.py

# What can differ with rasa-pro. Without RASA_LICENSE, the first ones are skipped with that reason.
NEED_MODEL := $(addprefix tests/acceptance/test_,assistant.py demo.py hosted.py lock_store.py model_server.py \
    worker.py wrapped.py)

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' bridge/__init__.py)

# Each example is a user's project: two of them may have a module of the same name.
EXAMPLES := $(wildcard examples/*/)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create the environments, demo model, local broker and test browser, if missing
	@deploy/local/setup edges rasa pro model $(if $(RASA_LICENSE),pro-model) broker redis browser webchat promtool

demo: ## Run the demo bot behind the bridge (ONCE=1: play the conversation once, then exit)
	@deploy/local/setup rasa model broker
	$(RASA) deploy/demo/run.py $(if $(ONCE),--once)

unit: ## Run the unit tests on a current Python: no broker, no rasa, under a minute
	@deploy/local/setup edges
	$(EDGES) -m pytest $(PARALLEL) tests/unit

test: setup ## Set up, then run every test: with rasa, with rasa-pro what can differ, on a current Python
	@$(MAKE) --no-print-directory --jobs $(JOBS) test-rasa test-pro test-edges
	$(EDGES) -m coverage report

# Each line of their output begins with the name of the part.
test-rasa test-pro test-edges: SHELL := /bin/bash
test-rasa test-pro test-edges: .SHELLFLAGS := -o pipefail -c

test-rasa:
	@TEST_PART=0 $(RASA) -m pytest $(PARALLEL) $(SAME:%=--ignore=%) \
	    tests/simulation tests/acceptance tests/contract tests/integration tests/unit 2>&1 | sed -u 's/^/rasa   /'

test-pro:
	@TEST_PART=1 $(PRO) -m pytest $(NEED_MODEL) tests/contract tests/unit/worker 2>&1 | sed -u 's/^/pro    /'

test-edges:
	@rm -f .cache/coverage*
	@TEST_PART=2 $(EDGES) -m coverage run -m pytest $(PARALLEL) $(OLDEST:%=--ignore=%) \
	    tests/simulation tests/integration tests/unit 2>&1 | sed -u 's/^/edges  /'
	@$(EDGES) -m coverage combine --quiet

lowest: setup ## Run unit and integration tests with the lowest versions that pyproject.toml allows
	deploy/local/setup lowest
	.venv-lowest/bin/python -m pytest $(PARALLEL) $(SAME:%=--ignore=%) tests/integration tests/unit

chaos: setup ## Run the fault tests at length on both Pythons (about 45 minutes)
	RASA_BRIDGE_CHAOS=1 $(RASA) -m pytest $(FAULTS)
	RASA_BRIDGE_CHAOS=1 $(EDGES) -m pytest $(FAULTS)

simulate: ## Run N=100000 simulated schedules from FIRST=…, or SEED=… with its trace (PYTHON=…)
	@deploy/local/setup edges
	$(or $(PYTHON),$(EDGES)) -m tests.simulation --number $(or $(N),100000) \
	    $(FIRST:%=--first %) $(SEED:%=--seed %) $(JOBS:%=--processes %)

bench: ## Compare CPU time per message with peers, in two minutes (OPTIONS=--help lists more)
	@deploy/local/setup edges bench broker
	$(EDGES) -m tests.bench.pipeline $(OPTIONS)

check: lint types docs test ## Run everything that CI runs

lint: ## Check style and formatting
	@deploy/local/setup edges
	$(EDGES) -m ruff check .
	$(EDGES) -m ruff format --check .

types: ## Check types
	@deploy/local/setup edges
	$(EDGES) -m mypy --strict bridge worker tests deploy deploy/local/setup
	@for example in $(EXAMPLES); do $(EDGES) -m mypy --strict $$example || exit 1; done

docs: ## Build the documentation site into build/docs; broken links and anchors fail
	@deploy/local/setup docs
	.venv-docs/bin/mkdocs build --strict --clean

format: ## Format the code and apply automatic fixes
	@deploy/local/setup edges
	$(EDGES) -m ruff check --fix .
	$(EDGES) -m ruff format .

requirements: ## Pin the newest releases that deploy/requirements/*.in allow
	deploy/local/setup requirements

broker: ## Run a private RabbitMQ in the foreground
	python3 deploy/local/broker.py run

env: ## Write .env for docker-compose.yml, with random passwords
	@deploy/make-env

build: ## Build the wheel and the source distribution in dist/, and check their metadata
	@deploy/local/setup edges
	rm -rf dist
	$(EDGES) -m build --no-isolation
	$(EDGES) -m twine check --strict dist/*

sbom: ## Write a bill of materials (CycloneDX) of each image into build/
	@deploy/local/setup edges
	@mkdir -p build
	$(EDGES) deploy/images/sbom.py deploy/requirements/edges-image.txt 3.13 > build/edges.cdx.json
	$(EDGES) deploy/images/sbom.py deploy/requirements/rasa-image.txt 3.10 \
	    jax jaxlib libclang tensorboard-data-server > build/worker.cdx.json

images: ## Build the two images, with labels (needs Docker)
	for name in edges worker; do docker build -f deploy/images/$$name.Dockerfile \
	    -t rasa-channel-bridge/$$name:$(VERSION) --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$$(git rev-parse HEAD) --build-arg SOURCE=$(REPOSITORY_URL) . || exit 1; done

clean: ## Remove environments, caches, builds and the demo model from this directory
	rm -rf .venv .venv-rasa .venv-pro .venv-docs .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	rm -rf deploy/demo/models
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Kept: .env, deploy/demo/*.db (conversations), ~/.cache/rasa-channel-bridge (local broker)."
