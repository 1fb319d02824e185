//! What the other processes of the sandbox are doing, as `/proc` has it.
//!
//! A process that was killed is not gone at once: the kernel first takes its memory apart, which takes a second and more
//! where there are very many mappings. From the moment at which that begins it runs none of its own code any more.
//!
//! Where `/proc` cannot be read, nothing is known, and the answers are the careful ones: nobody is exiting, nobody waits for
//! the CPU.

use std::fs;
use std::io;

/// The kernel's flag of a task that is on its way out (`PF_EXITING`).
const EXITING: u32 = 0x4;

/// Whether all processes but init are exiting, each with all of its threads.
pub(crate) fn all_are_exiting() -> bool {
    // Where none can be seen although some are there, they are hidden, and nothing is known of them.
    tasks().is_ok_and(|tasks| !tasks.is_empty() && tasks.iter().all(|task| task.flags & EXITING != 0))
}

/// Whether a thread of a process but init would run if it had the CPU, or waits for a disk.
pub(crate) fn any_wants_cpu() -> bool {
    tasks().is_ok_and(|tasks| tasks.iter().any(|task| matches!(task.state, b'R' | b'D')))
}

/// All threads of all processes but init.
fn tasks() -> io::Result<Vec<Task>> {
    let mut found = Vec::new();
    for process in numbers("/proc")?.into_iter().filter(|process| *process != 1) {
        let directory = format!("/proc/{process}/task");
        for thread in present(numbers(&directory))?.unwrap_or_default() {
            if let Some(stat) = present(fs::read(format!("{directory}/{thread}/stat")))? {
                found.push(Task::parse(&stat).ok_or(io::ErrorKind::InvalidData)?);
            }
        }
    }
    Ok(found)
}

/// `None` for what has gone in the meantime.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    const NO_SUCH_PROCESS: i32 = 3;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(NO_SUCH_PROCESS) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Entries of a directory whose names are numbers.
fn numbers(directory: &str) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let Some(entry) = present(entry)? else { continue };
        found.extend(entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(found)
}

/// One task, from its `stat`.
#[derive(Debug, PartialEq, Eq)]
struct Task {
    state: u8,
    flags: u32,
}

impl Task {
    /// `pid (name) state ppid group session terminal its-group flags …`; the name may have anything in it, brackets and
    /// line ends too, but nothing behind it has a bracket.
    fn parse(stat: &[u8]) -> Option<Self> {
        let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let [state] = fields.next()?.as_bytes() else { return None };
        Some(Self { state: *state, flags: fields.nth(5)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_flags_are_found_behind_any_name() {
        let check = |name: &str, expected: Option<Task>| {
            let stat = format!("12 ({name}) R 1 12 12 0 -1 4194564 5 0 0 0 1\n");
            assert_eq!(Task::parse(stat.as_bytes()), expected, "{name:?}");
        };
        let exiting = || Some(Task { state: b'R', flags: 4_194_564 });
        assert_ne!(4_194_564 & EXITING, 0);
        for name in ["python3", "a b", "", ") S 1 1 1 0 -1 0", "x)\n(y", "ü"] {
            check(name, exiting());
        }
        for broken in [
            "",
            "12",
            "12 (x",
            "12 (x)",
            "12 (x) R",
            "12 (x) R 1 1 1 0 -1",
            "12 (x) RR 1 1 1 0 -1 4",
            "1 (x) R 1 1 1 0 -1 y",
        ] {
            assert_eq!(Task::parse(broken.as_bytes()), None, "{broken:?}");
        }
    }

    #[test]
    fn the_thread_of_this_test_runs() {
        let stat = fs::read("/proc/thread-self/stat").unwrap();
        let task = Task::parse(&stat).unwrap();
        assert_eq!((task.state, task.flags & EXITING), (b'R', 0));
        assert!(any_wants_cpu());
        assert!(!all_are_exiting());
    }
}
