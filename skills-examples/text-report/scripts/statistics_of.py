#!/usr/bin/env python3
"""Count words, sentences and frequent phrases of texts; print the statistics as JSON."""

import argparse
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n[ \t]*\n")
WORDS_A_MINUTE = 230
MAX_BYTES = 20_000_000


class Problem(Exception):
    """Something that the caller can correct."""


def read(name):
    """Name and text of one source. Stdin may be plain text, or a JSON object with the text in it."""
    if name == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        name = "stdin"
    else:
        with open(name, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        name = Path(name).name
    if len(data) > MAX_BYTES:
        raise Problem(f"{name} is larger than {MAX_BYTES // 1_000_000} MB")
    if b"\0" in data:
        raise Problem(f"{name} is not a text file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if name == "stdin":
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, str):
            text = document
        elif isinstance(document, dict):
            if not isinstance(document.get("text"), str):
                raise Problem('input needs the text as a string: {"text": "…", "name": "a.txt"}')
            name, text = str(document.get("name") or name), document["text"]
    return name, text.replace("\r\n", "\n").replace("\r", "\n")


def syllables(word):
    """Groups of vowels, without a silent e at the end: right often enough for an average."""
    groups = len(re.findall(r"[aeiouy]+", word))
    if word.endswith("e") and not word.endswith("le") and groups > 1:
        groups -= 1
    return max(groups, 1)


def measure(name, text, stopwords, language):
    sentences = [words for part in SENTENCE_END.split(text) if (words := WORD.findall(part.lower()))]
    words = [word for sentence in sentences for word in sentence]
    if not words:
        raise Problem(f"{name} has no words")
    result = {
        "name": name,
        "characters": len(text),
        "words": len(words),
        "uniqueWords": len(set(words)),
        "sentences": len(sentences),
        "paragraphs": sum(1 for block in re.split(r"\n\s*\n", text) if block.strip()),
        "readingMinutes": math.ceil(len(words) / WORDS_A_MINUTE),
        "wordsPerSentence": round(len(words) / len(sentences), 1),
        "variety": round(len(set(words)) / len(words), 3),
    }
    if language == "en" and len(words) >= 100:
        per_word = sum(map(syllables, words)) / len(words)
        result["readability"] = round(206.835 - 1.015 * len(words) / len(sentences) - 84.6 * per_word, 1)
    meaningful = lambda word: word not in stopwords and len(word) > 1 and not word.isdigit()
    pairs = Counter(
        f"{a} {b}" for sentence in sentences for a, b in zip(sentence, sentence[1:]) if meaningful(a) and meaningful(b)
    )
    return result, Counter(filter(meaningful, words)), pairs


def ranked(counter, top, least=1):
    """The most frequent first; equals in the order of the alphabet, so that every run gives the same."""
    items = [item for item in counter.items() if item[1] >= least]
    return [list(item) for item in sorted(items, key=lambda item: (-item[1], item[0]))[:top]]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("files", nargs="+")
    p.add_argument("--assets", required=True, type=Path)
    p.add_argument("--language", default="en")
    p.add_argument("--top", type=int, default=15)
    o = p.parse_args()
    stopwords = set()
    if o.language != "none":
        stopwords = set((o.assets / f"stopwords-{o.language}.txt").read_text(encoding="utf-8").split())

    texts, words, pairs = [], Counter(), Counter()
    for file in o.files:
        text, text_words, text_pairs = measure(*read(file), stopwords, o.language)
        texts.append(text)
        words += text_words
        pairs += text_pairs
    summed = ("characters", "words", "sentences", "paragraphs", "readingMinutes")
    json.dump({
        "language": o.language,
        "total": {key: sum(text[key] for text in texts) for key in summed},
        "texts": texts,
        "frequentWords": ranked(words, o.top),
        "frequentPhrases": ranked(pairs, o.top, least=2),
    }, sys.stdout, indent=2, ensure_ascii=False)
    print()


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        main()
    except (Problem, OSError) as problem:
        print(json.dumps({"error": str(problem)}, ensure_ascii=False))
        sys.exit(1)
