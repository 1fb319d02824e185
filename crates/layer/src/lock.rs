//! The lock of a layer: every package with its version and the hashes of the files that may be it.
//!
//! Both tools resolve first and write what they found; this module reads that back through the same strict grammar
//! as the skill's own requirements, holds it against the author's hashes, and prints the one file that the second
//! step installs from. So what gets unpacked is exactly what was written down.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{error::LayerError, requirement::Requirement};

/// One package of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockedPackage {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `sha256:<hex>`, never empty.
    pub(crate) hashes: Vec<String>,
}

/// The part of pip's installation report that a lock is made of.
#[derive(Deserialize)]
struct Report {
    install: Vec<ReportItem>,
}

#[derive(Deserialize)]
struct ReportItem {
    metadata: ReportMetadata,
    download_info: DownloadInfo,
}

#[derive(Deserialize)]
struct ReportMetadata {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct DownloadInfo {
    archive_info: Option<ArchiveInfo>,
}

#[derive(Deserialize)]
struct ArchiveInfo {
    /// `sha256=<hex>`, all that pip 22.2 has.
    hash: Option<String>,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

/// Reads what `uv pip compile --generate-hashes` wrote.
pub(crate) fn read_uv(text: &str) -> Result<Vec<LockedPackage>, String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    sorted(lines.map(read_line))
}

/// Reads what `pip install --dry-run --report` wrote.
pub(crate) fn read_pip(text: &str) -> Result<Vec<LockedPackage>, String> {
    let report: Report =
        serde_json::from_str(text).map_err(|error| format!("its report is unusable ({error})"))?;
    sorted(report.install.into_iter().map(|item| {
        let name = &item.metadata.name;
        let archive =
            item.download_info.archive_info.ok_or_else(|| format!("`{name}` is not from an index"))?;
        let digest = archive
            .hashes
            .get("sha256")
            .cloned()
            .or_else(|| Some(archive.hash?.strip_prefix("sha256=")?.to_owned()))
            .ok_or_else(|| format!("`{name}` has no sha256 hash"))?;
        read_line(&format!("{name}=={} --hash=sha256:{digest}", item.metadata.version))
    }))
}

/// Leaves only the hashes that the skill's author listed, for the packages that have any.
pub(crate) fn apply_hashes(
    lock: &mut [LockedPackage],
    requirements: &[Requirement],
) -> Result<(), LayerError> {
    for requirement in requirements.iter().filter(|requirement| !requirement.hashes.is_empty()) {
        // A requirement whose marker is false here is in no lock, and needs no file.
        for package in lock.iter_mut().filter(|package| package.name == requirement.name) {
            package.hashes.retain(|hash| requirement.hashes.contains(hash));
            if package.hashes.is_empty() {
                let (package, version) = (package.name.clone(), package.version.clone());
                return Err(LayerError::HashMismatch { package, version });
            }
        }
    }
    Ok(())
}

/// The file for `--require-hashes`, which both tools read.
pub(crate) fn render(lock: &[LockedPackage]) -> String {
    let mut text = String::new();
    for package in lock {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}=={}", package.name, package.version);
        for hash in &package.hashes {
            let _ = write!(text, " \\\n    --hash={hash}");
        }
        text.push('\n');
    }
    text
}

fn sorted(
    packages: impl Iterator<Item = Result<LockedPackage, String>>,
) -> Result<Vec<LockedPackage>, String> {
    let mut packages = packages.collect::<Result<Vec<_>, _>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn read_line(line: &str) -> Result<LockedPackage, String> {
    let Requirement { name, specifiers, hashes, .. } =
        Requirement::parse(line).map_err(|reason| format!("its lock has a line that {reason}"))?;
    let [specifier] = &specifiers[..] else { return Err(format!("its lock does not pin `{name}`")) };
    let version = specifier.strip_prefix("==").filter(|version| !version.contains(['=', '*']));
    match version {
        Some(version) if !hashes.is_empty() => {
            Ok(LockedPackage { name, version: version.to_owned(), hashes })
        }
        Some(_) => Err(format!("its lock has no hash of `{name}`")),
        None => Err(format!("its lock does not pin `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    //! Both forms of lock, and locks that lie.

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn both_tools_give_the_same_lock() {
        let uv = format!(
            "qrcode==8.2 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\nPillow==13.0.0 \\\n    --hash=sha256:{B}\n"
        );
        let lock = read_uv(&uv).unwrap();
        assert_eq!(
            lock[0],
            LockedPackage {
                name: "pillow".to_owned(),
                version: "13.0.0".to_owned(),
                hashes: vec![format!("sha256:{B}")],
            }
        );
        assert_eq!(lock[1].hashes.len(), 2);
        assert_eq!(read_uv(&render(&lock)).unwrap(), lock);

        let pip = format!(
            r#"{{"install":[{{"metadata":{{"name":"Pillow","version":"13.0.0"}},"download_info":{{"url":"u","archive_info":{{"hash":"sha256={B}"}}}}}}]}}"#
        );
        assert_eq!(read_pip(&pip).unwrap(), lock[..1]);
    }

    #[test]
    fn locks_without_pins_or_hashes_are_refused() {
        assert!(read_uv("six==1.17.0\n").is_err());
        assert!(read_uv(&format!("six>=1.17.0 --hash=sha256:{A}\n")).is_err());
        assert!(read_uv(&format!("six==1.* --hash=sha256:{A}\n")).is_err());
        assert!(read_uv("--index-url https://example.org/simple\n").is_err());
        assert!(read_uv("six @ file:///tmp/six.whl\n").is_err());
        let direct = r#"{"install":[{"metadata":{"name":"x","version":"1"},"download_info":{"url":"u","dir_info":{}}}]}"#;
        assert!(read_pip(direct).is_err());
        assert!(read_pip(&direct.replace("dir_info", "archive_info")).is_err());
        assert!(read_pip("{}").is_err());
    }

    #[test]
    fn the_authors_hashes_narrow_the_lock() {
        let lock = || read_uv(&format!("six==1.17.0 --hash=sha256:{A} --hash=sha256:{B}\n")).unwrap();
        let listed = |hash: &str| [Requirement::parse(&format!("six --hash=sha256:{hash}")).unwrap()];
        let mut narrowed = lock();
        apply_hashes(&mut narrowed, &listed(B)).unwrap();
        assert_eq!(narrowed[0].hashes, [format!("sha256:{B}")]);
        let other = "c".repeat(64);
        let error = apply_hashes(&mut lock(), &listed(&other)).unwrap_err();
        assert!(matches!(error, LayerError::HashMismatch { .. }), "{error}");
    }
}
