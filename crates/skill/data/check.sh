#!/usr/bin/env bash
# Compares `modules.txt` with the wheels of the index: of each package named as an argument, does it have its modules?
#
# Without arguments, the packages of the images are compared, whose wheels are fetched for them anyway. Needs pip.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
packages=("$@")
if ((${#packages[@]} == 0)); then
  mapfile -t packages < <(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' "$here"/../../../images/*/python.txt | sort -u)
fi
wheels="$(mktemp -d)"
trap 'rm -rf "$wheels"' EXIT
for package in "${packages[@]}"; do
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$wheels" "$package" || echo "no wheel: $package"
done
python3 - "$here/modules.txt" "$wheels" <<'PYTHON'
import pathlib, re, sys, zipfile

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

table = {}
for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    if line and not line.startswith("#"):
        module, *packages = line.split()
        for package in packages:
            table.setdefault(package, []).append(module)
wrong = compared = 0
for wheel in sorted(pathlib.Path(sys.argv[2]).glob("*.whl")):
    package = normal(wheel.name.split("-")[0])
    names = zipfile.ZipFile(wheel).namelist()
    for module in table.get(package, []):
        compared += 1
        path = module.replace(".", "/")
        if not any(name.startswith((path + "/", path + ".")) for name in names):
            wrong += 1
            print(f"{package} has no module {module}")
print(f"{compared} modules compared, {wrong} wrong")
sys.exit(wrong > 0)
PYTHON
