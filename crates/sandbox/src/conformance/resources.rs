//! Limits, tried to their end: what one sandbox may use, and that its bombs stay inside (P6, P7, P12).

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::harness::{
    MIB, SLACK, TEARDOWN, assert_within, blocked, blocked_with, destroy, exec, limited, list, request, run,
    sandbox, slow, spec, still_works, words,
};
use crate::fake::Program;
use crate::{Driver, StreamKind, Termination};

/// P4, P6: each writable place holds so many bytes and files, and no file is larger than its limit.
pub async fn disks_are_bounded(driver: &dyn Driver) {
    let (disk, shm, inodes, file) = (6 * MIB, 3 * MIB, 300, 5 * MIB);
    let mut sandbox = limited(driver, |limits| {
        limits.disk_bytes = disk;
        limits.shm_bytes = shm;
        limits.disk_inodes = inodes;
        limits.file_bytes = file;
    })
    .await;
    let env = [
        ("DISKS", format!("/workspace={disk},/output={disk},/tmp={disk},/dev/shm={shm}")),
        ("INODES", inodes.to_string()),
        ("FILE", file.to_string()),
    ];
    blocked_with(&mut sandbox, include_str!("attacks/disks.py"), &env).await;
    destroy(sandbox).await;
}

/// P6: processes and threads are counted together.
pub async fn processes_are_bounded(driver: &dyn Driver) {
    let mut sandbox = limited(driver, |limits| {
        limits.processes = 24;
        limits.open_files = 64;
    })
    .await;
    let env = [("PROCESSES", "24".to_owned()), ("OPEN_FILES", "64".to_owned())];
    blocked_with(&mut sandbox, include_str!("attacks/tasks.py"), &env).await;
    destroy(sandbox).await;
}

/// P5, P6: a fork bomb is ended in time, while others go on working.
pub async fn a_fork_bomb_stays_inside(driver: &dyn Driver) {
    let mut bomb = sandbox(driver).await;
    let mut other = sandbox(driver).await;
    let limit = Duration::from_millis(1500);
    for code in [
        ":(){ :|:& };: ; wait; sleep 60",
        "trap '' TERM; while :; do \"$0\" -c 'trap \"\" TERM; while :; do (:) & done' & done 2>/dev/null",
    ] {
        let mut explode = request(words(&["bash", "-c", code, "bash"]));
        explode.timeout = limit;
        let (ended, slowest) = tokio::join!(
            async {
                let begun = Instant::now();
                let outcome = exec(&mut bomb, &explode).await;
                // It may also have choked on itself.
                assert!(outcome.termination != Termination::Exited(0), "{outcome:?}");
                begun.elapsed()
            },
            async {
                let mut slowest = Duration::ZERO;
                for _ in 0..10 {
                    let begun = Instant::now();
                    still_works(&mut other).await;
                    slowest = slowest.max(begun.elapsed());
                }
                slowest
            }
        );
        assert_within(ended, limit + SLACK, "a fork bomb");
        assert_within(slowest, Duration::from_secs(1), "an echo beside a fork bomb");
        still_works(&mut bomb).await;
    }
    destroy(bomb).await;
    destroy(other).await;
}

/// P6: memory is what programs and all tmpfs take together; there is no swap to go on in.
pub async fn memory_is_bounded(driver: &dyn Driver) {
    let many = "import os, signal\n\
        for _ in range(8):\n    \
            if os.fork() == 0:\n        \
                block = b'x' * (24 << 20)\n        \
                signal.pause()\n\
        os._exit(os.wait()[1] and 9)";
    for code in [
        "block = []\nwhile True: block.append(b'x' * (1 << 20))",
        "import mmap\nkept = []\nfor _ in range(400):\n    kept.append(mmap.mmap(-1, 1 << 20))\n    kept[-1].write(b'x' * (1 << 20))",
        "with open('/tmp/a', 'wb') as file:\n    for _ in range(200): file.write(b'x' * (1 << 20))",
        "with open('/dev/shm/a', 'wb') as file:\n    for _ in range(200): file.write(b'x' * (1 << 20))",
        "import os\nfd = os.memfd_create('a')\nfor _ in range(200): os.write(fd, b'x' * (1 << 20))",
        many,
    ] {
        let mut sandbox = limited(driver, |limits| {
            limits.memory_bytes = 64 * MIB;
            limits.shm_bytes = 256 * MIB;
        })
        .await;
        let mut request = request(words(&["python3", "-c", code]));
        request.timeout = Duration::from_secs(10);
        let outcome = exec(&mut sandbox, &request).await;
        assert_ne!(outcome.termination, Termination::Exited(0), "400 MiB fit into 64 MiB: {code}");
        let memory = outcome.out_of_memory.unwrap_or_else(|| panic!("not reported: {code}: {outcome:?}"));
        if let Some(peak) = memory.peak_bytes {
            assert!(peak <= 66 * MIB, "a peak of {peak} bytes under a limit of 64 MiB: {code}");
        }
        // Init answers, although what is left in a tmpfs may leave no memory for another program.
        list(&mut sandbox).await;
        destroy(sandbox).await;
    }
}

/// P6, P15: a kill for memory is said of its call, whatever that made of it: success, another failure, or a wait that
/// only the time limit ended. It is not said of the next call.
pub async fn out_of_memory_belongs_to_its_call(driver: &dyn Driver) {
    let mut sandbox = limited(driver, |limits| limits.memory_bytes = 64 * MIB).await;
    let eaten = "tail /dev/zero";
    let waits =
        "import os, signal\nif os.fork() == 0: bytearray(200 << 20).replace(b'\\0', b'x')\nsignal.pause()";
    for (words, ends) in [
        (vec!["bash", "-c", "tail /dev/zero; echo went on"], Some(Termination::Exited(0))),
        // A pipeline shows the end of its last program only.
        (vec!["bash", "-c", "tail /dev/zero | cat"], Some(Termination::Exited(0))),
        (vec!["bash", "-c", "tail /dev/zero; exit 3"], Some(Termination::Exited(3))),
        // What waits for a worker that is gone, as pools of processes do.
        (vec!["python3", "-c", waits], Some(Termination::TimedOut)),
        (vec!["bash", "-c", eaten], None),
    ] {
        let mut request = request(words.iter().map(|word| (*word).to_owned()).collect());
        // Long enough to run out of memory on a machine that is overloaded.
        request.timeout = Duration::from_secs(if ends == Some(Termination::TimedOut) { 8 } else { 30 });
        let outcome = exec(&mut sandbox, &request).await;
        if let Some(ends) = ends {
            assert_eq!(outcome.termination, ends, "{words:?}: {outcome:?}");
        }
        let memory = outcome.out_of_memory.unwrap_or_else(|| panic!("not reported: {words:?}: {outcome:?}"));
        assert!((1..10).contains(&memory.killed), "of this call alone: {words:?}: {memory:?}");
        for code in [1, 0] {
            let next = run(&mut sandbox, &Program::new().exit(code)).await;
            assert_eq!(next.out_of_memory, None, "a program that ended by itself with {code}");
        }
    }
    destroy(sandbox).await;
}

/// P6: CPU time by the clock, however many processes want it.
pub async fn cpu_is_bounded(driver: &dyn Driver) {
    let mut sandbox = limited(driver, |limits| limits.cpu_millis = 400).await;
    let code = "import os, time\n\
        end = time.monotonic() + 2\n\
        children = [os.fork() for _ in range(1)]\n\
        while time.monotonic() < end: pass\n\
        if children[0]: os.wait()";
    let outcome = exec(&mut sandbox, &request(words(&["python3", "-c", code]))).await;
    assert_eq!(outcome.termination, Termination::Exited(0), "{outcome:?}");
    let (cpu, wall) = (outcome.usage.cpu, outcome.usage.wall);
    // One period of the scheduler more than the share.
    assert!(
        cpu <= wall.mul_f64(0.4) + Duration::from_millis(300),
        "{cpu:?} of CPU in {wall:?} with 0.4 CPUs"
    );
    assert!(cpu >= Duration::from_millis(200), "{cpu:?} of CPU in {wall:?}: not counted");
    destroy(sandbox).await;
}

/// P6: what stays in the kernel when nobody frees it, and dumps of memory.
pub async fn descriptors_and_dumps_are_bounded(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let attacks = r#"
import resource
def pipes():
    made = []
    try:
        while len(made) < 100000:
            made.extend(os.pipe())
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise Blocked(f"{len(made)}: {error}")
        raise
    return len(made)
attack("pipes", pipes)
def watches():
    made = 0
    while made < 100000:
        if LIBC.inotify_init1(0) < 0:
            raise Blocked(f"{made} instances")
        made += 1
    return made
attack("inotify instances", watches)
def locked():
    import mmap
    area = mmap.mmap(-1, 64 << 20)
    if LIBC.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(area))), 64 << 20) != 0:
        raise Blocked("mlock")
    return "64 MiB locked"
attack("locked memory", locked)
check("core limit", resource.getrlimit(resource.RLIMIT_CORE) == (0, 0), resource.getrlimit(resource.RLIMIT_CORE))
check("message queues", resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1] <= 819200, resource.getrlimit(resource.RLIMIT_MSGQUEUE))
"#;
    blocked(&mut sandbox, attacks).await;
    destroy(sandbox).await;
}

/// P12: a quarter of a gigabyte of output costs the runner no memory to speak of.
pub async fn a_flood_costs_the_runner_nothing(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let bytes = 256 * MIB;
    let before = resident();
    let mut most = 0;
    let outcome = sandbox
        .exec(
            &request(Program::new().flood(StreamKind::Stdout, Some(bytes)).argv()),
            &CancellationToken::new(),
            &mut |_, _| most = most.max(resident()),
        )
        .await
        .expect("an outcome");
    most = most.max(resident());
    assert_eq!(outcome.termination, Termination::Exited(0));
    assert_eq!(outcome.stdout.omitted_characters, bytes - 100_000);
    assert!(most.saturating_sub(before) < 64 * MIB, "from {before} to {most} bytes");
    destroy(sandbox).await;
}

/// P7: within two seconds of its end no process of a sandbox is left on the host, whether it was destroyed or dropped,
/// and whatever it was doing.
pub async fn nothing_is_left_of_a_sandbox(driver: &dyn Driver) {
    for forgotten in [false, true] {
        let mut sandbox = sandbox(driver).await;
        let mark = format!("left-{}", spec().id);
        let code = format!(
            "trap '' TERM; : {mark}; for i in 1 2 3; do (setsid sleep 60 & ) ; done; echo begun; sleep 60; :"
        );
        let (begun, on_output) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        {
            let request = request(words(&["bash", "-c", &code]));
            let cancel = CancellationToken::new();
            let mut note = |_, _: &[u8]| {
                if let Some(begun) = begun.take() {
                    let _ = begun.send(());
                }
            };
            tokio::select! {
                outcome = sandbox.exec(&request, &cancel, &mut note) => panic!("the program ended: {outcome:?}"),
                _ = on_output => {}
            }
        }
        // Without this the rest would prove nothing.
        assert!(!processes_with(&mark).is_empty(), "the sandbox's processes cannot be seen from here");
        let since = Instant::now();
        if forgotten {
            drop(sandbox);
        } else {
            destroy(sandbox).await;
            assert_eq!(processes_with(&mark), Vec::<u32>::new(), "processes left after destroy");
        }
        while !processes_with(&mark).is_empty() {
            assert!(
                since.elapsed() < slow(TEARDOWN),
                "processes left of a dropped sandbox: {:?}",
                processes_with(&mark)
            );
            tokio::task::yield_now().await;
        }
    }
}

/// Processes of this machine whose command line has a text.
fn processes_with(text: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(text.len()).any(|part| part == text.as_bytes()))
        })
        .collect()
}

/// Bytes that this process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kib * 1024
}
