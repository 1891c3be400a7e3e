#!/usr/bin/env bash
# Every stage on a handful of drawn clips: annotate, warm-up, CoT-LoRA, merge, preferences, reinforcement, analyze. A few
# minutes on two cores; nothing that comes out of it is of use. MODEL=nano (or a Qwen2.5-Omni folder) takes another model
# than the small random one, and DEVICE=gpu trains on the GPU.
#
#   WORK=runs/smoke bash train/runs/smoke.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
WORK=${WORK:-runs/smoke}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false

$PYTHON -m train.tuning.tiny "$WORK"
MODEL=${MODEL:-$WORK/model}
CLIPS=${CLIPS:-$WORK/clips}
COMMON=(--cache "$WORK/windows" --steps "${STEPS:-2}" --batch 2 --accumulate 1 --log-steps 1)
[ "${DEVICE:-cpu}" = gpu ] || COMMON+=(--cpu)

$PYTHON -m train.annotate "$CLIPS" "$WORK/coet"
$PYTHON -m train.warmup "$WORK/coet" --model "$MODEL" "${COMMON[@]}" --out "$WORK/warmup" --selector-dim 32
$PYTHON -m train.lora "$WORK/coet" --model "$MODEL" "${COMMON[@]}" --out "$WORK/adapter" --from-warmup "$WORK/warmup"
$PYTHON -m train.merge --model "$MODEL" --adapter "$WORK/adapter" --out "$WORK/merged"
$PYTHON -m train.dpo "$WORK/coet" --model "$WORK/merged" "${COMMON[@]}" --out "$WORK/preferred"
$PYTHON -m train.rl "$WORK/coet" --model "$WORK/merged" "${COMMON[@]}" --out "$WORK/reinforced" --group 2
clip=$(find "$CLIPS" -name '*.mp4' -o -name '*.flv' | sort | head -n 1)
$PYTHON -m realtime.cli analyze --model "$WORK/merged" --engine torch "$clip" --out "$WORK/events.jsonl"
grep -c '"reason.done"' "$WORK/events.jsonl" >/dev/null
echo "smoke: every stage ran; see $WORK"
