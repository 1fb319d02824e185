"""Writes random skills below a directory, and prints what skills-ref says of each: oracle.py DIRECTORY SEED COUNT."""

import json
import random
import sys
from pathlib import Path

from skills_ref.validator import validate

# Pieces that YAML readers disagree about. Left out is what only Unicode's own line ends and byte order marks inside a line do.
PIECES = [
    "---", "\n", "name: my-skill", "description: d", 'description: "a"', "description: 'b'", "license: MIT",
    "metadata:", "  a: b", "  - x", "- y", ": ", "#", " # c", "[", "]", "{", "}", "&a ", "*a", "!t ", ">",
    "\\", '"', "'", "%", "@", "`", "\t", "  ", " ", "?", "- ", "<<: x", "<<:", "\u00e9", "\u200b", "\r\n", "~",
    "null", "compatibility: x", "allowed-tools:", "name:", "x", "key: v", "  k2: v2", "!!str ", "\x07", ",",
    "a: b: c", '"q": 1', "? c\n: d",
]
NAMES = ["my-skill", "My", "a b", '"my-skill"', "\u00e9", "~", ""]
DESCRIPTIONS = ["d", '"x"', "|\n  y", ">-\n  z\n  w", "a: b", "[a]", "a #c", "x\n  y", "'it''s'"]


def text(rnd):
    if rnd.random() < 0.3:
        pieces = (rnd.choice(PIECES) + rnd.choice(["", "", "\n"]) for _ in range(rnd.randrange(2, 14)))
        return "---\n" + "".join(pieces) + "\n---\nB\n"
    lines = ["name: " + rnd.choice(NAMES + ["my-skill"] * 6), "description: " + rnd.choice(DESCRIPTIONS)]
    for _ in range(rnd.randrange(3)):
        lines.insert(rnd.randrange(len(lines) + 1), "".join(rnd.choice(PIECES) for _ in range(rnd.randrange(1, 3))))
    return "---\n" + "\n".join(lines) + "\n---\nBody\n"


root, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rnd = random.Random(seed)
verdicts = {}
for number in range(count):
    skill = root / f"{number:05d}" / "my-skill"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_bytes(text(rnd).encode())
    try:
        messages = validate(skill)
    except Exception as error:  # Where it crashes, there must be an error.
        messages = [repr(error)]
    verdicts[f"{number:05d}/my-skill"] = {"valid": not messages, "messages": messages}
json.dump(verdicts, sys.stdout)
