//! The fuzz target's body over its corpus, over messages of all kinds, and over what is cut, spliced and turned of them:
//! what a fuzzer once found stays found without a fuzzer.

#[path = "../fuzz/exercise.rs"]
mod exercise;

use std::fs;
use std::path::Path;

use init_protocol::{
    Entry, EntryKind, Exec, FailKind, FetchFile, FromInit, Kind, Owner, Setup, StreamKind, Termination,
    ToInit, Usage, VERSION, encode_message, encode_raw,
};

fn requests() -> Vec<ToInit> {
    let text = |text: &str| text.to_owned();
    let setup = Setup {
        uid: 1000,
        gid: 1000,
        lifetime_ms: u64::MAX,
        output: text("/output"),
        writable: vec![text("/output"), text("/tmp")],
        readable: vec![text("/skills")],
        max_open_files: 1024,
        max_file_size: 1 << 28,
        max_processes: Some(128),
        allow_missing_landlock: true,
    };
    let exec = Exec {
        argv: vec![text("bash"), text("-c"), text("echo ü")],
        env: vec![(text("PATH"), text("/usr/bin"))],
        cwd: text("/workspace"),
        stdin: true,
        timeout_ms: 1000,
        grace_ms: 500,
        stream_limit: Some(100_000),
    };
    vec![
        ToInit::Hello { version: VERSION, setup },
        ToInit::Put { directory: text("/skills/a"), owner: Owner::Init },
        ToInit::Exec(exec),
        ToInit::Write { path: text("/workspace/a") },
        ToInit::Read { path: text("/output/a"), offset: 1, limit: u64::MAX },
        ToInit::ListOutput { max_entries: u32::MAX },
        ToInit::Fetch { files: vec![FetchFile { path: b"\xff/a".to_vec(), offset: 0, limit: 9 }] },
        ToInit::Kill { request: 3 },
        ToInit::End,
    ]
}

fn answers() -> Vec<FromInit> {
    let entry = Entry {
        path: b"a/\n".to_vec(),
        kind: EntryKind::File,
        size: 1,
        allocated: 4096,
        inode: 7,
        changed_ns: i64::MIN,
        links: 1,
    };
    let usage = Usage { wall_us: 1, cpu_us: u64::MAX, peak_rss_bytes: 0 };
    vec![
        FromInit::Ready { version: VERSION, landlock_abi: 7 },
        FromInit::Done,
        FromInit::Failed { kind: FailKind::NoSpace, message: "no".repeat(100) },
        FromInit::Omitted { stream: StreamKind::Stderr, characters: 12 },
        FromInit::Exited { termination: Termination::Signaled(9), usage },
        FromInit::File { size: 3, sending: 2 },
        FromInit::Entries(vec![entry.clone(), entry]),
        FromInit::Listed { truncated: true },
    ]
}

fn inputs() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for message in requests() {
        let mut out = Vec::new();
        encode_message(&mut out, 1, &message).expect("it fits a frame");
        inputs.push(out);
    }
    for message in answers() {
        let mut out = Vec::new();
        encode_message(&mut out, u32::MAX, &message).expect("it fits a frame");
        encode_raw(&mut out, 2, Kind::Stdout, b"text");
        inputs.push(out);
    }
    inputs.push(inputs.concat());
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frames");
    let mut paths: Vec<_> = fs::read_dir(corpus)
        .expect("the corpus can be read")
        .map(|entry| entry.expect("the corpus can be read").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    inputs.extend(paths.iter().map(|path| fs::read(path).expect("the corpus can be read")));
    inputs
}

#[test]
fn no_stream_makes_an_end_panic_and_both_ends_read_the_same() {
    let inputs = inputs();
    for (index, input) in inputs.iter().enumerate() {
        exercise::exercise(input);
        for cut in 0..input.len() {
            exercise::exercise(&input[..cut]);
            let mut turned = input.clone();
            turned[cut] ^= 1 << (cut % 8);
            exercise::exercise(&turned);
            turned[cut] = 0xFF;
            exercise::exercise(&turned);
        }
        let other = &inputs[(index * 7 + 3) % inputs.len()];
        exercise::exercise(&[&input[..input.len() / 2], other].concat());
    }
}
