#!/usr/bin/env bash
# Train a model on a text backbone: compose it, annotate recordings, warm up, CoT-LoRA, compose the result.
#
#   DATA=path/to/data   WORK=path/to/scratch bash train/runs/small.sh     recordings drawn of nano's training people
#   CLIPS=path/to/clips WORK=path/to/scratch bash train/runs/small.sh     recordings of your own
#
# DATA is made by realtime train convert (train/DATA.md). CLIPS is what train.annotate reads: a folder of recordings with
# labels.csv, or with LAYOUT=dfew (…) a published set. BACKBONE is a name, a GGUF file, a folder or a hub id
# (realtime/model/backbone.py). It runs on CUDA where there is a GPU, else on the CPU; annotation takes PROCESSES cores.
# Every stage resumes where it was stopped; a finished one is skipped. The result is WORK/small.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${WORK:=runs/small}" "${BACKBONE:=smollm2-135m-instruct}" "${RANK:=16}" "${MORE:=}" "${LAYOUT:=}" "${RECORDINGS:=2400}" "${PROCESSES:=1}"
: "${WARMUP_STEPS:=-1}" "${LORA_STEPS:=-1}" # -1: once through the records
words=()
# shellcheck source=train/runs/stage.sh
source train/runs/stage.sh
mkdir -p "$WORK"

if [ -z "${CLIPS:-}" ]; then
  : "${DATA:?name the data folder, or recordings of your own: DATA=… or CLIPS=… bash train/runs/small.sh}"
  CLIPS="$WORK/recordings"
  words=(--words)
  stage recordings train.nano.recordings --data "$DATA" --out "$CLIPS" --n "$RECORDINGS" --words
fi

stage compose train.compose --backbone "$BACKBONE" --drop 0.7 --out "$WORK/new"
records=()
running=()
for ((shard = 0; shard < PROCESSES; shard++)); do
  records+=("$WORK/coet$shard")
  stage "annotate$shard" train.annotate "$CLIPS" "$WORK/coet$shard" ${LAYOUT:+--layout "$LAYOUT"} \
    --shard "$shard/$PROCESSES" --cache "$WORK/windows" ${words[@]+"${words[@]}"} &
  running+=($!)
done
for process in "${running[@]}"; do wait "$process"; done

# Flags for both trainings, such as MORE="--cpu --precision bf16"; split into words on purpose.
# shellcheck disable=SC2206
common=(--model "$WORK/new" --cache "$WORK/windows" --projectors ${words[@]+"${words[@]}"} $MORE)

stage warmup train.warmup "${records[@]}" "${common[@]}" --out "$WORK/warmup" --lr 5e-4 \
  --steps "$WARMUP_STEPS"
stage lora train.lora "${records[@]}" "${common[@]}" --out "$WORK/adapter" --from-warmup "$WORK/warmup" \
  --rank "$RANK" --alpha $((2 * RANK)) --lr 5e-4 --selectors --steps "$LORA_STEPS"
stage uncalibrated train.compose --model "$WORK/new" --adapter "$WORK/adapter" --out "$WORK/uncalibrated"
calibration=()
if [ -n "${DATA:-}" ]; then
  # EXPERT: a voice expert that does not know the validation speakers, WORK/voice_expert_calibration.pt of nano.sh.
  # CALIBRATE: more flags, such as "--faces 120 --each 8 --chains 128"; split into words on purpose.
  # shellcheck disable=SC2086
  stage calibrate train.tuning.calibrate --model "$WORK/uncalibrated" --data "$DATA" ${EXPERT:+--expert "$EXPERT"} \
    --out "$WORK/calibration.json" ${CALIBRATE:-}
  calibration=(--calibration "$WORK/calibration.json")
fi
# Cheap, so always anew.
"$python" -m train.compose --model "$WORK/new" --adapter "$WORK/adapter" ${calibration[@]+"${calibration[@]}"} \
  --phrases "${records[@]}" --out "$WORK/small"
