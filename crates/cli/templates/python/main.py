#!/usr/bin/env python3
"""Count lines, words and characters of a text file and save the counts as JSON."""

import argparse
import json
import os
import sys
from pathlib import Path


class Problem(Exception):
    """Something that the caller can correct."""


def parser():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("file", help="the text file, UTF-8")
    p.add_argument("--top", type=int, default=5, metavar="N", help="how many frequent words to list (default: 5)")
    p.add_argument("--output", default="counts.json", metavar="NAME", help="file name in the output directory")
    return p


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Problem(f"{path} is not UTF-8 text; convert it first") from None


def counts(text, top):
    words = [word.strip(".,;:!?\"'()[]").lower() for word in text.split()]
    words = [word for word in words if word]
    frequency = {}
    for word in words:
        frequency[word] = frequency.get(word, 0) + 1
    frequent = sorted(frequency.items(), key=lambda item: (-item[1], item[0]))[:top]
    return {
        "lines": len(text.splitlines()),
        "words": len(words),
        "characters": len(text),
        "frequent": [{"word": word, "count": count} for word, count in frequent],
    }


def main(argv):
    o = parser().parse_args(argv)
    if o.top < 0:
        raise Problem("--top must not be negative")
    if Path(o.output).name != o.output or o.output in ("", ".", ".."):
        raise Problem("--output is a file name without directories; it is saved in the output directory")
    result = counts(read(o.file), o.top)
    directory = Path(os.environ.get("OUTPUT_DIR", "/output"))
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / o.output
    target.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"saved": str(target), **result}, ensure_ascii=False))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(1)
