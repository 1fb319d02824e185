//! Files that the runner writes and reads through init: what is asked for and nothing else (P1, P4, P13).

use super::harness::{
    MIB, destroy, exec, limited, path, read, request, run, sandbox, still_works, succeed, words, write,
};
use crate::fake::Program;
use crate::{Driver, FileError, FileErrorKind, Owner, Sandbox, SandboxError, Termination};

/// What is written through init can be read again, by init and by programs, whole and in ranges.
pub async fn what_is_written_can_be_read(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3 * 1024 * 1024 + 17).collect();
    write(&mut sandbox, "/workspace/a/b/c.bin", &bytes).await;
    assert!(read(&mut sandbox, "/workspace/a/b/c.bin").await == bytes, "a large file came back changed");
    for (offset, limit, expected) in [
        (0, 3, &bytes[..3]),
        (1_000_000, 300_000, &bytes[1_000_000..1_300_000]),
        (bytes.len() as u64 - 2, 100, &bytes[bytes.len() - 2..]),
        (bytes.len() as u64, 100, &[][..]),
        (u64::MAX, u64::MAX, &[][..]),
        (5, 0, &[][..]),
    ] {
        let range = sandbox.read(&path("/workspace/a/b/c.bin"), offset, limit).await.expect("an answer");
        let range = range.expect("a range");
        assert_eq!(range.size, bytes.len() as u64);
        assert!(range.bytes == expected, "{limit} bytes from {offset}");
    }
    write(&mut sandbox, "/workspace/a/b/c.bin", b"short").await;
    assert_eq!(succeed(&mut sandbox, &Program::new().read("a/b/c.bin")).await, "short");
    write(&mut sandbox, "/output/empty", b"").await;
    assert_eq!(read(&mut sandbox, "/output/empty").await, b"");
    succeed(&mut sandbox, &Program::new().write("/workspace/ü \u{1f600}", "by a program")).await;
    assert_eq!(read(&mut sandbox, "/workspace/ü \u{1f600}").await, b"by a program");
    destroy(sandbox).await;
}

/// Programs may change, replace and remove what init wrote for them, and its directories.
pub async fn written_files_belong_to_programs(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    write(&mut sandbox, "/workspace/new/file", b"one").await;
    let program = Program::new()
        .write("/workspace/new/file", "two")
        .write("/workspace/new/beside", "x")
        .read("/workspace/new/file")
        .remove("/workspace/new");
    assert_eq!(succeed(&mut sandbox, &program).await, "two");
    assert_eq!(failure(&mut sandbox, "/workspace/new/file").await, FileErrorKind::NotFound);
    destroy(sandbox).await;
}

/// Missing files, directories and FIFOs are told apart, and nothing waits for the other end of a FIFO (P9).
pub async fn what_is_no_file_is_refused(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    succeed(&mut sandbox, &Program::new().fifo("/workspace/fifo").write("/workspace/file", "x")).await;
    for (name, expected) in [
        ("/workspace/none", FileErrorKind::NotFound),
        ("/workspace/none/below", FileErrorKind::NotFound),
        ("/workspace", FileErrorKind::NotAFile),
        ("/skills", FileErrorKind::NotAFile),
        ("/workspace/fifo", FileErrorKind::NotAFile),
    ] {
        assert_eq!(failure(&mut sandbox, name).await, expected, "reading {name}");
    }
    for name in ["/workspace", "/workspace/fifo", "/output"] {
        let refused = sandbox.write(&path(name), b"x").await.expect("an answer");
        assert_eq!(refused.map_err(|error| error.kind), Err(FileErrorKind::NotAFile), "writing {name}");
    }
    // A file where a directory would have to be.
    let below = sandbox.write(&path("/workspace/file/below"), b"x").await.expect("an answer");
    assert!(below.is_err(), "a file below a file");
    still_works(&mut sandbox).await;
    destroy(sandbox).await;
}

/// P4: no link of a program's makes init read or write anywhere else.
pub async fn links_do_not_lead_outside(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new()
        .symlink("/etc/passwd", "/workspace/absolute")
        .symlink("../etc/passwd", "/workspace/relative")
        .symlink("/proc/1/environ", "/workspace/proc")
        .symlink("/etc", "/workspace/directory")
        .symlink("../../../..", "/workspace/root")
        .symlink("/workspace/loop", "/workspace/loop")
        .symlink("/tmp/target", "/workspace/elsewhere")
        .symlink("/skills", "/output/skills")
        .write("/tmp/target", "unchanged");
    succeed(&mut sandbox, &program).await;
    for name in ["absolute", "relative", "proc", "directory/passwd", "root/etc/passwd", "loop", "elsewhere"] {
        let name = format!("/workspace/{name}");
        assert_eq!(failure(&mut sandbox, &name).await, FileErrorKind::Outside, "reading {name}");
        let refused = sandbox.write(&path(&name), b"x").await.expect("an answer");
        assert_eq!(refused.map_err(|error| error.kind), Err(FileErrorKind::Outside), "writing {name}");
    }
    let refused = sandbox.write(&path("/output/skills/x"), b"x").await.expect("an answer");
    assert_eq!(refused.map_err(|error| error.kind), Err(FileErrorKind::Outside));
    let put = put(&mut sandbox, "/output/skills", &tar(&[("x", b"x", 0o644)]), Owner::User).await;
    assert!(!matches!(put, Ok(Ok(()))), "a tar through a link: {put:?}");
    assert_eq!(succeed(&mut sandbox, &Program::new().read("/tmp/target")).await, "unchanged");
    destroy(sandbox).await;
}

/// P4, P6: a file that is too large, or does not fit, is refused with that reason, and room that is made is room.
pub async fn too_much_is_refused_and_survived(driver: &dyn Driver) {
    let mut sandbox = limited(driver, |limits| {
        limits.disk_bytes = 4 * MIB;
        limits.file_bytes = 3 * MIB;
    })
    .await;
    let file = vec![b'x'; 3 * 1024 * 1024];
    let longer = vec![b'x'; 3 * 1024 * 1024 + 1];
    let too_large = sandbox.write(&path("/output/a"), &longer).await.expect("an answer");
    // Init itself has no limit of file size; where it takes the file, the disk's limit is what counts.
    assert!(too_large.as_ref().map_err(|error| error.kind) != Err(FileErrorKind::Other), "{too_large:?}");
    succeed(&mut sandbox, &Program::new().remove("/output/a")).await;
    write(&mut sandbox, "/output/a", &file).await;
    let no_space = sandbox.write(&path("/output/b"), &file).await.expect("an answer");
    assert_eq!(no_space.map_err(|error| error.kind), Err(FileErrorKind::NoSpace));
    // The other places have room of their own.
    write(&mut sandbox, "/workspace/a", &file).await;
    let outcome = run(&mut sandbox, &Program::new().fill("/output/c", 3 * MIB)).await;
    assert_eq!(outcome.termination, Termination::Exited(1));
    assert!(outcome.stderr.head.contains("No space left"), "{outcome:?}");
    succeed(&mut sandbox, &Program::new().remove("/output/a").remove("/output/b").remove("/output/c")).await;
    write(&mut sandbox, "/output/a", &file).await;
    destroy(sandbox).await;
}

/// A tar becomes files and directories with the owner that was asked for; the executable bit counts.
pub async fn a_tar_becomes_files(driver: &dyn Driver) {
    let mut sandbox = sandbox(driver).await;
    let program = Program::new().stdout("from a script\n").write("../written", "x").exit(0);
    let script = format!("#!/bin/bash\n{}", program.script());
    let large = vec![b'y'; 700_000];
    let skill = tar(&[
        ("SKILL.md", b"---\nname: a\n---\n", 0o644),
        ("scripts/run.sh", script.as_bytes(), 0o755),
        ("assets/deep/er/large", &large, 0o600),
        ("empty/", b"", 0o755),
    ]);
    done(put(&mut sandbox, "/skills/a", &skill, Owner::Init).await);
    assert_eq!(read(&mut sandbox, "/skills/a/SKILL.md").await, b"---\nname: a\n---\n");
    assert!(read(&mut sandbox, "/skills/a/assets/deep/er/large").await == large, "a large file of a tar");
    assert_eq!(failure(&mut sandbox, "/skills/a/empty").await, FileErrorKind::NotAFile);
    // It runs and prints, and may write nothing beside itself.
    let mut request = request(words(&["/skills/a/scripts/run.sh"]));
    request.cwd = "/skills/a/scripts".to_owned();
    let outcome = exec(&mut sandbox, &request).await;
    assert_eq!(
        (outcome.stdout.head.as_str(), outcome.termination),
        ("from a script\n", Termination::Exited(1))
    );
    let change = [
        Program::new().write("/skills/a/SKILL.md", "x"),
        Program::new().remove("/skills/a/SKILL.md"),
        Program::new().make_directory("/skills/b"),
        Program::new().symlink("x", "/skills/a/link"),
    ];
    for program in change {
        assert_eq!(run(&mut sandbox, &program).await.termination, Termination::Exited(1), "{program:?}");
    }
    // A second one, while the first is in use.
    done(put(&mut sandbox, "/skills/b", &skill, Owner::Init).await);
    // Inputs belong to programs.
    done(put(&mut sandbox, "/workspace/in", &tar(&[("data/a.csv", b"1,2\n", 0o644)]), Owner::User).await);
    let program = Program::new()
        .read("in/data/a.csv")
        .write("in/data/a.csv", "3\n")
        .write("in/data/b", "")
        .remove("in");
    assert_eq!(succeed(&mut sandbox, &program).await, "1,2\n");
    destroy(sandbox).await;
}

/// P13: a tar with names that lead outside, links or devices is refused, and what it was after is not there.
pub async fn a_hostile_tar_is_refused(driver: &dyn Driver) {
    use tar::EntryType;
    let entries: [(&str, EntryType, &str); 10] = [
        ("../evil", EntryType::Regular, ""),
        ("a/../../evil", EntryType::Regular, ""),
        ("/workspace/evil", EntryType::Regular, ""),
        ("evil/..", EntryType::Directory, ""),
        ("evil", EntryType::Symlink, "/etc/passwd"),
        ("evil", EntryType::Link, "/etc/passwd"),
        ("evil", EntryType::Char, ""),
        ("evil", EntryType::Block, ""),
        ("evil", EntryType::Fifo, ""),
        ("evil", EntryType::GNUSparse, ""),
    ];
    for (name, kind, target) in entries {
        let mut sandbox = sandbox(driver).await;
        let mut header = tar::Header::new_gnu();
        // The builder refuses such names, so they are put into the field.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_size(0);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(bytes.len() + 1024, 0);
        let put = put(&mut sandbox, "/workspace/in", &bytes, Owner::User).await;
        assert!(!matches!(put, Ok(Ok(()))), "{name} as {kind:?} was taken");
        // Refusing may cost the sandbox, but where it goes on, nothing was made.
        if sandbox.is_usable() {
            for place in ["/workspace/in/evil", "/workspace/evil", "/workspace/in/workspace/evil"] {
                let found = run(&mut sandbox, &Program::new().read(place)).await;
                assert_eq!(found.termination, Termination::Exited(1), "{name} as {kind:?} made {place}");
            }
        }
        destroy(sandbox).await;
    }
}

async fn failure(sandbox: &mut Sandbox, name: &str) -> FileErrorKind {
    match sandbox.read(&path(name), 0, 100).await.expect("an answer") {
        Ok(range) => panic!("{name} could be read: {:?}", String::from_utf8_lossy(&range.bytes)),
        Err(error) => error.kind,
    }
}

async fn put(
    sandbox: &mut Sandbox,
    directory: &str,
    tar: &[u8],
    owner: Owner,
) -> Result<Result<(), FileError>, SandboxError> {
    sandbox.put(directory, tar, owner).await
}

fn done(put: Result<Result<(), FileError>, SandboxError>) {
    if !matches!(put, Ok(Ok(()))) {
        panic!("a tar was not taken: {put:?}");
    }
}

/// A tar of files (and of directories, where the name ends with a slash).
pub(super) fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        let kind = if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
        header.set_entry_type(kind);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).expect("an entry");
    }
    builder.into_inner().expect("a tar in memory")
}
