//! The instructions of a skill, and what they refer to.

super::rules! { Body:
    FILE_LEFT_OUT = "SB125" "file-left-out" [W W W W]
        "A link or special file is left out.",
        "A skill has regular files only: links get lost in bundles, and one that leads out would show files of the host.",
        "references/secret -> /etc/passwd",
        "references/notes.md";
}
