//! The policy as data: what each system call is answered, by its arguments.
//!
//! What a line looks like is said at the top of `policy/programs.policy`. The text is part of the program, so a fault in
//! it is one of ours; it is found when init is built, and by the tests.

use std::collections::BTreeMap;

/// What programs may call.
const PROGRAMS: &str = include_str!("../policy/programs.policy");
/// What init calls before its own filter stands.
const INIT: &str = include_str!("../policy/init.policy");

/// The errors that a policy may answer, with their numbers, which both architectures share.
const ERRORS: [(&str, u16); 6] =
    [("EPERM", 1), ("EINVAL", 22), ("ENOTTY", 25), ("ENOSYS", 38), ("ENOPROTOOPT", 92), ("EOPNOTSUPP", 95)];

/// An architecture that there is a policy for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86, without x32.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// What a call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel carries it out.
    Allow,
    /// The call fails with this error, or with 0 does nothing and succeeds.
    Errno(u16),
}

impl Answer {
    /// Refused on purpose.
    pub const EPERM: Self = Self::Errno(1);
    /// As on a kernel that does not have the call.
    pub const ENOSYS: Self = Self::Errno(38);
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is this value.
    Equal(u32),
    /// It is another value.
    NotEqual(u32),
    /// Under a mask, the first number, it is the second.
    Masked(u32, u32),
}

/// One condition, on the low 32 bits of an argument: the kernel ignores the others for what is compared here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Number of the argument, from 0 on.
    pub argument: u8,
    /// What must hold of it.
    pub test: Test,
}

impl Condition {
    fn holds(&self, arguments: &[u64; 6]) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is compared")]
        let low = arguments[usize::from(self.argument)] as u32;
        match self.test {
            Test::Equal(value) => low == value,
            Test::NotEqual(value) => low != value,
            Test::Masked(mask, value) => low & mask == value,
        }
    }
}

/// What a call gets where all of these conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of them must hold; there is at least one.
    pub conditions: Vec<Condition>,
    /// What the call then gets.
    pub answer: Answer,
}

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, as in the kernel's tables.
    pub name: &'static str,
    /// The first that holds counts.
    pub rules: Vec<Rule>,
    /// What it gets where no rule holds.
    pub otherwise: Answer,
}

impl Call {
    /// Whether there are arguments with which it is allowed.
    #[must_use]
    pub fn is_ever_allowed(&self) -> bool {
        self.otherwise == Answer::Allow || self.rules.iter().any(|rule| rule.answer == Answer::Allow)
    }
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PolicyError {
    /// Where, from 1 on.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// The policy for one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For which.
    pub arch: Arch,
    /// By number. What is not here answers `ENOSYS`.
    pub calls: BTreeMap<u32, Call>,
}

impl Policy {
    /// What programs may call, and init behind the same filter.
    ///
    /// # Errors
    /// The line of the policy that cannot be read.
    pub fn for_programs(arch: Arch) -> Result<Self, PolicyError> {
        Self::read(PROGRAMS, arch)
    }

    /// What init calls before it has loaded the filter for programs: for a filter that stands around that one.
    ///
    /// # Errors
    /// The line of the policy that cannot be read.
    pub fn for_start_of_init(arch: Arch) -> Result<Self, PolicyError> {
        Self::read(INIT, arch)
    }

    /// What a call with these arguments gets.
    #[must_use]
    pub fn answer(&self, number: u32, arguments: &[u64; 6]) -> Answer {
        let Some(call) = self.calls.get(&number) else { return Answer::ENOSYS };
        let rule = call.rules.iter().find(|rule| rule.conditions.iter().all(|one| one.holds(arguments)));
        rule.map_or(call.otherwise, |rule| rule.answer)
    }

    pub(crate) fn read(text: &'static str, arch: Arch) -> Result<Self, PolicyError> {
        let mut calls: BTreeMap<u32, Draft> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let at = |what: String| PolicyError { line: index + 1, what };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let line = Line::parse(line).map_err(at)?;
            if line.arch.is_some_and(|only| only != arch) {
                continue;
            }
            for name in line.names {
                let number = arch.number(name).ok_or_else(|| at(format!("there is no call `{name}`")))?;
                let draft = calls.entry(number).or_insert(Draft { name, rules: Vec::new(), otherwise: None });
                if line.alternatives.is_empty() {
                    if draft.otherwise.replace(line.answer).is_some() {
                        return Err(at(format!("`{name}` has an answer already")));
                    }
                    continue;
                }
                let rule = |conditions: &Vec<Condition>| Rule {
                    conditions: conditions.clone(),
                    answer: line.answer,
                };
                draft.rules.extend(line.alternatives.iter().map(rule));
            }
        }
        let done = |draft: Draft| Call {
            name: draft.name,
            rules: draft.rules,
            otherwise: draft.otherwise.unwrap_or(Answer::EPERM),
        };
        Ok(Self { arch, calls: calls.into_iter().map(|(number, draft)| (number, done(draft))).collect() })
    }
}

impl Arch {
    /// By the name that Rust and `uname -m` have for it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The number of a call.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        let number = match (self, name) {
            // The kernel's tables and libseccomp have the one name on both; the crate's table for ARM has the other.
            (Self::Aarch64, "newfstatat") => syscalls::aarch64::Sysno::fstatat.id(),
            (Self::X86_64, _) => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
            (Self::Aarch64, _) => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
        };
        u32::try_from(number).ok()
    }
}

/// A call while its lines are read.
struct Draft {
    name: &'static str,
    rules: Vec<Rule>,
    otherwise: Option<Answer>,
}

/// One line, taken apart.
struct Line {
    names: Vec<&'static str>,
    /// The ways in which its conditions hold; none where it has no conditions.
    alternatives: Vec<Vec<Condition>>,
    answer: Answer,
    arch: Option<Arch>,
}

impl Line {
    fn parse(text: &'static str) -> Result<Self, String> {
        let (rule, reason) = text.split_once(": ").ok_or("it does not say who needs it")?;
        if reason.trim().is_empty() {
            return Err("it does not say who needs it".to_owned());
        }
        let (calls, answer) =
            rule.split_once(" -> ").map_or((rule, None), |(calls, answer)| (calls, Some(answer)));
        let mut words: Vec<&'static str> = calls.split_whitespace().collect();
        let mut answer_words: Vec<&'static str> = answer.unwrap_or_default().split_whitespace().collect();
        let last = if answer.is_some() { &mut answer_words } else { &mut words };
        let arch = match last.last().and_then(|word| word.strip_prefix('@')) {
            Some(name) => {
                last.pop();
                Some(Arch::named(name).ok_or_else(|| format!("there is no policy for `{name}`"))?)
            }
            None => None,
        };
        let answer = match (answer, answer_words.as_slice()) {
            (None, _) => Answer::Allow,
            (Some(_), ["0"]) => Answer::Errno(0),
            (Some(answer), words) => ERRORS
                .iter()
                .find(|(name, _)| words == [*name])
                .map(|(_, number)| Answer::Errno(*number))
                .ok_or_else(|| format!("`{answer}` is no answer"))?,
        };
        let first = words.iter().position(|word| word.contains('=')).unwrap_or(words.len());
        let (names, conditions) = words.split_at(first);
        if names.is_empty() {
            return Err("it names no call".to_owned());
        }
        let mut alternatives = Vec::new();
        for condition in conditions {
            let ways =
                condition_ways(condition).ok_or_else(|| format!("malformed condition `{condition}`"))?;
            alternatives = product(&alternatives, &ways);
        }
        Ok(Self { names: names.to_vec(), alternatives, answer, arch })
    }
}

/// Each of the alternatives so far, with each of the ways in which one more condition holds.
fn product(alternatives: &[Vec<Condition>], ways: &[Condition]) -> Vec<Vec<Condition>> {
    if alternatives.is_empty() {
        return ways.iter().map(|way| vec![*way]).collect();
    }
    let with = |before: &Vec<Condition>, way: &Condition| [before.as_slice(), &[*way]].concat();
    alternatives.iter().flat_map(|before| ways.iter().map(move |way| with(before, way))).collect()
}

/// `argN==V,V,…`, `argN!=V` or `argN&MASK==V,V,…`: the ways in which it holds.
fn condition_ways(text: &str) -> Option<Vec<Condition>> {
    let (argument, rest) = text.strip_prefix("arg")?.split_at_checked(1)?;
    let argument = argument.parse().ok().filter(|argument: &u8| *argument < 6)?;
    let condition = |test| Condition { argument, test };
    if let Some(value) = rest.strip_prefix("!=") {
        return Some(vec![condition(Test::NotEqual(number(value)?))]);
    }
    let (mask, values) = rest.split_once("==")?;
    let mask = match mask {
        "" => None,
        mask => Some(number(mask.strip_prefix('&')?)?),
    };
    let values = values.split(',').map(|value| {
        let value = number(value)?;
        let test = mask.map_or(Test::Equal(value), |mask| Test::Masked(mask, value));
        // What no argument can be would be a line that looks like a rule and is none.
        mask.is_none_or(|mask| value & !mask == 0).then(|| condition(test))
    });
    values.collect()
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
