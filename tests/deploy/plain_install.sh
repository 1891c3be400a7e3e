#!/usr/bin/env bash
# The first try of README in a root of Debian that has nothing but Python: a plain install, and `realtime analyze sample`.
#
#   bash tests/deploy/plain_install.sh forky               the newest Python that Debian has
#   bash tests/deploy/plain_install.sh bookworm arm64      ARM64, emulated: see below
#   TESTS="tests/evidence" bash tests/deploy/plain_install.sh forky      runs the quick tests of these folders afterwards
#
# Needs root, debootstrap and the package registries; up to 12 GB under TMPDIR (/var/tmp), which it gives back. It takes
# 5 to 30 minutes. What is committed is tried, not what lies about.
#
# An emulated processor (apt-get install qemu-user-static binfmt-support) is 50 times slower. So pip of this machine
# installs there what pip of that platform would: the wheels of the root's Python. The root sees the /proc/cpuinfo of an
# ARM core, as libraries look for one in it and the emulator shows that of this machine.
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
# Some tests want the page, and the root has no Node. It is that of this checkout, if it was built here.
[ ! -d "$here/realtime/web_dist" ] || cp -r "$here/realtime/web_dist" "$root/home/newcomer/emothinker/realtime/"
cp /etc/resolv.conf "$root/etc/resolv.conf"
machines_registries "$root" /home/newcomer
say "Debian $(cat "$root/etc/debian_version"), $(chroot "$root" python3 --version), $(chroot "$root" uname -m) after $((SECONDS - began)) s"

cat > "$root/home/newcomer/try.sh" <<'TRY'
set -euo pipefail
cd ~/emothinker
took() { echo "$1: $(($(date +%s) - began)) s"; began=$(date +%s); }
began=$(date +%s)
[ -d .venv ] || python3 -m venv .venv
if [ -z "$EMULATED" ]; then
  .venv/bin/pip install --quiet --constraint constraints.txt . > ~/install.log 2>&1 || { tail -20 ~/install.log; exit 1; }
  took "pip install"
fi
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
# emulated: fills the environment of an ARM64 root with the wheels for it.
emulated() {
  local home=$root/home/newcomer/emothinker version packages tags=()
  version=$(chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  chroot "$root" python3 -m venv --without-pip /home/newcomer/emothinker/.venv
  packages=$home/.venv/lib/python$version/site-packages
  for minor in $(seq 17 "$(chroot "$root" ldd --version | sed -n '1s/.*\.//p')"); do tags+=(--platform "manylinux_2_${minor}_aarch64"); done
  pip wheel --quiet --no-deps --wheel-dir "$work" "$home"
  pip install --quiet --ignore-installed --only-binary=:all: "${tags[@]}" --platform manylinux2014_aarch64 \
    --implementation cp --python-version "$version" --target "$packages" --constraint "$home/constraints.txt" "$work"/emothinker-*.whl
  printf '#!/bin/sh\nexec /home/newcomer/emothinker/.venv/bin/python -m realtime "$@"\n' > "$home/.venv/bin/realtime"
  chmod 755 "$home/.venv/bin/realtime"
  for core in 0 1; do
    printf 'processor\t: %s\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp\n' $core
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n'
  done > "$root.cpuinfo"
}
case "$BARE_ARCH" in
  "") ;;
  arm64) emulated; export QEMU_CPU=neoverse-n1; say "packages for it, by pip of this machine, after $((SECONDS - began)) s" ;;
  *) echo "plain_install: only arm64 can be emulated, not $BARE_ARCH" >&2; exit 1 ;;
esac
chroot "$root" chown -R newcomer: /home/newcomer

# Mounts and processes of its own: both end with it, whatever is left running.
export root
unshare --mount --pid --fork --kill-child bash -euo pipefail -s <<'INSIDE'
mount -t proc proc "$root/proc"
[ ! -e "$root.cpuinfo" ] || mount --bind "$root.cpuinfo" "$root/proc/cpuinfo"
mount -t tmpfs tmpfs "$root/dev/shm"
# Terminals of its own: some tests open one.
mkdir -p "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -sf pts/ptmx "$root/dev/ptmx"
mount --rbind --make-rslave /sys "$root/sys"
while read -r folder; do mount --bind -o ro "$folder" "$root$folder"; done < "$root.folders"
mapfile -t kept < "$root.environment"
chroot --userspec=newcomer:newcomer "$root" /usr/bin/env -i HOME=/home/newcomer USER=newcomer LANG=C.UTF-8 TESTS="${TESTS:-}" \
  EMULATED="$BARE_ARCH" ${QEMU_CPU:+QEMU_CPU=$QEMU_CPU} \
  PATH=/usr/local/bin:/usr/bin:/bin ${kept[@]+"${kept[@]}"} bash /home/newcomer/try.sh
INSIDE
say "all of it in $((SECONDS - began)) s, on $(date -u +%F)"
