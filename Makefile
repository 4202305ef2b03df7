# Paths are relative throughout, because make splits a path with spaces.
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
# Processes that share the tests, each on servers of its own; 0: all in this one. Much of a test is waiting: two cores
# are enough for three.
TESTERS ?= 3
# Newer than the lock file when what is installed is what the lock file says.
INSTALLED := .venv/installed

.PHONY: help install run test coverage test-all watch check format faults drill bench bench-jobs demo compose-test image pin sbom lock clean

help: ## Print this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

install: $(INSTALLED) ## Make the virtual environment .venv from the lock file

run: $(INSTALLED) ## Start everything: database, broker, mail catcher, API and workers (Ctrl-C stops it)
	$(BIN)/tulou dev

# A run starts the program some two hundred times: what was compiled for one is kept for the next.
# At most MOST_AGAIN tests that fail beside others are run once more alone: three processes share two cores.
MOST_AGAIN ?= 3
RUN_TESTS = $(BIN)/python -m pytest -m "not long" -n $(TESTERS) --dist loadfile --no-loadscope-reorder
test coverage: export PYTHONDONTWRITEBYTECODE =
test: $(INSTALLED) ## Run the tests, but for the long ones (TESTERS=0: one at a time)
	$(RUN_TESTS) || $(BIN)/python -m tests.rerun_failed $$? --most $(MOST_AGAIN)

coverage: $(INSTALLED) ## Run the same tests, and measure the branch coverage of domains/ and shared/ (half as long again)
	$(RUN_TESTS) --cov=domains --cov=shared --cov-branch --cov-report=term:skip-covered || $(BIN)/python -m tests.rerun_failed $$? --most $(MOST_AGAIN)
	$(BIN)/coverage report --format=total

watch: $(INSTALLED) ## Run the tests of what you save, each time you save
	$(BIN)/watchfiles --sigint-timeout 20 '$(BIN)/python -m tools.scaffold.last_saved' bootstrap domains shared tools tests

check: $(INSTALLED) ## Check style, types and who imports whom: all of it, whatever fails
	@failed=; for each in "ruff check ." "ruff format --check ." lint-imports mypy; do \
	  echo "$(BIN)/$$each"; $(BIN)/$$each || failed="$$failed, $$each"; \
	done; test -z "$$failed" || { echo "make check: failed:$${failed#,}"; exit 1; }

format: $(INSTALLED) ## Put the code into its format, and write docs/settings.md and docs/map.md anew
	$(BIN)/tulou settings --markdown > docs/settings.md
	$(BIN)/tulou domains --write
	$(BIN)/python scripts/prometheus_rule.py > deploy/kubernetes/components/monitoring/prometheus-rule.yaml
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

faults: $(INSTALLED) ## Break whatever can break, count what is lost, write docs/reliability.md (ONLY=attacks: that section; ONLY=3,7 or SCALE=0.1: only print)
	$(BIN)/python -m tools.faults $(if $(filter-out attacks,$(ONLY))$(SCALE),,--report docs/reliability.md) $(if $(ONLY),--only $(ONLY)) $(if $(SCALE),--scale $(SCALE))

test-all: coverage ## Run the tests, the long ones too, then every fault at a third of its length
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m tools.faults --scale 0.3

drill: $(INSTALLED) ## Rehearse releases, failovers, rotations and a restore under load, write docs/drill.md (ONLY=release,keys: only print)
	$(BIN)/python -m tools.drill $(if $(ONLY),--only $(ONLY),--page docs/drill.md)

bench: $(INSTALLED) ## Measure beside floors, write docs/performance.md (about seven minutes; ONLY=me,list: only print)
	$(BIN)/python -m tools.bench $(if $(ONLY),--only $(ONLY),--page docs/performance.md)

bench-jobs: $(INSTALLED) ## Measure jobs beside bare Celery: throughput, pick-up, memory (about four minutes)
	$(BIN)/python -m tools.bench.jobs --report docs/jobs-performance.md

demo: $(INSTALLED) ## Tell the whole story against a running system ("make run" in another terminal)
	$(BIN)/python scripts/demo.py

compose-test: $(INSTALLED) ## Build the image, start docker-compose.yml, tell the story, kill, scale, restart, stop (needs Docker)
	$(BIN)/python scripts/compose_test.py

# SOURCE: the address of the repository, for the label of the image.
IMAGE ?= tulou:latest
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(shell git rev-parse HEAD)$(shell git diff --quiet HEAD || echo -dirty)
image: ## Build the image with its labels: version, commit, time, source (IMAGE=tulou:latest SOURCE=https://...)
	docker build --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	  --build-arg CREATED=$(shell git show --no-patch --format=%cI HEAD) --build-arg SOURCE=$(SOURCE) \
	  $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

pin: ## Print the images of the compose files with their present digests, as lines for .env (needs Docker)
	deploy/compose/pin.sh

sbom: ## Write dist/sbom.cdx.json: what the image installs, as CycloneDX
	mkdir -p dist
	"$(PYTHON)" scripts/sbom.py > dist/sbom.cdx.json

lock: .venv-lock/bin/uv ## Compile requirements/*.txt anew from pyproject.toml
	$< pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet --extra telemetry --extra sentry -o requirements/run.txt
	$< pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet --extra embedded --extra telemetry --extra sentry --group dev -c requirements/run.txt -o requirements/dev.txt
	$< pip compile --group clients --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements/clients.txt
	echo hatchling | $< pip compile - --universal --python-version 3.11 --generate-hashes --no-header --quiet -c requirements/dev.txt -o requirements/build.txt

clean: ## Remove what was installed and every cache; the data in .tulou stays
	rm -rf .venv .venv-lock .venv-clients tests/contract/typescript/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage .coverage.* htmlcov dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements/dev.txt pyproject.toml
	@"$(PYTHON)" scripts/install.py $(MAKECMDGOALS)

.venv-lock/bin/uv:
	"$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
