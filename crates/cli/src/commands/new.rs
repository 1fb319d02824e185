//! new
use crate::{error::CommandError, exit::Exit, output::Output};
pub(crate) fn execute(_: &crate::args::New, _: Output) -> Result<Exit, CommandError> {
    Ok(Exit::OK)
}
