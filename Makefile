# Paths are relative throughout, because make splits a path with spaces.
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
# Number of test processes, each with servers of its own; 0: run all tests in one process. Tests wait most of the time,
# so two cores are enough for three processes.
TESTERS ?= 3
# A file that is newer than the lock file when the locked packages are installed.
INSTALLED := .venv/installed

.PHONY: help install run test coverage test-all watch check format faults drill bench bench-jobs demo compose-test image pin sbom lock clean

help: ## Print this help
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

##@ Run

install: $(INSTALLED) ## Install the locked packages into .venv

run: $(INSTALLED) ## Start database, broker, mail catcher, API and workers (Ctrl-C stops them)
	$(BIN)/tulou dev

demo: $(INSTALLED) ## Show every feature against a running system (`make run` in another terminal)
	$(BIN)/python scripts/demo.py

clean: ## Remove installed packages and caches; the data in .tulou stays
	rm -rf .venv .venv-lock .venv-clients tests/contract/typescript/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage .coverage.* htmlcov dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Test

# A run starts the program about two hundred times, so bytecode is kept between starts.
# At most MOST_AGAIN tests that fail beside others are run once more alone: three processes share two cores.
MOST_AGAIN ?= 3
RUN_TESTS = $(BIN)/python -m pytest -m "not long" -n $(TESTERS) --dist loadfile --no-loadscope-reorder
test coverage: export PYTHONDONTWRITEBYTECODE =
test: $(INSTALLED) ## Run the tests except the long ones (TESTERS=0: in one process)
	$(RUN_TESTS) || $(BIN)/python -m tests.rerun_failed $$? --most $(MOST_AGAIN)

coverage: $(INSTALLED) ## Run the same tests and measure branch coverage (takes 1.5 times as long)
	$(RUN_TESTS) --cov=domains --cov=shared --cov-branch --cov-report=term:skip-covered || $(BIN)/python -m tests.rerun_failed $$? --most $(MOST_AGAIN)
	$(BIN)/coverage report --format=total

watch: $(INSTALLED) ## Run the tests of each file that you save
	$(BIN)/watchfiles --sigint-timeout 20 '$(BIN)/python -m tools.scaffold.last_saved' bootstrap domains shared tools tests

check: $(INSTALLED) ## Check style, types and import contracts; report all failures
	@failed=; for each in "ruff check ." "ruff format --check ." lint-imports mypy; do \
	  echo "$(BIN)/$$each"; $(BIN)/$$each || failed="$$failed, $$each"; \
	done; test -z "$$failed" || { echo "make check: failed:$${failed#,}"; exit 1; }

format: $(INSTALLED) ## Format the code, and write generated files (docs/settings.md, docs/map.md)
	$(BIN)/tulou settings --markdown > docs/settings.md
	$(BIN)/tulou domains --write
	$(BIN)/python scripts/prometheus_rule.py > deploy/kubernetes/components/monitoring/prometheus-rule.yaml
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

test-all: coverage ## Run all tests, and every fault at a third of its length
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m tools.faults --scale 0.3

compose-test: $(INSTALLED) ## Test docker-compose.yml: build, start, demo, kill, scale, restart, stop (needs Docker)
	$(BIN)/python scripts/compose_test.py

##@ Operate

drill: $(INSTALLED) ## Rehearse releases, failovers and restores, write docs/drill.md (ONLY=keys: only print)
	$(BIN)/python -m tools.drill $(if $(ONLY),--only $(ONLY),--page docs/drill.md)

faults: $(INSTALLED) ## Inject faults, write docs/reliability.md (ONLY=attacks: that section; ONLY=3,7 or SCALE=0.1: only print)
	$(BIN)/python -m tools.faults $(if $(filter-out attacks,$(ONLY))$(SCALE),,--report docs/reliability.md) $(if $(ONLY),--only $(ONLY)) $(if $(SCALE),--scale $(SCALE))

##@ Measure

bench: $(INSTALLED) ## Benchmark the API, write docs/performance.md (7 min; ONLY=me,list: only print)
	$(BIN)/python -m tools.bench $(if $(ONLY),--only $(ONLY),--page docs/performance.md)

bench-jobs: $(INSTALLED) ## Benchmark jobs and bare Celery, write docs/jobs-performance.md (4 min)
	$(BIN)/python -m tools.bench.jobs --report docs/jobs-performance.md

##@ Release

# SOURCE: URL of the repository, for the label of the image.
IMAGE ?= tulou:latest
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD)$(shell git diff --quiet HEAD || echo -dirty)
image: ## Build the image with its labels (IMAGE=tulou:latest SOURCE=https://...)
	docker build --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	  --build-arg CREATED=$(shell git show --no-patch --format=%cI HEAD) --build-arg SOURCE=$(SOURCE) \
	  $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

pin: ## Print the images of the compose files with digests, as lines for .env (needs Docker)
	deploy/compose/pin.sh

sbom: ## Write dist/sbom.cdx.json, the bill of materials of the image (CycloneDX)
	mkdir -p dist
	"$(PYTHON)" scripts/sbom.py > dist/sbom.cdx.json

lock: .venv-lock/bin/uv ## Compile requirements/*.txt from pyproject.toml
	$< pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet --extra telemetry --extra sentry -o requirements/run.txt
	$< pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet --extra embedded --extra telemetry --extra sentry --group dev -c requirements/run.txt -o requirements/dev.txt
	$< pip compile --group clients --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements/clients.txt
	echo hatchling | $< pip compile - --universal --python-version 3.11 --generate-hashes --no-header --quiet -c requirements/dev.txt -o requirements/build.txt

$(INSTALLED): requirements/dev.txt pyproject.toml
	@"$(PYTHON)" scripts/install.py $(MAKECMDGOALS)

.venv-lock/bin/uv:
	"$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
