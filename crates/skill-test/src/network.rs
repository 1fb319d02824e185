//! Whether a program tried to reach the network, by what the kernel counted in the sandbox's own network namespace.
//!
//! A sandbox has no interface but loopback, so each attempt ends in the kernel at once, and is counted there: connections
//! and datagrams that have no route (`OutNoRoutes`, RFC 4293), and questions to the name server, which is loopback's and has nobody
//! behind it (`NoPorts`, RFC 4113). What a program says to itself over loopback is not among them. The counters belong to the
//! whole sandbox, so they are read before and after a program.

use std::sync::Arc;

use runner::{CallAnswer, CallOptions, CallRequest};
use serde_json::{Value as Json, json};
use tool::{ToolCall, ToolName, ToolPrefix};

/// What a case expects of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// No attempt.
    None,
    /// At least one.
    Attempted,
}

impl Network {
    /// The words of a test file.
    pub(crate) const WORDS: [&str; 2] = ["none", "attempted"];

    pub(crate) fn of(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "attempted" => Some(Self::Attempted),
            _ => None,
        }
    }
}

/// The call that reads the counters; `name` tells it from the others of its trigger.
pub(crate) fn probe(name: String) -> CallRequest {
    let call = ToolCall {
        tool_call_id: name,
        tool_name: ToolPrefix::default().name(ToolName::CodeRun),
        args: json!({"language": "bash", "code": "cat /proc/net/snmp /proc/net/snmp6"}),
        source: None,
        output_variable: None,
        block_index: None,
    };
    CallRequest {
        tenant: runner::Tenant::default(),
        call,
        skills: Vec::new(),
        options: CallOptions::default(),
    }
}

/// The count in the answer to a probe; `None` where the kernel shows none.
pub(crate) fn attempts(answer: &Arc<CallAnswer>) -> Option<u64> {
    let result = answer.answer.result.result.as_ref()?;
    count(result.get("stdout").and_then(Json::as_str)?)
}

fn count(text: &str) -> Option<u64> {
    let mut found = None;
    let mut add = |value: Option<u64>| found = Some(found.unwrap_or(0) + value.unwrap_or(0));
    // The older table has a line of names and a line of values for each protocol.
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let (names, values) = (pair[0].split_whitespace(), pair[1].split_whitespace());
        for (protocol, wanted) in [("Ip:", "OutNoRoutes"), ("Udp:", "NoPorts")] {
            if pair.iter().all(|line| line.starts_with(protocol))
                && let Some((_, value)) = names.clone().zip(values.clone()).find(|(name, _)| *name == wanted)
            {
                add(value.parse().ok());
            }
        }
    }
    // The newer one has a name and a value on each line.
    for line in lines {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("Ip6OutNoRoutes" | "Udp6NoPorts")) {
            add(words.next().and_then(|value| value.parse().ok()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_found_in_both_tables() {
        let text = "Ip: Forwarding OutNoRoutes ReasmFails\nIp: 2 3 9\nUdp: InDatagrams NoPorts\nUdp: 7 4\n\
                    UdpLite: InDatagrams NoPorts\nUdpLite: 1 1\nIp6OutNoRoutes                  \t5\nUdp6NoPorts \t6\n";
        assert_eq!(count(text), Some(18));
        assert_eq!(count("Tcp: A\nTcp: 1\n"), None);
        assert_eq!(count(""), None);
    }
}
