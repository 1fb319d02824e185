//! `skillbox` alone: the commands that somebody new needs.

use crate::{error::CommandError, exit::Exit, output};

const TEXT: &str = "\
skillbox runs the skills of AI agents in sandboxes.

  skillbox doctor                                    see what this machine can give
  skillbox new NAME                                  begin a skill
  skillbox validate SKILL                            check a skill
  skillbox test SKILL                                run its tests
  skillbox run SKILL SCRIPT -- ARGS                  run a script of a skill; files go to ./output
  skillbox code -l python -c 'print(1)'              run code
  skillbox serve --skills DIR --store file:DIR       serve the tools over HTTP

`skillbox --help` lists everything, `skillbox COMMAND --help` explains a command.
";

pub(crate) fn execute() -> Result<Exit, CommandError> {
    output::print(TEXT)?;
    Ok(Exit::OK)
}
