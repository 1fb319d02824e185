//! The program's streams on their way to ours, live.
//!
//! The runner hands bytes to a sink that must not hold it up, and whoever reads our standard output may be slow or gone.
//! So a thread of its own writes, from a queue of bounded size: when that is full, the sink waits, the sandbox's pipe
//! fills, and the program waits, as in any pipeline. Nobody waits any more once the call is stopped or a reader is gone.
//!
//! Under JSON the streams are kept instead, up to a bound.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use init_protocol::LossyText;
use runner::OutputSink;
use sandbox::StreamKind;
use tokio::sync::Notify;

use crate::escape::Escaper;

/// Bytes that wait to be written.
const QUEUE_BYTES: usize = 4 << 20;
/// Text of each stream that a JSON document can hold.
const KEPT_BYTES: usize = 64 << 20;
/// The end of standard error that is looked at for hints.
const TAIL_BYTES: usize = 16 << 10;

/// What to do with control sequences of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequences {
    /// Show them where the stream is a terminal.
    Escaped,
    /// Send them as they are.
    Raw,
}

/// Streams that are written as they come.
#[derive(Debug)]
pub(crate) struct Live {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Told when a reader is gone.
    reader_gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(StreamKind, Vec<u8>)>,
    bytes: usize,
    /// No more pieces come.
    finished: bool,
    /// What comes is dropped: the call is stopped, or a reader is gone.
    dropping: bool,
    broken: bool,
    error_tail: Vec<u8>,
}

impl Live {
    /// Starts to write to our own streams.
    pub(crate) fn start(sequences: Sequences) -> Self {
        let text = |terminal: bool| (terminal && sequences == Sequences::Escaped).then(Text::default);
        let stdout = (Box::new(io::stdout()) as Box<dyn Write + Send>, text(io::stdout().is_terminal()));
        let stderr = (Box::new(io::stderr()) as Box<dyn Write + Send>, text(io::stderr().is_terminal()));
        Self::start_with(stdout, stderr)
    }

    fn start_with(stdout: Target, stderr: Target) -> Self {
        let queue =
            Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), reader_gone: Notify::new() });
        let shared = Arc::clone(&queue);
        let writer = std::thread::spawn(move || shared.write(stdout, stderr));
        Self { queue, writer: Some(writer) }
    }

    /// Where the runner puts what the program prints.
    pub(crate) fn sink(&self) -> OutputSink {
        let queue = Arc::clone(&self.queue);
        Box::new(move |stream, bytes| queue.push(stream, bytes))
    }

    /// Waits until whoever reads our standard output is gone.
    pub(crate) async fn reader_gone(&self) {
        self.queue.reader_gone.notified().await;
    }

    /// From now on what comes is dropped, so that nothing waits for a reader that does not read.
    pub(crate) fn stop(&self) {
        self.queue.lock().dropping = true;
        self.queue.changed.notify_all();
    }

    /// Waits until everything is written.
    pub(crate) fn finish(mut self) -> Written {
        self.queue.lock().finished = true;
        self.queue.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // It only panics where writing does, and then there is nobody to tell.
            _ = writer.join();
        }
        let state = self.queue.lock();
        let error_tail = String::from_utf8_lossy(&state.error_tail).into_owned();
        Written { broken: state.broken, error_tail }
    }
}

/// How the writing went.
#[derive(Debug)]
pub(crate) struct Written {
    /// A reader went away.
    pub(crate) broken: bool,
    /// The end of the program's standard error.
    pub(crate) error_tail: String,
}

/// Where a stream goes; on a terminal as text whose control sequences are shown.
type Target = (Box<dyn Write + Send>, Option<Text>);

/// Text for a terminal, of bytes that come in pieces.
#[derive(Debug, Default)]
struct Text {
    decoder: LossyText,
    escaper: Escaper,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut out = String::new();
        self.decoder.push(bytes, |text| out.push_str(&self.escaper.push(text)));
        out
    }

    fn finish(mut self) -> String {
        let mut out = self.escaper.push(self.decoder.finish());
        out.push_str(self.escaper.finish());
        out
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The queue is whole between two operations, whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, stream: StreamKind, bytes: &[u8]) {
        let mut state = self.lock();
        if stream == StreamKind::Stderr {
            keep_tail(&mut state.error_tail, bytes);
        }
        while state.bytes > QUEUE_BYTES && !state.dropping {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.dropping {
            state.bytes += bytes.len();
            state.pieces.push_back((stream, bytes.to_owned()));
            self.changed.notify_all();
        }
    }

    /// The next piece; `None` at the end.
    fn next(&self) -> Option<(StreamKind, Vec<u8>)> {
        let mut state = self.lock();
        loop {
            if state.dropping && !state.finished {
                state.pieces.clear();
                state.bytes = 0;
            }
            if let Some((stream, bytes)) = state.pieces.pop_front() {
                state.bytes -= bytes.len();
                self.changed.notify_all();
                return Some((stream, bytes));
            }
            if state.finished {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, mut stdout: Target, mut stderr: Target) {
        while let Some((stream, bytes)) = self.next() {
            let target = match stream {
                StreamKind::Stdout => &mut stdout,
                StreamKind::Stderr => &mut stderr,
            };
            if !self.write_piece(target, &bytes) {
                return;
            }
        }
        for (mut writer, text) in [stdout, stderr] {
            if let Some(text) = text {
                _ = writer.write_all(text.finish().as_bytes());
            }
            _ = writer.flush();
        }
    }

    fn write_piece(&self, (writer, text): &mut Target, bytes: &[u8]) -> bool {
        let written = match text {
            Some(text) => writer.write_all(text.push(bytes).as_bytes()),
            None => writer.write_all(bytes),
        };
        // Ours buffers whole lines; what has no end of line yet is a prompt or a progress line, and must show, too.
        if written.and_then(|()| writer.flush()).is_ok() {
            return true;
        }
        let mut state = self.lock();
        (state.dropping, state.broken) = (true, true);
        self.changed.notify_all();
        self.reader_gone.notify_one();
        false
    }
}

/// Streams that are kept for a document, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    streams: Arc<Mutex<KeptStreams>>,
}

#[derive(Debug, Default)]
struct KeptStreams {
    text: KeptText,
    stdout: LossyText,
    stderr: LossyText,
}

/// What was kept.
#[derive(Debug, Default)]
pub(crate) struct KeptText {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// There was more.
    pub(crate) truncated: bool,
}

impl Kept {
    /// Where the runner puts what the program prints.
    pub(crate) fn sink(&self) -> OutputSink {
        let kept = self.clone();
        Box::new(move |stream, bytes| {
            let mut all = kept.streams.lock().unwrap_or_else(PoisonError::into_inner);
            let KeptStreams { text, stdout, stderr } = &mut *all;
            match stream {
                StreamKind::Stdout => stdout.push(bytes, |piece| text.add(stream, piece)),
                StreamKind::Stderr => stderr.push(bytes, |piece| text.add(stream, piece)),
            }
        })
    }

    /// All that came.
    pub(crate) fn take(&self) -> KeptText {
        let mut all = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let KeptStreams { mut text, stdout, stderr } = std::mem::take(&mut *all);
        text.add(StreamKind::Stdout, stdout.finish());
        text.add(StreamKind::Stderr, stderr.finish());
        text
    }
}

impl KeptText {
    fn add(&mut self, stream: StreamKind, text: &str) {
        let whole = match stream {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        };
        let room = KEPT_BYTES.saturating_sub(whole.len());
        self.truncated |= text.len() > room;
        whole.push_str(&text[..text.floor_char_boundary(room)]);
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(bytes);
    if tail.len() > 2 * TAIL_BYTES {
        tail.drain(..tail.len() - TAIL_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that never reads.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Ends when the test lets go of the other side.
            _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn streams_stay_apart_and_in_order() {
        let (out, err) = (Shared::default(), Shared::default());
        let live =
            Live::start_with((Box::new(out.clone()), None), (Box::new(err.clone()), Some(Text::default())));
        let mut sink = live.sink();
        sink(StreamKind::Stdout, b"a\x1b[2J");
        sink(StreamKind::Stderr, b"x\x1b[2J\xc3");
        sink(StreamKind::Stderr, b"\xa9\r");
        sink(StreamKind::Stdout, b"\0\xff\n");
        let written = live.finish();
        assert_eq!(out.0.lock().unwrap().as_slice(), b"a\x1b[2J\0\xff\n");
        assert_eq!(err.0.lock().unwrap().as_slice(), "x\\e[2Jé\\r".as_bytes());
        assert_eq!((written.broken, written.error_tail.as_str()), (false, "x\x1b[2Jé\r"));
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_told_and_blocks_nobody() {
        let live = Live::start_with((Box::new(Gone), None), (Box::new(Gone), None));
        let mut sink = live.sink();
        sink(StreamKind::Stdout, b"a");
        live.reader_gone().await;
        for _ in 0..3 {
            sink(StreamKind::Stdout, &[b'x'; QUEUE_BYTES]);
        }
        assert!(live.finish().broken);
    }

    #[test]
    fn a_stopped_call_does_not_wait_for_a_reader_that_does_not_read() {
        let (go_on, stuck) = std::sync::mpsc::channel();
        let live = Live::start_with((Box::new(Stuck(stuck)), None), (Box::new(io::sink()), None));
        let mut sink = live.sink();
        let waiting = std::thread::spawn(move || {
            for _ in 0..4 {
                sink(StreamKind::Stdout, &[b'x'; QUEUE_BYTES]);
            }
        });
        live.stop();
        waiting.join().unwrap();
        drop(go_on);
        live.finish();
    }

    #[test]
    fn documents_are_bounded_and_cut_between_characters() {
        let kept = Kept::default();
        let mut sink = kept.sink();
        sink(StreamKind::Stdout, &vec![b'x'; KEPT_BYTES - 1]);
        sink(StreamKind::Stdout, "ü".as_bytes());
        sink(StreamKind::Stderr, b"fine");
        let text = kept.take();
        assert_eq!((text.stdout.len(), text.stderr.as_str(), text.truncated), (KEPT_BYTES - 1, "fine", true));
    }
}
