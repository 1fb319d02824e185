//! The instructions, and what they refer to.

mod graph;
mod links;
mod markup;
mod mentions;
mod places;
mod size;

use crate::{
    Check,
    paths::{extension, folder, name},
};

pub(crate) const CHECKS: &[Check] = &[
    size::check,
    markup::check_fences,
    markup::check_dynamic_context,
    links::check,
    mentions::check,
    graph::check,
    places::check,
];

/// How many findings of one check one file gives at most: more of the same teach nothing, and looking for what was meant takes time.
const MAX_EACH_FILE: usize = 200;

/// Whether a file is material of the skill rather than instructions: what it refers to means something elsewhere.
fn is_material(path: &str) -> bool {
    let known = [
        "assets",
        "asset",
        "templates",
        "template",
        "examples",
        "example",
        "evals",
        "eval",
        "evaluations",
        "expected_outputs",
        "expected",
        "tests",
        "test",
        "fixtures",
        "samples",
        "sample",
        "starter",
        "boilerplate",
    ];
    folder(path).split('/').any(|part| known.iter().any(|known| part.eq_ignore_ascii_case(known)))
        || name(path).to_ascii_lowercase().contains("template")
}

/// Whether a file is for those who look at the repository of a skill.
fn is_for_people(path: &str) -> bool {
    let name = name(path);
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let known = [
        "README",
        "CHANGELOG",
        "CHANGES",
        "HISTORY",
        "CONTRIBUTING",
        "AGENTS",
        "CLAUDE",
        "GEMINI",
        "INSTALL",
        "INSTALLATION",
        "SECURITY",
        "CODE_OF_CONDUCT",
        "AUTHORS",
        "CONTRIBUTORS",
        "MAINTAINERS",
        "TODO",
        "ROADMAP",
    ];
    matches!(extension(name).as_str(), "" | "md" | "txt" | "rst") && known.contains(&stem.as_str())
}

/// A guess of how many tokens a text has.
fn tokens(text: &str) -> usize {
    text.chars().count() / 4
}

/// `number` with commas, as people write it.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use skill::{Diagnostic, Draft, Profile, Rule};

    use crate::{Environment, Options, check};

    /// What is found in a skill of these files, by `rules` only; `SKILL.md` is given its frontmatter.
    pub(super) fn found(files: &[(&str, &str)], rules: &[Rule]) -> Vec<Diagnostic> {
        let files = files.iter().map(|(path, content)| {
            let head =
                if *path == "SKILL.md" { "---\nname: my-skill\ndescription: Counts.\n---\n" } else { "" };
            (*path, format!("{head}{content}"))
        });
        let draft = Draft::from_files(files, Some("my-skill")).unwrap();
        let options =
            Options { profile: Profile::Octavus, environment: Environment::default(), ..Options::default() };
        let mut found = check(&draft, &options);
        found.retain(|diagnostic| rules.contains(&diagnostic.rule));
        found
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["7", "1,000", "12,345", "1,234,567"],
            [7, 1000, 12345, 1_234_567].map(super::grouped)[..]
        );
    }
}
