#!/usr/bin/env python3
"""Fill the Markdown and HTML templates with statistics."""

import argparse
import html
import json
import re
from pathlib import Path
from string import Template

COLUMNS = ("words", "uniqueWords", "sentences", "paragraphs", "readingMinutes", "wordsPerSentence", "readability")


def cell(text, column):
    value = text.get(column)
    if value is None:
        return "–"
    if column == "readingMinutes":
        return f"{value} min"
    return f"{value:,}" if isinstance(value, int) else str(value)


def markdown(text):
    """Text that Markdown shows as it is, also in a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", " ".join(str(text).split()))


def ease(score):
    limits = ((80, "very easy to read"), (60, "plain"), (40, "demanding"))
    return next((words for limit, words in limits if score >= limit), "hard to read")


def summary(statistics):
    total, texts = statistics["total"], statistics["texts"]
    count = "1 text" if len(texts) == 1 else f"{len(texts)} texts"
    line = f"{count}, {total['words']:,} words in {total['sentences']:,} sentences, about {total['readingMinutes']} min to read."
    scores = [text["readability"] for text in texts if "readability" in text]
    if len(scores) == 1:
        line += f" The text is {ease(scores[0])} (Flesch {scores[0]})."
    return line


def fields(statistics, title):
    texts, words, phrases = (statistics[key] for key in ("texts", "frequentWords", "frequentPhrases"))
    most = max((count for _, count in words), default=1)
    escape = html.escape
    none = "None stands twice."
    rows = [[cell(text, column) for column in COLUMNS] for text in texts]
    shared = {"summary": summary(statistics)}
    return (
        {
            **shared,
            "title": markdown(title),
            "rows_md": "\n".join(f"| {markdown(t['name'])} | {' | '.join(r)} |" for t, r in zip(texts, rows)),
            "words_md": "\n".join(f"| {markdown(word)} | {count} |" for word, count in words),
            "phrases_md": "\n".join(f"- {markdown(phrase)} ({count})" for phrase, count in phrases) or none,
        },
        {
            **shared,
            "title": escape(title),
            "rows_html": "\n".join(
                f"<tr><td>{escape(t['name'])}</td>{''.join(f'<td>{value}</td>' for value in r)}</tr>"
                for t, r in zip(texts, rows)
            ),
            "words_html": "\n".join(
                f"<tr><td>{escape(word)}</td><td>{count}</td>"
                f'<td><span class="bar" style="width:{count * 12 / most:.2f}rem"></span></td></tr>'
                for word, count in words
            ),
            "phrases_html": "<ul>"
            + "".join(f"<li>{escape(phrase)} ({count})</li>" for phrase, count in phrases)
            + "</ul>"
            if phrases
            else f"<p>{none}</p>",
        },
    )


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("statistics", type=Path)
    p.add_argument("--title", required=True)
    p.add_argument("--assets", required=True, type=Path)
    p.add_argument("--markdown", required=True, type=Path)
    p.add_argument("--html", required=True, type=Path)
    o = p.parse_args()
    statistics = json.loads(o.statistics.read_text(encoding="utf-8"))
    for target, values in zip((o.markdown, o.html), fields(statistics, o.title)):
        template = Template((o.assets / f"template{'.html' if target is o.html else '.md'}").read_text(encoding="utf-8"))
        target.write_text(template.substitute(values), encoding="utf-8")


if __name__ == "__main__":
    main()
