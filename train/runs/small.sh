#!/usr/bin/env bash
# Train a model on a text backbone: compose it, annotate clips, warm up, CoT-LoRA, compose the result.
#
#   CLIPS=path/to/clips WORK=path/to/scratch bash train/runs/small.sh
#
# CLIPS is what train.annotate reads: a folder of recordings with labels.csv, or with LAYOUT=dfew (…) a published set.
# BACKBONE is a name, a GGUF file, a folder or a hub id (realtime/model/backbone.py). It runs on CUDA where there is a GPU,
# else on the CPU. Every stage resumes where it was stopped; a finished one is skipped. The result is WORK/small.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${CLIPS:?name the clips: CLIPS=… bash train/runs/small.sh}" "${WORK:=runs/small}"
: "${BACKBONE:=smollm2-135m-instruct}" "${RANK:=16}" "${MORE:=}" "${LAYOUT:=}"
python="${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}"
export TOKENIZERS_PARALLELISM=false
mkdir -p "$WORK"

stage() { # NAME COMMAND…: run once, keep its log
  local name=$1
  shift
  [ -e "$WORK/$name.done" ] && return
  echo "== $name"
  "$python" -m "$@" 2>&1 | tee -a "$WORK/$name.log"
  touch "$WORK/$name.done"
}

# Flags for both trainings, such as MORE="--steps 200 --cpu"; split into words on purpose.
# shellcheck disable=SC2206
common=(--model "$WORK/new" --cache "$WORK/windows" --projectors $MORE)

stage compose train.compose --backbone "$BACKBONE" --out "$WORK/new"
stage annotate train.annotate "$CLIPS" "$WORK/coet" ${LAYOUT:+--layout "$LAYOUT"}
stage warmup train.warmup "$WORK/coet" "${common[@]}" --out "$WORK/warmup" --lr 3e-4
stage lora train.lora "$WORK/coet" "${common[@]}" --out "$WORK/adapter" --from-warmup "$WORK/warmup" \
  --rank "$RANK" --alpha $((2 * RANK)) --lr 2e-4 --selectors
# Cheap, so always anew.
"$python" -m train.compose --model "$WORK/new" --adapter "$WORK/adapter" --out "$WORK/small"
