//! The seccomp profile of the container, from the very policy that init's own filter is made of.
//!
//! A container's runtime loads it before init starts, so it also holds where init's own would fail to load. The policy
//! compares the low 32 bits of arguments, as the kernel does; profiles compare 64. So every comparison becomes one
//! under a mask, and "not these values" becomes the list of all masked values that no excluded one matches: profiles
//! know no negation under a mask, and several conditions on one argument mean "or" there.

use init_binary::policy::{self, Condition};
use serde_json::{Value, json};

const ENOSYS: u32 = 38;
const ALL_BITS: u32 = u32::MAX;

/// Bits of an argument that are looked at, and what they must be.
type Masked = (u32, u32);

/// The profile for an architecture, as JSON. `None` where there is no policy for it.
pub(crate) fn profile(arch: &str) -> Option<Value> {
    let architecture = match arch {
        "x86_64" => "SCMP_ARCH_X86_64",
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => return None,
    };
    let allowed = policy::rules(init_binary::ALLOW_POLICY, arch).ok()?;
    let absent = policy::rules(init_binary::ABSENT_POLICY, arch).ok()?;
    let always: Vec<&str> =
        allowed.iter().filter(|rule| rule.conditions.is_empty()).map(|rule| rule.name).collect();
    let mut syscalls = vec![
        json!({"names": always, "action": "SCMP_ACT_ALLOW"}),
        json!({
            "names": absent.iter().map(|rule| rule.name).collect::<Vec<_>>(),
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": ENOSYS,
        }),
    ];
    for rule in allowed.iter().filter(|rule| !rule.conditions.is_empty()) {
        for arguments in alternatives(&rule.conditions) {
            let arguments: Vec<Value> = arguments
                .iter()
                .map(|(index, (mask, value))| {
                    json!({"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"})
                })
                .collect();
            syscalls.push(json!({"names": [rule.name], "action": "SCMP_ACT_ALLOW", "args": arguments}));
        }
    }
    Some(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [architecture],
        "syscalls": syscalls,
    }))
}

/// The ways in which all conditions hold, each with at most one comparison for every argument.
fn alternatives(conditions: &[Condition]) -> Vec<Vec<(u32, Masked)>> {
    let mut all = vec![Vec::new()];
    let mut arguments: Vec<u32> = conditions.iter().map(|condition| condition.argument).collect();
    arguments.dedup();
    for argument in arguments {
        let of_this = conditions.iter().filter(|condition| condition.argument == argument);
        let (wanted, excluded): (Vec<&Condition>, Vec<&Condition>) =
            of_this.partition(|condition| condition.equal);
        let mut masked: Vec<Masked> =
            wanted.iter().map(|condition| (condition.mask.unwrap_or(ALL_BITS), condition.value)).collect();
        if masked.is_empty() {
            let values: Vec<u32> = excluded.iter().map(|condition| condition.value).collect();
            masked = all_but(&values);
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

    #[test]
    fn the_profile_has_the_policy_in_it() {
        for arch in ["x86_64", "aarch64"] {
            let profile = profile(arch).unwrap();
            assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
            let rules = profile["syscalls"].as_array().unwrap();
            let of = |name: &str| -> Vec<&Value> {
                rules
                    .iter()
                    .filter(|rule| rule["names"].as_array().unwrap().iter().any(|given| given == name))
                    .collect()
            };
            assert_eq!(of("execve"), [&rules[0]]);
            for never in ["unshare", "setns", "mount", "io_uring_setup", "bpf", "ptrace", "keyctl"] {
                assert!(of(never).is_empty(), "{never}");
            }
            assert_eq!(of("clone3")[0]["errnoRet"], 38);
            let clone = of("clone");
            assert_eq!(clone.len(), 1);
            assert_eq!(clone[0]["args"][0]["value"], 0x7E02_0000);
            assert_eq!(clone[0]["args"][0]["valueTwo"], 0);
            assert!(of("ioctl").len() > 30);
            // Two comparisons of one argument would mean "or".
            for rule in rules.iter().filter_map(|rule| rule["args"].as_array()) {
                let mut indices: Vec<u64> = rule.iter().map(|one| one["index"].as_u64().unwrap()).collect();
                indices.dedup();
                assert_eq!(indices.len(), rule.len(), "{rule:?}");
            }
        }
        assert_eq!(profile("mips"), None);
    }
}
