#!/usr/bin/env bash
# Count lines, words and characters of a text file and save the counts as JSON.
# Usage: main.sh FILE [--output NAME]
set -euo pipefail

usage() {
  printf 'usage: main.sh FILE [--output NAME]\n\n'
  printf '  FILE           the text file, UTF-8\n'
  printf '  --output NAME  file name in the output directory (default: counts.json)\n'
}

fail() {
  printf 'error: %s\n' "$1" >&2
  exit "${2:-1}"
}

file=
output=counts.json
while (($#)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --output) (($# > 1)) || fail '--output needs a file name' 2; output=$2; shift 2 ;;
    -*) fail "unknown option $1; see --help" 2 ;;
    *) [[ -z $file ]] || fail 'only one file is counted; see --help' 2; file=$1; shift ;;
  esac
done
[[ -n $file ]] || fail 'the file is missing; see --help' 2
case $output in
  '' | . | .. | */*) fail '--output is a file name without directories; it is saved in the output directory' ;;
esac
[[ -r $file && -f $file ]] || fail "cannot read $file"

lines=$(wc -l <"$file")
words=$(wc -w <"$file")
characters=$(wc -m <"$file")
directory=${OUTPUT_DIR:-/output}
mkdir -p "$directory"
printf '{"lines": %d, "words": %d, "characters": %d}\n' "$lines" "$words" "$characters" >"$directory/$output"
printf '{"saved": "%s", "lines": %d, "words": %d, "characters": %d}\n' "$directory/$output" "$lines" "$words" "$characters"
