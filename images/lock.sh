#!/usr/bin/env bash
# Makes the locked lists of Python and npm packages anew, with the newest versions that fit. Needs uv and npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for image in slim office; do
  # As if it were an old system: what is chosen has wheels for it.
  uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --only-binary :all: \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 "$image/python.in" --output-file "$image/python.txt"
done
# Addresses are the client's business, so none are written down.
npm update --prefix node --package-lock-only --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved --silent
