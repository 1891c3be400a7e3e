#!/usr/bin/env bash
# Measures every figure that needs an NVIDIA GPU, from a clone with `pip install -e '.[train,export,trt,rtx]' pytest`:
#
#     bash export/gpu.sh OUT RECORDING [DATA]
#
# OUT: an empty folder with 40 GB free; RECORDING: a person speaking to the camera; DATA: FER+ and RAVDESS, for labels in fp8.
# Writes OUT/*.json and OUT/*.log. A step that fails is named and the others go on. Takes half an hour on an H200, by estimate.
# PYTHON names the interpreter.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,8p' "$0"; exit 2; }
out=$1 recording=$2 data=${3:-} python=${PYTHON:-python} failed=0
mkdir -p "$out"

step() { # NAME COMMAND…: its output goes to OUT/NAME.log
  local name=$1; shift
  if "$@" >"$out/$name.log" 2>&1; then echo "done    $name"; else failed=1; echo "FAILED  $name (exit $?): $out/$name.log"; fi
}

step doctor "$python" -m realtime.cli doctor
# CUDA graphs and plans equal torch on the CPU.
step equal "$python" -m pytest -q -m gpu tests
# The best figures that the GPU allows, from its rates: the table of export/README.md.
step limits "$python" -m export.limits

step nano-engines "$python" -m export.trt --model nano --out "$out/engines-nano"
step nano-towers "$python" -m export.bench --model nano --engines "$out/engines-nano" --json "$out/nano-towers.json"
step nano "$python" -m realtime.cli bench "$recording" --device cuda --engine torch --json "$out/nano.json"
[ -z "$data" ] || step nano-fp8 "$python" -m train.evaluation.fidelity --data "$data" --device cuda --narrow fp8 int8 \
  --json "$out/nano-fp8.json"

for shapes in 3B 7B; do
  step $shapes-weights "$python" -m export.random_weights --shapes $shapes --whole --out "$out/$shapes"
  step $shapes-engines "$python" -m export.trt --model "$out/$shapes" --out "$out/engines-$shapes" --precision fp16
  step $shapes-parity "$python" -m export.parity "$out/engines-$shapes" --model "$out/$shapes"
  # ms of a frame and of a chunk: torch eager, compiled and as CUDA graph, transformers, TensorRT, the floor.
  step $shapes-towers "$python" -m export.bench --model "$out/$shapes" --engines "$out/engines-$shapes" \
    --json "$out/$shapes-towers.json"
  # label_ms, tokens_per_s, floors.tokens_per_s_reached, ratios to plain transformers; `engine` says what ran.
  step $shapes "$python" -m realtime.cli bench "$recording" --model "$out/$shapes" --device cuda \
    --engine auto --engine-dir "$out/engines-$shapes" --json "$out/$shapes.json"
done
# evidence_ms.p95 of a hundred people, and what was left out (`reduced`).
step 3B-hundred "$python" -m realtime.cli bench "$recording" --model "$out/3B" --device cuda \
  --engine auto --engine-dir "$out/engines-3B" --sessions 100 --repeats 0 --json "$out/3B-hundred.json"
exit $failed
