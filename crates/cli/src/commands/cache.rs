//! `skillbox cache`: where the packages of skills are kept, how much that is, and its end.

use std::path::Path;

use layer::{CacheUse, Prune, cache_use, prune_cache};
use serde_json::json;

use crate::{
    args::Cache, error::CommandError, exit::Exit, output, output::Output, sandboxes, units::show_size,
};

pub(crate) fn execute(command: &Cache, output: Output) -> Result<Exit, CommandError> {
    let cache = sandboxes::layer_cache()?;
    match command {
        Cache::Dir => {
            if output.json {
                output.print_json(&json!({"schemaVersion": 1, "directory": cache}))?;
            } else {
                output::print(&format!("{}\n", cache.display()))?;
            }
        }
        Cache::Size => {
            let found = cache_use(&cache).map_err(|error| failed("read", &cache, &error))?;
            show(output, found, &format!("in {} layers at {}", found.layers, cache.display()))?;
        }
        Cache::Prune(prune) => remove(output, &cache, Prune::Unused(prune.unused))?,
        Cache::Clean => remove(output, &cache, Prune::All)?,
    }
    Ok(Exit::OK)
}

fn remove(output: Output, cache: &Path, prune: Prune) -> Result<(), CommandError> {
    let removed =
        prune_cache(cache, prune).map_err(|error| failed("remove all that is to go of", cache, &error))?;
    show(output, removed, &format!("in {} layers removed", removed.layers))
}

fn show(output: Output, what: CacheUse, words: &str) -> Result<(), CommandError> {
    if output.json {
        return output.print_json(&json!({"schemaVersion": 1, "layers": what.layers, "bytes": what.bytes}));
    }
    output::print(&format!("{} {words}\n", show_size(what.bytes)))
}

fn failed(doing: &str, cache: &Path, error: &std::io::Error) -> CommandError {
    CommandError::io(format!("cannot {doing} the cache at `{}`", cache.display()), error)
}
