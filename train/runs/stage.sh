# Sourced by the scripts beside it, in the repository's root and with WORK set: runs the stages of a training.
# shellcheck shell=bash
python="${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}"
export TOKENIZERS_PARALLELISM=false

stage() { # NAME MODULE…: run once, keep its log. NAME may name a folder in WORK, too
  local name=$1
  shift
  [ -e "$WORK/$name.done" ] && return
  echo "== $name"
  mkdir -p "$(dirname "$WORK/$name")"
  "$python" -m "$@" 2>&1 | tee -a "$WORK/$name.log"
  touch "$WORK/$name.done"
}
