//! The seccomp profile of the container, from the very policy that init's own filter is made of.
//!
//! A container's runtime loads it before init starts, so it also holds where init's own would fail to load. It allows what
//! programs may call, and what init calls to load its own filter. Where both filters answer with an error, the kernel
//! takes the one of the newer, which is init's; so this one needs no other errors than the usual.
//!
//! The policy compares the low 32 bits of arguments, as the kernel does; profiles compare 64. So every comparison becomes
//! one under a mask, and "not these values" becomes the list of all masked values that no excluded one matches: profiles
//! know no negation under a mask, and several conditions on one argument mean "or" there.

use seccomp::{Answer, Arch, Condition, Policy, Test};
use serde_json::{Value, json};

const ENOSYS: u32 = 38;
const EPERM: u32 = 1;
const ALL_BITS: u32 = u32::MAX;

/// Bits of an argument that are looked at, and what they must be.
type Masked = (u32, u32);

/// The profile for an architecture, as JSON. `None` where there is no policy for it.
pub(crate) fn profile(arch: &str) -> Option<Value> {
    let arch = Arch::named(arch)?;
    let architecture = match arch {
        Arch::X86_64 => "SCMP_ARCH_X86_64",
        Arch::Aarch64 => "SCMP_ARCH_AARCH64",
    };
    let programs = Policy::for_programs(arch).ok()?;
    let init = Policy::for_start_of_init(arch).ok()?;
    let named = |wanted: &dyn Fn(&seccomp::Call) -> bool| -> Vec<&str> {
        programs.calls.values().filter(|call| wanted(call)).map(|call| call.name).collect()
    };
    let refused = |call: &seccomp::Call| call.otherwise == Answer::EPERM && !call.is_ever_allowed();
    let mut syscalls = vec![
        json!({"names": named(&|call| call.otherwise == Answer::Allow), "action": "SCMP_ACT_ALLOW"}),
        json!({"names": named(&refused), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}),
    ];
    for call in programs.calls.values().chain(init.calls.values()) {
        for rule in call.rules.iter().filter(|rule| rule.answer == Answer::Allow) {
            for arguments in alternatives(&rule.conditions) {
                let arguments: Vec<Value> = arguments
                    .iter()
                    .map(|(index, (mask, value))| {
                        json!({"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"})
                    })
                    .collect();
                syscalls.push(json!({"names": [call.name], "action": "SCMP_ACT_ALLOW", "args": arguments}));
            }
        }
    }
    Some(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": [architecture],
        "syscalls": syscalls,
    }))
}

/// The ways in which all conditions hold, each with at most one comparison for every argument.
fn alternatives(conditions: &[Condition]) -> Vec<Vec<(u8, Masked)>> {
    let mut all = vec![Vec::new()];
    let mut arguments: Vec<u8> = conditions.iter().map(|condition| condition.argument).collect();
    arguments.dedup();
    for argument in arguments {
        let mut masked: Vec<Masked> = Vec::new();
        let mut excluded = Vec::new();
        for condition in conditions.iter().filter(|condition| condition.argument == argument) {
            match condition.test {
                Test::Equal(value) => masked.push((ALL_BITS, value)),
                Test::Masked(mask, value) => masked.push((mask, value)),
                Test::NotEqual(value) => excluded.push(value),
            }
        }
        if masked.is_empty() {
            masked = all_but(&excluded);
        }
        all = all
            .iter()
            .flat_map(|before| {
                masked.iter().map(|one| before.iter().copied().chain([(argument, *one)]).collect::<Vec<_>>())
            })
            .collect();
    }
    all
}

/// Masked values that together match every number but these: the branches of the tree of all numbers, from the highest
/// bit down, that lead to none of them.
fn all_but(excluded: &[u32]) -> Vec<Masked> {
    let mut found = Vec::new();
    let mut trunks: Vec<Masked> = vec![(0, 0)];
    while let Some((mask, value)) = trunks.pop() {
        // The next bit that is not decided yet.
        let Some(bit) = (0..u32::BITS).rev().map(|place| 1 << place).find(|bit| mask & bit == 0) else {
            continue;
        };
        for branch in [(mask | bit, value), (mask | bit, value | bit)] {
            if excluded.iter().any(|number| number & branch.0 == branch.1) {
                trunks.push(branch);
            } else {
                found.push(branch);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_two_numbers_is_matched() {
        let (first, second) = (0x5412, 0x541C);
        let masks = all_but(&[first, second]);
        let matched = |number: u32| masks.iter().any(|(mask, value)| number & mask == *value);
        for bit in 0..32 {
            assert!(matched(first ^ 1 << bit) || first ^ 1 << bit == second, "bit {bit}");
        }
        for number in (0..0x10000).chain([u32::MAX, 1 << 31]) {
            assert_eq!(matched(number), number != first && number != second, "{number:#x}");
        }
        assert!(masks.len() < 64, "{} rules", masks.len());
    }

    /// What the profile says of a call, as libseccomp reads it: any rule whose comparisons all hold.
    fn allows(rules: &[Value], name: &str, arguments: &[u64; 6]) -> bool {
        let holds = |one: &Value| {
            let number = |key: &str| one[key].as_u64().unwrap();
            let index = usize::try_from(number("index")).unwrap();
            assert_eq!(one["op"], "SCMP_CMP_MASKED_EQ");
            arguments[index] & number("value") == number("valueTwo")
        };
        rules.iter().any(|rule| {
            rule["action"] == "SCMP_ACT_ALLOW"
                && rule["names"].as_array().unwrap().iter().any(|given| given == name)
                && rule["args"].as_array().is_none_or(|all| all.iter().all(holds))
        })
    }

    /// For every value that the policy compares an argument with, and those beside it.
    #[test]
    fn the_profile_allows_what_the_policy_allows_and_nothing_else() {
        for (name, arch) in [("x86_64", Arch::X86_64), ("aarch64", Arch::Aarch64)] {
            let profile = profile(name).unwrap();
            let rules = profile["syscalls"].as_array().unwrap();
            let programs = Policy::for_programs(arch).unwrap();
            for (number, call) in &programs.calls {
                let mut tried: Vec<[u64; 6]> = vec![[0; 6], [u64::MAX; 6]];
                for rule in &call.rules {
                    let mut arguments = [0xFFFF_FFFF_0000_0000; 6];
                    for condition in &rule.conditions {
                        arguments[usize::from(condition.argument)] |= match condition.test {
                            Test::Equal(value) | Test::Masked(_, value) => u64::from(value),
                            Test::NotEqual(value) => u64::from(value ^ 1),
                        };
                    }
                    tried.push(arguments);
                    for condition in &rule.conditions {
                        for bit in 0..32 {
                            let mut beside = arguments;
                            beside[usize::from(condition.argument)] ^= 1 << bit;
                            tried.push(beside);
                        }
                    }
                }
                for arguments in tried {
                    assert_eq!(
                        // Init's own call is the one thing more.
                        allows(rules, call.name, &arguments) && call.name != "seccomp",
                        programs.answer(*number, &arguments) == Answer::Allow,
                        "{} {arguments:x?}",
                        call.name
                    );
                }
            }
            assert!(allows(rules, "seccomp", &[1, 0, 0, 0, 0, 0]));
            assert!(!allows(rules, "seccomp", &[1, 8, 0, 0, 0, 0]) && !allows(rules, "seccomp", &[0; 6]));
        }
        assert_eq!(super::profile("mips"), None);
    }

    #[test]
    fn what_is_unknown_and_what_is_refused_are_told_apart() {
        let profile = profile("x86_64").unwrap();
        assert_eq!(
            (&profile["defaultAction"], &profile["defaultErrnoRet"]),
            (&json!("SCMP_ACT_ERRNO"), &json!(38))
        );
        let rules = profile["syscalls"].as_array().unwrap();
        let refused: Vec<&str> =
            rules[1]["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(rules[1]["errnoRet"], 1);
        for name in ["unshare", "mount", "bpf", "ptrace", "keyctl"] {
            assert!(refused.contains(&name), "{name}");
        }
        for name in ["clone3", "inotify_init1", "clone", "read"] {
            assert!(!refused.contains(&name), "{name}");
        }
        // Two comparisons of one argument would mean "or".
        for rule in rules.iter().filter_map(|rule| rule["args"].as_array()) {
            let mut indices: Vec<u64> = rule.iter().map(|one| one["index"].as_u64().unwrap()).collect();
            indices.dedup();
            assert_eq!(indices.len(), rule.len(), "{rule:?}");
        }
    }
}
