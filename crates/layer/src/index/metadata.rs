//! The metadata of a wheel, looked at before a tool gets the wheel.
//!
//! Attack: `Requires-Dist: x @ http://…/x.tar.gz`. A direct reference is not asked at the index, and not even
//! `--only-binary` keeps pip from building what it leads to, which runs the `setup.py` there. So whoever has one, among
//! the versions that a tool looks at, is refused. Only its author needs such a thing; an index should not take it.

use std::io::{Read, Seek};

/// Bound on a METADATA file; the largest sound ones, which are whole manuals, have a few hundred kilobytes.
pub(crate) const MAX_METADATA: u64 = 4 * 1024 * 1024;

/// Bound on the files of one wheel.
const MAX_MEMBERS: usize = 100_000;

/// The METADATA file of a wheel.
pub(crate) fn of_wheel(file: impl Read + Seek) -> Result<Vec<u8>, String> {
    let mut archive = zip::ZipArchive::new(file).map_err(|_| "its wheel is no sound ZIP file".to_owned())?;
    if archive.len() > MAX_MEMBERS {
        return Err(format!("its wheel has more than {MAX_MEMBERS} files"));
    }
    let mut found = None;
    for index in 0..archive.len() {
        let Some(Ok(name)) = archive.name_for_index(index) else {
            return Err("its wheel is no sound ZIP file".to_owned());
        };
        let mut parts = name.split('/');
        if parts.next().is_some_and(|first| first.ends_with(".dist-info"))
            && parts.next() == Some("METADATA")
            && parts.next().is_none()
        {
            // Attack: two of them, and each reader takes another one.
            if found.replace(index).is_some() {
                return Err("its wheel has two METADATA files".to_owned());
            }
        }
    }
    let index = found.ok_or("its wheel has no METADATA file")?;
    let member =
        archive.by_index(index).map_err(|_| "the METADATA file of its wheel cannot be read".to_owned())?;
    let mut bytes = Vec::new();
    // The size that the archive tells is the attacker's word; what comes out is counted.
    member
        .take(MAX_METADATA + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| "the METADATA file of its wheel cannot be read".to_owned())?;
    if bytes.len() as u64 > MAX_METADATA {
        return Err(format!("its METADATA file is larger than {} MiB", MAX_METADATA / (1024 * 1024)));
    }
    Ok(bytes)
}

/// Refuses metadata that asks for more than packages of the index.
pub(crate) fn check(metadata: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(metadata).replace("\r\n", "\n");
    // What follows the first empty line is prose to every reader.
    let text = text.split("\n\n").next().unwrap_or_default();
    let mut field = String::new();
    // Carriage returns alone end lines for Python's reader of headers, too. A line that begins with a space goes on.
    for line in text.split(['\n', '\r']).chain(["end:"]) {
        if line.starts_with([' ', '\t']) {
            field.push_str(line);
            continue;
        }
        check_field(&field)?;
        field.clear();
        field.push_str(line);
    }
    Ok(())
}

fn check_field(field: &str) -> Result<(), String> {
    let Some((name, value)) = field.split_once(':') else { return Ok(()) };
    let asks = ["requires-dist", "requires", "setup-requires-dist"];
    if !asks.contains(&name.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    // Before the marker: a version has no `@`, and a URL comes after one.
    if value.split(';').next().unwrap_or(value).contains('@') {
        let value = crate::requirement::shorten(value.trim());
        return Err(format!("it asks for `{value}`, which is no package of the index"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn direct_references_are_found_however_they_are_written() {
        for bad in [
            "Requires-Dist: x @ http://a/x.tar.gz",
            "Name: a\r\nrequires-dist:x@file:///tmp/x",
            "Requires-Dist: x\n  @ git+https://a/x ; python_version > '3'",
            "Requires-Dist: x[y] @ http://a/x.whl;extra=='z'",
            "Name: a\rRequires-Dist: x @ http://a",
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        for good in [
            "Requires-Dist: x>=1 ; platform_version == 'a@b'\nAuthor-email: a@b.example\n\nmail a@b",
            "Requires-Dist: x (>=1,<2)\nProject-URL: home, https://a@b\n",
            "Name: a\r\n\r\nwrite it so:\nRequires-Dist: x @ http://a",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }

    fn wheel(members: &[(&str, Vec<u8>)]) -> Cursor<Vec<u8>> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap()
    }

    #[test]
    fn metadata_is_bounded_and_single() {
        let one = wheel(&[("a/METADATA", b"no".to_vec()), ("a-1.dist-info/METADATA", b"yes".to_vec())]);
        assert_eq!(of_wheel(one).unwrap(), b"yes");
        let big = vec![b' '; usize::try_from(MAX_METADATA).unwrap() + 1];
        assert!(
            of_wheel(wheel(&[("a-1.dist-info/METADATA", big)])).unwrap_err().contains("larger than 4 MiB")
        );
        let two = wheel(&[("a-1.dist-info/METADATA", vec![]), ("b-1.dist-info/METADATA", vec![])]);
        assert!(of_wheel(two).unwrap_err().contains("two METADATA"));
        assert!(of_wheel(wheel(&[("a", vec![])])).is_err());
        assert!(of_wheel(Cursor::new(b"<html>".to_vec())).is_err());
    }
}
