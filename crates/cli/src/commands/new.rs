//! `skillbox new`: a skill to start from, which can be checked, run, tested and packed at once.
//!
//! The files are templates in `templates/`, which a reader can look at as they are. What they come to is validated before
//! it is written, and it appears whole or not at all; nothing that is there is ever replaced.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::json;
use skill::{Draft, Severity, SkillName};

use crate::{
    args::{Ci, New, Part, ScriptLanguage},
    error::{CommandError, Kind},
    escape,
    exit::Exit,
    output::{self, DIM, Output},
};

/// The templates of a language.
struct Templates {
    /// Path of the script, and its text.
    script: (&'static str, &'static str),
    skill: &'static str,
    test: &'static str,
    reference: &'static str,
    description: &'static str,
}

const PYTHON: Templates = Templates {
    script: ("scripts/main.py", include_str!("../../templates/python/main.py")),
    skill: include_str!("../../templates/python/SKILL.md"),
    test: include_str!("../../templates/python/main.test.yaml"),
    reference: include_str!("../../templates/python/output.md"),
    description: "Counts the lines, words and characters of a text file and lists its most frequent words. \
                  Use it when the user asks how long a text is, or which words it uses most.",
};
const BASH: Templates = Templates {
    script: ("scripts/main.sh", include_str!("../../templates/bash/main.sh")),
    skill: include_str!("../../templates/bash/SKILL.md"),
    test: include_str!("../../templates/bash/main.test.yaml"),
    reference: include_str!("../../templates/bash/output.md"),
    description: "Counts the lines, words and characters of a text file. \
                  Use it when the user asks how long a text is.",
};
const TEXT: &str = include_str!("../../templates/text.txt");
const GITHUB: &str = include_str!("../../templates/ci/github.yml");

/// A file that is to be written.
#[derive(Debug)]
struct NewFile {
    path: String,
    text: String,
    executable: bool,
}

pub(crate) fn execute(command: &New, output: Output) -> Result<Exit, CommandError> {
    let name = name(&command.name)?;
    let files = files(command, &name);
    validated(&files, &name)?;
    let folder = if command.dir == Path::new(".") {
        PathBuf::from(name.as_str())
    } else {
        command.dir.join(name.as_str())
    };
    let taken = |path: &Path| {
        CommandError::new(Kind::User, "EXISTS", format!("`{}` already exists", path.display()))
            .hint("nothing is replaced; choose another name or another `--dir`")
    };
    if fs::symlink_metadata(&folder).is_ok() {
        return Err(taken(&folder));
    }
    let workflow = match command.ci {
        Some(Ci::Github) => Some(workflow(command, &name)?),
        None => None,
    };
    if let Some((path, _)) = workflow.as_ref().filter(|(path, _)| fs::symlink_metadata(path).is_ok()) {
        return Err(taken(path));
    }
    write(&command.dir, &folder, &files).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            taken(&folder)
        }
        _ => CommandError::io(format!("cannot make `{}`", folder.display()), &error),
    })?;
    if let Some((path, text)) = &workflow {
        write_workflow(path, text).map_err(|error| {
            CommandError::io(format!("the skill is made, but `{}` cannot be written", path.display()), &error)
        })?;
    }
    let next = next(&folder, command, workflow.is_some());
    if output.json {
        let mut document = json!({
            "schemaVersion": 1,
            "slug": name.as_str(),
            "path": folder.to_string_lossy(),
            "files": files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            "next": next,
        });
        if let Some((path, _)) = &workflow {
            document["workflow"] = json!(path.to_string_lossy());
        }
        output.print_json(&document)?;
        return Ok(Exit::OK);
    }
    let mut text = format!("{}/\n", escape::line(&folder.to_string_lossy()));
    for file in &files {
        text.push_str(&format!("  {}\n", file.path));
    }
    if let Some((path, _)) = &workflow {
        text.push_str(&format!("{}\n", escape::line(&path.to_string_lossy())));
    }
    text.push_str(&format!("\n{DIM}next:{DIM:#}\n"));
    for line in &next {
        text.push_str(&format!("  {}\n", escape::line(line)));
    }
    output::print(&text)?;
    if workflow.is_some() {
        output.note("the workflow wants a variable SKILLBOX_REPOSITORY: where skillbox is, as OWNER/NAME");
    }
    Ok(Exit::OK)
}

fn name(text: &str) -> Result<SkillName, CommandError> {
    SkillName::parse(text).map_err(|error| {
        let message = format!("`{}` cannot be the name of a skill: {error}", escape::line(text));
        let new = CommandError::new(Kind::User, "NAME_INVALID", message);
        match SkillName::near(text) {
            Some(nearest) => new.hint(format!("for example `{nearest}`")),
            None => new.hint("use 1 to 64 lowercase letters a-z, digits and single hyphens between them"),
        }
    })
}

fn files(command: &New, name: &SkillName) -> Vec<NewFile> {
    let templates = match command.lang {
        ScriptLanguage::Python => &PYTHON,
        ScriptLanguage::Bash => &BASH,
    };
    let has = |part| command.parts.contains(&part);
    let mut more = String::new();
    if has(Part::References) {
        more.push_str("\nWhat each number means: read `references/output.md` when the user asks.\n");
    }
    if has(Part::Assets) {
        let script = templates.script.0.rsplit('/').next().unwrap_or_default();
        more.push_str(&format!(
            "\n`assets/sample.txt` is a text to try it with: `\"script\": \"{script}\", \"args\": [\"/skills/{name}/assets/sample.txt\"]`.\n"
        ));
    }
    let description = match &command.description {
        // A JSON string is a quoted text in YAML, too, whatever is in it.
        Some(text) => json!(text).to_string(),
        None => templates.description.to_owned(),
    };
    let skill = templates
        .skill
        .replace("{more}", &more)
        .replace("{title}", &title(name))
        .replace("{name}", name.as_str())
        .replace("{description}", &description);
    let file =
        |path: &str, text: &str| NewFile { path: path.to_owned(), text: text.to_owned(), executable: false };
    let (script, text) = templates.script;
    let mut files = vec![file("SKILL.md", &skill), NewFile { executable: true, ..file(script, text) }];
    if has(Part::References) {
        files.push(file("references/output.md", templates.reference));
    }
    if has(Part::Assets) {
        files.push(file("assets/sample.txt", TEXT));
    }
    if has(Part::Tests) {
        files.push(file("tests/main.test.yaml", &templates.test.replace("{fixture}", "fixtures/text.txt")));
        files.push(file("tests/fixtures/text.txt", TEXT));
    }
    files
}

/// `qr-code` becomes `Qr code`.
fn title(name: &SkillName) -> String {
    let spaced = name.as_str().replace('-', " ");
    let mut characters = spaced.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// A template is good; a description from the command line may not be.
fn validated(files: &[NewFile], name: &SkillName) -> Result<(), CommandError> {
    let texts = files.iter().map(|file| (file.path.clone(), file.text.clone()));
    let draft = Draft::from_files(texts, Some(name.as_str()))?;
    let found = validate::check(&draft, &validate::Options::default());
    let bad = |severity: Severity| severity != Severity::Info;
    let Some(first) = found.iter().find(|diagnostic| bad(diagnostic.severity)) else { return Ok(()) };
    let mut error = CommandError::new(Kind::User, "SKILL_INVALID", "the skill would not be a good one");
    error.causes = found
        .iter()
        .filter(|diagnostic| bad(diagnostic.severity))
        .map(|found| found.message.clone())
        .collect();
    match &first.help {
        Some(help) => Err(error.hint(help.as_str())),
        None => Err(error),
    }
}

/// Writes all files into a directory beside the folder, and makes that the folder.
fn write(parent: &Path, folder: &Path, files: &[NewFile]) -> io::Result<()> {
    fs::create_dir_all(parent)?;
    let directory = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let root = directory.path().join("skill");
    fs::create_dir(&root)?;
    for file in files {
        let path = root.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        written.write_all(file.text.as_bytes())?;
        if file.executable {
            written.set_permissions(Permissions::from_mode(mode))?;
        }
    }
    fs::rename(root, folder)
}

/// Where the workflow goes, and its text: at the top of the repository that the skill will be in, or where the skill is made.
fn workflow(command: &New, name: &SkillName) -> Result<(PathBuf, String), CommandError> {
    let failed = |error| CommandError::io(format!("cannot look at `{}`", command.dir.display()), &error);
    fs::create_dir_all(&command.dir).map_err(failed)?;
    let directory = fs::canonicalize(&command.dir).map_err(failed)?;
    let top = directory.ancestors().find(|directory| directory.join(".git").exists()).unwrap_or(&directory);
    let inside = directory.strip_prefix(top).unwrap_or(Path::new(""));
    let skill = inside.join(name.as_str());
    let Some(skill) = skill.to_str().filter(|path| is_plain(path)) else {
        let message = "a workflow needs a path of plain letters, digits, dots, hyphens and slashes";
        return Err(CommandError::usage(message));
    };
    let file = format!(".github/workflows/skill-{name}.yml");
    let test = if command.parts.contains(&Part::Tests) {
        // Root may make sandboxes with all walls on such machines; others may not.
        format!("      - run: sudo env \"PATH=$PATH\" skillbox test \"{skill}\"\n")
    } else {
        String::new()
    };
    let text = GITHUB
        .replace("{test}", &test)
        .replace("{workflow}", &file)
        .replace("{path}", skill)
        .replace("{name}", name.as_str());
    Ok((top.join(file), text))
}

/// Whether a path means the same in YAML, in a pattern of a workflow, and in a shell.
fn is_plain(path: &str) -> bool {
    path.chars().all(|character| character.is_ascii_alphanumeric() || "-_./".contains(character))
}

fn write_workflow(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

/// The commands to type now.
fn next(folder: &Path, command: &New, has_workflow: bool) -> Vec<String> {
    let folder = shell_word(&folder.to_string_lossy());
    let script = match command.lang {
        ScriptLanguage::Python => "main.py",
        ScriptLanguage::Bash => "main.sh",
    };
    let mut lines = vec![
        format!("skillbox validate --strict {folder}"),
        format!("skillbox run {folder} {script} -i {folder}/SKILL.md -- /workspace/SKILL.md"),
    ];
    if command.parts.contains(&Part::Tests) {
        lines.push(format!("skillbox test {folder}"));
    }
    lines.push(format!("skillbox pack {folder}"));
    if has_workflow {
        lines.push("gh variable set SKILLBOX_REPOSITORY".to_owned());
    }
    lines
}

/// The text as one word of a shell.
fn shell_word(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(lang: ScriptLanguage, parts: &[Part]) -> New {
        New {
            name: "my-skill".to_owned(),
            dir: PathBuf::from("."),
            lang,
            parts: parts.to_vec(),
            ci: None,
            description: None,
        }
    }

    #[test]
    fn every_template_is_a_good_skill_without_holes() {
        let name = SkillName::parse("my-skill").unwrap();
        for lang in [ScriptLanguage::Python, ScriptLanguage::Bash] {
            for parts in [&[][..], &[Part::Tests], &[Part::Tests, Part::References, Part::Assets]] {
                let files = files(&command(lang, parts), &name);
                validated(&files, &name).unwrap();
                for file in &files {
                    let holes = ["{name}", "{description}", "{title}", "{more}", "{fixture}", "TODO"];
                    for hole in holes {
                        assert!(!file.text.contains(hole), "{}: {hole}", file.path);
                    }
                }
            }
        }
    }

    #[test]
    fn a_description_may_hold_anything() {
        let name = SkillName::parse("my-skill").unwrap();
        let text = "Says \"it's: done\" # no comment\nUse it when {name} or é is asked for.";
        let new = New { description: Some(text.to_owned()), ..command(ScriptLanguage::Python, &[]) };
        let files = files(&new, &name);
        let texts = files.into_iter().map(|file| (file.path, file.text));
        let draft = Draft::from_files(texts, Some("my-skill")).unwrap();
        assert_eq!(draft.frontmatter().unwrap().description(), Some(text));
    }

    #[test]
    fn words_of_a_shell_stay_words() {
        assert_eq!(shell_word("a/b-c_d.e"), "a/b-c_d.e");
        assert_eq!(shell_word("it's here"), "'it'\\''s here'");
    }
}
