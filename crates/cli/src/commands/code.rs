//! `skillbox code`: Python or Bash code, by the call that a model would make.

use std::{io::Read as _, path::Path};

use serde_json::{Map, Value, json};
use tool::ToolName;

use crate::{
    args::{Code, CodeLanguage, Global},
    commands::program::{self, Job},
    error::CommandError,
    exit::Exit,
    output::Output,
    skills,
};

pub(crate) fn execute(command: &Code, global: &Global, output: Output) -> Result<Exit, CommandError> {
    let from_stdin = command.file.as_deref() == Some(Path::new("-"));
    if from_stdin && command.program.stdin.as_deref() == Some(Path::new("-")) {
        return Err(CommandError::usage("standard input cannot be both the code and what the code reads"));
    }
    let language = match command.language {
        Some(language) => language,
        None => language_of(command.file.as_deref())?,
    };
    let code = match (&command.code, &command.file) {
        (Some(code), _) => code.clone(),
        (None, Some(_)) if from_stdin => {
            let mut code = String::new();
            std::io::stdin()
                .read_to_string(&mut code)
                .map_err(|error| CommandError::io("the code cannot be read from standard input", &error))?;
            code
        }
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| CommandError::io(format!("`{}` cannot be read", file.display()), &error))?,
        (None, None) => {
            return Err(CommandError::usage("there is no code; give it with `-c CODE` or in a file"));
        }
    };
    let mut labels = Map::new();
    labels.insert("language".to_owned(), Value::from(language.as_str()));
    let args = json!({"language": language.as_str(), "code": code});
    let catalog = skills::catalog(skills::load(&command.skills)?);
    program::execute(Job { tool: ToolName::CodeRun, args, labels, catalog }, &command.program, global, output)
}

/// What a file's extension says; Python where it says nothing, and no guess where it says something else.
fn language_of(file: Option<&Path>) -> Result<CodeLanguage, CommandError> {
    match file.and_then(Path::extension).and_then(|extension| extension.to_str()) {
        Some("sh" | "bash") => Ok(CodeLanguage::Bash),
        Some(other @ ("js" | "mjs" | "cjs" | "ts" | "rb" | "pl" | "php" | "r" | "R")) => {
            Err(CommandError::usage(format!(
                "`.{other}` is neither Python nor Bash, the languages of `code`; Node scripts run as part of a skill, with \
                 `skillbox run`, and `--language` says what a file with another ending is"
            )))
        }
        _ => Ok(CodeLanguage::Python),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_language() {
        let check = |file: &str, language| {
            assert_eq!(language_of(Some(Path::new(file))).unwrap(), language, "{file}")
        };
        check("a.py", CodeLanguage::Python);
        check("dir.sh/a", CodeLanguage::Python);
        check("a.sh", CodeLanguage::Bash);
        check("a.b.bash", CodeLanguage::Bash);
        assert_eq!(language_of(None).unwrap(), CodeLanguage::Python);
        assert!(language_of(Some(Path::new("a.js"))).is_err());
    }
}
