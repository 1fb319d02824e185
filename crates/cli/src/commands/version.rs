//! `skillbox version`: what this is, for bug reports and for scripts.

use serde_json::json;

use crate::{error::CommandError, exit::Exit, output, output::Output};

pub(crate) fn execute(output: Output) -> Result<Exit, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    if output.json {
        output.print_json(&json!({
            "schemaVersion": 1,
            "name": "skillbox",
            "version": version,
            "initProtocol": init_protocol::VERSION,
            "target": {"arch": std::env::consts::ARCH, "os": std::env::consts::OS},
            "drivers": ["native"],
            "stores": ["file"],
        }))?;
    } else {
        output::print(&format!("skillbox {version}\n"))?;
    }
    Ok(Exit::OK)
}
