#!/usr/bin/env bash
# Whether every dependency has a wheel: for each platform and Python, without the extras, with mediapipe, and with those
# of training and studies. Nothing is installed. Needs uv (`pip install uv`) and the package index. Prints a line for
# each, with the versions of torch and NumPy that would be taken; ends with 1 where something has no wheel.
set -u
# uv takes macOS 13 otherwise, which newer wheels of torch and ONNX Runtime do not run on.
export MACOSX_DEPLOYMENT_TARGET=14.0
cd "$(dirname "$0")/../.."
found=$(mktemp)
trap 'rm -f "$found" "$found.told"' EXIT
n_missing=0
for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin x86_64-pc-windows-msvc; do
  for python in 3.11 3.12 3.13 3.14; do
    for extras in "" "mediapipe" "train export studies silero words ray"; do
      flags=()
      for extra in $extras; do flags+=(--extra "$extra"); done
      if uv pip compile pyproject.toml ${flags[@]+"${flags[@]}"} --python-platform "$platform" --python-version "$python" \
        --only-binary :all: --no-config --no-header --no-annotate --quiet --output-file "$found" > "$found.told" 2>&1; then
        echo "$platform $python [$extras]: $(grep -c == "$found") wheels, $(grep -E '^(torch|numpy)==' "$found" | tr '\n' ' ')"
      else
        echo "$platform $python [$extras]: MISSING $(tail -3 "$found.told" | tr '\n' ' ')"
        n_missing=$((n_missing + 1))
      fi
      rm -f "$found"
    done
  done
done
exit $((n_missing > 0))
