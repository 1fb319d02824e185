#!/usr/bin/env bash
# Installs what the tests use beside Rust: Debian packages, uv, an S3 server, an ordinary user with subordinate ids, the
# root directory of an image.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(libc6-dev python3 python3-pip python3-venv uidmap zbar-tools util-linux git zip busybox-static cpio
  qemu-system-x86 iproute2 curl docker.io mmdebstrap)
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]})); then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi

if [[ ! -x target/tools/bin/uv ]]; then
  mkdir -p target
  /usr/bin/python3 -m venv target/tools
  target/tools/bin/pip install --quiet --disable-pip-version-check uv
fi
if [[ ! -x target/tools/bin/pre-commit ]]; then
  target/tools/bin/pip install --quiet --disable-pip-version-check pre-commit
fi

# The reference library of the Agent Skills standard, whose verdicts the profile `spec` follows.
skills_ref_version=0.1.1
if [[ ! -x target/tools/skills-ref/bin/agentskills ]]; then
  /usr/bin/python3 -m venv target/tools/skills-ref
  target/tools/skills-ref/bin/pip install --quiet --disable-pip-version-check "skills-ref==$skills_ref_version"
fi

# A full S3 server. It takes minutes to build, so it stays outside of the target directory.
garage_version=2.5.0
garage="${XDG_CACHE_HOME:-$HOME/.cache}/skillbox-test/garage"
if ! "$garage/bin/garage" --version 2>/dev/null | grep -q "v\?$garage_version"; then
  cargo install --quiet garage --version "$garage_version" --locked --root "$garage"
fi

# The ordinary user that rootless tests run as; useradd gives it subordinate ids.
user=skillbox-test
if ! id "$user" >/dev/null 2>&1; then
  useradd --create-home "$user"
fi
grep -q "^$user:" /etc/subuid || usermod --add-subuids 300000-365535 --add-subgids 300000-365535 "$user"

# What the docker driver's tests make their image of, once.
root="${XDG_CACHE_HOME:-$HOME/.cache}/skillbox-test/docker-root.tar"
if [[ ! -f "$root" ]]; then
  mkdir -p "$(dirname "$root")"
  mmdebstrap --quiet --variant=minbase --include=python3 --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$root.new.tar"
  mv "$root.new.tar" "$root"
fi

if [[ -x tests/vm/prepare.sh ]]; then
  tests/vm/prepare.sh
fi
