//! The environment of programs: ours, then what the caller passed; nothing of the runner's own.

use sandbox::layout;

/// Directories that are searched for programs. Fixed, whatever the host has.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every program gets.
///
/// `HOME` is scratch space and not the workspace: what tools drop in a home directory is not the user's work.
/// `MPLCONFIGDIR` would be asked for loudly by matplotlib, where the home directory has no `.config`.
///
/// Installers find no network, so they are told to fail at once instead of trying again for a minute.
const FIXED: [(&str, &str); 19] = [
    ("PATH", PATH),
    ("HOME", layout::TMP),
    ("TMPDIR", layout::TMP),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("OUTPUT_DIR", layout::OUTPUT),
    ("WORKSPACE_DIR", layout::WORKSPACE),
    ("PYTHONUNBUFFERED", "1"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("MPLBACKEND", "Agg"),
    ("MPLCONFIGDIR", "/tmp/matplotlib"),
    ("XDG_CACHE_HOME", "/tmp/.cache"),
    ("PIP_RETRIES", "0"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("UV_OFFLINE", "1"),
    ("npm_config_offline", "true"),
    ("npm_config_fetch_retries", "0"),
    ("npm_config_update_notifier", "false"),
];

/// Names that a caller may not set, since our promises hang on them. The rest of ours it may change.
const RESERVED: [&str; 6] = ["OUTPUT_DIR", "WORKSPACE_DIR", "SKILL_DIR", "PATH", "HOME", "TMPDIR"];

/// Whether a caller may set this variable.
///
/// # Errors
/// Why not.
pub(crate) fn check_variable(name: &str, value: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("its name is empty");
    }
    if name.contains(['=', '\0']) || name.chars().any(char::is_control) {
        return Err("its name contains `=` or a control character");
    }
    if value.contains('\0') {
        return Err("its value contains a NUL");
    }
    if RESERVED.contains(&name) {
        return Err("the runner sets it");
    }
    // The loader's variables change what every program runs, and a sandbox has nothing that they could be needed for.
    if name.starts_with("LD_") || name.starts_with("GLIBC_") {
        return Err("variables of the dynamic loader are not passed on");
    }
    Ok(())
}

/// The whole environment of a program: `python_path` are directories, the first found first; `skill_dir` is set for
/// a skill's script.
pub(crate) fn build(
    caller: &[(String, String)],
    skill_dir: Option<&str>,
    python_path: &[String],
) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if let Some(directory) = skill_dir {
        all.push(("SKILL_DIR".to_owned(), directory.to_owned()));
    }
    for (name, value) in caller {
        // What a caller puts on Python's path comes after what skills were promised.
        if name == "PYTHONPATH" {
            continue;
        }
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => all.push((name.clone(), value.clone())),
        }
    }
    let callers_path =
        caller.iter().rev().find(|(name, _)| name == "PYTHONPATH").map(|(_, value)| value.as_str());
    let path: Vec<&str> =
        python_path.iter().map(String::as_str).chain(callers_path).filter(|p| !p.is_empty()).collect();
    if !path.is_empty() {
        all.push(("PYTHONPATH".to_owned(), path.join(":")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut found = all.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is set twice");
        value
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn nothing_but_ours_and_the_callers_is_there() {
        let all = build(&[pair("A", "1"), pair("TZ", "Europe/Berlin"), pair("A", "2")], None, &[]);
        assert_eq!(get(&all, "A"), Some("2"));
        assert_eq!(get(&all, "TZ"), Some("Europe/Berlin"));
        assert_eq!(get(&all, "OUTPUT_DIR"), Some("/output"));
        assert_eq!(get(&all, "PYTHONPATH"), None);
        assert_eq!(get(&all, "SKILL_DIR"), None);
        assert_eq!(all.len(), FIXED.len() + 1);
    }

    #[test]
    fn python_finds_skills_before_what_the_caller_adds() {
        let path = ["/layers/a".to_owned(), "/layers/b".to_owned()];
        let all = build(&[pair("PYTHONPATH", "/workspace/lib")], Some("/skills/x"), &path);
        assert_eq!(get(&all, "PYTHONPATH"), Some("/layers/a:/layers/b:/workspace/lib"));
        assert_eq!(get(&all, "SKILL_DIR"), Some("/skills/x"));
    }

    #[test]
    fn variables_that_would_break_a_promise_are_refused() {
        for name in ["", "A=B", "A\0", "A\n", "OUTPUT_DIR", "SKILL_DIR", "PATH", "LD_PRELOAD"] {
            assert!(check_variable(name, "x").is_err(), "{name:?}");
        }
        assert!(check_variable("A", "a\0b").is_err());
        assert_eq!(check_variable("API_KEY", "a=b\nc"), Ok(()));
    }
}
