//! Running a program: how it ended, what it said, what it was given (P12, P15).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::harness::{destroy, exec, request, run, sandbox, still_works, succeed, words, write};
use crate::fake::Program;
use crate::{Driver, StreamKind, Termination};

/// P15: the program's own exit code, whatever it is.
pub async fn exit_codes_arrive(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    for code in [0, 1, 3, 124, 137, 255] {
        let outcome = run(&mut sandbox, &Program::new().exit(code)).await;
        assert_eq!(outcome.termination, Termination::Exited(i32::from(code)));
        assert_eq!(outcome.out_of_memory, None, "exit code {code}");
    }
    destroy(sandbox).await;
}

/// P15: the signal that ended a program.
pub async fn signals_arrive(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    for signal in [9, 11, 15] {
        let outcome = run(&mut sandbox, &Program::new().stdout("before\n").signal(signal)).await;
        assert_eq!(outcome.termination, Termination::Signaled(signal));
        assert_eq!(
            (outcome.stdout.head.as_str(), outcome.out_of_memory),
            ("before\n", None),
            "signal {signal}"
        );
    }
    destroy(sandbox).await;
}

/// Standard output and standard error are two streams, each complete and in order.
pub async fn streams_are_kept_apart_and_in_order(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new().stdout("a\n").stderr("b\n").stdout("c\0\n").stderr("d").exit(2);
    let outcome = run(&mut sandbox, &program).await;
    assert_eq!((outcome.stdout.head.as_str(), outcome.stderr.head.as_str()), ("a\nc\0\n", "b\nd"));
    assert_eq!((outcome.stdout.omitted_characters, outcome.stdout.tail.as_str()), (0, ""));
    destroy(sandbox).await;
}

/// What a program prints arrives long before its end.
pub async fn output_comes_while_the_program_runs(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let wait = Duration::from_millis(1500);
    let program = Program::new().stdout("first\n").stderr("also\n").sleep(wait).stdout("second\n");
    let mut seen = Vec::new();
    let outcome = sandbox
        .exec(&request(program.argv()), &CancellationToken::new(), &mut |stream, text| {
            seen.push((stream, String::from_utf8_lossy(text).into_owned(), Instant::now()));
        })
        .await
        .expect("an outcome");
    let end = Instant::now();
    assert_eq!(outcome.stdout.head, "first\nsecond\n");
    let when = |text: &str| {
        seen.iter().find(|(_, seen, _)| seen == text).map(|(stream, _, at)| (*stream, end - *at))
    };
    for (text, stream) in [("first\n", StreamKind::Stdout), ("also\n", StreamKind::Stderr)] {
        let (kind, before) = when(text).unwrap_or_else(|| panic!("{text:?} did not come alone: {seen:?}"));
        assert_eq!(kind, stream);
        assert!(before >= wait / 2, "{text:?} came only {before:?} before the end");
    }
    destroy(sandbox).await;
}

/// P12: a stream over its limit keeps head and tail in whole characters, says exactly how many were left out, and is
/// valid text whatever the bytes were.
pub async fn long_streams_keep_head_and_tail(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let numbers: String = (0..400).map(|number| format!("{number},")).collect();
    let invalid: Vec<u8> =
        [b"\xff\xfe".as_slice(), "€".as_bytes(), b"\xe2\x82", "x".as_bytes()].concat().repeat(90);
    let cases: [Vec<u8>; 6] = [
        numbers.into_bytes(),
        "é".repeat(500).into_bytes(),
        "a😀".repeat(300).into_bytes(),
        invalid,
        b"short \xf0\x9f".to_vec(),
        "exactly-a-hundred-and-one".repeat(4).into_bytes(),
    ];
    for text in cases {
        let mut request = request(Program::new().stdout(text.clone()).argv());
        request.stream_limit = Some(101);
        let outcome = exec(&mut sandbox, &request).await;
        let all: Vec<char> = String::from_utf8_lossy(&text).chars().collect();
        let stdout = outcome.stdout;
        if all.len() <= 101 {
            assert_eq!((stdout.head, stdout.omitted_characters), (all.iter().collect(), 0));
            continue;
        }
        // The first half has the odd character.
        let (head, tail) = (&all[..51], &all[all.len() - 50..]);
        assert_eq!(stdout.head, head.iter().collect::<String>());
        assert_eq!(stdout.tail, tail.iter().collect::<String>());
        assert_eq!(stdout.omitted_characters, all.len() as u64 - 101);
    }
    destroy(sandbox).await;
}

/// P12: a program that prints far more than its limit is not blocked by that, and the count is exact.
pub async fn a_flood_is_cut_and_counted(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    for stream in [StreamKind::Stdout, StreamKind::Stderr] {
        let bytes = 8 * 1024 * 1024;
        let outcome = run(&mut sandbox, &Program::new().flood(stream, Some(bytes)).exit(4)).await;
        assert_eq!(outcome.termination, Termination::Exited(4));
        let text = if stream == StreamKind::Stdout { outcome.stdout } else { outcome.stderr };
        assert_eq!((text.head.len(), text.tail.len()), (50_000, 50_000), "{stream:?}");
        assert_eq!(text.omitted_characters, bytes - 100_000, "{stream:?}");
    }
    destroy(sandbox).await;
}

/// Without a limit every byte is handed on, and nothing is kept.
pub async fn everything_comes_without_a_limit(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let bytes = 3 * 1024 * 1024;
    let mut request = request(Program::new().flood(StreamKind::Stdout, Some(bytes)).argv());
    request.stream_limit = None;
    let mut seen = 0;
    let mut other = 0;
    let outcome = sandbox
        .exec(&request, &CancellationToken::new(), &mut |_, text| {
            seen += text.len() as u64;
            other += text.iter().filter(|byte| !b"flod\n".contains(byte)).count();
        })
        .await
        .expect("an outcome");
    assert_eq!((seen, other), (bytes, 0));
    assert_eq!(outcome.termination, Termination::Exited(0));
    assert!(outcome.stdout.head.is_empty() && outcome.stdout.tail.is_empty());
    destroy(sandbox).await;
}

/// Standard input is what was given, to the last byte, and empty where nothing was given.
pub async fn standard_input_arrives(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let mut request = request(Program::new().cat_stdin().stdout("|end").argv());
    assert_eq!(exec(&mut sandbox, &request).await.stdout.head, "|end");
    request.stdin = Some(Bytes::new());
    assert_eq!(exec(&mut sandbox, &request).await.stdout.head, "|end");
    request.stdin = Some(Bytes::from_static(b"{\"data\": \"\xc3\xa9\0\"}\n"));
    assert_eq!(exec(&mut sandbox, &request).await.stdout.head, "{\"data\": \"é\0\"}\n|end");
    // Far beyond what pipes and frames hold, and back out again.
    let large: String = (0..300_000).map(|number| format!("{number:07}")).collect();
    request.stdin = Some(Bytes::from(large.clone()));
    let outcome = exec(&mut sandbox, &request).await;
    assert_eq!((outcome.stdout.head.as_str(), outcome.stdout.tail.len()), (&large[..50_000], 50_000));
    assert_eq!(outcome.stdout.omitted_characters, large.len() as u64 + 4 - 100_000);
    destroy(sandbox).await;
}

/// A program that does not read its input neither blocks nor fails, nor does the next one see it.
pub async fn unread_standard_input_blocks_nothing(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let mut request = request(Program::new().stdout("no thanks").exit(6).argv());
    request.stdin = Some(Bytes::from(vec![b'x'; 3 * 1024 * 1024]));
    let outcome = exec(&mut sandbox, &request).await;
    assert_eq!((outcome.termination, outcome.stdout.head.as_str()), (Termination::Exited(6), "no thanks"));
    assert_eq!(succeed(&mut sandbox, &Program::new().cat_stdin()).await, "");
    destroy(sandbox).await;
}

/// P3: the environment has what was passed, and nothing else.
pub async fn the_environment_is_what_was_passed(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let variables = [("PATH", "/usr/bin:/bin"), ("EMPTY", ""), ("ODD", "a=b c\t\"'é$X"), ("A_1", "x")];
    for argv in [words(&["env"]), Program::new().environment().argv()] {
        let mut request = request(argv);
        request.env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let outcome = exec(&mut sandbox, &request).await;
        assert_eq!(outcome.stdout.head, variables.map(|(name, value)| format!("{name}={value}\n")).concat());
    }
    destroy(sandbox).await;
}

/// The working directory is the one that was asked for.
pub async fn the_working_directory_is_what_was_asked(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    succeed(&mut sandbox, &Program::new().make_directory("/workspace/a b")).await;
    for directory in ["/workspace", "/output", "/tmp", "/workspace/a b"] {
        let mut request = request(Program::new().working_directory().write("here", directory).argv());
        request.cwd = directory.to_owned();
        assert_eq!(exec(&mut sandbox, &request).await.stdout.head, format!("{directory}\n"));
    }
    assert_eq!(super::harness::read(&mut sandbox, "/workspace/a b/here").await, b"/workspace/a b");
    destroy(sandbox).await;
}

/// Arguments are passed as they are: no shell looks at them.
pub async fn odd_arguments_arrive_as_they_are(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let long = "l".repeat(100_000);
    let odd = ["", " ", "two words", "\"'`$(id)\\", "*", "-n", "--", "ü€😀", "a\nb\tc\u{1}", long.as_str()];
    let program = Program::new().arguments();
    write(&mut sandbox, "/workspace/show.sh", program.script().as_bytes()).await;
    let inline = [program.argv(), words(&["name"])].concat();
    for start in [inline, words(&["bash", "/workspace/show.sh"])] {
        let mut request = request([start, words(&odd)].concat());
        request.stream_limit = Some(1_000_000);
        let outcome = exec(&mut sandbox, &request).await;
        assert_eq!(
            outcome.stdout.head,
            odd.map(|argument| format!("[{argument}]\n")).concat(),
            "{:?}",
            outcome.stderr
        );
    }
    destroy(sandbox).await;
}

/// P15: a program that is missing (127) or cannot be executed (126) is an outcome that says so, and the sandbox goes on.
pub async fn programs_that_cannot_be_started_are_outcomes(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    write(&mut sandbox, "/workspace/plain", b"#!/bin/bash\necho no\n").await;
    for (name, code) in [
        ("no-such-program-anywhere", 127),
        ("/usr/bin/no-such-program", 127),
        ("/workspace/none", 127),
        ("/workspace/plain", 126),
        ("/workspace", 126),
    ] {
        let outcome = exec(&mut sandbox, &request(words(&[name]))).await;
        assert_eq!(outcome.termination, Termination::Exited(code), "{name}: {outcome:?}");
        assert!(!outcome.stderr.head.is_empty() && outcome.stdout.head.is_empty(), "{name}: {outcome:?}");
        still_works(&mut sandbox).await;
    }
    destroy(sandbox).await;
}
