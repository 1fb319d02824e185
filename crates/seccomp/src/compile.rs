//! Makes a program of classic BPF of a policy.
//!
//! It is a binary search over ranges of system call numbers, with conditions only at its leaves. That matters more than it
//! looks: when a filter is loaded, the kernel walks it once for every number to find those that it always allows, and a
//! chain of three hundred comparisons made that the largest part of starting a program.

use crate::policy::{Answer, Arch, Call, Condition, Policy, Test};

/// Most instructions that the kernel takes.
const MOST: usize = 4096;

// Classic BPF, from linux/bpf_common.h.
pub(crate) const LOAD_WORD: u16 = 0x20;
pub(crate) const AND: u16 = 0x54;
pub(crate) const JUMP: u16 = 0x05;
pub(crate) const JUMP_EQUAL: u16 = 0x15;
pub(crate) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
pub(crate) const RETURN: u16 = 0x06;

// Where things are in struct seccomp_data, from linux/seccomp.h; both architectures are little-endian.
pub(crate) const AT_NUMBER: u32 = 0;
pub(crate) const AT_ARCHITECTURE: u32 = 4;
pub(crate) const AT_ARGUMENTS: u32 = 16;

pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
pub(crate) const ALLOW: u32 = 0x7FFF_0000;
pub(crate) const ERRNO: u32 = 0x0005_0000;

/// What the kernel calls x86_64 in a filter.
pub const AUDIT_X86_64: u32 = 0xC000_003E;
/// What the kernel calls aarch64 in a filter.
pub const AUDIT_AARCH64: u32 = 0xC000_00B7;

/// One instruction, as the kernel has it (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to pass over where a comparison holds.
    pub jump_true: u8,
    /// How many where it does not.
    pub jump_false: u8,
    /// The operand.
    pub k: u32,
}

impl Instruction {
    /// The eight bytes of it, in the byte order of this machine.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        let [code_0, code_1] = self.code.to_ne_bytes();
        let [k_0, k_1, k_2, k_3] = self.k.to_ne_bytes();
        [code_0, code_1, self.jump_true, self.jump_false, k_0, k_1, k_2, k_3]
    }
}

/// The filter of a policy.
///
/// # Panics
/// Where the policy is larger than the kernel takes: it is part of this program, and a test holds it.
#[must_use]
pub fn compile(policy: &Policy) -> Vec<Instruction> {
    let architecture = match policy.arch {
        Arch::X86_64 => AUDIT_X86_64,
        Arch::Aarch64 => AUDIT_AARCH64,
    };
    let mut program = vec![
        statement(LOAD_WORD, AT_ARCHITECTURE),
        Instruction { code: JUMP_EQUAL, jump_true: 1, jump_false: 0, k: architecture },
        // Another ABI has other numbers; x32 shares ours but sets a bit that no call here has.
        statement(RETURN, KILL_PROCESS),
        statement(LOAD_WORD, AT_NUMBER),
    ];
    program.extend(search(&ranges(policy)));
    assert!(program.len() <= MOST, "BPF programs have at most {MOST} instructions");
    program
}

/// What all numbers of a range get.
#[derive(Clone, Copy, PartialEq)]
enum Leaf<'a> {
    Always(Answer),
    ByArguments(&'a Call),
}

/// All numbers from 0 on as ranges, named by their first number.
fn ranges(policy: &Policy) -> Vec<(u32, Leaf<'_>)> {
    let unknown = Leaf::Always(Answer::ENOSYS);
    let mut ranges = vec![(0, unknown)];
    let mut push = |first: u32, leaf| {
        if ranges.last().is_some_and(|(start, _)| *start == first) {
            ranges.pop();
        }
        if ranges.last().is_none_or(|(_, last)| *last != leaf) {
            ranges.push((first, leaf));
        }
    };
    for (number, call) in &policy.calls {
        let leaf = if call.rules.is_empty() { Leaf::Always(call.otherwise) } else { Leaf::ByArguments(call) };
        push(*number, leaf);
        push(number + 1, unknown);
    }
    ranges
}

fn search(ranges: &[(u32, Leaf<'_>)]) -> Vec<Instruction> {
    if let [(_, leaf)] = ranges {
        return match leaf {
            Leaf::Always(answer) => vec![give(*answer)],
            Leaf::ByArguments(call) => by_arguments(call),
        };
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let low_code = search(low);
    let k = high[0].0;
    // A conditional jump reaches 255 instructions, a plain one any number.
    let mut code = match u8::try_from(low_code.len()) {
        Ok(length) => vec![Instruction { code: JUMP_GREATER_OR_EQUAL, jump_true: length, jump_false: 0, k }],
        Err(_) => vec![
            Instruction { code: JUMP_GREATER_OR_EQUAL, jump_true: 0, jump_false: 1, k },
            statement(JUMP, u32::try_from(low_code.len()).expect("a program is short")),
        ],
    };
    code.extend(low_code);
    code.extend(search(high));
    code
}

fn by_arguments(call: &Call) -> Vec<Instruction> {
    let mut code = Vec::new();
    // The argument that is still in the accumulator when a rule begins, whichever of the tests before has failed.
    let mut loaded = None;
    for rule in &call.rules {
        let mut tests: Vec<Vec<Instruction>> = rule.conditions.iter().map(test).collect();
        let first = &rule.conditions[0];
        if loaded == Some(first.argument) {
            tests[0].remove(0);
        }
        let keeps = rule.conditions.len() == 1 && !matches!(first.test, Test::Masked(..));
        loaded = keeps.then_some(first.argument);
        // Whichever test fails jumps behind the `return` of this rule.
        let mut left: usize = tests.iter().map(Vec::len).sum();
        for mut test in tests {
            left -= test.len();
            let behind = u8::try_from(left + 1).expect("a rule is short");
            let last = test.last_mut().expect("a test ends with a jump");
            if last.jump_true == 1 {
                last.jump_true = behind;
            } else {
                last.jump_false = behind;
            }
            code.extend(test);
        }
        code.push(give(rule.answer));
    }
    code.push(give(call.otherwise));
    code
}

/// Loads, masks and compares; of the jump, the side that fails has a 1 that the caller replaces.
fn test(condition: &Condition) -> Vec<Instruction> {
    let mut code = vec![statement(LOAD_WORD, AT_ARGUMENTS + 8 * u32::from(condition.argument))];
    let (k, (jump_true, jump_false)) = match condition.test {
        Test::Equal(value) => (value, (0, 1)),
        Test::NotEqual(value) => (value, (1, 0)),
        Test::Masked(mask, value) => {
            code.push(statement(AND, mask));
            (value, (0, 1))
        }
    };
    code.push(Instruction { code: JUMP_EQUAL, jump_true, jump_false, k });
    code
}

fn give(answer: Answer) -> Instruction {
    statement(
        RETURN,
        match answer {
            Answer::Allow => ALLOW,
            Answer::Errno(number) => ERRNO | u32::from(number),
        },
    )
}

fn statement(code: u16, k: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, k }
}
