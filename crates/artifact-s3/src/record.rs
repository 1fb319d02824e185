//! What is known of an artifact, as it is kept with its object.
//!
//! The record is JSON in base64 in one header of the object's own metadata, so that an artifact is one object and one
//! request. Stores bound such headers to 2 KiB, and a multipart upload wants them before its checksum is known; where it
//! does not fit, or is not known, the header says that it is in an object of its own, which is written first. An
//! artifact is there if its object is; a record without one means nothing.

use std::collections::HashMap;

use artifact::{ArtifactMetadata, NewArtifact, Sha256Digest, content_headers};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The name of the header, after `x-amz-meta-`.
const HEADER: &str = "skillbox";
/// Its value where the record is an object of its own.
const BESIDE: &str = "beside";
/// Most characters of a record in a header; the rest of the 2 KiB is for the name.
const LONGEST: usize = 1900;

/// What an object's header says.
#[derive(Debug)]
pub(crate) enum Record {
    Here(ArtifactMetadata),
    /// In the object beside it.
    Beside,
}

/// What goes with the object.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) record: (String, String),
    /// The type that a browser is told: never one that it would run.
    pub(crate) content_type: String,
    /// Always an attachment.
    pub(crate) content_disposition: String,
    pub(crate) cache_control: String,
}

impl Headers {
    /// For an object that is complete.
    pub(crate) fn complete(metadata: &ArtifactMetadata) -> Self {
        let record = serde_json::to_vec(metadata).map(|json| STANDARD.encode(json)).unwrap_or_default();
        let fits = !record.is_empty() && record.len() <= LONGEST;
        Self::new(metadata, if fits { record } else { BESIDE.to_owned() })
    }

    /// For an object whose size and checksum are not known yet.
    pub(crate) fn incomplete(new: &NewArtifact) -> Self {
        let unknown = ArtifactMetadata {
            file_name: new.file_name.clone(),
            media_type: new.media_type.clone(),
            size: 0,
            sha256: Sha256Digest::of(b""),
            trigger: String::new(),
            created: 0,
        };
        Self::new(&unknown, BESIDE.to_owned())
    }

    fn new(metadata: &ArtifactMetadata, record: String) -> Self {
        let headers: HashMap<&str, String> = content_headers(metadata).into_iter().collect();
        let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
        Self {
            record: (HEADER.to_owned(), record),
            content_type: header("Content-Type"),
            content_disposition: header("Content-Disposition"),
            cache_control: header("Cache-Control"),
        }
    }

    /// Whether the record is an object of its own.
    pub(crate) fn is_beside(&self) -> bool {
        self.record.1 == BESIDE
    }
}

impl Record {
    /// Of an object's metadata; `None` where it is no artifact of ours.
    pub(crate) fn read(metadata: Option<&HashMap<String, String>>) -> Option<Self> {
        let value = metadata?.get(HEADER)?;
        if value == BESIDE {
            return Some(Self::Beside);
        }
        serde_json::from_slice(&STANDARD.decode(value).ok()?).ok().map(Self::Here)
    }
}

#[cfg(test)]
mod tests {
    use artifact::MediaType;

    use super::*;

    fn metadata(file_name: &str, media_type: &MediaType) -> ArtifactMetadata {
        ArtifactMetadata {
            file_name: file_name.to_owned(),
            media_type: media_type.clone(),
            size: 3,
            sha256: Sha256Digest::of(b"abc"),
            trigger: "größe".to_owned(),
            created: 7,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_went() {
        for name in ["a.png", "../../図表\n.csv", "", &"x".repeat(512)] {
            let metadata = metadata(name, &MediaType::PLAIN_TEXT);
            let headers = Headers::complete(&metadata);
            assert!(!headers.is_beside() && headers.record.1.is_ascii() && headers.record.1.len() <= LONGEST);
            let kept = HashMap::from([headers.record]);
            let Some(Record::Here(read)) = Record::read(Some(&kept)) else { panic!("no record: {name}") };
            assert_eq!(read, metadata);
        }
    }

    #[test]
    fn what_does_not_fit_goes_beside() {
        let headers = Headers::complete(&metadata(&"図".repeat(512), &MediaType::PLAIN_TEXT));
        assert!(headers.is_beside());
        assert!(matches!(Record::read(Some(&HashMap::from([headers.record]))), Some(Record::Beside)));
        assert!(Record::read(None).is_none());
        assert!(Record::read(Some(&HashMap::from([(HEADER.to_owned(), "x".to_owned())]))).is_none());
    }

    #[test]
    fn what_a_browser_is_told_is_harmless() {
        let html = MediaType::detect(b"<!doctype html><script>", "a.html");
        let headers = Headers::complete(&metadata("a\"\n.html", &html));
        assert_eq!(headers.content_type, "application/octet-stream");
        assert!(headers.content_disposition.starts_with("attachment; filename="));
        assert!(headers.content_disposition.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
