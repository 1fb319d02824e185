#!/usr/bin/env bash
# Builds the runner's own container image without a container registry: a sandbox image, and with it skillbox and uv.
#
#   deploy/build.sh [TAG]        skillbox/runner without TAG
#
#   IMAGE      the sandbox image that it is made of; slim otherwise
#   BASE       a tar of that image, where there is one already
#   SKILLBOX   the executable; otherwise it is built
#   OUT        a directory for the tar, instead of an import into Docker
set -euo pipefail
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tag=${1:-skillbox/runner}
image=${IMAGE:-slim}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '%s\n' "$*" >&2; }

skillbox=${SKILLBOX:-}
if [[ -z $skillbox ]]; then
  say "building skillbox"
  cargo build --quiet --release --package cli
  skillbox=${CARGO_TARGET_DIR:-target}/release/skillbox
fi
if [[ -n ${BASE:-} ]]; then
  cp "$BASE" "$work/$image.tar"
else
  "$skillbox" image build "$image" --format tar --output "$work"
fi

say "fetching uv"
if command -v uv >/dev/null; then
  uv pip install --quiet --no-deps --require-hashes --only-binary :all: --link-mode copy --target "$work/python" \
    --requirement deploy/python.txt
else
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --require-hashes \
    --only-binary :all: --target "$work/python" --requirement deploy/python.txt
fi

# Not below /usr: that is what sandboxes see.
mkdir -p "$work/add/opt/skillbox/bin" "$work/add/run/skillbox" "$work/add/var/lib/skillbox"
install -m 755 "$skillbox" "$work/add/opt/skillbox/bin/skillbox"
install -m 755 "$work/python/bin/uv" "$work/add/opt/skillbox/bin/uv"
chmod 700 "$work/add/run/skillbox" "$work/add/var/lib/skillbox"
tar --append --file "$work/$image.tar" --directory "$work/add" --sort=name --owner=0 --group=0 --numeric-owner \
  --mtime="@$SOURCE_DATE_EPOCH" ./opt ./run/skillbox ./var/lib/skillbox

if [[ -n ${OUT:-} ]]; then
  mkdir -p "$OUT"
  mv "$work/$image.tar" "$OUT/runner.tar"
  say "$OUT/runner.tar"
  exit
fi
say "importing $tag"
# The same as at the end of deploy/Dockerfile.
docker import \
  --change 'ENV PATH=/opt/skillbox/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV LANG=C.UTF-8' \
  --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
  --change 'ENV XDG_CACHE_HOME=/var/lib/skillbox/cache' \
  --change 'ENV XDG_STATE_HOME=/var/lib/skillbox/state' \
  --change 'ENV SKILLBOX_LISTEN=unix:/run/skillbox/api.sock' \
  --change 'ENV SKILLBOX_STORE=file:/var/lib/skillbox/files' \
  --change 'HEALTHCHECK --interval=5s --timeout=15s --start-period=30s CMD ["skillbox", "doctor", "--ready", "unix:/run/skillbox/api.sock"]' \
  --change 'WORKDIR /var/lib/skillbox' \
  --change 'ENTRYPOINT ["skillbox"]' \
  --change 'CMD ["serve"]' \
  --change "LABEL org.opencontainers.image.title=$tag" \
  --change "LABEL skillbox.sandbox=$image" \
  "$work/$image.tar" "$tag"
