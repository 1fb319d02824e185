//! Reads `*.policy`: which system calls programs may make, as text.
//!
//! One rule a line: the name of a call, then conditions on its arguments that must all hold. The same name on several
//! lines means "or". `#` starts a comment; `@arch` at the end keeps the line to one architecture.
//!
//! Compiled twice: into the build script of `init`, which makes the filter that init loads, and into `init-binary`, for
//! drivers that hand the same policy to somebody else. So the two can never read it differently.

/// One line of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Where it stands, from 1 on.
    pub line: usize,
    /// Name of the call.
    pub name: &'a str,
    /// What must hold of its arguments; nothing where it is always allowed.
    pub conditions: Vec<Condition>,
}

/// One condition: on the low 32 bits of an argument, as the kernel ignores the others for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Number of the argument, from 0 on.
    pub argument: u32,
    /// Bits that are looked at; all where there is none.
    pub mask: Option<u32>,
    /// What they are compared with.
    pub value: u32,
    /// Whether they must be equal, or must not be.
    pub equal: bool,
}

/// The rules of a text that hold for an architecture, named as in `uname -m`.
///
/// # Errors
/// The line with a malformed condition.
pub fn rules<'a>(text: &'a str, arch: &str) -> Result<Vec<Rule<'a>>, String> {
    let mut rules = Vec::new();
    for (number, rule) in text.lines().enumerate() {
        let line = number + 1;
        let mut words: Vec<&str> = rule.split('#').next().unwrap_or_default().split_whitespace().collect();
        if let Some(only) = words.last().and_then(|word| word.strip_prefix('@')) {
            if only != arch {
                continue;
            }
            words.pop();
        }
        let Some((name, conditions)) = words.split_first() else { continue };
        let conditions: Vec<Condition> = conditions
            .iter()
            .map(|text| condition(text).ok_or_else(|| format!("line {line}: malformed condition {text}")))
            .collect::<Result<_, _>>()?;
        rules.push(Rule { line, name, conditions });
    }
    Ok(rules)
}

/// `argN==V`, `argN!=V` or `argN&MASK==V`.
fn condition(text: &str) -> Option<Condition> {
    let (argument, rest) = text.strip_prefix("arg")?.split_at_checked(1)?;
    let argument = argument.parse().ok()?;
    if let Some(value) = rest.strip_prefix("==") {
        return Some(Condition { argument, mask: None, value: number(value)?, equal: true });
    }
    if let Some(value) = rest.strip_prefix("!=") {
        return Some(Condition { argument, mask: None, value: number(value)?, equal: false });
    }
    let (mask, value) = rest.strip_prefix('&')?.split_once("==")?;
    Some(Condition { argument, mask: Some(number(mask)?), value: number(value)?, equal: true })
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
