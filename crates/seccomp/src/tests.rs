//! The compiled filter against the policy's own words, and what the policy must say whatever else it does.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;

use crate::compile::{
    ALLOW, AND, AT_ARCHITECTURE, AT_ARGUMENTS, AT_NUMBER, ERRNO, JUMP, JUMP_EQUAL, JUMP_GREATER_OR_EQUAL,
    KILL_PROCESS, LOAD_WORD, RETURN,
};
use crate::{AUDIT_AARCH64, AUDIT_X86_64, Answer, Arch, Instruction, Policy, Test, compile};

const BOTH: [(Arch, u32); 2] = [(Arch::X86_64, AUDIT_X86_64), (Arch::Aarch64, AUDIT_AARCH64)];

/// Calls that kernels have got since the policy was written down last, or that it had no word for then.
const NEWER: [&str; 17] = [
    "memfd_secret",
    "set_mempolicy_home_node",
    "map_shadow_stack",
    "futex_wake",
    "futex_wait",
    "futex_requeue",
    "statmount",
    "listmount",
    "lsm_get_self_attr",
    "lsm_set_self_attr",
    "lsm_list_modules",
    "mseal",
    "setxattrat",
    "getxattrat",
    "removexattrat",
    "file_getattr",
    "file_setattr",
];

fn policy(arch: Arch) -> &'static Policy {
    static READ: LazyLock<[Policy; 2]> = LazyLock::new(|| {
        BOTH.map(|(arch, _)| {
            Policy::for_programs(arch).unwrap_or_else(|error| panic!("programs.policy: {error}"))
        })
    });
    &READ[arch as usize]
}

fn program(arch: Arch) -> &'static [Instruction] {
    static COMPILED: LazyLock<[Vec<Instruction>; 2]> =
        LazyLock::new(|| BOTH.map(|(arch, _)| compile(policy(arch))));
    &COMPILED[arch as usize]
}

/// The kernel's machine, as far as a filter may use it.
fn interpret(program: &[Instruction], architecture: u32, number: u32, arguments: &[u64; 6]) -> u32 {
    let load = |at: u32| match at {
        AT_NUMBER => number,
        AT_ARCHITECTURE => architecture,
        at => {
            let offset = at.checked_sub(AT_ARGUMENTS).expect("an argument");
            assert_eq!(offset % 8, 0, "only low halves are looked at");
            u32::try_from(arguments[offset as usize / 8] & u64::from(u32::MAX)).expect("a low half")
        }
    };
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jump_true } else { jump_false });
        match code {
            LOAD_WORD => accumulator = load(k),
            AND => accumulator &= k,
            JUMP => at += k as usize,
            JUMP_EQUAL => jump(accumulator == k),
            JUMP_GREATER_OR_EQUAL => jump(accumulator >= k),
            RETURN => return k,
            other => panic!("instruction {other:#x} is none that a filter needs"),
        }
    }
}

fn result(answer: Answer) -> u32 {
    match answer {
        Answer::Allow => ALLOW,
        Answer::Errno(number) => ERRNO | u32::from(number),
    }
}

/// Numbers that a condition of the policy compares with, and their neighbours by one bit.
fn interesting(policy: &Policy) -> Vec<u32> {
    let conditions = policy.calls.values().flat_map(|call| &call.rules).flat_map(|rule| &rule.conditions);
    let mut values: Vec<u32> = conditions
        .flat_map(|condition| match condition.test {
            Test::Equal(value) | Test::NotEqual(value) => [value, value.wrapping_add(1)],
            Test::Masked(mask, value) => [value, mask],
        })
        .chain([0, 1, u32::MAX])
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// A call of the policy or one beside it, with arguments near to what is compared.
fn calls(arch: Arch) -> impl Strategy<Value = (u32, [u64; 6])> {
    let policy = policy(arch);
    let with_rules: Vec<u32> =
        policy.calls.iter().filter(|(_, call)| !call.rules.is_empty()).map(|(number, _)| *number).collect();
    let number = prop_oneof![4 => select(with_rules), 3 => 0..520_u32, 1 => any::<u32>()];
    let low = prop_oneof![
        6 => select(interesting(policy)),
        3 => (select(interesting(policy)), 0..32_u32).prop_map(|(value, bit)| value ^ 1 << bit),
        1 => any::<u32>()
    ];
    let argument = (low, prop_oneof![Just(0_u32), Just(u32::MAX), Just(1), any::<u32>()]);
    let argument = argument.prop_map(|(low, high)| u64::from(high) << 32 | u64::from(low));
    (number, proptest::array::uniform6(argument))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_filter_answers_what_the_policy_says_on_x86_64((number, arguments) in calls(Arch::X86_64)) {
        let policy = policy(Arch::X86_64);
        let seen = interpret(program(Arch::X86_64), AUDIT_X86_64, number, &arguments);
        prop_assert_eq!(seen, result(policy.answer(number, &arguments)));
    }

    #[test]
    fn the_filter_answers_what_the_policy_says_on_aarch64((number, arguments) in calls(Arch::Aarch64)) {
        let policy = policy(Arch::Aarch64);
        let seen = interpret(program(Arch::Aarch64), AUDIT_AARCH64, number, &arguments);
        prop_assert_eq!(seen, result(policy.answer(number, &arguments)));
    }
}

/// Every line is met: each alternative of each rule, by arguments made for it.
#[test]
fn every_rule_of_the_policy_has_its_effect() {
    for (arch, architecture) in BOTH {
        let policy = policy(arch);
        let program = program(arch);
        for (number, call) in &policy.calls {
            for rule in &call.rules {
                let mut arguments = [0xDEAD_BEEF_0000_0000; 6];
                for condition in &rule.conditions {
                    arguments[usize::from(condition.argument)] |= match condition.test {
                        Test::Equal(value) | Test::Masked(_, value) => u64::from(value),
                        Test::NotEqual(value) => u64::from(value ^ 1),
                    };
                }
                assert_eq!(policy.answer(*number, &arguments), rule.answer, "{}: {rule:?}", call.name);
                let seen = interpret(program, architecture, *number, &arguments);
                assert_eq!(seen, result(rule.answer), "{}: {rule:?}", call.name);
            }
        }
    }
}

#[test]
fn the_filter_is_small_and_kills_other_architectures() {
    for (arch, architecture) in BOTH {
        let program = program(arch);
        assert!(program.len() < 1800, "{} instructions", program.len());
        for other in [AUDIT_X86_64, AUDIT_AARCH64, 0x4000_0003, 0] {
            let seen = interpret(program, other, 0, &[0; 6]);
            assert_eq!(seen == KILL_PROCESS, other != architecture, "{other:#x}");
        }
        // x32 has a bit of its own, and no number is too large to be answered.
        for number in [0x4000_0000, 0x4000_0027, 1 << 31, u32::MAX] {
            assert_eq!(interpret(program, architecture, number, &[0; 6]), ERRNO | 38, "{number:#x}");
        }
    }
}

/// Which calls look at their arguments, and which of them are no part of the kernel's own table, is all in the policy;
/// this is what no change of it may lose.
#[test]
fn what_must_never_be_allowed_is_not() {
    let never = "unshare setns mount umount2 pivot_root chroot io_uring_setup io_uring_enter bpf ptrace \
        perf_event_open userfaultfd keyctl add_key request_key open_by_handle_at process_vm_readv \
        process_vm_writev process_madvise kcmp pidfd_getfd init_module kexec_load clone3 seccomp cachestat \
        inotify_init1 inotify_add_watch fanotify_init io_setup io_submit splice tee vmsplice sync syncfs fsync \
        fdatasync sync_file_range readahead sched_setattr memfd_secret";
    for (arch, _) in BOTH {
        let policy = policy(arch);
        for name in never.split_whitespace() {
            let number = arch.number(name).unwrap_or_else(|| panic!("no call {name}"));
            let call = policy.calls.get(&number);
            assert!(call.is_none_or(|call| !call.is_ever_allowed()), "{name} on {arch:?}");
        }
        let answer = |name: &str, arguments: [u64; 6]| policy.answer(arch.number(name).unwrap(), &arguments);
        for (name, arguments) in [
            ("clone", [0x1000_0011, 0, 0, 0, 0, 0]),
            ("mmap", [0, 4096, 3, 0x40022, 0, 0]),
            ("memfd_create", [0, 4, 0, 0, 0, 0]),
            ("shmget", [0, 4096, 0xA00, 0, 0, 0]),
            ("socket", [40, 1, 0, 0, 0, 0]),
            ("socket", [38, 5, 0, 0, 0, 0]),
            ("ioctl", [0, 0x5412, 0, 0, 0, 0]),
            ("ioctl", [0, 0x1_0000_5412, 0, 0, 0, 0]),
            ("personality", [0x40_0000, 0, 0, 0, 0, 0]),
            ("prlimit64", [1, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(answer(name, arguments), Answer::EPERM, "{name} {arguments:x?}");
        }
        for (name, arguments, errno) in [
            ("ioctl", [0, 0xB701, 0, 0, 0, 0], 25),
            ("fcntl", [0, 1026, 0, 0, 0, 0], 22),
            ("prctl", [67, 1, 0, 0, 0, 0], 22),
            ("prctl", [22, 2, 0, 0, 0, 0], 22),
            ("madvise", [0, 0, 12, 0, 0, 0], 22),
            ("renameat2", [0, 0, 0, 0, 4, 0], 22),
            ("setsockopt", [0, 1, 26, 0, 0, 0], 92),
            ("setsockopt", [0, 6, 31, 0, 0, 0], 92),
            ("getsockopt", [0, 6, 35, 0, 0, 0], 92),
            ("sendto", [0, 0, 0, 0x4001, 0, 0], 95),
            ("preadv2", [0, 0, 0, 0, 0, 8], 95),
            ("msync", [0, 0, 4, 0, 0, 0], 0),
            ("fadvise64", [0, 0, 0, 4, 0, 0], 0),
            ("fsync", [0; 6], 0),
        ] {
            assert_eq!(answer(name, arguments), Answer::Errno(errno), "{name} {arguments:x?}");
        }
    }
}

#[test]
fn calls_that_the_policy_does_not_know_are_not_there() {
    for (arch, _) in BOTH {
        let policy = policy(arch);
        for name in NEWER {
            let number = arch.number(name).unwrap_or_else(|| panic!("no call {name}"));
            assert_eq!(policy.answer(number, &[0; 6]), Answer::ENOSYS, "{name}");
        }
        for number in 470..1024 {
            assert_eq!(policy.answer(number, &[0; 6]), Answer::ENOSYS, "{number}");
        }
    }
}

#[test]
fn init_may_load_its_own_filter_and_nothing_else() {
    for (arch, _) in BOTH {
        let policy = Policy::for_start_of_init(arch).unwrap();
        assert_eq!(policy.calls.len(), 1);
        let number = arch.number("seccomp").unwrap();
        assert_eq!(policy.answer(number, &[1, 0, 0, 0, 0, 0]), Answer::Allow);
        // SECCOMP_FILTER_FLAG_NEW_LISTENER.
        assert_eq!(policy.answer(number, &[1, 8, 0, 0, 0, 0]), Answer::EPERM);
    }
}

#[test]
fn what_is_no_policy_is_refused_with_its_line() {
    let check = |text: &'static str, what: &str| {
        let error = Policy::read(text, Arch::X86_64).unwrap_err();
        assert!(error.line == 2 && error.what.contains(what), "{text}: {error}");
    };
    check("read: x\nwrite", "who needs it");
    check("read: x\nwrite:  ", "who needs it");
    check("read: x\nwrit: x", "no call `writ`");
    check("read: x\nread: y", "an answer already");
    check("read: x\nread -> EPERM: y", "an answer already");
    check("read: x\nwrite -> EOOPS: x", "no answer");
    check("read: x\nwrite @mips: x", "mips");
    check("read: x\narg1==1: x", "names no call");
    for condition in ["arg1=1", "arg6==1", "argx==1", "arg1==", "arg1==0xG", "arg1&1==2", "arg1<=1"] {
        let text: &'static str = Box::leak(format!("read: x\nwrite {condition}: x").into_boxed_str());
        check(text, condition);
    }
}

#[test]
fn lists_of_values_are_all_combinations_and_architectures_are_told_apart() {
    let text = "socket arg0==2,10 arg1&0xF==1,2: x\npause @x86_64: x\nread -> 0 @aarch64: x\n";
    let x86_64 = Policy::read(text, Arch::X86_64).unwrap();
    let socket = &x86_64.calls[&41];
    assert_eq!((socket.name, socket.rules.len(), socket.otherwise), ("socket", 4, Answer::EPERM));
    assert_eq!(x86_64.answer(41, &[10, 0x80002, 0, 0, 0, 0]), Answer::Allow);
    assert_eq!(x86_64.answer(41, &[10, 3, 0, 0, 0, 0]), Answer::EPERM);
    assert_eq!((x86_64.answer(34, &[0; 6]), x86_64.answer(0, &[0; 6])), (Answer::Allow, Answer::ENOSYS));
    let aarch64 = Policy::read(text, Arch::Aarch64).unwrap();
    assert_eq!(aarch64.answer(63, &[0; 6]), Answer::Errno(0));
}
