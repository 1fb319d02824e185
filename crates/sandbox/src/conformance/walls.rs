//! Attacks on the walls, by the classes of the threat model. Each runs inside as small probes that must all come back
//! blocked; see `attacks/prelude.py` for how they report.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::files::tar;
use super::harness::{MIB, blocked, blocked_with, destroy, exec, limited, request, sandbox, spec, words};
use crate::{Driver, Owner, Termination, Told, proc};

/// What `persist.py` needs of the prelude is all of it.
const PERSIST: &str = concat!(include_str!("attacks/prelude.py"), "\n", include_str!("attacks/persist.py"));

/// P3: another user without capabilities, without a way back to them, and with three descriptors.
pub async fn privilege(driver: &dyn Driver) {
    attack(driver, &on_root_of(driver, include_str!("attacks/privilege.py"))).await;
}

/// P1, P3: no reading, tracing, signalling or changing of other processes, PID 1 first of all.
pub async fn processes(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/processes.py")).await;
}

/// P1, P3: no new or other namespaces, no mounts, no other root, no devices, nothing of an administrator's.
pub async fn namespaces(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/namespaces.py")).await;
}

/// P1: the parts of the kernel that are large, rarely needed and often broken are out of reach.
pub async fn kernel(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/kernel.py")).await;
}

/// P1: no way around the system call filter by another ABI of the same machine.
pub async fn foreign_system_calls(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/abi.py")).await;
}

/// P1: nothing can be typed into a terminal of the host.
pub async fn terminals(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/terminals.py")).await;
}

/// P2, P14: no network, no names, and none of the host's services, with a real listener of each kind on the host.
pub async fn network(driver: &dyn Driver) {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener on the host's loopback");
    let port = tcp.local_addr().expect("its address").port();
    let name = spec().id.to_string();
    let address = SocketAddr::from_abstract_name(&name).expect("an abstract address");
    let _abstract = UnixListener::bind_addr(&address).expect("an abstract listener on the host");
    let file = Temporary::new(&format!("{name}.sock"));
    let _file = UnixListener::bind(&file.0).expect("a listener on a file of the host");
    let env = [
        ("HOST_PORT", port.to_string()),
        ("HOST_ABSTRACT", name),
        ("HOST_SOCKET", file.0.display().to_string()),
    ];
    let mut sandbox = sandbox(driver).await;
    blocked_with(&mut sandbox, include_str!("attacks/network.py"), &env).await;
    destroy(sandbox).await;
}

/// P2: only the families of sockets that are needed.
pub async fn sockets(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/sockets.py")).await;
}

/// P4: the root directory is read-only everywhere but in the four places, without devices and set-user-id.
pub async fn root_directory(driver: &dyn Driver) {
    attack(driver, &on_root_of(driver, include_str!("attacks/root.py"))).await;
}

/// P4: what `/proc` and `/sys` say and take of the whole machine is masked.
pub async fn masked_paths(driver: &dyn Driver) {
    attack(driver, include_str!("attacks/masked.py")).await;
}

/// P4: every file of `/proc` and `/sys` is one that somebody has looked at: the sandbox's own, made up from its limits, or
/// covered.
pub async fn what_is_told_of_the_machine_is_known(driver: &dyn Driver) {
    let makes_up = driver.tells();
    let settings: Vec<&str> = proc::SETTINGS.iter().map(|(name, _)| *name).collect();
    let known = serde_json::json!({
        "own": proc::OWN,
        "made_up": proc::MADE_UP,
        "settings": settings,
        "hidden_settings": proc::HIDDEN_SETTINGS,
        "makes_up": makes_up == Told::OfTheSandbox,
    });
    // The sandbox may use two and a half CPUs, of those that there are.
    let (memory, cpu_millis) = (300 * MIB, 2500);
    let there = std::thread::available_parallelism().expect("a number of CPUs").get();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the machine's boot id");
    let env = [
        ("KNOWN", known.to_string()),
        ("HOST_BOOT_ID", boot_id.trim().to_owned()),
        ("MEMORY_KIB", (memory / 1024).to_string()),
        ("CPUS", there.min(3).to_string()),
    ];
    let mut sandbox = limited(driver, |limits| {
        limits.memory_bytes = memory;
        limits.cpu_millis = cpu_millis;
    })
    .await;
    blocked_with(&mut sandbox, include_str!("attacks/told.py"), &env).await;
    destroy(sandbox).await;
}

/// P1, P3: no file, socket, path or secret of the host, with files that the test really makes there.
pub async fn host_files(driver: &dyn Driver) {
    let mark = spec().id.to_string();
    let file = Temporary::new(&mark);
    std::fs::write(&file.0, "secret of the host").expect("a file of the host");
    let here = std::env::current_dir().expect("a working directory");
    let program = std::env::current_exe().expect("this program");
    let paths = [file.0.clone(), here, program].map(|path| path.display().to_string());
    let env = [("HOST_PATHS", paths.join(":")), ("HOST_MARK", mark)];
    let mut sandbox = sandbox(driver).await;
    blocked_with(&mut sandbox, &on_root_of(driver, include_str!("attacks/host.py")), &env).await;
    destroy(sandbox).await;
}

/// P4: the trigger's skills cannot be changed by any means.
pub async fn skills_are_read_only(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    // With modes that would let anyone write, were they the wall.
    let skill = tar(&[("SKILL.md", b"text", 0o666), ("scripts/", b"", 0o777)]);
    sandbox.put("/skills/a", &skill, Owner::Init).await.expect("an answer").expect("a skill");
    blocked(&mut sandbox, include_str!("attacks/skills.py")).await;
    destroy(sandbox).await;
}

/// P8: no file, key, queue, name or port of one sandbox is seen by the next, nor by one beside it.
pub async fn no_state_passes_between_sandboxes(driver: &dyn Driver) {
    let mark = format!("m{}", std::process::id());
    let leave = |stay: &str| {
        let mut request = request(words(&["python3", "-"]));
        request.stdin = Some(Bytes::from_static(PERSIST.as_bytes()));
        let variables = [("MODE", "leave"), ("MARK", mark.as_str()), ("STAY", stay)];
        request.env.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        request
    };
    let look = [("MODE", "look".to_owned()), ("MARK", mark.clone())];

    let mut first = sandbox(driver).await;
    let outcome = exec(&mut first, &leave("")).await;
    assert_eq!(outcome.termination, Termination::Exited(0), "{outcome:?}");
    assert!(outcome.stdout.head.contains("/tmp") && outcome.stdout.head.contains("/dev/shm"), "{outcome:?}");
    destroy(first).await;
    let mut next = sandbox(driver).await;
    blocked_with(&mut next, include_str!("attacks/persist.py"), &look).await;

    let mut beside = sandbox(driver).await;
    let stay = leave("yes");
    let cancel = CancellationToken::new();
    let (ready, staying) = tokio::sync::oneshot::channel();
    let mut ready = Some(ready);
    let mut note = |_, text: &[u8]| {
        if String::from_utf8_lossy(text).contains("staying")
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(());
        }
    };
    let (outcome, ()) = tokio::join!(beside.exec(&stay, &cancel, &mut note), async {
        staying.await.expect("the other sandbox is ready");
        blocked_with(&mut next, include_str!("attacks/persist.py"), &look).await;
        cancel.cancel();
    });
    assert_eq!(outcome.expect("an outcome").termination, Termination::Cancelled);
    destroy(beside).await;
    destroy(next).await;
}

/// Says to an attack who makes the root directory. Where that is a container's runtime, from an image, it carries no
/// `nosuid` and `nodev`, and what is in it is the image's. Then what those flags are for is asked of the places where
/// programs may write, and of what set-user-id programs and devices really do.
fn on_root_of(driver: &dyn Driver, attacks: &str) -> String {
    let (own, image) = if driver.name() == "docker" { ("False", "True") } else { ("True", "False") };
    format!("OWN_MOUNTS = {own}\nFROM_IMAGE = {image}\n{attacks}")
}

async fn attack(driver: &dyn Driver, attacks: &str) {
    let mut sandbox = sandbox(driver).await;
    blocked(&mut sandbox, attacks).await;
    destroy(sandbox).await;
}

/// A path in the host's temporary directory whose file goes away with it.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Where it was never made there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}
