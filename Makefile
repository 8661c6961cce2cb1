# Thin and self-listing: `make` says what there is. CI calls the same targets.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCHMARKS := arithmetic storage ingest outbox stall hj212 edge simulator rules backtest stage latency

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos fuzz check format bench reference lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything in it, from the lock file

# The tools that build us are in the lock file too, so nothing is fetched that it does not name.
$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "stackwatch needs Python 3.11 to 3.13: make install PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## the whole system on this machine, simulated; Ctrl-C leaves nothing
	$(BIN)/stackwatch demo

test: install ## everything: checks and all tests
	$(MAKE) --no-print-directory check
	$(BIN)/pytest

chaos: install ## kill, cut, fill and mis-set everything, seed after seed (SEEDS=20, or one: SEED=7)
	PYTHONPATH=tests $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),20)) \
		$(if $(PROFILE),--profile $(PROFILE)) $(if $(BROKER),--broker $(BROKER)) $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(KEEP),--keep $(KEEP))

fuzz: install ## frames and bytes at the decoders (EXAMPLES=3000 of each test, SECONDS=300 of bytes)
	STACKWATCH_TEST_FUZZ_EXAMPLES=$(or $(EXAMPLES),3000) $(BIN)/pytest --timeout 0 -q \
		tests/unit/ingestor/test_decode_fuzz.py tests/integration/test_ingest_interleavings.py
	HJ212_FUZZ_S=$(or $(SECONDS),300) $(BIN)/pytest --timeout 0 -q tests/unit/edge/hj212 -k no_bytes_raise

check: install ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## run the benchmarks, one JSON object each
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name --json; done

reference: install ## write docs/arithmetic.md from the code and the packs
	$(BIN)/python -m plant.reference > docs/arithmetic.md

lock: install ## write requirements.lock anew: hashed, for every platform, naming no index
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.lock
	deploy/image/lock.sh

clean: ## delete .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
