#!/usr/bin/env bash
# The first try of README in a root of Debian that has nothing but Python: a plain install, and `realtime analyze sample`.
#
#   bash tests/deploy/plain_install.sh forky               the newest Python that Debian has
#   bash tests/deploy/plain_install.sh bookworm arm64      ARM64, emulated (apt-get install qemu-user-static binfmt-support)
#   TESTS="tests/evidence" bash tests/deploy/plain_install.sh forky      runs the quick tests of these folders afterwards
#
# Needs root, debootstrap and the package registries; up to 12 GB under TMPDIR (/var/tmp), which it gives back. It takes
# 10 to 30 minutes, and hours where the processor is emulated. What is committed is tried, not what lies about.
set -euo pipefail
suite=${1:?"Which Debian? bash tests/deploy/plain_install.sh forky"}
export BARE_ARCH=${2:-}
here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/tests/deploy/bare_root.sh"
[ "$(id -u)" = 0 ] || { echo "plain_install: needs root, to make a root of its own: sudo bash $0 $*" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "plain_install: no debootstrap here: apt-get install debootstrap" >&2; exit 1; }
mirror=${3:-$(machines_mirror)}
[ -n "$mirror" ] || { echo "plain_install: apt of this machine names no mirror of Debian. Name one: $0 $suite ARCH MIRROR" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/plain-install-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
say() { echo "plain_install $suite${BARE_ARCH:+ $BARE_ARCH}: $*"; }
began=$SECONDS
bare_root "$suite" "$root" "$mirror" python3-venv ca-certificates
chroot "$root" useradd --create-home newcomer
git clone --quiet --no-local "$here" "$root/home/newcomer/emothinker"
cp /etc/resolv.conf "$root/etc/resolv.conf"
machines_registries "$root" /home/newcomer
say "Debian $(cat "$root/etc/debian_version"), $(chroot "$root" python3 --version), $(chroot "$root" uname -m) after $((SECONDS - began)) s"

cat > "$root/home/newcomer/try.sh" <<'TRY'
set -eu
cd ~/emothinker
took() { echo "$1: $(($(date +%s) - began)) s"; began=$(date +%s); }
began=$(date +%s)
python3 -m venv .venv
.venv/bin/pip install --quiet --constraint constraints.txt . > ~/install.log 2>&1 || { tail -20 ~/install.log; exit 1; }
took "pip install"
.venv/bin/realtime analyze sample --out ~/events.jsonl > ~/analyze.log 2>&1 || { tail -20 ~/analyze.log; exit 1; }
took "realtime analyze sample, $(wc -l < ~/events.jsonl) events"
.venv/bin/python -c 'import json, sys; print("labels:", [(round(each["t"], 2), each["label"]) for each in map(json.loads, sys.stdin) if each["type"] == "label"])' < ~/events.jsonl
.venv/bin/python -c 'import numpy, onnxruntime, platform, torch; print("Python", platform.python_version(), platform.machine(), "NumPy", numpy.__version__, "torch", torch.__version__, "ONNX Runtime", onnxruntime.__version__)'
if [ -n "${TESTS:-}" ]; then
  .venv/bin/pip install --quiet --constraint constraints.txt '.[mediapipe,train,export,ray,studies,dev]' > ~/install.log 2>&1 || { tail -20 ~/install.log; exit 1; }
  took "pip install of what tests need"
  .venv/bin/python -m pytest -q -m "not slow" $TESTS 2>&1 | tail -60
  took "tests"
fi
TRY
chroot "$root" chown -R newcomer: /home/newcomer

# Mounts and processes of its own: both end with it, whatever is left running.
export root
unshare --mount --pid --fork --kill-child bash -euo pipefail -s <<'INSIDE'
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev/shm"
mount --rbind --make-rslave /sys "$root/sys"
while read -r folder; do mount --bind -o ro "$folder" "$root$folder"; done < "$root.folders"
mapfile -t kept < "$root.environment"
chroot --userspec=newcomer:newcomer "$root" /usr/bin/env -i HOME=/home/newcomer USER=newcomer LANG=C.UTF-8 TESTS="${TESTS:-}" \
  PATH=/usr/local/bin:/usr/bin:/bin ${kept[@]+"${kept[@]}"} bash /home/newcomer/try.sh
INSIDE
say "all of it in $((SECONDS - began)) s, on $(date -u +%F)"
