//! Paths inside a skill, as test files name them: relative to the folder of the test file, and never out of the skill.

/// The folder of a file, relative to the skill's root; empty for the root.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `path` seen from `folder`, relative to the skill's root; `None` where it leads out of the skill or names no file.
pub(crate) fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\\', '\0']) || path.ends_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    let joined = parts.join("/");
    (!joined.is_empty() && !path.split('/').next_back().is_some_and(|last| matches!(last, "" | "." | "..")))
        .then_some(joined)
}

/// A path that does not even leave the folder that it is relative to: what is rewritten must not be a script.
pub(crate) fn inner_path(path: &str) -> Option<String> {
    if path.split('/').any(|part| part == "..") { None } else { join("", path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_skill() {
        assert_eq!(folder("tests/a/b.test.yaml"), "tests/a");
        assert_eq!(folder("b.test.yaml"), "");
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(join("tests/a", path).as_deref(), expected, "{path}");
        };
        check("x.csv", Some("tests/a/x.csv"));
        check("./b/x.csv", Some("tests/a/b/x.csv"));
        check("../../assets/x.csv", Some("assets/x.csv"));
        for out in ["../../../x", "/etc/passwd", "a\\b", "", ".", "..", "b/", "b/..", "../..", "a\0b"] {
            check(out, None);
        }
    }

    #[test]
    fn a_snapshot_stays_in_its_folder() {
        assert_eq!(inner_path("a/b.txt").as_deref(), Some("a/b.txt"));
        for out in ["../scripts/a.py", "a/../b", "/a", ""] {
            assert_eq!(inner_path(out), None, "{out}");
        }
    }
}
