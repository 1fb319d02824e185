//! Small files of `/etc` that images lack: without a name for the user of programs `whoami`, git and Python's `getpass`
//! fail, and without names of protocols and services so does much of what speaks to a network, or parses its addresses.

use std::io::Read as _;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::TryStreamExt as _;
use sandbox::layout::USER_ID;
use sandbox::provided;

use crate::answer::is_missing;

/// Most bytes of such a file that are looked at; one that is longer is left as it is.
const LONGEST: usize = 1024 * 1024;

/// The files that need a line more, or are missing, as paths below the root and whole texts.
pub(crate) async fn amended(docker: &Docker, container: &str) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let lines = [
        ("etc/passwd", format!("{}\n", provided::passwd_entry("sandbox", "/bin/sh"))),
        ("etc/group", format!("sandbox:x:{USER_ID}:\n")),
    ];
    let mut amended = Vec::new();
    for (path, line) in lines {
        if let Some(text) = read(docker, container, path).await?
            && let Some(text) = with_line(text, &line)
        {
            amended.push((path, text));
        }
    }
    for (path, text) in [("etc/protocols", provided::PROTOCOLS), ("etc/services", provided::SERVICES)] {
        if read(docker, container, path).await?.is_some_and(|found| found.is_empty()) {
            amended.push((path, text.into()));
        }
    }
    Ok(amended)
}

fn is_of_user(entry: &str) -> bool {
    entry.split(':').nth(2) == Some(&USER_ID.to_string())
}

/// A text with a line at its end; `None` where an entry with this number is there.
fn with_line(mut text: Vec<u8>, line: &str) -> Option<Vec<u8>> {
    if String::from_utf8_lossy(&text).lines().any(is_of_user) {
        return None;
    }
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    Some(text)
}

/// A file of a container that never runs. Empty where there is none; `None` where it is something else, or too long.
async fn read(docker: &Docker, container: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let options = DownloadFromContainerOptionsBuilder::default().path(&format!("/{path}")).build();
    let mut pieces = std::pin::pin!(docker.download_from_container(container, Some(options)));
    let mut tar = Vec::new();
    loop {
        match pieces.try_next().await {
            Ok(Some(piece)) => tar.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) if is_missing(&error) => return Ok(Some(Vec::new())),
            Err(error) => return Err(error),
        }
        if tar.len() > LONGEST {
            return Ok(None);
        }
    }
    Ok(first_file(&tar))
}

fn first_file(tar: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    if entry.header().entry_type() != tar::EntryType::Regular {
        return None;
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_once() {
        let line = "sandbox:x:1000:1000::/tmp:/bin/sh\n";
        let root = b"root:x:0:0:root:/root:/bin/bash";
        let amended = with_line(root.to_vec(), line).unwrap();
        assert_eq!(amended, [root.as_slice(), b"\n", line.as_bytes()].concat());
        assert_eq!(with_line(amended, line), None);
        // Another user whose group has that number is another user.
        assert!(with_line(b"games:x:5:1000::/:\n".to_vec(), line).is_some());
        assert_eq!(with_line(Vec::new(), line).unwrap(), line.as_bytes());
    }
}
