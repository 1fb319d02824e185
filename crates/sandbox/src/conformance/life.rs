//! The life of sandboxes: state within one, nothing between two, and an end that is prompt (P5 to P8).

use std::time::Duration;

use futures_util::future::join_all;
use init_protocol::{Decoder, Setup, ToInit, VERSION, encode_message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::harness::{
    MIB, SLACK, TEARDOWN, assert_within, create, destroy, limited, list, read, request, run, sandbox,
    slowness, spec, still_works, succeed, write,
};
use crate::fake::Program;
use crate::{Driver, FileErrorKind, SandboxSpec, Termination, layout};

const MINUTE: Duration = Duration::from_secs(60);

/// How many sandboxes live at once.
const MANY: u32 = 64;

/// Files in all writable places live as long as the sandbox.
pub async fn state_lives_between_calls(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let places = ["/workspace/kept", "/output/kept", "/tmp/kept", "/dev/shm/kept"];
    for place in places {
        succeed(&mut sandbox, &Program::new().write(place, place)).await;
    }
    run(&mut sandbox, &Program::new().signal(9)).await;
    for place in places {
        assert_eq!(succeed(&mut sandbox, &Program::new().read(place)).await, place);
    }
    destroy(sandbox).await;
}

/// P8: what one sandbox writes, no other sees: not at the same time, not later, and not by the same name.
pub async fn sandboxes_do_not_see_each_other(driver: &dyn Driver) {
    let mut first = sandbox(driver).await;
    let mut second = sandbox(driver).await;
    let places = ["/workspace/secret", "/output/secret", "/tmp/secret", "/dev/shm/secret"];
    let write = places.iter().fold(Program::new(), |program, place| program.write(*place, "mine"));
    succeed(&mut first, &write).await;
    for place in places {
        assert_eq!(
            run(&mut second, &Program::new().read(place)).await.termination,
            Termination::Exited(1),
            "{place}"
        );
    }
    assert!(list(&mut second).await.entries.is_empty());
    succeed(&mut second, &write).await;
    destroy(first).await;
    assert_eq!(read(&mut second, "/workspace/secret").await, b"mine", "the end of one touches the other");
    destroy(second).await;
    let mut third = sandbox(driver).await;
    for place in places {
        assert_eq!(
            run(&mut third, &Program::new().read(place)).await.termination,
            Termination::Exited(1),
            "{place}"
        );
    }
    destroy(third).await;
}

/// P7: when its lifetime is over a sandbox ends by itself, with a program in it and with nobody asking.
pub async fn a_sandbox_ends_itself(driver: &dyn Driver) {
    let lifetime = Duration::from_millis(700);
    for program in [None, Some(Program::new().ignore_sigterm().children(3).sleep(MINUTE))] {
        let mut created = driver.create(&spec()).await.expect("a sandbox");
        let setup = Setup {
            uid: created.uid,
            gid: created.uid,
            lifetime_ms: 700,
            output: layout::OUTPUT.to_owned(),
            writable: layout::PROGRAM_WRITABLE.map(str::to_owned).to_vec(),
            readable: layout::READABLE.map(str::to_owned).to_vec(),
            max_open_files: 64,
            max_file_size: MIB,
            max_processes: None,
            allow_missing_landlock: created.allow_missing_landlock,
        };
        let mut bytes = Vec::new();
        encode_message(&mut bytes, 1, &ToInit::Hello { version: VERSION, setup }).expect("fits");
        if let Some(program) = &program {
            let request = request(program.argv());
            let exec = init_protocol::Exec {
                argv: request.argv,
                env: request.env,
                cwd: request.cwd,
                stdin: false,
                timeout_ms: 60_000,
                grace_ms: 60_000,
                stream_limit: None,
            };
            encode_message(&mut bytes, 2, &ToInit::Exec(exec)).expect("fits");
        }
        let begun = Instant::now();
        created.stream.write_all(&bytes).await.expect("init listens");
        let mut answers = Vec::new();
        // How a stream ends (its end, or an error) depends on the driver; that it ends does not.
        let ended = timeout(MINUTE, created.stream.read_to_end(&mut answers)).await;
        assert!(ended.is_ok(), "the sandbox still lives (program: {program:?})");
        assert_within(begun.elapsed(), lifetime + TEARDOWN, "a sandbox whose lifetime is over");
        let mut decoder = Decoder::new();
        decoder.push(&answers);
        assert!(matches!(decoder.next_frame(), Ok(Some(frame)) if frame.request == 1), "init did not greet");
        assert!(begun.elapsed() >= lifetime, "the sandbox ended too early");
        created.handle.destroy().await.expect("a sandbox that has ended is destroyed all the same");
    }
}

/// P7: destroying does not wait for what runs inside.
pub async fn destroy_ends_a_running_program(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new().ignore_sigterm().children(20).stdout("begun\n").sleep(MINUTE);
    let (begun, on_output) = tokio::sync::oneshot::channel();
    let mut begun = Some(begun);
    {
        let request = request(program.argv());
        let cancel = CancellationToken::new();
        let mut note = |_, _: &[u8]| {
            if let Some(begun) = begun.take() {
                let _ = begun.send(());
            }
        };
        let exec = sandbox.exec(&request, &cancel, &mut note);
        tokio::select! {
            outcome = exec => panic!("the program ended: {outcome:?}"),
            _ = on_output => {}
        }
    }
    assert!(!sandbox.is_usable(), "an exec was left in the middle");
    let since = Instant::now();
    destroy(sandbox).await;
    assert_within(since.elapsed(), TEARDOWN, "destroying");
}

/// P7: a sandbox that its owner forgot takes nothing with it that the next one would need.
pub async fn a_dropped_sandbox_is_gone(driver: &dyn Driver) {
    let spec = spec();
    for _ in 0..3 {
        let mut forgotten = create(driver, &spec).await;
        succeed(&mut forgotten, &Program::new().write("/workspace/forgotten", "x")).await;
        drop(forgotten);
    }
    let mut next = sandbox(driver).await;
    let outcome = run(&mut next, &Program::new().read("/workspace/forgotten")).await;
    assert_eq!(outcome.termination, Termination::Exited(1));
    destroy(next).await;
}

/// Sixty-four sandboxes live and run at once, each for itself, and all end.
pub async fn many_live_at_once(driver: &dyn Driver) {
    let specs: Vec<SandboxSpec> = (0..(MANY / slowness()).max(4))
        .map(|_| {
            let mut spec = spec();
            spec.limits.memory_bytes = 64 * MIB;
            spec.limits.processes = 16;
            spec
        })
        .collect();
    let mut sandboxes = join_all(specs.iter().map(|spec| create(driver, spec))).await;
    let runs = sandboxes.iter_mut().enumerate().map(|(number, sandbox)| async move {
        write(sandbox, "/workspace/number", number.to_string().as_bytes()).await;
        let program = Program::new().read("/workspace/number").write("/output/done", number.to_string());
        assert_eq!(succeed(sandbox, &program).await, number.to_string());
        assert_eq!(read(sandbox, "/output/done").await, number.to_string().as_bytes());
    });
    join_all(runs).await;
    let begun = Instant::now();
    join_all(sandboxes.into_iter().map(destroy)).await;
    // The promise is about one; a daemon removes them more or less one after the other.
    let most = TEARDOWN * if driver.name() == "docker" { 10 } else { 4 };
    assert_within(begun.elapsed(), most, "destroying them all");
}

/// P6, P10: out of memory is reported as that, once; init outlives it and hands out what was saved.
pub async fn out_of_memory_is_reported_and_survived(driver: &dyn Driver) {
    let mut sandbox = limited(driver, |limits| limits.memory_bytes = 64 * MIB).await;
    let program = Program::new().write("/output/saved", "before").stdout("begun\n").out_of_memory();
    let begun = Instant::now();
    let outcome = run(&mut sandbox, &program).await;
    assert_eq!(outcome.termination, Termination::Signaled(9), "{outcome:?}");
    let memory = outcome.out_of_memory.unwrap_or_else(|| panic!("not reported: {outcome:?}"));
    assert!(memory.killed >= 1);
    if let Some(peak) = memory.peak_bytes {
        assert!((32 * MIB..=72 * MIB).contains(&peak), "a peak of {peak} bytes under a limit of 64 MiB");
    }
    assert_within(begun.elapsed(), Duration::from_secs(15) + SLACK, "running out of memory");
    assert_eq!(outcome.stdout.head, "begun\n");
    assert_eq!(read(&mut sandbox, "/output/saved").await, b"before");
    // What comes next is not blamed for it.
    let next = run(&mut sandbox, &Program::new().signal(9)).await;
    assert_eq!((next.termination, next.out_of_memory), (Termination::Signaled(9), None));
    let none = sandbox.read(&super::harness::path("/output/none"), 0, 1).await.expect("an answer");
    assert_eq!(none.map_err(|error| error.kind), Err(FileErrorKind::NotFound));
    still_works(&mut sandbox).await;
    destroy(sandbox).await;
}
