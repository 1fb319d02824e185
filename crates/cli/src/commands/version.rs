//! `skillbox version`: what this is, for bug reports and for scripts.

use clap::ValueEnum as _;
use serde_json::json;

use crate::{args::DriverName, error::CommandError, exit::Exit, output, output::Output};

pub(crate) fn execute(output: Output) -> Result<Exit, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    let drivers: Vec<String> = DriverName::value_variants()
        .iter()
        .filter_map(|driver| Some(driver.to_possible_value()?.get_name().to_owned()))
        .collect();
    if output.json {
        output.print_json(&json!({
            "schemaVersion": 1,
            "name": "skillbox",
            "version": version,
            "initProtocol": init_protocol::VERSION,
            "target": {"arch": std::env::consts::ARCH, "os": std::env::consts::OS},
            "drivers": drivers,
            "stores": ["file", "s3"],
        }))?;
    } else {
        output::print(&format!("skillbox {version}\n"))?;
    }
    Ok(Exit::OK)
}
