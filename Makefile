# What people do with the template: `make` lists it. CI runs the same targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: %s is too old; name a Python from 3.11 on: make PYTHON=python3.13 ..." % sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "setup: this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	@touch $@

.PHONY: demo
demo: .venv/installed ## generate a service into build/, test it, start it and look at it
	$(BIN)/python scripts/demo.py

.PHONY: test
test: .venv/installed ## run the tests, all but those that are thorough; those that need Docker are skipped without it
	$(BIN)/python -m pytest -n auto -m "not thorough"

.PHONY: test-all
test-all: .venv/installed ## run every test, as each pull request does
	$(BIN)/python -m pytest -n auto

.PHONY: test-fast
test-fast: .venv/installed ## run the tests that neither build images nor install packages
	$(BIN)/python -m pytest -n auto -m "not docker and not slow and not thorough"

.PHONY: fuzz
fuzz: .venv/installed ## generate from any answers, and send services anything, EXAMPLES=10000 times
	EXAMPLES=$(or $(EXAMPLES),10000) $(BIN)/python -m pytest -q --timeout=0 tests/test_fuzz.py tests/test_servers.py

.PHONY: lint
lint: .venv/installed ## check style, formatting and types of the template's own code
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/run
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

.PHONY: changelog
changelog: .venv/installed ## fail when generated projects change since BASE, and CHANGELOG.md does not say so
	$(BIN)/python -m scripts.check_changelog $(or $(BASE),origin/main)

.PHONY: fresh
fresh: .venv/installed ## renew locks, actions, images and Pythons, and say so in CHANGELOG.md
	$(BIN)/python -m scripts.fresh

.PHONY: locks
locks: .venv/installed ## renew the locks that the template ships, and its own
	$(BIN)/python -m scripts.renew_locks

.PHONY: screenshots
screenshots: .venv/installed ## renew the pictures of the README, in the browser of the tests; needs Docker
	$(BIN)/python -m scripts.screenshots

.PHONY: openapi
openapi: .venv/installed ## write the description of the sample API, which projects get parts of
	$(BIN)/python -m scripts.describe_api

.PHONY: options
options: .venv/installed ## measure what each option costs, and write it into README.md; needs Docker
	$(BIN)/python -m scripts.measure_options

.PHONY: bench
bench: .venv/installed ## measure what each kind of change costs; ARGS=--help lists what can be chosen
	$(BIN)/python -m benchmarks $(ARGS)

CODE := benchmarks hooks layercake scripts templates tests
