#!/usr/bin/env bash
# Pre-train both towers without labels, and measure what that adds at 1 %, 10 % and 100 % of the labels.
#
#   DATA=path/to/data WORK=path/to/scratch bash train/runs/selfsupervised.sh
#
# DATA is made by realtime train convert (train/DATA.md). Every stage resumes where it was stopped; a finished one is
# skipped. The table is WORK/table; it holds what is finished, and can be made at any time:
#
#   realtime train evaluation.selfsupervised --data DATA --work WORK --out WORK/table --table
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${WORK:=runs/selfsupervised}" "${SIDE:=56}" "${FACE_PRETRAINING:=2500}" "${VOICE_PRETRAINING:=400}" "${SEEDS:=3}"
: "${FACE_STEPS:=150}" "${VOICE_STEPS:=100}" "${PRECISION:=bf16}" # steps of the towers that are taught
: "${DATA:?name the data folder: DATA=path/to/data bash train/runs/selfsupervised.sh}"
# shellcheck source=train/runs/stage.sh
source train/runs/stage.sh
mkdir -p "$WORK"

common=(--data "$DATA" --work "$WORK" --precision "$PRECISION")
stage vision train.nano.masked_tower vision "${common[@]}" --steps "$FACE_PRETRAINING" --side "$SIDE"
stage audio train.nano.masked_tower audio "${common[@]}" --steps "$VOICE_PRETRAINING"
stage table train.evaluation.selfsupervised "${common[@]}" --out "$WORK/table" --side "$SIDE" --seeds "$SEEDS" \
  --face-steps "$FACE_STEPS" --voice-steps "$VOICE_STEPS"
