//! Compiles the policy of system calls into one BPF program, so that init only has to load it.

use std::path::Path;
use std::{env, fs};

use seccomp::{Arch, Policy, compile};

fn main() {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target");
    let arch = Arch::named(&arch).unwrap_or_else(|| panic!("there is no policy of system calls for {arch}"));
    let policy = Policy::for_programs(arch).unwrap_or_else(|error| panic!("programs.policy: {error}"));
    let bytes: Vec<u8> = compile(&policy).into_iter().flat_map(|instruction| instruction.bytes()).collect();
    let out = env::var("OUT_DIR").expect("cargo sets the output directory");
    fs::write(Path::new(&out).join("seccomp.bpf"), bytes).expect("the output directory is writable");
    println!("cargo::rerun-if-changed=build.rs");
}
