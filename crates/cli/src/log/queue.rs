//! Lines on their way to a reader that may be slow, stopped or gone.
//!
//! Whoever adds a line never waits: there is room, or the line is counted as lost. One thread writes, and is the only one
//! that a write can hold up. A line that cannot be written (a full disk, a reader that went away) is counted as well, and
//! the next one is tried, since a disk can have room again. Once lines get through, the number that did not is
//! itself a line of the log.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Lines that wait, and the thread that writes them.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    most_bytes: usize,
    lost: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread has a line in its hands.
    writing: bool,
}

impl Queue {
    /// Starts to write to a reader.
    pub(crate) fn start(mut to: Box<dyn Write + Send>, most_bytes: usize) -> Arc<Self> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            most_bytes,
            lost: Arc::default(),
        });
        let shared = Arc::clone(&queue);
        // It goes with the process: nothing can end a thread that is held up by its reader.
        let started = thread::Builder::new().name("log".to_owned()).spawn(move || shared.write(&mut *to));
        if started.is_err() {
            // No thread, no log; the lines are counted when they find no room.
            queue.state().bytes = most_bytes;
        }
        queue
    }

    /// Adds a line, with its end. Never waits for the reader.
    pub(crate) fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        if state.bytes + line.len() > self.most_bytes {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        self.changed.notify_all();
    }

    /// Lines that were never written. Counts on.
    pub(crate) fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Waits until everything is written, but not for long.
    pub(crate) fn finish(&self, limit: Duration) {
        let waiting = |state: &mut State| state.writing || !state.lines.is_empty();
        // What is left then is left: the process ends.
        _ = self.changed.wait_timeout_while(self.state(), limit, waiting);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The queue is whole between two operations, whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, to: &mut dyn Write) {
        let mut told = 0;
        loop {
            let line = self.next();
            let written = write_whole(to, &line);
            {
                let mut state = self.state();
                state.bytes -= line.len();
                state.writing = false;
            }
            self.changed.notify_all();
            let lost = match written {
                Ok(()) => self.lost.load(Ordering::Relaxed),
                Err(_) => self.lost.fetch_add(1, Ordering::Relaxed) + 1,
            };
            if written.is_ok() && lost > told {
                // Another line of this very log.
                tracing::warn!(lines = lost - told, "lines of the log were lost");
                told = lost;
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Like `write_all`, also where the reader's end is set not to block.
fn write_whole(to: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    /// Between two tries.
    const PAUSE: Duration = Duration::from_millis(20);
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A reader that takes a line only when the test lets it, and refuses those that the test refuses.
    struct Reader {
        verdicts: mpsc::Receiver<io::Result<()>>,
        taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Where the test is over nobody looks any more.
            self.verdicts.recv().unwrap_or(Ok(()))?;
            _ = self.taken.send(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reader() -> (Box<Reader>, mpsc::Sender<io::Result<()>>, mpsc::Receiver<Vec<u8>>) {
        let ((verdict, verdicts), (taken, lines)) = (mpsc::channel(), mpsc::channel());
        (Box::new(Reader { verdicts, taken }), verdict, lines)
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody_and_what_is_lost_is_counted() {
        let (reader, verdict, lines) = reader();
        let queue = Queue::start(reader, 10);
        for _ in 0..100 {
            queue.push(b"12345".to_vec());
        }
        // Two lines have room, also while one of them is being written.
        assert_eq!(queue.lost().load(Ordering::Relaxed), 98);
        queue.finish(Duration::from_millis(1));
        for _ in 0..2 {
            verdict.send(Ok(())).unwrap();
            assert_eq!(lines.recv_timeout(LONG).unwrap(), b"12345");
        }
        queue.finish(LONG);
        queue.push(b"again".to_vec());
        verdict.send(Ok(())).unwrap();
        assert_eq!(lines.recv_timeout(LONG).unwrap(), b"again");
        assert_eq!(queue.lost().load(Ordering::Relaxed), 98);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_the_next_one_is_tried() {
        let (reader, verdict, lines) = reader();
        let queue = Queue::start(reader, 100);
        verdict.send(Err(ErrorKind::StorageFull.into())).unwrap();
        verdict.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        verdict.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        verdict.send(Ok(())).unwrap();
        for line in ["a", "b", "c"] {
            queue.push(line.as_bytes().to_vec());
        }
        assert_eq!(lines.recv_timeout(LONG).unwrap(), b"c");
        queue.finish(LONG);
        assert_eq!(queue.lost().load(Ordering::Relaxed), 2);
    }
}
