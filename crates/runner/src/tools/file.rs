//! `file_write` and `file_read`: files of the sandbox, by paths that were checked before it is even made.

use artifact::{HEAD_BYTES, MediaType};
use sandbox::{FileError, FileErrorKind, SandboxPath, layout};
use tool::{FileRead, FileReadResult, FileWrite, FileWriteResult, SizeLimit, ToolError, ToolOutput};

use crate::{
    CallReport,
    fault::chain,
    tools::program::{capture_call, lost, retire},
    trigger::{Job, Lease, Reason, Stop, acquire},
};

/// How long the upload after a write may take.
const CAPTURE: std::time::Duration = std::time::Duration::from_secs(60);

/// Writes a file; one below `/output` is captured at once.
pub(crate) async fn write(
    job: &mut Job,
    slot: &mut Option<Lease>,
    report: &mut CallReport,
    write: FileWrite,
) -> Result<ToolOutput, Stop> {
    let FileWrite { path: given, content } = write;
    let path = SandboxPath::writable(&given).map_err(|_| ToolError::path_not_allowed(&given))?;
    if given.ends_with('/') || layout::WRITABLE.contains(&path.as_str()) {
        return Err(ToolError::not_a_file(&given).into());
    }
    let (size, limit) = (content.len() as u64, job.core.config.write_limit);
    if size > limit {
        return Err(ToolError::file_too_large(path.as_str(), size, SizeLimit::Content(limit)).into());
    }
    let lease = acquire(job, slot, report).await?;
    match lease.sandbox.write(&path, &content).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(file_error(path.as_str(), &error)),
        Err(error) => {
            retire(job, slot, Reason::Broken).await;
            return Err(lost(&error));
        }
    }
    let mut output_files = Vec::new();
    if path.is_output() {
        let captured = capture_call(job, lease, report, CAPTURE).await;
        if let Some(error) = captured.broken {
            retire(job, slot, Reason::Broken).await;
            return Err(lost(&error));
        }
        output_files = captured.files;
    }
    let sandbox_restarted = is_restarted(report);
    let path = path.as_str().to_owned();
    Ok(ToolOutput::FileWrite(FileWriteResult { path, size, output_files, sandbox_restarted }))
}

/// Reads a range of a file.
pub(crate) async fn read(
    job: &mut Job,
    slot: &mut Option<Lease>,
    report: &mut CallReport,
    read: FileRead,
) -> Result<ToolOutput, Stop> {
    let FileRead { path: given, offset, limit } = read;
    let config = &job.core.config;
    let limit = limit.unwrap_or(config.read_default).min(config.read_limit);
    let path = SandboxPath::readable(&given).map_err(|_| ToolError::path_not_allowed(&given))?;
    let lease = acquire(job, slot, report).await?;
    let range = match read_range(lease, &path, offset, limit).await {
        Ok(Ok(range)) => range,
        Ok(Err(error)) => return Err(file_error(path.as_str(), &error)),
        Err(error) => {
            retire(job, slot, Reason::Broken).await;
            return Err(lost(&error));
        }
    };
    let media_type = MediaType::detect(&range.head, path.as_str()).to_string();
    let mut result =
        FileReadResult::new(path.as_str().to_owned(), range.size, offset, &range.bytes, media_type);
    result.sandbox_restarted = is_restarted(report);
    Ok(ToolOutput::FileRead(result))
}

/// A part of a file, and its beginning, which decides its media type.
struct Range {
    size: u64,
    bytes: Vec<u8>,
    head: Vec<u8>,
}

async fn read_range(
    lease: &mut Lease,
    path: &SandboxPath,
    offset: u64,
    limit: u64,
) -> Result<Result<Range, FileError>, sandbox::SandboxError> {
    let head_bytes = HEAD_BYTES as u64;
    if offset > 0 {
        let range = match lease.sandbox.read(path, offset, limit).await? {
            Ok(range) => range,
            Err(error) => return Ok(Err(error)),
        };
        let head = lease.sandbox.read(path, 0, head_bytes).await?;
        return Ok(head.map(|head| Range { size: range.size, bytes: range.bytes, head: head.bytes }));
    }
    // One read for both.
    Ok(lease.sandbox.read(path, 0, limit.max(head_bytes)).await?.map(|range| {
        let mut bytes = range.bytes;
        let head = bytes[..bytes.len().min(HEAD_BYTES)].to_vec();
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Range { size: range.size, bytes, head }
    }))
}

/// What a model is told of a file operation that failed.
pub(crate) fn file_error(path: &str, error: &FileError) -> Stop {
    match error.kind {
        FileErrorKind::NotFound => ToolError::file_not_found(path).into(),
        FileErrorKind::NotAFile => ToolError::not_a_file(path).into(),
        FileErrorKind::Outside => ToolError::path_not_allowed(path).into(),
        FileErrorKind::Permission => ToolError::permission_denied(path).into(),
        FileErrorKind::NoSpace => ToolError::no_space(path).into(),
        // Nothing runs while a file is read, so a file that changes, like everything unforeseen, is a fault.
        FileErrorKind::Changed | FileErrorKind::Other => {
            Stop::fault(ToolError::file_not_found(path), chain(error))
        }
    }
}

fn is_restarted(report: &CallReport) -> bool {
    report.sandbox.as_ref().is_some_and(|sandbox| sandbox.restarted)
}
