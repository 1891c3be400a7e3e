#!/usr/bin/env bash
# Whether every dependency has a wheel, for each platform and Python: without extras in the newest versions, with all of
# them together in the newest and in those of constraints.txt, and with `mediapipe` in the latter, as `make serve` does.
# Nothing is installed. Needs uv (`pip install uv`) and the package index; takes minutes. Prints a line for each, with
# the versions of torch and NumPy that would be taken; ends with 1 where something has no wheel.
# PLATFORMS and PYTHONS choose some of them. Macs with Intel are none of them: torch from 2.3 on has no wheel for them.
set -u
# uv takes macOS 13 otherwise, which newer wheels of torch and ONNX Runtime do not run on.
export MACOSX_DEPLOYMENT_TARGET=14.0
# Nothing runs in the Python that is resolved for, so it need not be here.
export UV_PYTHON_DOWNLOADS=never
cd "$(dirname "$0")/../.."
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
read -ra platforms <<< "${PLATFORMS:-x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin x86_64-pc-windows-msvc}"
read -ra pythons <<< "${PYTHONS:-3.11 3.12 3.13 3.14}"
every="train mediapipe export rtx words silero studies lsl mqtt osc ray completion otel fuzz dev"

# resolve PLATFORM PYTHON newest|pinned [EXTRA …]
resolve() {
  local platform=$1 python=$2 versions=$3 out="$found/$1-$2-$3-$#"
  shift 3
  # NVIDIA's are small source packages on PyPI, which name the wheels or fetch them from an index of NVIDIA's own.
  local flags=(--only-binary :all: --no-binary tensorrt-rtx-cu13)
  [ "$versions" = newest ] || flags+=(--constraint constraints.txt)
  local extra
  for extra in "$@"; do
    flags+=(--extra "$extra")
    [ "$extra" != trt ] || flags+=(--no-binary tensorrt --no-binary tensorrt-cu13 --no-binary tensorrt-cu13-libs)
  done
  if uv pip compile pyproject.toml "${flags[@]}" --python-platform "$platform" --python-version "$python" \
    --no-config --no-header --no-annotate --quiet --output-file "$out" > "$out.told" 2>&1; then
    echo "$platform $python $versions [$*]: $(grep -c == "$out") wheels, $(grep -E '^(torch|numpy|mediapipe)==' "$out" | tr '\n' ' ')"
  else
    echo "$platform $python $versions [$*]: MISSING $(grep -v '^warning' "$out.told" | tail -4 | tr '\n' ' ')"
    touch "$found/missing"
  fi
}

for platform in "${platforms[@]}"; do
  extras=$every
  # Elsewhere its libraries are on NVIDIA's index alone, or ask for a newer glibc than other wheels do.
  [ "$platform" != x86_64-unknown-linux-gnu ] || extras="$every trt"
  for python in "${pythons[@]}"; do
    resolve "$platform" "$python" newest
    resolve "$platform" "$python" pinned mediapipe
    # shellcheck disable=SC2086  # Each word is an extra.
    resolve "$platform" "$python" newest $extras
    # shellcheck disable=SC2086
    resolve "$platform" "$python" pinned $extras
  done > "$found/$platform.lines" &
done
wait
for platform in "${platforms[@]}"; do cat "$found/$platform.lines"; done
[ ! -e "$found/missing" ]
