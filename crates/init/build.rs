//! Compiles `seccomp/*.policy` into BPF programs, so that init only has to load them.
//!
//! A policy is text, one rule a line: a syscall name, then conditions on its arguments that must all hold. The same
//! name on several lines means "or". `#` starts a comment; `@arch` at the end keeps the line to one architecture.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target");
    let out = env::var("OUT_DIR").expect("cargo sets the output directory");
    for (name, mismatch, matched) in [("allow", "{\"errno\": 1}", "\"allow\""), ("absent", "\"allow\"", "{\"errno\": 38}")] {
        let file = format!("seccomp/{name}.policy");
        println!("cargo::rerun-if-changed={file}");
        let text = fs::read_to_string(&file).expect("the policy is part of the crate");
        let json = to_json(&text, &arch, mismatch, matched);
        let target = arch.as_str().try_into().expect("x86_64 and aarch64 are supported");
        let programs = seccompiler::compile_from_json(json.as_bytes(), target)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut bytes = Vec::new();
        for instruction in &programs["main"] {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.push(instruction.jt);
            bytes.push(instruction.jf);
            bytes.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        fs::write(Path::new(&out).join(format!("{name}.bpf")), bytes).expect("the output directory is writable");
    }
}

fn to_json(policy: &str, arch: &str, mismatch: &str, matched: &str) -> String {
    let mut rules = Vec::new();
    for (number, line) in policy.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(only) = words.last().and_then(|word| word.strip_prefix('@')) {
            if only != arch {
                continue;
            }
            words.pop();
        }
        let Some((syscall, conditions)) = words.split_first() else { continue };
        let mut rule = format!("{{\"syscall\": \"{syscall}\"");
        let conditions: Vec<String> = conditions.iter().map(|text| condition(text, number + 1)).collect();
        if !conditions.is_empty() {
            write!(rule, ", \"args\": [{}]", conditions.join(", ")).expect("a string takes all");
        }
        rule.push('}');
        rules.push(rule);
    }
    format!(
        "{{\"main\": {{\"mismatch_action\": {mismatch}, \"match_action\": {matched}, \"filter\": [{}]}}}}",
        rules.join(",\n")
    )
}

/// `argN==V`, `argN!=V` or `argN&MASK==V`, compared on the low 32 bits: the kernel ignores the others for these.
fn condition(text: &str, line: usize) -> String {
    let parse = || {
        let rest = text.strip_prefix("arg")?;
        let (index, rest) = rest.split_at_checked(1)?;
        if let Some(value) = rest.strip_prefix("==") {
            Some((index, "\"eq\"".to_owned(), value))
        } else if let Some(value) = rest.strip_prefix("!=") {
            Some((index, "\"ne\"".to_owned(), value))
        } else {
            let (mask, value) = rest.strip_prefix('&')?.split_once("==")?;
            Some((index, format!("{{\"masked_eq\": {}}}", number(mask)?), value))
        }
    };
    let Some((index, operator, value)) = parse() else { panic!("line {line}: malformed condition {text}") };
    let Some(value) = number(value) else { panic!("line {line}: malformed number {value}") };
    format!("{{\"index\": {index}, \"type\": \"dword\", \"op\": {operator}, \"val\": {value}}}")
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
