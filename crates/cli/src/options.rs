//! What the values of options mean: from text to types, and from types to what the crates below take.
//!
//! Parsing has no side effects but one: whether a file of that name exists decides what `a:b` means.

use std::{path::PathBuf, str::FromStr};

use runner::InputFile;
use sandbox::Wall;

use crate::error::CommandError;

/// An input file as it is written: `FILE` or `FILE:DEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputSpec {
    /// The file of the host.
    pub(crate) file: PathBuf,
    /// Where it goes in the sandbox: relative to `/workspace`, or absolute.
    pub(crate) destination: String,
}

/// Parses `FILE[:DEST]`. The last colon counts, unless the whole is the name of a file.
pub(crate) fn parse_input(text: &str) -> Result<InputSpec, String> {
    parse_input_with(text, |path| PathBuf::from(path).exists())
}

fn parse_input_with(text: &str, exists: impl Fn(&str) -> bool) -> Result<InputSpec, String> {
    if let Some((file, destination)) = text.rsplit_once(':')
        && !file.is_empty()
        && !destination.is_empty()
        && !exists(text)
    {
        return Ok(InputSpec { file: file.into(), destination: destination.to_owned() });
    }
    let file = PathBuf::from(text);
    let Some(name) = file.file_name() else { return Err("this names no file".to_owned()) };
    let name = name.to_str().ok_or("the file's name is not UTF-8; say where it goes with FILE:DEST")?;
    Ok(InputSpec { destination: name.to_owned(), file })
}

impl InputSpec {
    /// The file with its bytes.
    pub(crate) fn read(&self) -> Result<InputFile, CommandError> {
        let content = std::fs::read(&self.file).map_err(|error| {
            CommandError::io(format!("input `{}` cannot be read", self.file.display()), &error)
        })?;
        Ok(InputFile { path: self.destination.clone(), content: content.into() })
    }
}

/// Parses `NAME=VALUE`.
pub(crate) fn parse_env(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Parses the name of a wall.
pub(crate) fn parse_wall(text: &str) -> Result<Wall, String> {
    Wall::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Wall::ALL.iter().map(|wall| wall.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Where artifacts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreSpec {
    /// In a directory.
    File(PathBuf),
    /// In a bucket.
    S3(artifact_s3::Location),
}

impl FromStr for StoreSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("s3:") {
            return text.parse().map(Self::S3).map_err(|error: artifact_s3::InvalidUrl| error.to_string());
        }
        match text.strip_prefix("file:") {
            // `file:///srv/files` is a URL of the same thing.
            Some(path) if !path.is_empty() => Ok(Self::File(
                path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path).into(),
            )),
            _ => Err("expected file:DIR or s3://BUCKET/PREFIX".to_owned()),
        }
    }
}

/// The base directory of an XDG variable, or what stands for it below the home directory.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

/// Where what took long to make is kept.
pub(crate) fn data_directory() -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share").map(|base| base.join("skillbox"))
}

/// Where what must survive a restart is kept when the user does not say.
pub(crate) fn state_directory() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state").map(|base| base.join("skillbox"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_name_a_file_and_where_it_goes() {
        let check = |text: &str, file: &str, destination: &str| {
            let expected = InputSpec { file: file.into(), destination: destination.to_owned() };
            assert_eq!(parse_input_with(text, |_| false), Ok(expected), "{text}");
        };
        check("a.csv", "a.csv", "a.csv");
        check("dir/a.csv", "dir/a.csv", "a.csv");
        check("a.csv:data/b.csv", "a.csv", "data/b.csv");
        check("a:b:c", "a:b", "c");
        check("a.csv:", "a.csv:", "a.csv:");
        check(":a", ":a", ":a");
        for bad in ["", "..", "/"] {
            assert!(parse_input_with(bad, |_| false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_with_a_colon_in_its_name_is_that_file() {
        let spec = parse_input_with("10:30.csv", |path| path == "10:30.csv").unwrap();
        assert_eq!((spec.file, spec.destination.as_str()), (PathBuf::from("10:30.csv"), "10:30.csv"));
    }

    #[test]
    fn variables_need_a_name() {
        assert_eq!(parse_env("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_env("A="), Ok(("A".to_owned(), String::new())));
        assert!(parse_env("A").is_err() && parse_env("=b").is_err());
    }

    #[test]
    fn stores_are_directories_or_buckets() {
        assert_eq!("file:a/b".parse(), Ok(StoreSpec::File("a/b".into())));
        assert_eq!("file:/a".parse(), Ok(StoreSpec::File("/a".into())));
        assert_eq!("file:///a".parse(), Ok(StoreSpec::File("/a".into())));
        for bucket in ["s3://outputs", "s3://outputs/a/b"] {
            assert!(matches!(bucket.parse(), Ok(StoreSpec::S3(_))), "{bucket}");
        }
        for bad in ["", "file:", "/a", "s3:", "s3://", "s3://No", "https://outputs"] {
            assert!(bad.parse::<StoreSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn walls_have_names() {
        assert_eq!(parse_wall("cgroup"), Ok(Wall::Cgroup));
        assert!(parse_wall("moat").unwrap_err().contains("landlock"));
    }
}
