//! Which files a skill has, and whether they are text.

super::rules! { Files:
    SKILL_FILE_MISSING = "SB001" "skill-file-missing" [E E E E]
        "There is no `SKILL.md` at the root of the skill.",
        "Clients find a skill by this file; without it nothing is found.",
        "my-skill/docs/SKILL.md",
        "my-skill/SKILL.md";
    SKILL_FILE_LOWERCASE = "SB002" "skill-file-lowercase" [W W E W]
        "The file is called `skill.md`.",
        "The reference library takes it, but many clients look for exactly `SKILL.md`.",
        "my-skill/skill.md",
        "my-skill/SKILL.md";
    SKILL_FILE_CASE = "SB003" "skill-file-case" [E E E E]
        "The file is called something like `Skill.md`.",
        "Where file names are case-sensitive, no client finds it.",
        "my-skill/Skill.md",
        "my-skill/SKILL.md";
    SKILL_FILE_TWICE = "SB004" "skill-file-twice" [W W W W]
        "Both `SKILL.md` and `skill.md` exist.",
        "Where file names ignore case only one of them survives, and clients may read different ones.",
        "my-skill/SKILL.md and my-skill/skill.md",
        "my-skill/SKILL.md alone";
    SKILL_FILE_SEVERAL = "SB005" "skill-file-several" [E W E W]
        "There is a second `SKILL.md` below the root, and not among samples.",
        "A bundle holds one skill: with two, readers could disagree on which it is, so such a bundle is neither packed nor taken. Below `assets`, `examples`, `templates` or `tests` it is a file like any other.",
        "my-skill/SKILL.md and my-skill/extra/SKILL.md",
        "my-skill/SKILL.md and my-skill/references/extra.md";
    NOT_UTF8 = "SB006" "not-utf8" [E E E E]
        "A file that must be text is not UTF-8.",
        "The standard asks for UTF-8; other encodings make readers fail or show wrong letters.",
        "SKILL.md saved as UTF-16 or Windows-1252",
        "SKILL.md saved as UTF-8";
    BYTE_ORDER_MARK = "SB007" "byte-order-mark" [W E W W]
        "A byte order mark stands before the frontmatter.",
        "The reference library then sees no frontmatter at all.",
        "U+FEFF before the first `---`",
        "`---` as the very first bytes";
    CARRIAGE_RETURNS = "SB008" "carriage-returns" [I I I I]
        "The lines of `SKILL.md` end with carriage returns.",
        "It can be read, but tools that compare or edit lines stumble over it.",
        "name: my-skill\\r\\n",
        "name: my-skill\\n";
    CONTROL_CHARACTER = "SB009" "control-character" [E E E W]
        "`SKILL.md` has a control character.",
        "YAML forbids it, the reference library crashes on it, and terminals obey it.",
        "description: Rings the bell \\x07",
        "description: Rings the bell";
    TOO_LARGE = "SB010" "too-large" [E E E E]
        "`SKILL.md` or its frontmatter is too large.",
        "It is read whole into the context of a model; a file of this size is a mistake or an attack.",
        "SKILL.md with 3 MiB",
        "SKILL.md with 10 KiB and the rest in references/";
    EMPTY_BODY = "SB011" "empty-body" [W W W W]
        "There are no instructions below the frontmatter.",
        "A model that picks the skill learns nothing from it.",
        "---\nname: my-skill\ndescription: Counts words.\n---\n",
        "---\nname: my-skill\ndescription: Counts words.\n---\nRun `scripts/count.py FILE`.\n";
    CONFLICT_MARKERS = "SB012" "conflict-markers" [E W E W]
        "There are conflict markers of a version control system.",
        "Two versions stand in the file, and a model reads both.",
        "<<<<<<< HEAD\nUse A.\n=======\nUse B.\n>>>>>>> theirs",
        "Use A.";
    IGNORE_UNKNOWN = "SB013" "ignore-unknown" [W W W W]
        "An ignore comment names a rule that does not exist.",
        "It ignores nothing; the rule was probably misspelt.",
        "<!-- skillbox: ignore SB99 -->",
        "<!-- skillbox: ignore SB129 -->";
    IGNORE_UNUSED = "SB014" "ignore-unused" [I I I I]
        "An ignore comment ignores nothing.",
        "What it stood for is gone; left in place it would hide the next finding.",
        "<!-- skillbox: ignore SB129 -->\nNo path here.",
        "No path here.";
    FOLDER_LIMITS = "SB015" "folder-limits" [E E E E]
        "The skill has too many, too large or too deep files.",
        "It is copied into every sandbox; a folder of this size is a mistake or an attack.",
        "my-skill/ with a checkout of 50,000 files",
        "at most 2,000 files, 32 MiB each, 256 MiB together, 16 levels";
    NOT_LOOKED_AT = "SB016" "not-looked-at" [W W W W]
        "Some files were not looked at.",
        "There is more text than a skill has use for, and something may hide in it.",
        "scripts/ with 10 MiB of Python",
        "at most 1 MiB of scripts, 4 MiB of Markdown, 4 MiB of other text";
}
