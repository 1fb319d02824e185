//! Several skills together.

super::rules! { Collection:
    NAME_TAKEN = "SB400" "name-taken" [W W W W]
        "Two skills have the same name.",
        "Clients load one of them, and which one depends on the client.",
        "a/my-skill/SKILL.md and b/my-skill/SKILL.md, both `name: my-skill`",
        "`name: my-skill` and `name: my-other-skill`";
    DESCRIPTION_OVERLAP = "SB401" "description-overlap" [W W W W]
        "Two skills have nearly the same description.",
        "A model chooses by the description; it cannot tell these two apart.",
        "`Counts the words of a text.` twice",
        "`Counts the words of a text.` and `Counts the lines of source files.`";
    EMPTY_DIRECTORY = "SB402" "empty-directory" [I I I I]
        "A directory among the skills has no `SKILL.md`.",
        "It looks like a skill that was begun or removed by half.",
        "skills/old-skill/ with nothing in it",
        "skills/old-skill/SKILL.md, or no such directory";
    LINKED_SKILL = "SB403" "linked-skill" [W W W W]
        "A skill's directory is a symbolic link.",
        "Bundles, checkouts and uploads lose links; the skill is looked at once, where the link leads.",
        "skills/my-skill -> ../elsewhere/my-skill",
        "skills/my-skill/SKILL.md";
}
