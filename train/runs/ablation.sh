#!/usr/bin/env bash
# Train each row of the ablation table briefly and by itself, from one model and on the same records, and compare them.
#
#   DATA=path/to/data RECORDS=path/to/coet CACHE=path/to/windows WORK=path/to/scratch bash train/runs/ablation.sh
#   … MODEL=path/to/new FROM=path/to/adapter MORE="--words --measured --projectors"   a text backbone, from its adapter
#
# DATA is made by realtime train convert (train/DATA.md), RECORDS by train.annotate. A row has the same name in training
# and in evaluation (--variant). ROWS chooses some, split at semicolons. With PRIOR=5, so many pairs of each validation
# speaker are answered as well, and the table also counts labels with a bias of each row's own. Every stage resumes where it was stopped; a
# finished one is skipped. The table is WORK/table; it holds what is finished, so that it can be made at any time:
#
#   realtime train evaluation.retrained WORK --out WORK/table
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${WORK:=runs/ablation}" "${MODEL:=nano}" "${FROM:=}" "${STEPS:=60}" "${SEED:=0}" "${WORKERS:=1}" "${MORE:=}" "${RATE:=5e-4}"
: "${ROWS:=F + B + A;F;B;A;F + B;F + A;attention selection;adaptive share;δ = 0;δ = 0.5;δ = 0.8;λ = 0;λ = 4;λ = 16}"
: "${BENCHMARKS:=conflict agree}" "${EACH:=20}" "${PRIOR:=0}" # pairs of each speaker
: "${DATA:?name the data folder: DATA=path/to/data RECORDS=path/to/coet bash train/runs/ablation.sh}"
: "${RECORDS:?name folders of train.annotate: RECORDS=path/to/coet}" "${CACHE:=$WORK/windows}"
# shellcheck source=train/runs/stage.sh
source train/runs/stage.sh
mkdir -p "$WORK"

# All are split into words on purpose.
# shellcheck disable=SC2206
records=($RECORDS) more=($MORE) benchmarks=($BENCHMARKS) begin=(--rank 16)
[ -z "$FROM" ] || begin=(--from-adapter "$FROM")

IFS=';' read -ra rows <<<"$ROWS"
for row in "${rows[@]}"; do
  name=${row// /_}
  name=${name//[+=]/}
  stage "$name/lora" train.lora "${records[@]}" --model "$MODEL" --cache "$CACHE" --variant "$row" --seed "$SEED" --lr "$RATE" \
    --steps "$STEPS" --selectors --no-gradient-checkpointing "${begin[@]}" --out "$WORK/$name/adapter" ${more[@]+"${more[@]}"}
  evaluated=(--data "$DATA" --model "$MODEL" --adapter "$WORK/$name/adapter" --fast --workers "$WORKERS")
  for benchmark in "${benchmarks[@]}"; do
    [ "$PRIOR" = 0 ] || stage "$name/prior/$benchmark" train.evaluate --benchmark "$benchmark" "${evaluated[@]}" \
      --split valid --limit "$PRIOR" --out "$WORK/$name/prior/$benchmark"
    stage "$name/$benchmark" train.evaluate --benchmark "$benchmark" "${evaluated[@]}" --limit "$EACH" --out "$WORK/$name/$benchmark"
  done
  "$python" -m train.evaluation.retrained "$WORK" --out "$WORK/table"
done
