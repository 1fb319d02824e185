//! `skillbox dev`: looks at a skill each time that one of its files is saved: check, run, test.
//!
//! ```text
//!   look ──▶ wait ──a file is saved──▶ settle ──▶ look …      Ctrl-C ends it wherever it is
//!     └──────a file is saved: the rest of this look is dropped ──▶ settle
//! ```
//!
//! One runner and its driver stay for all looks, so that a look takes no longer than what it runs. What is the same as the
//! time before is said in one line.

mod findings;
mod look;
mod watch;

use std::path::{Path, PathBuf};

use skill::LoadError;

use self::{look::Workbench, watch::Watch};

use crate::{
    args::{Dev, Global},
    commands::test::jobs,
    error::CommandError,
    exit::Exit,
    files,
    interrupt::{Interrupt, block_on},
    output::Output,
    sandboxes::{self, OneRunner},
    skills::{self, has_skill_file},
};

pub(crate) fn execute(command: &Dev, global: &Global, output: Output) -> Result<Exit, CommandError> {
    if output.json {
        return Err(CommandError::usage("`dev` goes on and on, so it has no one JSON document")
            .hint("`skillbox test --json` gives one"));
    }
    if command.program.stdin.as_deref() == Some(Path::new("-")) {
        return Err(CommandError::usage("`--stdin -` is read once, and `dev` runs the script many times")
            .hint("name a file with what the script reads"));
    }
    let path = command.path.clone().unwrap_or_else(skills::here);
    let root = folder(&path)?;
    let run = command.run.as_deref().map(words).transpose()?;
    block_on(async |interrupt| watch(command, &path, &root, run, global, output, &interrupt).await)?;
    // It has no other end than this one, and whoever asked for it knows.
    Ok(Exit::INTERRUPTED)
}

/// The skill's folder.
fn folder(path: &Path) -> Result<PathBuf, CommandError> {
    let given = if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SKILL.md")) {
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    } else {
        path
    };
    if given.is_file() {
        return Err(CommandError::usage(format!("`{}` is no folder", given.display()))
            .hint("a bundle does not change while you look at it; name the skill's folder"));
    }
    if !has_skill_file(given) {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(CommandError::from(LoadError::Io { path: given.to_owned(), source })
            .hint("name the folder of one skill, with a SKILL.md in it"));
    }
    std::fs::canonicalize(given)
        .map_err(|error| CommandError::io(format!("`{}` cannot be read", given.display()), &error))
}

/// The script and its arguments.
fn words(line: &str) -> Result<Vec<String>, CommandError> {
    match shell_words::split(line) {
        Ok(words) if !words.is_empty() => Ok(words),
        Ok(_) => {
            Err(CommandError::usage("`--run` names no script")
                .hint("for example `--run \"generate.py --help\"`"))
        }
        Err(_) => Err(CommandError::usage("`--run` has a quote that is not closed")),
    }
}

async fn watch(
    command: &Dev,
    path: &Path,
    root: &Path,
    run: Option<Vec<String>>,
    global: &Global,
    output: Output,
    interrupt: &Interrupt,
) -> Result<(), CommandError> {
    let deliver_to = sandboxes::absolute(&command.program.output.directory)?;
    // Watched before the first look, so that nothing that is saved meanwhile is missed.
    let mut watch = Watch::start(root, &deliver_to)?;
    let config = sandboxes::config_of_tests(jobs(None));
    let catalog = skills::catalog(Vec::new());
    let one = OneRunner::start_with(config, global, catalog, output, interrupt).await?;
    output.note(&format!("watching {}; Ctrl-C ends it", files::shown(path)));
    let mut workbench = Workbench::new(&one, root, run, command, output);
    let done = looks(&mut watch, &mut workbench, interrupt).await;
    one.stop().await;
    done
}

/// Looks and waits until Ctrl-C.
async fn looks(
    watch: &mut Watch,
    workbench: &mut Workbench<'_>,
    interrupt: &Interrupt,
) -> Result<(), CommandError> {
    let cancel = interrupt.token();
    let mut changed = Vec::new();
    loop {
        let stop = cancel.child_token();
        let overtaken = {
            let mut look = std::pin::pin!(workbench.look(&changed, &stop));
            tokio::select! {
                looked = &mut look => {
                    looked?;
                    false
                }
                () = watch.changed() => {
                    stop.cancel();
                    look.await?;
                    true
                }
            }
        };
        if !overtaken {
            tokio::select! {
                () = watch.changed() => {}
                () = cancel.cancelled() => return Ok(()),
            }
        }
        changed = tokio::select! {
            changed = watch.settled() => changed,
            () = cancel.cancelled() => return Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        assert_eq!(words("generate.py --data 'a b'").unwrap(), ["generate.py", "--data", "a b"]);
        assert_eq!(words("  ").unwrap_err().code, "USAGE");
        assert_eq!(words("a 'b").unwrap_err().code, "USAGE");
    }

    #[test]
    fn only_the_folder_of_a_skill_is_watched() {
        let top = tempfile::tempdir().unwrap();
        let skill = top.path().join("a");
        std::fs::create_dir(&skill).unwrap();
        std::fs::write(skill.join("SKILL.md"), "x").unwrap();
        assert_eq!(folder(&skill.join("SKILL.md")).unwrap(), std::fs::canonicalize(&skill).unwrap());
        assert_eq!(folder(top.path()).unwrap_err().code, "SKILL_NOT_FOUND");
        std::fs::write(top.path().join("b.skill"), "x").unwrap();
        assert_eq!(folder(&top.path().join("b.skill")).unwrap_err().code, "USAGE");
    }
}
