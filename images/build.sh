#!/usr/bin/env bash
# Builds a sandbox image without a container registry: Debian packages by mmdebstrap, Python packages by uv or pip, npm
# packages by npm, all into one tar file of a root directory.
#
#   build.sh IMAGE OUT
#
# OUT gets rootfs.tar and packages.json, the list of what is inside; both are put in place at the very end, so they are
# whole or not there. The same versions of packages give the same bytes. Standard output is the tar's digest.
#
#   SOURCE_DATE_EPOCH   the time that files have; otherwise that of the recipe
#   DEBIAN_MIRROR       where Debian packages come from; otherwise Debian's own places
#   PYTHON_INDEX_URL…   uv, pip and npm take their own variables and configuration files
set -euo pipefail

# Files get this time unless the caller wants another. Any constant does: only that it stays the same matters.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600}
readonly suite=bookworm python=3.11
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }
# 69 is EX_UNAVAILABLE: something of this machine is missing, and the last line says how to get it.
missing() { say "error: $1"; say "hint: $2"; exit 69; }

if (($# != 2)); then
  say "usage: build.sh IMAGE OUT"
  exit 2
fi
image=$1 out=$2
debian=$("$here/parts.sh" debian "$image" | paste -sd,)
wheels=$("$here/parts.sh" python "$image")
npm=$("$here/parts.sh" npm "$image")

command -v mmdebstrap >/dev/null ||
  missing "mmdebstrap is not installed" "\`apt-get install mmdebstrap\`, as root, on Debian or Ubuntu"
[[ -n ${DEBIAN_MIRROR:-} || -e /usr/share/keyrings/debian-archive-keyring.gpg ]] ||
  missing "the keys of Debian's archive are not installed" "\`apt-get install debian-archive-keyring\`, as root"
if [[ -n $npm ]] && ! command -v npm >/dev/null; then
  missing "npm is not installed, and the image $image has npm packages" "\`apt-get install npm\`, as root"
fi
installer=
if [[ -n $wheels ]]; then
  if command -v uv >/dev/null; then
    installer=uv
  elif python3 -m pip --version >/dev/null 2>&1; then
    installer=pip
  else
    missing "neither uv nor pip is installed, and the image $image has Python packages" \
      "\`apt-get install python3-pip\`, as root, or install uv"
  fi
fi

# Beside the result, so that it can be put in place by renaming.
mkdir -p "$out"
work=$(mktemp -d "$out/.building-XXXXXX")
trap 'rm -rf "$work"' EXIT
# As an ordinary user, mmdebstrap goes in with other ids.
chmod 755 "$work"
mkdir "$work/inside" "$work/inside/python" "$work/inside/npm"

if [[ $installer == uv ]]; then
  say "fetching Python packages with uv"
  uv pip install --quiet --no-deps --require-hashes --only-binary :all: --link-mode copy \
    --python-version "$python" --python-platform "$(uname -m)-manylinux_2_36" \
    --target "$work/inside/python" --requirement "$wheels" >&2
elif [[ $installer == pip ]]; then
  say "fetching Python packages with pip"
  # The first one that fits is taken, as on the image itself, whose glibc is 2.36.
  platforms=()
  for glibc in {36..17} 12 5; do platforms+=(--platform "manylinux_2_${glibc}_$(uname -m)"); done
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-compile --no-deps \
    --require-hashes --only-binary :all: --implementation cp --python-version "$python" "${platforms[@]}" \
    --platform "manylinux2014_$(uname -m)" --platform any --target "$work/inside/python" --requirement "$wheels" >&2
fi
if [[ -n $npm ]]; then
  say "fetching npm packages"
  cp "$npm/package.json" "$npm/package-lock.json" "$work/inside/npm/"
  # No script of a package runs here.
  npm ci --prefix "$work/inside/npm" --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel error >&2
fi
cp "$here/finish.py" "$here/purge.txt" "$work/inside/"
"$here/parts.sh" requested "$image" >"$work/inside/requested"

say "installing Debian packages"
# A variable of the builder's that must not get into what is built.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME
mapfile -t left_out < <(sed -n 's/^path-/--dpkgopt=path-/p' "$here/dpkg.cfg")
mmdebstrap --quiet --variant=minbase --include="$debian" --skip=output/dev --skip=check/qemu --skip=cleanup \
  "${left_out[@]}" \
  --customize-hook='mkdir "$1/skillbox-build"' \
  --customize-hook="sync-in '$work/inside' /skillbox-build" \
  --customize-hook="chroot \"\$1\" /usr/bin/python3 -I -B /skillbox-build/finish.py $image" \
  --customize-hook="copy-out /usr/share/skillbox/packages.json '$work'" \
  "$suite" "$work/rootfs.tar" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2

mv "$work/packages.json" "$out/packages.json"
mv "$work/rootfs.tar" "$out/rootfs.tar"
digest=$(sha256sum "$out/rootfs.tar")
printf 'sha256:%s\n' "${digest%% *}"
