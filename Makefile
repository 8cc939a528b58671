# Everything a developer runs. `make test` installs what it needs where it is missing.

.PHONY: test lint bench docs autobahn fuzz instructions help

help: ## Lists the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

test: ## Installs what the tests need, runs everything, and ends with a count.
	@scripts/install-test-tools.sh
	@scripts/test.sh

lint: ## Formatting, clippy and documentation, as CI has them.
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --lib --no-default-features --features postgres-bundled --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --quiet

docs: ## Builds the API documentation.
	cargo doc --no-deps

autobahn: ## Runs the Autobahn fuzzing client against the hub's frames; needs Python 2.7.
	@tests/autobahn.sh

bench: ## Runs the benches beside limits and peers; QUICK=1 only shows that they work.
	@benches/run.sh

SECONDS ?= 600

fuzz: ## Fuzzes every decoder for ten minutes; SECONDS=60 for less, 0 for the seeds alone.
	@fuzz/run.sh $(SECONDS)

instructions: ## Counts the instructions of the hot pure pieces; UPDATE=1 records them.
	UPDATE=$(UPDATE) cargo test --locked --test instructions
