//! The request loop: greet once, then one request at a time until the stream ends.

use std::io;

use init_protocol::{FailKind, FromInit, Kind, Setup, ToInit, VERSION, parse_message};

use crate::files::Failure;
use crate::stream::Stream;
use crate::wall::Wall;
use crate::{exec, files, list, put, sys};

/// What requests need to know of the sandbox.
pub(crate) struct Sandbox {
    pub(crate) setup: Setup,
    pub(crate) wall: Wall,
    pub(crate) signals: sys::ChildSignals,
}

/// Serves until the runner closes its end. Returning ends the process, and with it, as it is PID 1, the sandbox.
pub(crate) fn serve(mut stream: Stream) -> io::Result<()> {
    let Some(sandbox) = greet(&mut stream)? else { return Ok(()) };
    while let Some(frame) = stream.next()? {
        if frame.kind != Kind::Message {
            return Err(io::Error::other("data without a request"));
        }
        let request = frame.request;
        match parse_message(&frame.payload).map_err(io::Error::other)? {
            ToInit::Exec(exec) => exec::run(&mut stream, &sandbox, request, &exec)?,
            ToInit::Put { directory, owner } => {
                let result = put::put(&mut stream, &sandbox.setup, request, &directory, owner)?;
                answer(&mut stream, request, result)?;
            }
            ToInit::Write { path } => {
                let result = files::write(&mut stream, &sandbox.setup, request, &path)?;
                answer(&mut stream, request, result)?;
            }
            ToInit::Read { path, offset, limit } => {
                let result = files::read(&mut stream, &sandbox.setup, request, &path, offset, limit)?;
                answer(&mut stream, request, result)?;
            }
            ToInit::List { directory, max_entries } => {
                list::list(&mut stream, &sandbox.setup, request, &directory, max_entries)?;
            }
            ToInit::Fetch { files } => {
                files::fetch(&mut stream, &sandbox.setup, request, &files)?;
                stream.answer(request, &FromInit::Done)?;
            }
            // It came too late: the exec had already ended.
            ToInit::Kill { .. } => {}
            ToInit::Hello { .. } | ToInit::End => return Err(io::Error::other("a request out of place")),
        }
    }
    Ok(())
}

fn greet(stream: &mut Stream) -> io::Result<Option<Sandbox>> {
    let Some(frame) = stream.next()? else { return Ok(None) };
    let ToInit::Hello { version, setup } = parse_message(&frame.payload).map_err(io::Error::other)? else {
        return Err(io::Error::other("no greeting"));
    };
    if version != VERSION {
        let message = format!("init speaks version {VERSION} of the protocol, the runner {version}");
        stream.answer(frame.request, &FromInit::Failed { kind: FailKind::BadRequest, message })?;
        return Ok(None);
    }
    let prepared = prepare(&setup);
    match prepared {
        Ok((wall, signals)) => {
            stream.answer(
                frame.request,
                &FromInit::Ready { version: VERSION, landlock_abi: wall.landlock_abi() },
            )?;
            Ok(Some(Sandbox { setup, wall, signals }))
        }
        Err(error) => {
            stream.answer(
                frame.request,
                &FromInit::Failed { kind: FailKind::Wall, message: error.to_string() },
            )?;
            Ok(None)
        }
    }
}

fn prepare(setup: &Setup) -> io::Result<(Wall, sys::ChildSignals)> {
    sys::guard_init()?;
    sys::end_after(setup.lifetime_ms)?;
    Ok((Wall::prepare(setup)?, sys::ChildSignals::new()?))
}

fn answer(stream: &mut Stream, request: u32, result: Result<(), Failure>) -> io::Result<()> {
    let message = match result {
        Ok(()) => FromInit::Done,
        Err(failure) => failure.into_message(),
    };
    stream.answer(request, &message)
}
