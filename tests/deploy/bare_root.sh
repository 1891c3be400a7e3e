# Sourced by clean_root.sh, plain_install.sh and image.sh: a root of Debian with packages of its own, and this machine's way to registries.

# bare_root SUITE FOLDER MIRROR PACKAGE…: makes FOLDER. With BARE_ROOTS=FOLDER, a root is kept there and taken again.
# BARE_ARCH names another architecture, which qemu-user-static runs.
bare_root() {
  local suite=$1 root=$2 mirror=$3 kept script=/usr/share/debootstrap/scripts/$1
  shift 3
  kept=${BARE_ROOTS:+$BARE_ROOTS/$suite${BARE_ARCH:+-$BARE_ARCH}-$(echo "$@" | tr ' ' +).tar}
  mkdir -p "$root"
  chmod 755 "$root"
  if [ -n "$kept" ] && [ -f "$kept" ]; then
    tar -xpf "$kept" -C "$root" --numeric-owner
    return
  fi
  # debootstrap may be older than the Debian that is asked for.
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/trixie
  debootstrap ${BARE_ARCH:+--arch="$BARE_ARCH"} --variant=minbase "$suite" "$root" "$mirror" "$script" > "$root.log" 2>&1 || { tail -5 "$root.log" >&2; return 1; }
  apt-config dump | grep -iE '^Acquire::(.*proxy|Check-)' > "$root/etc/apt/apt.conf.d/90machine" || true
  DEBIAN_FRONTEND=noninteractive chroot "$root" sh -c "apt-get update -qq && apt-get install -y -qq ${BARE_FLAGS:-} $*" \
    > "$root.log" 2>&1 || { tail -5 "$root.log" >&2; return 1; }
  chroot "$root" apt-get clean
  [ -z "$kept" ] || { mkdir -p "$BARE_ROOTS" && tar -cf "$kept.new" -C "$root" --numeric-owner . && mv "$kept.new" "$kept"; }
}

# machines_mirror: the mirror of Debian that apt of this machine uses.
machines_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -1
}

# machines_registries ROOT HOME: proxies, certificates and the settings of pip and npm hold in ROOT too, for the user of
# HOME. Lines NAME=VALUE of its environment go to ROOT.environment, folders that are to be mounted to ROOT.folders.
machines_registries() {
  local root=$1 home=$2 key value named path
  env | grep -E '^(PIP_[A-Z_]+|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|[A-Z_]*CA_(BUNDLE|CERTS)|SSL_CERT_FILE)=' \
    > "$root.environment" || true
  if command -v pip >/dev/null; then
    { echo '[global]'; pip config list | sed -n "s/^global\.\([a-z-]*\)='\(.*\)'$/\1 = \2/p"; } > "$root/etc/pip.conf"
  fi
  if command -v npm >/dev/null; then
    for key in registry cafile proxy https-proxy; do
      value=$(npm config get "$key")
      [ "$value" = null ] || [ "$value" = undefined ] || echo "$key=$value"
    done > "$root$home/.npmrc"
  fi
  # What those settings name: a file is copied. A folder is mounted, with those beside it that an index refers to.
  : > "$root.folders"
  for named in $(sed 's/^[^=]*=//' "$root.environment" "$root/etc/pip.conf" "$root$home/.npmrc" 2>/dev/null); do
    path=${named#file://}
    [ "$path" = "$named" ] || path=$(dirname "$path")
    case "$path" in /*) ;; *) continue ;; esac
    if [ -f "$path" ]; then
      install -D --mode=644 "$path" "$root$path"
    elif [ -d "$path" ] && [ ! -e "$root$path" ]; then
      mkdir -p "$root$path"
      echo "$path" >> "$root.folders"
    fi
  done
}
