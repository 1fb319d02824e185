//! The fake is what other tests believe, so it is held against the real thing where that can run here: its
//! programs against Bash and Python.

use std::process::{Command, Stdio};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    ExecOutcome, ExecRequest, FileErrorKind, Limits, Owner, Sandbox, SandboxError, SandboxPath, StreamKind,
    Termination,
};

fn spec(name: &str) -> SandboxSpec {
    SandboxSpec {
        id: SandboxId::new(name).unwrap(),
        limits: Limits::standard(),
        lifetime: Limits::LIFETIME,
        layers: Vec::new(),
    }
}

fn request(argv: Vec<String>) -> ExecRequest {
    ExecRequest {
        argv,
        env: vec![("A".to_owned(), "b c".to_owned()), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        cwd: "/workspace".to_owned(),
        stdin: None,
        timeout: Duration::from_secs(10),
        grace: Limits::GRACE,
        stream_limit: Some(100_000),
    }
}

async fn run(sandbox: &mut Sandbox, program: &Program) -> ExecOutcome {
    try_run(sandbox, &request(program.argv())).await.unwrap()
}

async fn try_run(sandbox: &mut Sandbox, request: &ExecRequest) -> Result<ExecOutcome, SandboxError> {
    sandbox.exec(request, &CancellationToken::new(), &mut |_, _| {}).await
}

/// Runs a program under the machine's own Bash and under a fake one and compares what comes out.
async fn same_as_real(program: &Program, arguments: &[&str], stdin: &'static str, argv: Vec<String>) {
    let mut request = request(argv);
    request.argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    request.stdin = Some(stdin.into());
    let mut real = Command::new(&request.argv[0])
        .args(&request.argv[1..])
        .env_clear()
        .envs(request.env.iter().cloned())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its input may have closed it already.
    let _ = std::io::Write::write_all(&mut real.stdin.take().unwrap(), stdin.as_bytes());
    let real = real.wait_with_output().unwrap();

    request.cwd = "/".to_owned();
    let driver = FakeDriver::new();
    let mut sandbox = Sandbox::create(&driver, &spec("real")).await.unwrap();
    let fake = try_run(&mut sandbox, &request).await.unwrap();
    assert_eq!(fake.stdout.head, String::from_utf8_lossy(&real.stdout), "stdout of {program:?}");
    assert_eq!(fake.stderr.head, String::from_utf8_lossy(&real.stderr), "stderr of {program:?}");
    assert_eq!(Some(fake.termination.exit_code()), real.status.code(), "exit code of {program:?}");
}

#[tokio::test]
async fn programs_do_the_same_under_real_interpreters() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let programs = [
        Program::new().stdout("one\n").stderr("two's \"%s\" \\n\n").stdout("$three `four`\n").exit(7),
        Program::new().stdout(every_byte.clone()).stderr(every_byte),
        Program::new().arguments().working_directory().cat_stdin(),
        Program::new().environment(),
        Program::new().flood(StreamKind::Stdout, Some(70_000)).stdout("end").exit(0),
        Program::new().flood(StreamKind::Stderr, Some(11)),
        Program::new()
            .ignore_sigterm()
            .on_sigterm(Program::new().stdout("x"))
            .sleep(Duration::from_millis(1))
            .exit(4),
        Program::new(),
    ];
    for program in programs {
        same_as_real(
            &program,
            &["a b", "", "ü'\"\n$x"],
            "in\n",
            [program.argv(), vec!["zero".to_owned()]].concat(),
        )
        .await;
    }
    // Python changes its own environment, so only what it hands on is compared.
    let program = Program::new().arguments().stdout("\u{e9}\u{1f600}\x01'\"\\").cat_stdin().exit(9);
    let python = vec!["/usr/bin/python3".to_owned(), "-c".to_owned(), program.python()];
    same_as_real(&program, &["a b", "'\""], "in\n", python).await;
}

#[tokio::test]
async fn real_bash_makes_the_same_files() {
    // Only relative paths, so that both may work below a directory of their own.
    let program = Program::new()
        .write("a b/c.txt", b"x\0\xff%d\n")
        .fill("fill", 10)
        .set_length("fill", 3)
        .set_length("sparse", 100_000)
        .many_files("many", 3)
        .symlink("a b/c.txt", "link")
        .hard_link("fill", "hard")
        .fifo("fifo")
        .write(b"odd\n\xfe".as_slice(), "odd")
        .write("gone", "")
        .remove("gone")
        .read("link")
        .read("gone");
    let place = std::env::temp_dir().join(format!("fake-program-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let argv = program.argv();
    let real = Command::new("bash").args(&argv[1..]).current_dir(&place).output().unwrap();
    let listed = |command: &str| {
        let output = Command::new("bash").args(["-c", command]).current_dir(&place).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let real_names = listed(
        "find . -type f -printf 'File %s %P\\0' -o -type l -printf 'Symlink %s %P\\0' -o -type p -printf 'Special 0 %P\\0'",
    );
    std::fs::remove_dir_all(&place).unwrap();

    let driver = FakeDriver::new();
    let mut sandbox = Sandbox::create(&driver, &spec("files")).await.unwrap();
    let mut request = request(argv);
    request.cwd = "/output".to_owned();
    let fake = try_run(&mut sandbox, &request).await.unwrap();
    let mut fake_names: Vec<String> = sandbox
        .list_output(100)
        .await
        .unwrap()
        .entries
        .iter()
        .map(|entry| format!("{:?} {} {}", entry.kind, entry.size, String::from_utf8_lossy(&entry.path)))
        .collect();
    let mut real_names: Vec<String> = real_names.split_terminator('\0').map(str::to_owned).collect();
    fake_names.sort();
    real_names.sort();
    assert_eq!(fake_names, real_names);
    assert_eq!(fake_names.len(), 10);
    assert_eq!(fake.stdout.head, String::from_utf8_lossy(&real.stdout));
    assert_eq!(real.status.code(), Some(1));
    assert_eq!(fake.termination, Termination::Exited(1));
    assert!(fake.stderr.head.ends_with("gone: No such file or directory\n"), "{:?}", fake.stderr);
}

#[tokio::test(start_paused = true)]
async fn time_passes_only_in_tokio() {
    let driver = FakeDriver::new();
    driver.set_create_delay(Duration::from_secs(100));
    let begun = Instant::now();
    let mut sandbox = Sandbox::create(&driver, &spec("time")).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(100));
    let outcome = run(&mut sandbox, &Program::new().sleep(Duration::from_secs(9)).exit(2)).await;
    assert_eq!((outcome.termination, outcome.usage.wall), (Termination::Exited(2), Duration::from_secs(9)));
    let cases = [
        (Program::new().sleep(Duration::from_secs(60)), 10_000),
        (Program::new().ignore_sigterm().sleep(Duration::from_secs(60)), 10_500),
        (Program::new().stop(), 10_500),
        (Program::new().flood(StreamKind::Stdout, None), 10_000),
    ];
    for (program, milliseconds) in cases {
        let outcome = run(&mut sandbox, &program).await;
        assert_eq!(outcome.termination, Termination::TimedOut);
        assert_eq!(outcome.usage.wall, Duration::from_millis(milliseconds), "{program:?}");
    }
    assert_eq!(driver.sandboxes()[0].max_running, 1);
}

#[tokio::test(start_paused = true)]
async fn code_in_files_and_registered_texts_are_found() {
    let driver = FakeDriver::new();
    driver.on_script("import pandas", Program::new().stdout("chart\n"));
    let mut sandbox = Sandbox::create(&driver, &spec("found")).await.unwrap();
    let program = Program::new().arguments().exit(5);
    let path = SandboxPath::code_file(1, "py");
    sandbox.write(&path, program.python().as_bytes()).await.unwrap().unwrap();
    let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let outcome =
        try_run(&mut sandbox, &request(argv(&["python3", "-u", path.as_str(), "x y"]))).await.unwrap();
    assert_eq!((outcome.stdout.head.as_str(), outcome.termination), ("[x y]\n", Termination::Exited(5)));
    let outcome =
        try_run(&mut sandbox, &request(argv(&["python3", "-c", "import pandas as pd"]))).await.unwrap();
    assert_eq!(outcome.stdout.head, "chart\n");
    for (words, code) in [
        (vec!["bash", "-c", "rm -rf /"], 127),
        (vec!["no-such-program"], 127),
        (vec!["/workspace/none"], 127),
        (vec![path.as_str()], 126),
        (vec!["python3", "-c", "pass"], 0),
    ] {
        let outcome = try_run(&mut sandbox, &request(argv(&words))).await.unwrap();
        assert_eq!(outcome.termination, Termination::Exited(code), "{words:?}");
        assert_eq!(outcome.stderr.head.is_empty(), code == 0, "{words:?}: {:?}", outcome.stderr);
    }
    assert_eq!(driver.execs().len(), 7);
    assert_eq!(driver.file(&spec("found").id, "/tmp/code/1.py"), Some(program.python().into_bytes()));
}

#[tokio::test(start_paused = true)]
async fn planned_faults_happen_once() {
    for fault in [Fault::Dies, Fault::DiesMidway, Fault::Silent, Fault::BrokenFrame, Fault::WrongAnswer] {
        let driver = FakeDriver::new();
        driver.fail_next(Request::Exec, fault);
        let mut sandbox = Sandbox::create(&driver, &spec("fault")).await.unwrap();
        let exec = request(Program::new().stdout("begun\n").sleep(Duration::from_secs(5)).argv());
        let mut seen = String::new();
        let cancel = CancellationToken::new();
        let outcome =
            sandbox.exec(&exec, &cancel, &mut |_, text| seen.push_str(&String::from_utf8_lossy(text))).await;
        assert!(matches!(outcome, Err(SandboxError::Broken { .. })), "{fault:?}: {outcome:?}");
        assert_eq!(seen, if fault == Fault::DiesMidway { "begun\n" } else { "" }, "{fault:?}");
        assert!(!sandbox.is_usable());
        sandbox.destroy().await.unwrap();
        assert_eq!((driver.live(), driver.destroyed()), (0, 1), "{fault:?}");
        let mut sandbox = Sandbox::create(&driver, &spec("again")).await.unwrap();
        assert_eq!(run(&mut sandbox, &Program::new()).await.termination, Termination::Exited(0));
    }
}

#[tokio::test(start_paused = true)]
async fn creation_and_destruction_fail_as_planned() {
    let driver = FakeDriver::new();
    driver.fail_next_create(DriverErrorKind::Busy);
    driver.fail_next_destroy(DriverErrorKind::System);
    driver.fail_next(Request::Hello, Fault::Silent);
    let error = Sandbox::create(&driver, &spec("a")).await.unwrap_err();
    let SandboxError::Driver { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind, DriverErrorKind::Busy);
    assert_eq!(driver.created(), 0);
    assert!(matches!(Sandbox::create(&driver, &spec("b")).await, Err(SandboxError::Broken { .. })));
    assert_eq!((driver.created(), driver.live()), (1, 0));
    let sandbox = Sandbox::create(&driver, &spec("c")).await.unwrap();
    assert_eq!(driver.live(), 1);
    drop(sandbox);
    assert_eq!(driver.sandboxes()[1].state, FakeState::Dropped);
    driver.shutdown().await.unwrap();
    assert!(Sandbox::create(&driver, &spec("d")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn files_of_init_are_read_only_to_programs() {
    let driver = FakeDriver::new();
    let mut sandbox = Sandbox::create(&driver, &spec("owner")).await.unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "scripts/a.sh", b"hi".as_slice()).unwrap();
    sandbox.put("/skills/qr", &tar.into_inner().unwrap(), Owner::Init).await.unwrap().unwrap();
    let outcome =
        run(&mut sandbox, &Program::new().read("/skills/qr/scripts/a.sh").write("/skills/qr/x", "x")).await;
    assert_eq!((outcome.stdout.head.as_str(), outcome.termination), ("hi", Termination::Exited(1)));
    let path = SandboxPath::readable("/skills/qr/none").unwrap();
    assert_eq!(sandbox.read(&path, 0, 9).await.unwrap().unwrap_err().kind, FileErrorKind::NotFound);
    assert_eq!(driver.sandboxes()[0].operations[0], Operation::Put { directory: "/skills/qr".to_owned() });
}
