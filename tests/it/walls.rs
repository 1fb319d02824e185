//! The attacks of the conformance suite where no wall stands, and sandboxes on a root directory of the operator's.
//!
//! An attack that says `blocked` everywhere proves nothing. Here each program of the suite runs on the bare machine, in
//! namespaces that are thrown away afterwards so that nothing it reaches is anybody's, and must come through.

use std::{fs, process::Command};

use crate::support::{
    require::require,
    skillbox::{executable, repository},
};

/// The programs, and how many of their attacks must come through for root. Some need a kernel, a device or a module that
/// is not everywhere, so each floor is below what was seen.
const OPEN: [(&str, usize); 10] = [
    ("abi", 1),
    ("host", 8),
    ("kernel", 15),
    ("masked", 15),
    ("namespaces", 40),
    ("privilege", 40),
    ("processes", 20),
    ("root", 50),
    ("sockets", 10),
    ("terminals", 10),
];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn attacks_come_through_where_no_wall_stands() {
    // An ordinary user meets the kernel's own walls; the suite's run as root says what these add.
    if !require("native") || !is_root() {
        println!("skipped: only root can try the attacks outside of a sandbox");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let attacks = repository().join("crates/sandbox/src/conformance/attacks");
    let prelude = fs::read_to_string(attacks.join("prelude.py")).unwrap();
    for (name, floor) in OPEN {
        let attack = fs::read_to_string(attacks.join(format!("{name}.py"))).unwrap();
        let program = place.path().join(format!("{name}.py"));
        fs::write(&program, format!("{prelude}\n{attack}\nfinish()\n")).unwrap();
        // PID 1, the mounts and the names that they aim at are of these namespaces.
        let output = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts", "--kill-child"])
            .args(["sh", "-c", "python3 \"$1\"; true", "sh"])
            .arg(&program)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/tmp"), ("LANG", "C.UTF-8")])
            .envs([("HOST_PORT", "9"), ("HOST_ABSTRACT", "nobody"), ("HOST_SOCKET", "/nowhere")])
            .envs([("HOST_PATHS", "/etc/hostname"), ("HOST_MARK", "/etc/hostname")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let open = said.lines().filter(|line| line.contains(": open (")).count();
        assert!(open >= floor, "{name}: {open} of at least {floor} came through\n{said}");
        assert!(!said.contains(": broken"), "{name}: an attack could not be tried\n{said}");
        assert!(said.contains("finished: "), "{name} did not finish\n{said}");
    }
}

#[test]
fn sandboxes_can_have_a_root_directory_of_the_operators() {
    if !require("native") || !is_root() {
        println!("skipped: only root can make a root directory here");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // In a mount namespace of its own: the host's /usr in a root directory with another /etc, and nothing else.
    let script = "set -e; mkdir \"$1/usr\" \"$1/etc\"; mount --bind /usr \"$1/usr\"; echo ours > \"$1/etc/mark\"; \
                  for name in bin sbin lib lib64; do ln -s usr/$name \"$1/$name\"; done; \
                  exec \"$2\" --rootfs \"$1\" code --no-output -l python -c \
                  'import os; print(open(\"/etc/mark\").read().strip(), sorted(os.listdir(\"/etc\")), \
                  os.access(\"/etc\", os.W_OK))'";
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&root)
        .arg(executable())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "ours ['mark'] False", "{}", String::from_utf8_lossy(&output.stderr));
    let missing = Command::new(executable())
        .args(["--rootfs", "/nowhere", "code", "-l", "bash", "-c", "true"])
        .output()
        .unwrap();
    assert_ne!(missing.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere"));
}
