# The entry point for development: `make help` lists the targets. Each target first installs what it needs (scripts/setup).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(HOME)/.cargo/bin:$(CURDIR)/.inopsio/tools/bin:$(CURDIR)/.inopsio/tools:$(PATH)

export CARGO_TARGET_DIR ?= $(CURDIR)/target

# Tests wait for servers during a third of their time, so run half as many again as there are processors.
export NEXTEST_TEST_THREADS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))

# SERVICE limits `make dev` to one service (make dev SERVICE=crm). ARGS adds arguments to the command (make demo ARGS="--leads 500").
SERVICE ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup dev test lint fmt demo bench db-setup schemas

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## Installs what is missing to build and run: Rust, Postgres, nats-server
	@scripts/setup

dev: setup ## Runs everything on this machine, with a private Postgres and nats-server (SERVICE=crm: one service)
	@exec cargo run --bin inopsio -- dev $(if $(SERVICE),--service $(SERVICE)) $(ARGS)

test: ## Runs every test against real servers (ARGS="-E 'package(kernel)'" selects some)
	@scripts/setup test
	@scripts/with-postgres cargo nextest run --workspace $(ARGS)
	@cargo test --workspace --doc --quiet

lint: ## What CI checks besides the tests: format, clippy, layers, contracts
	@scripts/setup test
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
# Built like the tests, of which these two are a part, so that the next `make test` finds everything compiled.
	@cargo nextest run --workspace -E 'package(layering) | test(=offline::what_is_generated_is_checked_in_as_it_is)'

fmt: ## Formats the code
	@cargo fmt --all

demo: setup ## Fills tenant `demo` through the REST API with 18 months of history and answers five questions
	@exec cargo run --release --bin inopsio -- demo $(ARGS)

bench: setup ## Measures us and the stock peer in one run; writes bench/results/latest.json
	@cargo build --profile dist --bin inopsio --bin inopsio-bench
	@exec $(CARGO_TARGET_DIR)/dist/inopsio bench $(ARGS)

db-setup: setup ## Prepares the databases of the configured Postgres, or of the private one
	@exec cargo run --bin inopsio -- migrate $(ARGS)

schemas: setup ## Writes the contracts in schemas/ and .env.example anew
	@cargo run --bin inopsio -- schemas
	@cargo run --quiet --bin inopsio -- settings > .env.example
