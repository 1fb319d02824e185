//! `skillbox completions SHELL`.

use clap::CommandFactory as _;

use crate::{
    args::{Args, Completions},
    error::CommandError,
    exit::Exit,
    output,
};

pub(crate) fn execute(command: &Completions) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Args::command(), "skillbox", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::OK)
}
