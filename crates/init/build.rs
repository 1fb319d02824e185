//! Compiles `seccomp/*.policy` into one BPF program, so that init only has to load it.
//!
//! What a policy looks like is said in `seccomp/policy.rs`.
//!
//! The program is a binary search over ranges of syscall numbers. That matters more than it looks: when a filter is
//! loaded, the kernel walks it once for every syscall to find those that it always allows, and a chain of three
//! hundred comparisons made that the largest part of starting a program.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use policy::Condition;

#[expect(unreachable_pub, reason = "a library has it, too, and hands it on")]
#[path = "seccomp/policy.rs"]
mod policy;

// Classic BPF, from linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

// Where things are in struct seccomp_data, from linux/seccomp.h; both architectures are little-endian.
const AT_NUMBER: u32 = 0;
const AT_ARCHITECTURE: u32 = 4;
const AT_ARGUMENTS: u32 = 16;

const KILL_PROCESS: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7FFF_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// What a syscall gets.
#[derive(Clone, PartialEq)]
enum Verdict {
    Return(u32),
    /// Allowed where all conditions of one of these hold.
    AllowIf(Vec<Vec<Condition>>),
}

fn main() {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target");
    let audit_arch = match arch.as_str() {
        "x86_64" => 0xC000_003E,
        "aarch64" => 0xC000_00B7,
        other => panic!("there is no seccomp policy for {other}"),
    };
    println!("cargo::rerun-if-changed=seccomp/policy.rs");
    let mut verdicts = BTreeMap::new();
    for (file, result) in [("seccomp/allow.policy", ALLOW), ("seccomp/absent.policy", ERRNO | ENOSYS)] {
        println!("cargo::rerun-if-changed={file}");
        let text = fs::read_to_string(file).expect("the policy is part of the crate");
        read_policy(file, &text, &arch, result, &mut verdicts);
    }
    let mut program = vec![
        statement(LOAD_WORD, AT_ARCHITECTURE),
        Instruction { code: JUMP_EQUAL, jump_true: 1, jump_false: 0, k: audit_arch },
        // Another ABI has other numbers; x32 shares ours but sets a bit that no rule here has.
        statement(RETURN, KILL_PROCESS),
        statement(LOAD_WORD, AT_NUMBER),
    ];
    program.extend(search(&ranges(&verdicts)));
    assert!(program.len() <= 4096, "BPF programs have at most 4096 instructions");
    let mut bytes = Vec::new();
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.push(instruction.jump_true);
        bytes.push(instruction.jump_false);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    let out = env::var("OUT_DIR").expect("cargo sets the output directory");
    fs::write(Path::new(&out).join("seccomp.bpf"), bytes).expect("the output directory is writable");
}

fn read_policy(file: &str, text: &str, arch: &str, result: u32, verdicts: &mut BTreeMap<u32, Verdict>) {
    let rules = policy::rules(text, arch).unwrap_or_else(|error| panic!("{file}: {error}"));
    for policy::Rule { line, name, conditions } in rules {
        let place = format!("{file}:{line}");
        let number = number_of(name, arch).unwrap_or_else(|| panic!("{place}: {arch} has no syscall {name}"));
        if conditions.is_empty() {
            let before = verdicts.insert(number, Verdict::Return(result));
            assert!(before.is_none(), "{place}: {name} has another rule");
            continue;
        }
        assert_eq!(result, ALLOW, "{place}: only what is allowed has conditions");
        match verdicts.entry(number).or_insert_with(|| Verdict::AllowIf(Vec::new())) {
            Verdict::AllowIf(alternatives) => alternatives.push(conditions),
            Verdict::Return(_) => panic!("{place}: {name} has another rule"),
        }
    }
}

fn number_of(name: &str, arch: &str) -> Option<u32> {
    let number = match arch {
        "x86_64" => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
        _ => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
    };
    u32::try_from(number).ok()
}

/// All numbers from 0 on as ranges with one verdict each, named by their first number.
fn ranges(verdicts: &BTreeMap<u32, Verdict>) -> Vec<(u32, Verdict)> {
    let refused = Verdict::Return(ERRNO | EPERM);
    let mut ranges = vec![(0, refused.clone())];
    let mut push = |first: u32, verdict: Verdict| {
        if ranges.last().is_some_and(|(_, last)| *last == verdict) {
            return;
        }
        if ranges.last().is_some_and(|(start, _)| *start == first) {
            ranges.pop();
        }
        ranges.push((first, verdict));
    };
    for (number, verdict) in verdicts {
        push(*number, verdict.clone());
        if !verdicts.contains_key(&(number + 1)) {
            push(number + 1, refused.clone());
        }
    }
    ranges
}

fn search(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    if let [(_, verdict)] = ranges {
        return leaf(verdict);
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

fn leaf(verdict: &Verdict) -> Vec<Instruction> {
    let alternatives = match verdict {
        Verdict::Return(result) => return vec![statement(RETURN, *result)],
        Verdict::AllowIf(alternatives) => alternatives,
    };
    let mut code = Vec::new();
    for conditions in alternatives {
        let tests: Vec<Vec<Instruction>> = conditions.iter().map(test).collect();
        // Whichever test fails jumps behind the `return` of this alternative.
        let mut left: usize = tests.iter().map(Vec::len).sum();
        for mut test in tests {
            left -= test.len();
            let behind = u8::try_from(left + 1).expect("an alternative is short");
            let last = test.last_mut().expect("a test ends with a jump");
            if last.jump_true == 1 {
                last.jump_true = behind;
            } else {
                last.jump_false = behind;
            }
            code.extend(test);
        }
        code.push(statement(RETURN, ALLOW));
    }
    code.push(statement(RETURN, ERRNO | EPERM));
    code
}

/// Loads, masks and compares; of the jump, the side that fails has a 1 that the caller replaces.
fn test(condition: &Condition) -> Vec<Instruction> {
    let mut code = vec![statement(LOAD_WORD, AT_ARGUMENTS + 8 * condition.argument)];
    code.extend(condition.mask.map(|mask| statement(AND, mask)));
    let (jump_true, jump_false) = if condition.equal { (0, 1) } else { (1, 0) };
    code.push(Instruction { code: JUMP_EQUAL, jump_true, jump_false, k: condition.value });
    code
}

fn statement(code: u16, k: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, k }
}
