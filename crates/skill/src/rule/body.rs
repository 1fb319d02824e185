//! The instructions of a skill, and what they refer to.

super::rules! { Body:
    BODY_LINES = "SB120" "body-lines" [W W W W]
        "`SKILL.md` has more than 500 lines.",
        "It is read whole as soon as the skill is picked; the standard recommends fewer than 500 lines and the rest in files that are read when they are needed.",
        "SKILL.md with 900 lines",
        "SKILL.md with 200 lines that names references/api.md";
    BODY_TOKENS = "SB121" "body-tokens" [W W W W]
        "The instructions have more than about 5,000 tokens.",
        "They take room in the context of every conversation that uses the skill; the standard recommends fewer than 5,000 tokens.",
        "SKILL.md with 40,000 characters of instructions",
        "SKILL.md with 8,000 characters that names references/details.md";
    FENCE_UNCLOSED = "SB122" "fence-unclosed" [W W W W]
        "A block of code is never closed.",
        "Everything behind it is code: headings, links and further blocks are lost, or change places with the text between them.",
        "```sh\nscripts/run.py\n\nThen read the result.",
        "```sh\nscripts/run.py\n```\n\nThen read the result.";
    LINK_MISSING = "SB123" "link-missing" [E W W W]
        "A link leads to a file that is not in the skill.",
        "A model that follows it finds nothing, and goes on without what it should have read.",
        "[API](references/api.md), and no such file",
        "[API](references/api.md), and that file";
    PATH_MISSING = "SB124" "path-missing" [W W W W]
        "A path in `scripts`, `references` or `assets` is mentioned that is not in the skill.",
        "A model that runs or reads it gets an error.",
        "Run `scripts/covnert.py`.",
        "Run `scripts/convert.py`.";
    FILE_LEFT_OUT = "SB125" "file-left-out" [W W W W]
        "A link or special file is left out.",
        "A skill has regular files only: links get lost in bundles, and one that leads out would show files of the host.",
        "references/secret -> /etc/passwd",
        "references/notes.md";
    REFERENCE_CHAIN = "SB126" "reference-chain" [W W W W]
        "A document is only reached through another document.",
        "Models often read such files in part only; the standard recommends references one level deep from `SKILL.md`.",
        "SKILL.md names references/api.md, which alone names references/errors.md",
        "SKILL.md names references/api.md and references/errors.md";
    FILE_UNREFERENCED = "SB127" "file-unreferenced" [W W W W]
        "A file is mentioned nowhere in the skill.",
        "A model learns of files by reading about them; this one is carried along and never used.",
        "references/old.md, which no file mentions",
        "For old versions read `references/old.md`.";
    REFERENCE_SPELLING = "SB128" "reference-spelling" [W W W W]
        "A file is mentioned in other letters than it has, or without its extension.",
        "File names are case-sensitive where skills run, and what lacks its extension is not found.",
        "[API](references/API.md), and the file is references/api.md",
        "[API](references/api.md)";
    HOME_PATH = "SB129" "home-path" [W W W W]
        "A path leads into somebody's home directory.",
        "It exists on the machine of the author only, and tells who that is.",
        "python3 /Users/ann/skills/qr/scripts/run.py",
        "python3 scripts/run.py";
    BACKSLASH_PATH = "SB130" "backslash-path" [W W W W]
        "A path of the skill is written with backslashes.",
        "Skills run on Linux, where a backslash does not separate directories.",
        "[API](references\\api.md)",
        "[API](references/api.md)";
    HOST_PATH = "SB131" "host-path" [W W N W]
        "A path or variable exists in another product only.",
        "Where each product keeps skills and results differs; paths relative to the skill work everywhere.",
        "python3 ~/.claude/skills/qr/scripts/run.py",
        "python3 scripts/run.py";
    ANCHOR_MISSING = "SB132" "anchor-missing" [W W W W]
        "A link leads to a heading that does not exist.",
        "The heading was renamed or is in another file; whoever follows the link lands at the top.",
        "[Setup](#install), and no heading `Install`",
        "[Setup](#setup), and a heading `Setup`";
    FILE_FOR_PEOPLE = "SB133" "file-for-people" [I I I I]
        "A file is for people who look at a repository, not for a model.",
        "Nothing in the skill mentions it, so it is only carried along.",
        "my-skill/CHANGELOG.md",
        "the same file one directory up, beside my-skill/";
    REFERENCE_TOKENS = "SB134" "reference-tokens" [W W W W]
        "A reference has more than about 10,000 tokens.",
        "A model that reads it whole has little room left; clients cut off what is longer.",
        "references/api.md with 90,000 characters",
        "references/api/users.md and references/api/orders.md, each by itself";
    DIRECTORY_UNKNOWN = "SB135" "directory-unknown" [I I I I]
        "A directory is none of those that the standard names, and is mentioned nowhere.",
        "The standard allows any, but clients and people look into `scripts`, `references` and `assets`.",
        "my-skill/script/run.py",
        "my-skill/scripts/run.py";
    DYNAMIC_CONTEXT = "SB136" "dynamic-context" [W W W W]
        "The instructions count on being filled in by Claude Code.",
        "Other clients give them to the model as they are: no command is run, no file is put in, no argument takes the place of its name.",
        "Current branch: !`git branch --show-current`",
        "Run `git branch --show-current` to see the current branch.";
    LINK_OUTSIDE = "SB137" "link-outside" [W W W W]
        "A link leads out of the skill.",
        "Only what stands in the skill's own directory is in its bundle and in its sandbox.",
        "[Style](../other-skill/style.md) in SKILL.md",
        "[Style](references/style.md)";
}
