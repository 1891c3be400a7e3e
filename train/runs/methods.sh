#!/usr/bin/env bash
# Train every method alike, from one model and on the same records, and compare them on people whom none was trained on.
# `lora` and `full` are no methods: EmoThinker's with LoRA alone, and with all of the language model tuned, for what each
# makes the model forget.
#
#   DATA=path/to/data WORK=path/to/scratch bash train/runs/methods.sh
#   DATA=… RECORDS="path/to/coet0 path/to/coet1" CACHE=path/to/windows WORK=… bash train/runs/methods.sh
#   DATA=… WORK=path/to/another WORDS=1 METHODS="emothinker emochat" bash train/runs/methods.sh   both read what is said
#
# DATA is made by realtime train convert (train/DATA.md). RECORDS are folders of train.annotate; without them, recordings
# are drawn of nano's training people and annotated. Both stages of a method take the same steps, data and seed. Every
# stage resumes where it was stopped; a finished one is skipped. The table is WORK/table; it holds what is finished, so
# that it can be made at any time:
#
#   realtime train evaluation.methods WORK --out WORK/table
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${WORK:=runs/methods}" "${MODEL:=nano}" "${RECORDS:=}" "${CACHE:=$WORK/windows}" "${RECORDINGS:=1400}" "${WORKERS:=1}" "${MORE:=}" "${WORDS:=}"
: "${METHODS:=emothinker adaptive hybrid emochat lora full}" "${SEEDS:=0 1 2}" "${WARMUP_STEPS:=40}" "${LORA_STEPS:=120}"
: "${FACES:=500}" "${EACH:=60}" "${CHAINS:=8}" # faces in all; sentences or pairs of each speaker; chains of each
: "${GENERAL:=count light presence degree loudness pitch rate}" "${SESSIONS:=4}" # questions about what is measured; sessions of each kind
: "${PICTURES:=500}"                                                              # whose places and poses are read off the model's states
: "${DATA:?name the data folder: DATA=path/to/data bash train/runs/methods.sh}"
# shellcheck source=train/runs/stage.sh
source train/runs/stage.sh
mkdir -p "$WORK"

words=()
[ -z "$WORDS" ] || words=(--words)
if [ -z "$RECORDS" ]; then
  stage recordings train.nano.recordings --data "$DATA" --out "$WORK/recordings" --n "$RECORDINGS" ${words[@]+"${words[@]}"}
  stage annotate train.annotate "$WORK/recordings" "$WORK/coet" --cache "$CACHE" ${words[@]+"${words[@]}"}
  RECORDS="$WORK/coet"
fi

# All three are split into words on purpose.
# shellcheck disable=SC2206
records=($RECORDS) more=($MORE) general=($GENERAL)

train() { # METHOD SEED: both stages; the flags say what a method changes
  local flags=() tuned=(--rank 16 --merger-lr 2e-4) run="$1-$2"
  case "$1" in
    emothinker) ;;
    adaptive) flags=(--selection adaptive) ;;
    lora) tuned=(--rank 16 --merger-lr 0) ;;
    full) tuned=(--full --lr 1e-4 --merger-lr 2e-4) ;; # as many steps at LoRA's rate are too much for all weights
    *) flags=(--method "$1") ;;
  esac
  # No cue token is left out: with --cues-off 0.3 every method lost 2.4 points of FER+ (docs/methods.md).
  local common=("${records[@]}" --model "$MODEL" --cache "$CACHE" --seed "$2" --lr 5e-4 --cues-off 0 --no-gradient-checkpointing
    ${words[@]+"${words[@]}"} ${more[@]+"${more[@]}"})
  stage "$run/warmup" train.warmup "${common[@]}" --out "$WORK/$run/warmup" --steps "$WARMUP_STEPS" ${flags[@]+"${flags[@]}"}
  stage "$run/lora" train.lora "${common[@]}" --from-warmup "$WORK/$run/warmup" --out "$WORK/$run/adapter" --steps "$LORA_STEPS" \
    --selectors "${tuned[@]}"
}

measure() { # RUN [FLAG…]: the labels of every benchmark, and some chains
  local run=$1 benchmark limit
  shift
  if [ -n "$WORDS" ]; then
    # What the judgement makes of words. The rest of the model is as without.
    stage "$run/words" train.evaluation.said --data "$DATA" --model "$MODEL" "$@" --judged --each "$EACH" --json "$WORK/$run/words.json"
    return
  fi
  local common=(--data "$DATA" --model "$MODEL" --workers "$WORKERS" "$@")
  for benchmark in ferplus conflict agree voices; do
    [ "$benchmark" = ferplus ] && limit=$FACES || limit=$EACH
    stage "$run/$benchmark" train.evaluate --benchmark "$benchmark" --fast --limit "$limit" --out "$WORK/$run/$benchmark" "${common[@]}"
  done
  stage "$run/chains" train.evaluate --benchmark conflict --limit "$CHAINS" --out "$WORK/$run/chains" "${common[@]}"
  # What tuning on emotions should not make it forget.
  stage "$run/questions" train.evaluation.questions --data "$DATA" --model "$MODEL" "$@" --kinds "${general[@]}" --sessions "$SESSIONS" \
    --json "$WORK/$run/questions.json"
  stage "$run/probes" train.evaluation.probes --data "$DATA" --model "$MODEL" "$@" --pictures "$PICTURES" --json "$WORK/$run/probes.json"
}

# nano reads no words.
[ -n "$WORDS" ] || measure untrained
for seed in $SEEDS; do
  for method in $METHODS; do
    train "$method" "$seed"
    if [ "$method" = full ]; then
      measure "$method-$seed" --model "$WORK/$method-$seed/adapter/model"
    else
      measure "$method-$seed" --adapter "$WORK/$method-$seed/adapter"
    fi
  done
done
"$python" -m train.evaluation.methods "$WORK" --model "$MODEL" --out "$WORK/table"
