//! `skillbox rules`: what `validate` checks, and why.

use serde_json::{Value, json};
use skill::{Profile, Rule};
use validate::Selection;

use crate::{
    args::Rules,
    error::{CommandError, Kind},
    exit::Exit,
    output::{self, DIM, GOOD, Output, WEAK},
};

pub(crate) fn execute(command: &Rules, output: Output) -> Result<Exit, CommandError> {
    let selection = selection(&command.rules, &[])?;
    let rules: Vec<Rule> = Rule::all().filter(|rule| selection.has(*rule)).collect();
    if output.json {
        let rules: Vec<Value> = rules.iter().map(|rule| document(*rule)).collect();
        output.print_json(&json!({"schemaVersion": 1, "rules": rules}))?;
    } else if command.rules.is_empty() {
        output::print(&list(&rules))?;
        output.note(&format!("{} rules; `skillbox rules CODE` explains one", rules.len()));
    } else {
        output::print(&rules.iter().map(|rule| explanation(*rule)).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::OK)
}

/// The choice of rules that a command line makes.
pub(super) fn selection(select: &[String], ignore: &[String]) -> Result<Selection, CommandError> {
    Selection::new(select, ignore).map_err(|error| {
        CommandError::of(Kind::User, "RULE_UNKNOWN", &error).hint("`skillbox rules` lists all rules")
    })
}

fn list(rules: &[Rule]) -> String {
    let mut text = String::new();
    let mut group = None;
    for rule in rules {
        if group != Some(rule.group()) {
            let gap = if group.is_some() { "\n" } else { "" };
            text.push_str(&format!("{gap}{WEAK}{}{WEAK:#}\n", rule.group()));
            group = Some(rule.group());
        }
        let severity = severity(*rule, Profile::Octavus);
        text.push_str(&format!("  {} {severity:<7} {:<28} {}\n", rule.code(), rule.name(), rule.summary()));
    }
    text
}

fn severity(rule: Rule, profile: Profile) -> String {
    rule.severity(profile).map_or_else(|| "off".to_owned(), |severity| severity.to_string())
}

fn explanation(rule: Rule) -> String {
    let mut text = format!("{WEAK}{} {}{WEAK:#} ({})\n\n", rule.code(), rule.name(), rule.group());
    text.push_str(&format!("{}\n{}\n\n", rule.summary(), rule.why()));
    for (title, example, style) in [("bad", rule.bad(), WEAK), ("good", rule.good(), GOOD)] {
        text.push_str(&format!("{style}{title}{style:#}\n"));
        for line in example.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    let severities: Vec<String> = Profile::ALL
        .into_iter()
        .map(|profile| format!("{profile} {DIM}{}{DIM:#}", severity(rule, profile)))
        .collect();
    text.push_str(&format!("\nprofiles: {}\n", severities.join(", ")));
    text
}

fn document(rule: Rule) -> Value {
    let severities: serde_json::Map<String, Value> = Profile::ALL
        .into_iter()
        .map(|profile| (profile.to_string(), json!(severity(rule, profile))))
        .collect();
    json!({
        "code": rule.code(),
        "name": rule.name(),
        "group": rule.group().to_string(),
        "severities": severities,
        "summary": rule.summary(),
        "why": rule.why(),
        "bad": rule.bad(),
        "good": rule.good(),
    })
}
