# `make serve` starts the server, `make check` is the quick loop of a change, `make test` checks everything. Each does all its own
# set-up on a fresh machine; stamp files under .venv/.done make a second run start in seconds.
#
# Wanted on the machine: Python 3.11 or later (PYTHON=… names one), or uv, which fetches one. Node and Chromium are fetched
# where there are none. uv installs the packages where it is on the PATH, and pip where it is not.
# TORCH=cpu|cuda chooses torch's build; without it, that with CUDA is taken where an NVIDIA GPU is found.

# GNU make 3.81 is enough, which macOS ships: every line of a recipe is a command of its own, and what takes more is a step of
# .make/setup.sh.

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.done
TORCH ?= auto
SETUP := VENV="$(VENV)" TORCH="$(TORCH)" sh .make/setup.sh
PAGE_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.stamp')
ARGS ?=
# Where it is set, as in many images, each process would compile all of ours that it imports, and tests start many.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: serve check test lint types unit web-test browser setup wheel audit lock clean

serve: $(DONE)/serve realtime/web_dist/index.html
	exec $(BIN)/realtime serve $(ARGS)

# The quick loop, its parts side by side. All set-up comes first, so that no two parts do it at once.
check: $(DONE)/test $(DONE)/page realtime/web_dist/index.html
	@$(MAKE) --no-print-directory --jobs=3 lint types unit

# Tests run in processes that compute in one thread each. Many of them wait for media and timers, so four share two cores.
# What drives a browser lies in one folder, which none of the four needs to collect.
UNIT := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 4 --ignore tests/browser -m 'not (browser or gpu or long or slow)'
unit: $(DONE)/test
	$(UNIT) $(ARGS)

# The unit tests as above. What is slow computes, so two of it share two cores. What drives a browser has the machine to itself;
# it lies in one folder, and to collect all the others would take half a minute. With ARGS, that part alone is run, in one
# process.
test: $(DONE)/test $(DONE)/page $(DONE)/senders $(DONE)/sdks $(DONE)/trl $(DONE)/chromium $(DONE)/coturn $(DONE)/neighbours realtime/web_dist/index.html
	@$(MAKE) --no-print-directory --jobs=3 lint types web-test
ifneq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest $(ARGS)
else
	failed=0; \
	$(UNIT) || failed=1; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m 'slow and not (browser or gpu or long)' --durations 15 || failed=1; \
	$(BIN)/python -m pytest tests/browser -m 'browser and not (gpu or long)' --durations 5 || failed=1; \
	exit $$failed
endif

lint: $(DONE)/test $(DONE)/page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(SETUP) npm run --silent lint

types: $(DONE)/test
	$(BIN)/mypy

web-test: $(DONE)/page
	$(SETUP) npm test --silent

setup: $(DONE)/test $(DONE)/senders $(DONE)/sdks $(DONE)/trl $(DONE)/chromium $(DONE)/coturn $(DONE)/neighbours realtime/web_dist/index.html

$(DONE)/venv:
	@$(SETUP) venv
	@touch $@

# It writes its stamp itself: which build is there.
$(DONE)/torch: $(DONE)/venv constraints.txt
	@$(SETUP) torch

# Another build than the installed one is asked for.
ifneq ($(TORCH),auto)
ifneq ($(TORCH),$(shell cat $(DONE)/torch 2>/dev/null))
.PHONY: $(DONE)/torch
endif
endif

$(DONE)/serve: $(DONE)/torch pyproject.toml
$(DONE)/test: $(DONE)/serve
$(DONE)/node: $(DONE)/venv
$(DONE)/page: $(DONE)/node web/package-lock.json
$(DONE)/senders: $(DONE)/node tests/senders/package-lock.json
$(DONE)/sdks: $(DONE)/venv tests/senders/sdks.txt
$(DONE)/trl: $(DONE)/test tests/train/trl.txt
$(DONE)/chromium: $(DONE)/venv
$(DONE)/coturn: $(DONE)/venv
$(DONE)/neighbours: $(DONE)/venv
$(DONE)/serve $(DONE)/test $(DONE)/node $(DONE)/page $(DONE)/senders $(DONE)/sdks $(DONE)/trl $(DONE)/chromium $(DONE)/coturn $(DONE)/neighbours:
	@$(SETUP) $(notdir $@)
	@touch $@

realtime/web_dist/index.html: $(DONE)/page $(PAGE_SOURCES)
	@$(SETUP) npm run build --silent
	@touch $@

# A wheel that has the page, for machines without a clone. Of an earlier build, setuptools would take along what is left of it.
wheel: realtime/web_dist/index.html
	@rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	rm -rf build
	$(BIN)/python -m tests.deploy.wheel dist/emothinker-*.whl

# Known weaknesses of what we depend on. Asks PyPI and the npm registry.
audit: $(DONE)/test $(DONE)/page
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip-audit
	$(BIN)/pip-audit --skip-editable
	$(SETUP) npm audit

lock: $(DONE)/venv
	@$(SETUP) lock

clean:
	rm -rf $(VENV) build dist *.egg-info realtime/web_dist web/node_modules tests/senders/node_modules tests/senders/sdk_venv tests/train/trl_packages
