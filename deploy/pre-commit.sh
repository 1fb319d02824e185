#!/usr/bin/env bash
# The hook `skillbox-validate-build`: builds skillbox in pre-commit's copy of this repository, once, and runs it.
#
# pre-commit's own support for Rust installs the package at the top of a repository; here is a workspace.
set -euo pipefail
source="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
binary="$source/target/release/skillbox"
if [[ ! -x $binary ]]; then
  echo 'building skillbox; this takes minutes, once for each version' >&2
  CARGO_TARGET_DIR="$source/target" cargo build --quiet --release --locked --manifest-path "$source/Cargo.toml" --package cli
fi
exec "$binary" validate --changed "$@"
