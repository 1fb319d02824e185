//! One module for each command. A command takes its arguments and gives an exit code or an error; nothing else in this
//! crate ends the process.

mod cache;
mod call;
mod code;
mod completions;
mod dev;
mod diff;
mod doctor;
mod image;
mod inspect;
mod new;
mod pack;
pub(crate) mod program;
mod prompt;
mod rules;
mod run;
mod schema;
mod serve;
mod test;
mod tools;
mod unpack;
mod validate;
mod version;
mod welcome;

use std::process::ExitCode;

use clap::{Parser as _, error::ErrorKind};
use serde_json::json;

use crate::{
    args::{Args, Command},
    exit::Exit,
    log,
    output::{self, Output},
};

/// Everything but the launcher.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return misused(&error).into(),
    };
    let (global, output) = (&args.global, Output::new(&args.global));
    if !matches!(args.command, Some(Command::Serve(_))) {
        log::of_command(global);
    }
    let result = match args.command {
        None => welcome::execute(),
        Some(Command::Run(command)) => run::execute(&command, global, output),
        Some(Command::Code(command)) => code::execute(&command, global, output),
        Some(Command::Serve(command)) => serve::execute(&command, global, output),
        Some(Command::Call(command)) => call::execute(&command, global, output),
        Some(Command::Tools(command)) => tools::execute(&command, output),
        Some(Command::Prompt(command)) => prompt::execute(&command, output),
        Some(Command::Validate(command)) => validate::execute(&command, global, output),
        Some(Command::Rules(command)) => rules::execute(&command, output),
        Some(Command::Test(command)) => test::execute(&command, global, output),
        Some(Command::Dev(command)) => dev::execute(&command, global, output),
        Some(Command::Inspect(command)) => inspect::execute(&command, output),
        Some(Command::New(command)) => new::execute(&command, output),
        Some(Command::Pack(command)) => pack::execute(&command, output),
        Some(Command::Unpack(command)) => unpack::execute(&command, output),
        Some(Command::Diff(command)) => diff::execute(&command, output),
        Some(Command::Image(command)) => image::execute(&command, output),
        Some(Command::Cache(command)) => cache::execute(&command, output),
        Some(Command::Doctor(command)) => doctor::execute(&command, global, output),
        Some(Command::Schema(command)) => schema::execute(&command),
        Some(Command::Version) => version::execute(output),
        Some(Command::Completions(command)) => completions::execute(&command),
    };
    result.unwrap_or_else(|error| output.error(&error)).into()
}

/// The command line cannot be understood, or asks for help.
fn misused(error: &clap::Error) -> Exit {
    let is_error = error.use_stderr();
    if !is_error || !wants_json() {
        // There is nobody to tell when our streams are gone.
        _ = error.print();
        return if is_error { Exit::USAGE } else { Exit::OK };
    }
    let rendered = error.render().to_string();
    let first = rendered.split("\n\n").next().unwrap_or_default().trim();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "something is missing; see --help",
        _ => first.strip_prefix("error: ").unwrap_or(first),
    };
    _ = output::print(&format!("{}\n", json!({"error": message, "code": "USAGE"})));
    Exit::USAGE
}

/// Whether JSON was asked for on a command line that could not be parsed.
fn wants_json() -> bool {
    let mut ours = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    let variable = std::env::var("SKILLBOX_JSON").unwrap_or_default();
    ours.any(|argument| argument == "--json") || matches!(variable.as_str(), "1" | "true" | "yes" | "on")
}
