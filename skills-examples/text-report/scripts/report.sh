#!/usr/bin/env bash
# Makes a report on text files: Markdown, HTML and word statistics.
set -euo pipefail

skill="${SKILL_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}"
output="${OUTPUT_DIR:-/output}"

usage() {
  cat <<'END'
usage: report.sh [options] [FILE…]

Saves report.md, report.html and statistics.json in the output directory.
Without FILE the sample of the skill is used; - reads stdin.

  --title TEXT           heading (default: Text report)
  --top N                frequent words and phrases to list (default: 15)
  --language en|de|none  whose little words are left out (default: en)
  --name NAME            name of the report files (default: report)
  -h, --help             show this help
END
}

# The message goes through Python, so that any text makes sound JSON.
fail() {
  python3 -c 'import json, sys; print(json.dumps({"error": sys.argv[1]}, ensure_ascii=False))' "$1"
  exit 1
}

title='Text report' top=15 language=en name=report
files=()
while (($#)); do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --title | --top | --language | --name)
      (($# > 1)) || fail "$1 needs a value"
      case "$1" in
        --title) title="$2" ;;
        --top) top="$2" ;;
        --language) language="$2" ;;
        --name) name="$2" ;;
      esac
      shift 2
      ;;
    --) shift; files+=("$@"); break ;;
    -?*) fail "unknown option: $1; see --help" ;;
    *) files+=("$1"); shift ;;
  esac
done

[[ "$top" =~ ^[1-9][0-9]{0,2}$ ]] && ((top <= 100)) || fail "--top must be a number from 1 to 100"
[[ "$language" =~ ^(en|de|none)$ ]] || fail "--language must be one of en, de, none"
[[ "$name" =~ ^[A-Za-z0-9._-]+$ && "$name" != .* ]] || fail "--name may hold letters, digits, dots, dashes and underscores"
((${#files[@]})) || files=("$skill/assets/sample.txt")
for file in "${files[@]}"; do
  [[ "$file" == - || -f "$file" ]] || fail "no such file: $file"
done

mkdir -p "$output"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Two steps with a file between them: count, then write. Both speak JSON on stdout when they fail.
python3 "$skill/scripts/statistics_of.py" --language "$language" --top "$top" --assets "$skill/assets" \
  "${files[@]}" >"$scratch/statistics.json" || { cat "$scratch/statistics.json"; exit 1; }
python3 "$skill/scripts/render.py" --title "$title" --assets "$skill/assets" \
  --markdown "$output/$name.md" --html "$output/$name.html" "$scratch/statistics.json"
cp "$scratch/statistics.json" "$output/statistics.json"

python3 - "$scratch/statistics.json" "$name" <<'END'
import json
import sys

statistics = json.load(open(sys.argv[1], encoding="utf-8"))
print(json.dumps({
    "saved": [f"{sys.argv[2]}.md", f"{sys.argv[2]}.html", "statistics.json"],
    "texts": len(statistics["texts"]),
    **statistics["total"],
    "topWords": [word for word, _ in statistics["frequentWords"][:5]],
}, ensure_ascii=False))
END
