#!/usr/bin/env bash
# Measures what needs an NVIDIA GPU, in at most 9 minutes, from a clone with `pip install -e '.[train,export,trt,rtx]' pytest`:
#
#     bash export/gpu.sh OUT RECORDING
#
# OUT: an empty folder with 35 GB free; RECORDING: a person speaking to the camera. What is worth most comes first, and
# OUT/*.json and OUT/*.log hold what was done when it ends or is stopped. A step that fails is named and the others go on.
# SECONDS_IN_ALL is the time (540), and PYTHON names the interpreter. It has not been run on a GPU.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,8p' "$0"; exit 2; }
out=$1 recording=$2 python=${PYTHON:-python} all=${SECONDS_IN_ALL:-540} failed=0
mkdir -p "$out"

step() { # NAME SECONDS COMMAND…: its output goes to OUT/NAME.log. It gets no more than these seconds, and than are left.
  local name=$1 most=$2 left=$((all - SECONDS)); shift 2
  if [ $left -lt 10 ]; then echo "left out  $name: no time"; failed=1; return; fi
  local began=$SECONDS
  if timeout --kill-after 5 $((most < left ? most : left)) "$@" >"$out/$name.log" 2>&1
  then echo "done      $name ($((SECONDS - began)) s)"
  else local code=$?; failed=1; echo "FAILED    $name (exit $code, $((SECONDS - began)) s): $out/$name.log"; fi
}

step doctor 30 "$python" -m realtime.cli doctor
# Towers as CUDA graphs, and plans where a TensorRT is there, equal torch on the CPU; nano answers alike on both, and so
# do sessions that share calls of the towers and passes of the language model.
step equal 100 "$python" -m pytest -q -m gpu tests/export tests/engine
step limits 10 "$python" -m export.limits --json "$out/limits.json"

# Tokens a second of one chain and its share of the memory's rate (`of_memory`), and ms of a 448-px frame and a 2-s chunk.
for shapes in 3B 7B; do
  step $shapes-weights 60 "$python" -m export.random_weights --shapes $shapes --whole --out "$out/$shapes"
  step $shapes-decode 60 "$python" -m realtime.bench.decode --model "$out/$shapes" --device cuda \
    --weights full int8 int4 --narrow none --json "$out/$shapes-decode.json"
  step $shapes-towers 40 "$python" -m export.bench --model "$out/$shapes" --batch 1 --no-compile --json "$out/$shapes-towers.json"
done

# Label and first word of a session, and how old evidence is with more of them: as many sessions fit as keep
# `evidence_ms.p95` below 300. `per_call` tells how many frames, sounds and appends share a call on average.
step 3B-session 50 "$python" -m realtime.cli bench "$recording" --model "$out/3B" --device cuda --engine torch \
  --seconds 15 --repeats 1 --json "$out/3B-session.json"
for sessions in 8 32 100; do
  step 3B-sessions-$sessions 40 "$python" -m realtime.cli bench "$recording" --model "$out/3B" --device cuda --engine torch \
    --seconds 12 --repeats 0 --sessions $sessions --json "$out/3B-sessions-$sessions.json"
done

# Every stage of training on the GPU, two steps each, with a small random model and drawn clips; LoRA is one of them.
step training 60 env WORK="$out/training" PYTHON="$python" DEVICE=gpu bash train/runs/smoke.sh
step nano 40 "$python" -m realtime.bench.decode --device cuda --narrow none int8 fp8 --json "$out/nano-decode.json"
# The compiler and TensorRT take minutes, so they come last and get what is left.
step 3B-compiled $all "$python" -m export.bench --model "$out/3B" --batch 1 --json "$out/3B-compiled.json"
step 3B-plans $all "$python" -m export.trt --model "$out/3B" --out "$out/plans" --precision fp16 --batch 1
step 3B-plans-speed $all "$python" -m export.bench --model "$out/3B" --batch 1 --no-compile --engines "$out/plans" \
  --json "$out/3B-plans.json"
exit $failed
