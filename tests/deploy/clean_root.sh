#!/usr/bin/env bash
# `make serve` as a newcomer runs it: in a root of Debian that has nothing but what docs/installing.md says to install.
#
#   bash tests/deploy/clean_root.sh bookworm [MIRROR]     Debian 12, Python 3.11
#   bash tests/deploy/clean_root.sh trixie [MIRROR]       Debian 13, Python 3.13
#
# Needs root, debootstrap and the package registries; takes 10 to 40 minutes and up to 10 GB under TMPDIR (/var/tmp), which
# it gives back. What is committed is tried, not what lies about. MIRROR is that of this machine's apt where none is named.
# How this machine reaches the registries (the settings of pip and npm, proxies, certificates) holds in the new root too.
set -euo pipefail
suite=${1:?"Which Debian? bash tests/deploy/clean_root.sh bookworm"}
here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/tests/deploy/bare_root.sh"
[ "$(id -u)" = 0 ] || { echo "clean_root: needs root, to make a root of its own: sudo bash $0 $*" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "clean_root: no debootstrap here: apt-get install debootstrap" >&2; exit 1; }
mirror=${2:-$(machines_mirror)}
[ -n "$mirror" ] || { echo "clean_root: apt of this machine names no mirror of Debian. Name one: $0 $suite MIRROR" >&2; exit 1; }
# What a newcomer is told to install, as the page has it.
told=$(sed -n 's/.*`sudo apt-get install \([a-z0-9 -]*\)`.*/\1/p' "$here/docs/installing.md" | head -1)
[ -n "$told" ] || { echo "clean_root: docs/installing.md no longer says what to install on Debian" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/clean-root-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
say() { echo "clean_root $suite: $*"; }
began=$SECONDS
bare_root "$suite" "$root" "$mirror" $told
chroot "$root" useradd --create-home newcomer
git clone --quiet --no-local "$here" "$root/home/newcomer/emothinker"
cp /etc/resolv.conf "$root/etc/resolv.conf"
machines_registries "$root" /home/newcomer
say "Debian $(cat "$root/etc/debian_version"), $(chroot "$root" python3 --version) and $told after $((SECONDS - began)) s"

cat > "$root/home/newcomer/try.sh" <<'TRY'
set -eu -m
cd ~/emothinker
port=$(python3 -c 'import socket; free = socket.socket(); free.bind(("127.0.0.1", 0)); print(free.getsockname()[1])')
get() { python3 -c 'import sys, urllib.request as web; sys.stdout.buffer.write(web.urlopen(sys.argv[1], timeout=10).read())' "http://127.0.0.1:$port$1"; }
serve() { # until it is ready; prints after how many seconds
  began=$(date +%s)
  make serve ARGS="--port $port" >> ~/serve.log 2>&1 &
  server=$!
  until get /readyz > /dev/null 2>&1; do
    kill -0 $server 2>/dev/null || { tail -30 ~/serve.log; echo "make serve ended before it was ready"; exit 1; }
    sleep 0.5
  done
  echo "$1: ready after $(($(date +%s) - began)) s"
}
stop() { # as Ctrl-C does it
  kill -INT -$server
  for _ in $(seq 200); do kill -0 $server 2>/dev/null || return 0; sleep 0.1; done
  echo "make serve did not end within 20 s of an interrupt"
  exit 1
}
serve "make serve, first run"
get / > ~/page.html
grep -q '<title>EmoThinker live</title>' ~/page.html || { head -c 500 ~/page.html; echo "the page is not ours"; exit 1; }
script=$(grep -oE 'assets/[^"]+\.js' ~/page.html | head -1)
echo "the page: $(wc -c < ~/page.html) bytes, and its program: $(get "/$script" | wc -c) bytes"
stop
serve "make serve, second run"
stop
began=$(date +%s)
.venv/bin/realtime analyze sample --out ~/events.jsonl > ~/analyze.log 2>&1 || { tail -5 ~/analyze.log; exit 1; }
echo "realtime analyze sample: $(wc -l < ~/events.jsonl) events in $(($(date +%s) - began)) s"
.venv/bin/python -c 'import numpy, platform, torch; print("Python", platform.python_version(), "NumPy", numpy.__version__, "torch", torch.__version__)'
du -sm .venv web/node_modules | sed 's/^\([0-9]*\)\t\(.*\)/\2: \1 MB/'
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
chroot --userspec=newcomer:newcomer "$root" /usr/bin/env -i HOME=/home/newcomer USER=newcomer LANG=C.UTF-8 \
  PATH=/usr/local/bin:/usr/bin:/bin ${kept[@]+"${kept[@]}"} bash /home/newcomer/try.sh
INSIDE
say "all of it in $((SECONDS - began)) s, on $(date -u +%F)"
