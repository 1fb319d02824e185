//! What was saved in `/output`: listed as what it is, fetched as it is, never followed (P9, P10).

use std::collections::BTreeMap;

use super::harness::{MIB, destroy, list, sandbox, still_works, succeed};
use crate::fake::Program;
use crate::{Driver, Entry, EntryKind, FetchFile, FetchItem, FileErrorKind, Sandbox, SandboxError};

/// What a fetch gave for one file: its size and bytes, or why not.
type Fetched = Result<(u64, Vec<u8>), FileErrorKind>;

/// P9: every kind of thing is listed with its own name, whatever bytes that has, and nothing is followed.
pub async fn everything_is_listed_as_what_it_is(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    assert!(list(&mut sandbox).await.entries.is_empty(), "a new sandbox has output");
    let odd: [&[u8]; 4] = [b"new\nline", b"\xff\xfe\x80", b" -rf *", "ünï\u{202e}gnp.exe".as_bytes()];
    let mut program = Program::new()
        .write("/output/plain.txt", "12345")
        .write("/output/a/b/c/d/nested", "x")
        .make_directory("/output/empty/directory")
        .symlink("/etc/passwd", "/output/link")
        .symlink("/", "/output/to root")
        .symlink("nowhere", "/output/a/dangling")
        .fifo("/output/fifo")
        .set_length("/output/sparse", 200 * MIB)
        .write("/output/first", "both")
        .hard_link("/output/first", "/output/second")
        .write("/output/.hidden", "");
    for name in odd {
        program = program.write([b"/output/", name].concat(), name);
    }
    succeed(&mut sandbox, &program).await;
    let listing = list(&mut sandbox).await;
    assert!(!listing.truncated);
    let count = listing.entries.len();
    let entries: BTreeMap<Vec<u8>, Entry> =
        listing.entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    assert_eq!(entries.len(), count, "a name was listed twice");
    let expected: [(&[u8], EntryKind, u64); 9] = [
        (b"plain.txt", EntryKind::File, 5),
        (b"a/b/c/d/nested", EntryKind::File, 1),
        (b"sparse", EntryKind::File, 200 * MIB),
        (b"first", EntryKind::File, 4),
        (b"second", EntryKind::File, 4),
        (b".hidden", EntryKind::File, 0),
        (b"link", EntryKind::Symlink, 11),
        (b"a/dangling", EntryKind::Symlink, 7),
        (b"fifo", EntryKind::Special, 0),
    ];
    for (name, kind, size) in expected {
        let entry =
            entries.get(name).unwrap_or_else(|| panic!("{} is not listed", String::from_utf8_lossy(name)));
        assert_eq!((entry.kind, entry.size), (kind, size), "{}", String::from_utf8_lossy(name));
    }
    for name in odd {
        assert_eq!(entries.get(name).map(|entry| entry.size), Some(name.len() as u64), "{name:?}");
    }
    assert_eq!(entries.len(), expected.len() + odd.len() + 1, "{:?}", entries.keys());
    assert!(entries[b"sparse".as_slice()].allocated < MIB, "{:?}", entries[b"sparse".as_slice()]);
    assert_eq!((entries[b"first".as_slice()].links, entries[b"plain.txt".as_slice()].links), (2, 1));
    assert_eq!(entries[b"first".as_slice()].inode, entries[b"second".as_slice()].inode);
    destroy(sandbox).await;
}

/// P10: a file that was written again differs in inode, size or time of change, also where all of what a program can
/// set is the same; one that was not touched does not.
pub async fn a_rewritten_file_shows(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let write = || Program::new().write("/output/same", "content");
    succeed(&mut sandbox, &write().write("/output/other", "x")).await;
    let first = marks(&mut sandbox).await;
    assert_eq!(marks(&mut sandbox).await, first, "without a program nothing changes");
    succeed(&mut sandbox, &Program::new().read("/output/same").write("/workspace/x", "x")).await;
    assert_eq!(marks(&mut sandbox).await, first, "reading is no change");
    succeed(&mut sandbox, &write()).await;
    let second = marks(&mut sandbox).await;
    assert_ne!(second[b"same".as_slice()], first[b"same".as_slice()], "written again");
    assert_eq!(second[b"other".as_slice()], first[b"other".as_slice()], "not touched");
    succeed(&mut sandbox, &Program::new().remove("/output/same").then(write())).await;
    assert_ne!(
        marks(&mut sandbox).await[b"same".as_slice()],
        second[b"same".as_slice()],
        "removed and made again"
    );
    destroy(sandbox).await;
}

/// Ten thousand files are listed completely, and never more than were asked for.
pub async fn a_listing_is_bounded(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    succeed(&mut sandbox, &Program::new().many_files("/output/many", 10_000)).await;
    let listing = list(&mut sandbox).await;
    assert_eq!((listing.entries.len(), listing.truncated), (10_000, false));
    for (most, expected, truncated) in
        [(10_000, 10_000, false), (9_999, 9_999, true), (1, 1, true), (0, 0, true)]
    {
        let listing = sandbox.list_output(most).await.expect("a listing");
        assert_eq!((listing.entries.len(), listing.truncated), (expected, truncated), "at most {most}");
    }
    let wanted: Vec<FetchFile> =
        (0..10_000).step_by(97).map(|number| whole(format!("many/{number}"))).collect();
    let fetched = fetch(&mut sandbox, wanted.clone()).await;
    for (file, fetched) in wanted.iter().zip(&fetched) {
        let number = file.path.strip_prefix(b"many/").expect("its own name");
        assert_eq!(fetched, &Ok((number.len() as u64, number.to_vec())));
    }
    assert_eq!(fetched.len(), wanted.len());
    destroy(sandbox).await;
}

/// Several files in one go come in the order of the request, whole or in ranges.
pub async fn files_are_fetched_in_order(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new()
        .write("/output/b/first", "one")
        .write("/output/empty", "")
        .write(b"/output/\xff\n".as_slice(), b"\0\xff".as_slice())
        .fill("/output/large", 2 * MIB + 5)
        .set_length("/output/sparse", 200 * MIB);
    succeed(&mut sandbox, &program).await;
    let range = |path: &[u8], offset, limit| FetchFile { path: path.to_vec(), offset, limit };
    let wanted = vec![
        whole("large"),
        whole("b/first"),
        whole("empty"),
        whole(b"\xff\n".as_slice()),
        range(b"b/first", 1, 1),
        range(b"b/first", 3, 10),
        range(b"large", 2 * MIB, 100),
        range(b"sparse", 100 * MIB, 1000),
        whole("b/first"),
    ];
    let fetched = fetch(&mut sandbox, wanted).await;
    let file = |size: u64, bytes: &[u8]| Ok((size, bytes.to_vec()));
    let large = vec![b'x'; 2 * 1024 * 1024 + 5];
    let expected: Vec<Fetched> = vec![
        file(2 * MIB + 5, &large),
        file(3, b"one"),
        file(0, b""),
        file(2, b"\0\xff"),
        file(3, b"n"),
        file(3, b""),
        file(2 * MIB + 5, b"xxxxx"),
        file(200 * MIB, &[0; 1000]),
        file(3, b"one"),
    ];
    assert!(fetched == expected, "something else was fetched");
    assert_eq!(fetch(&mut sandbox, Vec::new()).await, Vec::new());
    still_works(&mut sandbox).await;
    destroy(sandbox).await;
}

/// P9: links of both kinds, FIFOs, directories and paths that lead outside are refused, each by itself: what is asked
/// for beside them comes.
pub async fn only_plain_output_files_are_fetched(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new()
        .write("/output/good", "good")
        .write("/workspace/secret", "secret")
        .symlink("/etc/passwd", "/output/link")
        .symlink("good", "/output/inner link")
        .symlink("/etc", "/output/directory link")
        .hard_link("/output/good", "/output/hard")
        .write("/output/alone", "alone")
        .fifo("/output/fifo")
        .make_directory("/output/directory");
    succeed(&mut sandbox, &program).await;
    let refused: [&[u8]; 13] = [
        b"link",
        b"inner link",
        b"directory link/passwd",
        b"good",
        b"hard",
        b"fifo",
        b"directory",
        b"",
        b"none",
        b"../workspace/secret",
        b"/workspace/secret",
        b"/output/alone",
        b"directory/../../workspace/secret",
    ];
    let wanted = refused.iter().flat_map(|path| [whole(*path), whole("alone")]).collect();
    let fetched = fetch(&mut sandbox, wanted).await;
    assert_eq!(fetched.len(), refused.len() * 2);
    for (path, pair) in refused.iter().zip(fetched.chunks(2)) {
        assert!(pair[0].is_err(), "{:?} was fetched: {:?}", String::from_utf8_lossy(path), pair[0]);
        assert_eq!(pair[1], Ok((5, b"alone".to_vec())), "after {:?}", String::from_utf8_lossy(path));
    }
    assert_eq!(fetched[16], Err(FileErrorKind::NotFound));
    still_works(&mut sandbox).await;
    destroy(sandbox).await;
}

/// A file that went away or changed its size between listing and fetching is fetched as it is now.
pub async fn files_that_change_are_fetched_as_they_are(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let names = ["gone", "shorter", "longer", "same"];
    let program =
        names.iter().fold(Program::new(), |program, name| program.fill(format!("/output/{name}"), 1000));
    succeed(&mut sandbox, &program).await;
    let listed = list(&mut sandbox).await.entries;
    assert_eq!(listed.len(), 4);
    let change =
        Program::new().remove("/output/gone").set_length("/output/shorter", 10).fill("/output/longer", 5000);
    succeed(&mut sandbox, &change).await;
    // With the sizes of the old listing as limits, as a capture would.
    let wanted = names.map(|name| FetchFile { path: name.into(), offset: 0, limit: 1000 }).to_vec();
    let fetched = fetch(&mut sandbox, wanted).await;
    let sizes: Vec<_> =
        fetched.iter().map(|file| file.as_ref().map(|(size, bytes)| (*size, bytes.len()))).collect();
    assert_eq!(sizes, [Err(&FileErrorKind::NotFound), Ok((10, 10)), Ok((5000, 1000)), Ok((1000, 1000))]);
    destroy(sandbox).await;
}

/// A fetch that nobody read to its end makes the sandbox unusable instead of mixing up answers.
pub async fn a_fetch_left_in_the_middle_is_noticed(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    succeed(&mut sandbox, &Program::new().fill("/output/large", MIB)).await;
    let mut fetch = sandbox.fetch(vec![whole("large")]).await.expect("a fetch");
    assert_eq!(fetch.next().await.expect("a step"), Some(FetchItem::File { size: MIB }));
    drop(fetch);
    assert!(!sandbox.is_usable());
    assert!(matches!(sandbox.list_output(10).await, Err(SandboxError::Broken { .. })));
    destroy(sandbox).await;
}

fn whole(path: impl Into<Vec<u8>>) -> FetchFile {
    FetchFile { path: path.into(), offset: 0, limit: 4 * MIB }
}

async fn fetch(sandbox: &mut Sandbox, files: Vec<FetchFile>) -> Vec<Fetched> {
    let mut fetched: Vec<Fetched> = Vec::new();
    let mut fetch = sandbox.fetch(files).await.expect("a fetch");
    loop {
        match fetch.next().await.expect("a step of a fetch") {
            Some(FetchItem::File { size }) => fetched.push(Ok((size, Vec::new()))),
            Some(FetchItem::Data(bytes)) => match fetched.last_mut() {
                Some(Ok((_, content))) => content.extend_from_slice(&bytes),
                other => panic!("bytes after {other:?}"),
            },
            Some(FetchItem::Failed(error)) => fetched.push(Err(error.kind)),
            None => return fetched,
        }
    }
}

/// What tells whether a file changed.
async fn marks(sandbox: &mut Sandbox) -> BTreeMap<Vec<u8>, (u64, u64, i64)> {
    let entries = list(sandbox).await.entries.into_iter();
    entries.map(|entry| (entry.path, (entry.inode, entry.size, entry.changed_ns))).collect()
}
