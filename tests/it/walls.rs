//! The attacks of the conformance suite where no wall stands, and sandboxes on a root directory of the operator's.
//!
//! An attack that says `blocked` everywhere proves nothing. Here each program of the suite runs on the bare machine, in
//! namespaces that are thrown away afterwards so that nothing it reaches is anybody's, and must come through.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{
    require::require,
    skillbox::{executable, repository},
};

/// The programs, and how many of their attacks must come through for root. Some need a kernel, a device or a module that
/// is not everywhere, so each floor is below what was seen.
const OPEN: [(&str, usize); 11] = [
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
    ("told", 25),
];

/// The programs that aim at what a sandbox has of its own: limits, places, names, addresses. Each with what has to be
/// there, and how many of its attacks must come through.
const OPEN_PLACES: [Place; 5] = [
    // A device that ends in the namespace has the addresses, so that nothing leaves the machine.
    Place {
        name: "network",
        namespaces: "--net",
        before: "ip link set lo up; ip link add out type veth peer name peer; \
                 ip link set out up; ip link set peer up; \
                 for address in 169.254.169.254/32 1.1.1.1/32 10.0.0.1/24 172.17.0.1/24 192.168.0.1/24 \
                 2606:4700:4700::1111/128 fd00:ec2::254/128; do ip addr add $address dev out; done; \
                 ip route add default via 10.0.0.9; export HOST_PORT=9 HOST_ABSTRACT=nobody HOST_SOCKET=/nowhere",
        floor: 8,
    },
    Place {
        name: "disks",
        namespaces: "",
        before: "export DISKS=/workspace=1048576,/tmp=1048576 INODES=1000 FILE=1048576",
        floor: 11,
    },
    Place {
        name: "tasks",
        namespaces: "",
        before: "ulimit -n 4096; export PROCESSES=64 OPEN_FILES=1024",
        floor: 4,
    },
    Place {
        name: "persist",
        namespaces: "",
        before: "export MARK=mark; MODE=leave python3 /attack.py; export MODE=look",
        floor: 7,
    },
    Place { name: "skills", namespaces: "", before: "", floor: 12 },
];

struct Place {
    name: &'static str,
    /// More namespaces than every attack gets.
    namespaces: &'static str,
    /// Shell commands before the attack.
    before: &'static str,
    floor: usize,
}

/// Makes a root directory without a wall, in namespaces of its own, and runs the attack there: `$1` the directory, `$2` the
/// program, `$3` the commands before it.
const BARE_ROOT: &str = "set -e; mount -t tmpfs bare \"$1\"; cd \"$1\"; \
    mkdir usr proc dev etc workspace output tmp skills run var var/tmp; \
    for name in bin sbin lib lib64; do ln -s usr/$name $name; done; mount --bind /usr usr; mount -t proc proc proc; \
    mount -t tmpfs dev dev; mkdir dev/shm dev/mqueue; touch dev/null; mount --bind /dev/null dev/null; \
    mount -t mqueue mqueue dev/mqueue; cp \"$2\" attack.py; \
    exec chroot . sh -c \"$3\"'\n''python3 /attack.py; true'";

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
    for (name, floor) in OPEN {
        let program = program(name, place.path());
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
        came_through(name, floor, &output);
    }
}

#[test]
fn attacks_on_limits_and_places_come_through_where_there_are_none() {
    if !require("native") || !is_root() {
        println!("skipped: only root can try the attacks outside of a sandbox");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for Place { name, namespaces, before, floor } in OPEN_PLACES {
        let program = program(name, place.path());
        let root = place.path().join("root");
        fs::create_dir_all(&root).unwrap();
        let output = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--ipc", "--uts", "--kill-child"])
            .args(namespaces.split_whitespace())
            .args(["sh", "-c", BARE_ROOT, "sh"])
            .args([root.as_path(), program.as_path()])
            .arg(before)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/tmp"), ("LANG", "C.UTF-8")])
            .output()
            .unwrap();
        came_through(name, floor, &output);
    }
}

/// An attack as a program of its own, below a directory.
fn program(name: &str, place: &Path) -> PathBuf {
    let attacks = repository().join("crates/sandbox/src/conformance/attacks");
    let read = |name: &str| fs::read_to_string(attacks.join(format!("{name}.py"))).unwrap();
    let program = place.join(format!("{name}.py"));
    fs::write(&program, format!("{}\n{}\nfinish()\n", read("prelude"), read(name))).unwrap();
    program
}

fn came_through(name: &str, floor: usize, output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let open = said.lines().filter(|line| line.contains(": open (")).count();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(open >= floor, "{name}: {open} of at least {floor} came through\n{said}\n{errors}");
    assert!(!said.contains(": broken"), "{name}: an attack could not be tried\n{said}");
    assert!(said.contains("finished: "), "{name} did not finish\n{said}");
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
