# Every target makes .venv itself if it is missing. PYTHON names another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
.DEFAULT_GOAL := help

.PHONY: help demo test test-fast test-integrations native nightly digests check bench bench-models bench-quality bench-members bench-aside bench-backtest chaos bench-recovery bench-latency bench-pauses bench-metrics bench-scale docs dashboards manifests clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("stream_retrain needs Python 3.11 or newer; try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev --editable '.[local]'
	@touch $@

demo: $(READY) ## Real Kafka, real events, a drift, a reset, the proof that nothing was lost, and a report
	@mkdir -p build
	$(BIN)/stream-retrain demo --report build/flights-report.html

# The tests of a file share what they start, and stay in one process; each process has a Kafka and a Valkey of its own. Tests with services
# wait most of their time, so there are more processes than cores. tests/order.py says which file is begun when.
SIDE_BY_SIDE := --dist loadfile --no-loadscope-reorder --numprocesses

test: $(READY) ## The whole suite, on a real Kafka, Valkey and Redis
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) 3 -m 'not integrations'

test-integrations: $(READY) ## The examples of examples/orchestration in real Airflow, Prefect and Dagster, and a real MLflow, which are installed to build/
	$(BIN)/python -m pytest tests/integrations -m integrations

test-fast: $(READY) ## The part of the suite without services, processes and long histories: under a minute and a half
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) 2 -m 'not services and not slow and not integrations'

native: $(READY) ## Build the compiled models again, after a change in native/ (it needs cargo)
	$(BIN)/python hatch_build.py

nightly: $(READY) ## What takes minutes: compiled models and Python's on a million events
	$(BIN)/python -m benchmarks.equality

digests: $(READY) ## Digests of a million events of each model: with and without FMA in the C library, on other interpreters too (PYTHONS="PATH PATH")
	$(BIN)/python -m benchmarks.digests --compare $(PYTHONS:%=--python %)

check: $(READY) ## Style, types and layers; and the compiled models where cargo (Rust) is
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@if command -v cargo >/dev/null; then set -ex; cd native; cargo fmt --check; cargo clippy --quiet --release -- -D warnings; \
	cargo test --quiet --no-default-features; else echo "cargo is not installed: native/ was not checked"; fi

bench: $(READY) ## Throughput beside the bare River loop (PEERS=1: and beside what others write instead, which is installed to build/)
	@mkdir -p build/throughput
	$(BIN)/python -m benchmarks.throughput $(if $(PEERS),--peers) --json build/throughput/rows.json --markdown build/throughput/tables.md --plot build/throughput/throughput.svg

bench-models: $(READY) ## CPU an event and checkpoints of every model: compiled, in Python, and River's
	$(BIN)/python -m benchmarks.models

bench-quality: $(READY) ## Accuracy and cost of every reaction and model, to build/quality (STREAMS=FOLDER: also on its files)
	@mkdir -p build/quality
	$(BIN)/python -m benchmarks.quality $(if $(STREAMS),--streams $(STREAMS)) --markdown build/quality/tables.md --json build/quality/rows.json --plots build/quality

bench-members: $(READY) ## Members, mixtures and River's models on some fifty streams, to build/members (PEERS=1: and other libraries', which are installed to build/)
	@mkdir -p build/members
	$(BIN)/python -m benchmarks.members_data build/members/streams
	$(BIN)/python -m benchmarks.members --streams build/members/streams $(if $(PEERS),--peers) --json build/members/rows.jsonl --markdown build/members/tables.md

# Nothing is chosen on these streams: run it when the models are finished.
ASIDE := $(BIN)/python -m benchmarks.members --aside --streams build/members/streams --json build/members/aside.jsonl --jobs 1 --delay 0
bench-aside: $(READY) ## The recommended models on the streams that are kept aside, to build/members (PEERS=1: beside other libraries' models)
	@mkdir -p build/members
	$(BIN)/python -m benchmarks.members_data build/members/streams
	$(ASIDE) --model recommended --model light --model rich --model first --markdown build/members/aside.md
	$(ASIDE) --model recommended --model first --model HoeffdingTree --model ARF10 $(if $(PEERS),--model 'CapyMOA *' --model 'samlb *') --seeds 1 --events-max 10000 --markdown build/members/aside-beside.md

bench-backtest: $(READY) ## A backtest of a million events and four variants: memory, and CPU beside the bare River loop
	$(BIN)/python -m benchmarks.backtest

SECONDS ?= 300
SEED ?= 1
chaos: $(READY) ## Workers, brokers and Valkey killed at random, and the proof that it was exactly once (SECONDS=300 SEED=1)
	$(BIN)/python -m benchmarks.chaos --seconds $(SECONDS) --seed $(SEED)

bench-recovery: $(READY) ## Time to the next prediction after a kill, replay speed, checkpoint pauses
	$(BIN)/python -m benchmarks.recovery

bench-latency: $(READY) ## From an event to its prediction, by load and commit interval, and while something else goes on, to build/latency
	@mkdir -p build/latency
	$(BIN)/python -m benchmarks.latency --json build/latency/rows.json --markdown build/latency/tables.md --plot build/latency/latency.svg

bench-pauses: $(READY) ## How long a checkpoint holds the loop up, by model, and what a fork takes
	$(BIN)/python -m benchmarks.checkpoint_pauses

bench-metrics: $(READY) ## What metrics cost, and how long a scrape takes at 20 pipelines x 8 partitions
	$(BIN)/python -m benchmarks.metrics

bench-scale: $(READY) ## Events/s and CPU by workers, partitions, features and model; a capacity model and a simulation, to build/scale
	@mkdir -p build/scale
	$(BIN)/python -m benchmarks.scale --json build/scale/scale.json --markdown build/scale/tables.md --plot build/scale/scale.svg
	$(BIN)/python -m benchmarks.capacity build/scale/scale.json --json build/scale/capacity.json

docs: $(READY) ## Make what docs have from the code: the picture of docs/architecture.md, docs/metrics.md, docs/messages.md, docs/settings.md, the table of docs/callbacks.md
	$(BIN)/python -m docs.architecture
	$(BIN)/python -m docs.metrics
	$(BIN)/python -m docs.messages
	$(BIN)/python -m docs.settings
	$(BIN)/python -m docs.callbacks

dashboards: $(READY) ## Make the Grafana dashboards of stream_retrain/ops from their code
	$(BIN)/python -m dashboards

manifests: $(READY) ## Make the Kubernetes manifests that hold rules and dashboards from those of stream_retrain/ops
	$(BIN)/python -m deploy

clean: ## Remove what the targets made
	rm -rf native/target native/Cargo.lock stream_retrain/_native*.so $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
