//! What `/metrics` shows, in Prometheus' text format.
//!
//! Nothing is counted here: the runner and the store count, and at each request their numbers are written out. Labels
//! have a fixed set of values, so no caller can make them many, and nothing of a call's content is among them.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use runner::{Runner, Totals};
use tool::ToolName;

/// The type of the answer.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    tool: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Upload {
    outcome: &'static str,
}

/// The numbers of this moment.
pub(crate) fn text(runner: &Runner) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("skillbox");
    let build = vec![("version", env!("CARGO_PKG_VERSION")), ("driver", runner.driver().name())];
    registry.register("build", "Version of this runner, and the driver of its sandboxes", Info::new(build));
    let Totals { calls, uploads } = runner.totals();
    let family = Family::<Call, Counter>::default();
    for (tool, outcome, count) in calls {
        let labels = Call { tool: tool.map_or("unknown", ToolName::stem), outcome: outcome.as_str() };
        family.get_or_create(&labels).inc_by(count);
    }
    registry.register("tool_calls", "Tool calls that are over, by tool and by how they ended", family);
    let family = Family::<Upload, Counter>::default();
    for (outcome, count) in uploads {
        family.get_or_create(&Upload { outcome: outcome.as_str() }).inc_by(count);
    }
    registry.register("uploads", "Output files that calls wanted to store, by what became of them", family);
    let load = runner.load();
    gauge(&mut registry, "sandboxes", "Sandboxes that live or are being made", load.sandboxes as u64);
    let kept = runner.kept();
    let bytes = (kept.kept + kept.held) as u64;
    gauge(&mut registry, "kept_bytes", "Memory for results, events, declarations and calls", bytes);
    gauge(&mut registry, "triggers", "Triggers that have not ended", load.triggers as u64);
    if let Some(backlog) = runner.store().backlog() {
        gauge(&mut registry, "spool_files", "Files that wait for the store", backlog.waiting_files);
        gauge(&mut registry, "spool_bytes", "Bytes of files that wait or are on their way", backlog.bytes);
        for (name, help, count) in [
            ("spool_failed_uploads", "Uploads that the store did not take at once", backlog.failed_uploads),
            ("spool_delivered", "Files that waited and have arrived", backlog.delivered_later),
            ("spool_not_kept", "Files that the spool had no room or no disk for", backlog.not_kept),
            ("spool_lost", "Files that were damaged on the spool's disk", backlog.lost),
        ] {
            let counter = Counter::<u64>::default();
            counter.inc_by(count);
            registry.register(name, help, counter);
        }
    }
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}
