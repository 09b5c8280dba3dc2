# The one entry point: a person and CI type the same words. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Server tests wait more than they work, so a few more than the cores run at a time.
export RUST_TEST_THREADS ?= 4
# How many faults a torture run injects, and the seed it draws them from (empty: a new one, printed).
N ?= 100
SEED ?=
# How long each fuzz target runs, and which (empty: all).
SECONDS ?= 25
TARGET ?=
# How many records a benchmark reads, how often, and which of its measurements it makes (empty: all).
RECORDS ?= 3000000
ROUNDS ?= 3
ONLY ?=
# How many pipelines and credentials the operator's benchmark has, how many topics of how many partitions it creates at once, and how
# often it starts the operator over pipelines at rest.
PIPELINES ?= 50
CREDENTIALS ?= 5
TOPICS ?= 25
PARTITIONS ?= 3
STARTS ?= 1

export CARGO_TERM_COLOR ?= auto

.PHONY: help
help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | column -ts $$'\t'

.PHONY: install
install: ## Install what the lab and the tests need (Debian packages, Kafka's jars)
	@deploy/local/install > /dev/null

.PHONY: demo
demo: ## See the whole in one process: recorded and synthetic trades, probabilities, outcomes
	@deploy/local/install build
	cargo run --quiet --bin assay -- demo

.PHONY: build
build: install ## Build everything that the tests run, crash points included
	cargo build --workspace --bins --tests

.PHONY: test
test: build ## Run every test against real servers
	ASSAY_BIN=$(CURDIR)/target/debug/assay cargo test --workspace --no-fail-fast

.PHONY: torture
torture: build ## Random faults against the real system: make torture N=1000 SEED=7
	ASSAY_BIN=$(CURDIR)/target/debug/assay ASSAY_TORTURE_FAULTS=$(N) ASSAY_TORTURE_SEED=$(SEED) \
		cargo test --workspace --test torture -- --nocapture

.PHONY: fuzz
fuzz: ## Fuzz decoder, manifest, readers and snapshot codec: make fuzz TARGET=decoder SECONDS=3600
	fuzz/run $(SECONDS) $(TARGET)

.PHONY: bench
bench: install ## Cost, growth, recovery, latency, beside Kafka Streams: make bench ONLY=latency RECORDS=3000000 ROUNDS=5
	cargo build --release -p assay-processor -p assay-bench --bins
	mvn -q -B -f bench/kafka-streams/pom.xml -Doutput=$(CURDIR)/target/kafka-streams compile \
		dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/target/kafka-streams/lib
	cargo build --workspace --example bench
	target/debug/examples/bench --records $(RECORDS) --rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY)) \
		--assay target/release/assay --floor target/release/floor --parts target/release/parts \
		--streams target/kafka-streams --chart target/cost.svg

.PHONY: bench-operator
bench-operator: install ## What the operator costs: make bench-operator PIPELINES=500 CREDENTIALS=50 TOPICS=250 ROUNDS=5 STARTS=3
	cargo build --release -p assay-operator --bins
	cargo build --workspace --example bench-operator
	ASSAY_BIN=$(CURDIR)/target/release/assay target/debug/examples/bench-operator \
		--pipelines $(PIPELINES) --credentials $(CREDENTIALS) --topics $(TOPICS) --partitions $(PARTITIONS) \
		--rounds $(ROUNDS) --starts $(STARTS)

.PHONY: bench-cluster
bench-cluster: install ## What a cluster sees: image sizes, memory of pods, apply to first forecast: make bench-cluster ROUNDS=5
	cargo build --release -p assay-processor -p assay-operator --bins
	cargo build --workspace --example bench-cluster
	ASSAY_BIN=$(CURDIR)/target/release/assay target/debug/examples/bench-cluster --rounds $(ROUNDS)

.PHONY: lint
lint: ## Check formatting, lints and scripts
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target --lib --bins -- -D warnings
	shellcheck -x $$(git grep -lE '^#!/usr/bin/env bash')

.PHONY: deny
deny: ## Check licences, sources and duplicate versions of the dependencies (deny.toml)
	@deploy/local/deny

.PHONY: generate
generate: ## Write what is generated from the types: the CRD, the JSON schema, the manifest reference
	cargo build --workspace --bins --tests
	target/debug/crdgen crd > charts/assay/files/crds/strategypipelines.yaml
	target/debug/crdgen schema > docs/strategypipeline.schema.json
	target/debug/crdgen reference > docs/manifest-reference.md

.PHONY: generated-check
generated-check: generate ## Fail where a generated file is not the one that is committed
	git diff --exit-code --stat charts docs

.PHONY: oracle
oracle: ## Compare the engine with an independent implementation in Python
	tests/oracle/run

.PHONY: picture
picture: build ## Draw the README's picture of a report anew
	docs/images/draw-report

.PHONY: format
format: ## Format the code
	cargo fmt --all

.PHONY: lab-up
lab-up: ## Start Kafka, Postgres and Redis, and print how to reach them
	@deploy/local/up

.PHONY: lab-down
lab-down: ## End what lab-up started
	@deploy/local/down

.PHONY: cluster-up
cluster-up: install ## Start a Kubernetes that runs pods, and print how to reach it
	@deploy/local/kubernetes/up

.PHONY: cluster-demo
cluster-demo: install ## See the whole on a cluster: chart, pipeline, recorded trades, results compared with a backtest
	cargo build --release -p assay-processor -p assay-operator --bins
	deploy/local/kubernetes/demo

.PHONY: cluster-test
cluster-test: install ## Faults on a cluster that runs pods: kills, cut networks, drains, rotations, all under load
	cargo build --workspace --bins --tests
	ASSAY_BIN=$(CURDIR)/target/debug/assay cargo test --workspace --features assay-tests/cluster --test cluster -- --nocapture

.PHONY: cluster-down
cluster-down: ## End the cluster and everything that cluster-demo started
	@deploy/local/kubernetes/down
