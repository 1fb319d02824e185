#!/bin/sh
# What an image is made of, for both ways of building it.
#
#   parts.sh images              the images that there are
#   parts.sh debian IMAGE        Debian packages, one a line
#   parts.sh python IMAGE        the file with the locked Python packages; nothing where there are none
#   parts.sh requested IMAGE     names of the packages that somebody asked for, one a line
#   parts.sh npm IMAGE           the directory with the locked npm packages; nothing where there are none
set -eu
here=$(cd "$(dirname "$0")" && pwd)

parts() {
  line=$(sed -n "s/^$1: *//p" "$here/includes")
  if [ -z "$line" ]; then
    echo "there is no image $1; there are: $(names | paste -sd' ')" >&2
    exit 1
  fi
  echo "$line"
}

names() { sed -n 's/^\([a-z][a-z0-9-]*\):.*/\1/p' "$here/includes"; }

entries() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$1"; }

case "$1" in
images) names ;;
debian)
  all=$(parts "$2")
  for part in $all; do entries "$here/$part/debian.txt"; done | LC_ALL=C sort -u
  ;;
python)
  all=$(parts "$2")
  for part in $all; do [ ! -f "$here/$part/python.txt" ] || echo "$here/$part/python.txt"; done | tail -n 1
  ;;
requested)
  all=$(parts "$2")
  for part in $all; do
    [ ! -f "$here/$part/python.in" ] || entries "$here/$part/python.in" | sed -e '/^-/d' -e 's/[^A-Za-z0-9._-].*//'
  done | LC_ALL=C sort -u
  ;;
npm)
  all=$(parts "$2")
  for part in $all; do [ ! -f "$here/$part/package-lock.json" ] || echo "$here/$part"; done | tail -n 1
  ;;
*)
  echo "usage: parts.sh images | (debian|python|requested|npm) IMAGE" >&2
  exit 2
  ;;
esac
