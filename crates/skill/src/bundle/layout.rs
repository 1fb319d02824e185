//! The structure of a ZIP: finds the directory at the end, reads it and every local header, and accounts for every byte.
//!
//! Nothing is decompressed and nothing is believed: offsets and sizes are compared with where things really are.
//! What comes out is a list of entries whose data lies in known, disjoint, gapless ranges.

use std::io::{Read, Seek, SeekFrom};

use super::{
    BundleLimits,
    error::{BundleError, EntryName, HeaderField},
};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const END64: u32 = 0x0606_4b50;
const END64_LEN: usize = 56;
const LOCATOR64: u32 = 0x0706_4b50;
const LOCATOR64_LEN: u64 = 20;
const DESCRIPTOR: u32 = 0x0807_4b50;
const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;

const FLAG_ENCRYPTED: u16 = 1;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_PATCH: u16 = 1 << 5;
const FLAG_STRONG_ENCRYPTION: u16 = 1 << 6;
const FLAG_MASKED_HEADERS: u16 = 1 << 13;
/// Hints for the speed of the compressor; writers fill them in differently in the two headers.
const FLAG_HINTS: u16 = 0b110;

const EXTRA_ZIP64: u16 = 0x0001;
const EXTRA_UNICODE_PATH: u16 = 0x7075;
const EXTRA_AES: u16 = 0x9901;
const METHOD_AES: u16 = 99;

/// One entry, its two headers in agreement.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name as it stands in the headers.
    pub(super) raw_name: Vec<u8>,
    /// The compression method, not yet judged.
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    /// Unix mode above, DOS attributes below.
    pub(super) attributes: u32,
    /// Where its data starts.
    pub(super) data: u64,
    /// Where its local header starts.
    header: u64,
    flags: u16,
}

impl Entry {
    pub(super) fn name(&self) -> EntryName {
        EntryName::new(&self.raw_name)
    }
}

/// Reads the structure of the whole file.
pub(super) fn read(
    bundle: &mut (impl Read + Seek),
    limits: &BundleLimits,
) -> Result<Vec<Entry>, BundleError> {
    let length = bundle.seek(SeekFrom::End(0)).map_err(BundleError::Read)?;
    if length > limits.max_bundle_bytes {
        return Err(BundleError::BundleTooLarge { size: length, limit: limits.max_bundle_bytes });
    }
    let end = find_end(bundle, length, limits)?;
    let mut entries = read_directory(bundle, &end, limits)?;
    for entry in &mut entries {
        compare_local(bundle, entry, end.directory, limits)?;
    }
    account(bundle, &mut entries, end.directory)?;
    Ok(entries)
}

/// What the end record says, after it was compared with itself.
struct End {
    /// Where the directory starts.
    directory: u64,
    directory_size: u64,
    entries: u64,
}

fn find_end(bundle: &mut (impl Read + Seek), length: u64, limits: &BundleLimits) -> Result<End, BundleError> {
    // The end record is the last thing but for a comment of at most 65,535 bytes.
    let tail_len = length.min(END_LEN as u64 + u64::from(u16::MAX));
    let tail_start = length - tail_len;
    let tail = read_at(bundle, tail_start, tail_len, "the end record")?;
    let found: Vec<usize> =
        tail.windows(END.len()).enumerate().filter(|(_, at)| *at == END).map(|(at, _)| at).collect();
    let ends_where =
        |at: usize| tail.get(at + 20..at + END_LEN).map(|bytes| at + END_LEN + usize::from(u16_at(bytes, 0)));
    let fitting: Vec<usize> =
        found.iter().copied().filter(|&at| ends_where(at) == Some(tail.len())).collect();
    let at = match (fitting.as_slice(), found.as_slice()) {
        // Two ends that both fit, or one hidden in the comment of the other: readers that search from the front and
        // readers that search from the back would see different directories.
        ([_, _, ..], _) => return Err(BundleError::SeveralEnds),
        ([at], [.., last]) if last != at => return Err(BundleError::SeveralEnds),
        ([at], _) => *at,
        // Something was appended: a second file for readers that look for the last record only.
        ([], [.., last]) => match ends_where(*last) {
            Some(end) if end < tail.len() => {
                return Err(BundleError::TrailingData { bytes: (tail.len() - end) as u64 });
            }
            _ => return Err(BundleError::Truncated { what: "the end record" }),
        },
        ([], []) => return Err(BundleError::NotAZip),
    };
    let record = &tail[at..];
    let comment = usize::from(u16_at(record, 20));
    if comment > limits.max_comment_bytes {
        return Err(BundleError::CommentTooLong { size: comment, limit: limits.max_comment_bytes });
    }
    let end_start = tail_start + at as u64;
    let (disk, first_disk) = (u16_at(record, 4), u16_at(record, 6));
    let (here, total) = (u16_at(record, 8), u16_at(record, 10));
    let (size, offset) = (u32_at(record, 12), u32_at(record, 16));
    let locator = match end_start.checked_sub(LOCATOR64_LEN) {
        Some(start) => read_at(bundle, start, LOCATOR64_LEN, "the 64-bit locator")?,
        None => Vec::new(),
    };
    let has64 = locator.len() as u64 == LOCATOR64_LEN && u32_at(&locator, 0) == LOCATOR64;
    let needs64 = total == u16::MAX || size == u32::MAX || offset == u32::MAX || disk == u16::MAX;
    let (end, directory_end) = if has64 {
        let start = u64_at(&locator, 8);
        if u32_at(&locator, 4) != 0 || u32_at(&locator, 16) > 1 {
            return Err(BundleError::MultiDisk);
        }
        // The record must stand right before its locator: anywhere else it could be a second, hidden directory.
        if start.checked_add(END64_LEN as u64) != Some(end_start - LOCATOR64_LEN) {
            return Err(BundleError::Zip64 { what: "the 64-bit end record is not in its place" });
        }
        let record64 = read_at(bundle, start, END64_LEN as u64, "the 64-bit end record")?;
        if u32_at(&record64, 0) != END64 || u64_at(&record64, 4) != END64_LEN as u64 - 12 {
            return Err(BundleError::Zip64 { what: "the 64-bit end record is malformed" });
        }
        if u32_at(&record64, 16) != 0 || u32_at(&record64, 20) != 0 {
            return Err(BundleError::MultiDisk);
        }
        let (here64, total64) = (u64_at(&record64, 24), u64_at(&record64, 32));
        let (size64, offset64) = (u64_at(&record64, 40), u64_at(&record64, 48));
        // A 32-bit field is either the marker or the same number; else two readers see two directories.
        let agrees = (total == u16::MAX || u64::from(total) == total64)
            && (here == u16::MAX || u64::from(here) == here64)
            && here64 == total64
            && (size == u32::MAX || u64::from(size) == size64)
            && (offset == u32::MAX || u64::from(offset) == offset64)
            && matches!(disk, 0 | u16::MAX)
            && matches!(first_disk, 0 | u16::MAX);
        if !agrees {
            return Err(BundleError::Zip64 { what: "the two end records disagree" });
        }
        (End { directory: offset64, directory_size: size64, entries: total64 }, start)
    } else {
        if needs64 {
            return Err(BundleError::Zip64 { what: "the 64-bit end record is missing" });
        }
        if disk != 0 || first_disk != 0 || here != total {
            return Err(BundleError::MultiDisk);
        }
        let end = End { directory: offset.into(), directory_size: size.into(), entries: total.into() };
        (end, end_start)
    };
    if end.directory_size > limits.max_directory_bytes {
        return Err(BundleError::DirectoryTooLarge {
            size: end.directory_size,
            limit: limits.max_directory_bytes,
        });
    }
    if end.entries > limits.max_entries as u64 {
        return Err(BundleError::TooManyEntries { count: end.entries, limit: limits.max_entries });
    }
    match end.directory.checked_add(end.directory_size) {
        // Offsets that are too small mean that something was put before the ZIP, an executable for example.
        Some(stop) if stop < directory_end => Err(BundleError::PrependedData { bytes: directory_end - stop }),
        Some(stop) if stop == directory_end => Ok(end),
        _ => Err(BundleError::Truncated { what: "the directory" }),
    }
}

fn read_directory(
    bundle: &mut (impl Read + Seek),
    end: &End,
    limits: &BundleLimits,
) -> Result<Vec<Entry>, BundleError> {
    let bytes = read_at(bundle, end.directory, end.directory_size, "the directory")?;
    let mut entries = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        if entries.len() >= limits.max_entries {
            return Err(BundleError::TooManyEntries {
                count: entries.len() as u64 + 1,
                limit: limits.max_entries,
            });
        }
        let (entry, next) = read_central(rest, limits)?;
        entries.push(entry);
        rest = next;
    }
    // More entries than declared are hidden from readers that count; fewer are a cut directory.
    if entries.len() as u64 != end.entries {
        return Err(BundleError::EntryCount { declared: end.entries, found: entries.len() as u64 });
    }
    Ok(entries)
}

fn read_central<'a>(bytes: &'a [u8], limits: &BundleLimits) -> Result<(Entry, &'a [u8]), BundleError> {
    const CUT: BundleError = BundleError::Truncated { what: "the directory" };
    if bytes.len() < CENTRAL_LEN {
        return Err(CUT);
    }
    let (header, rest) = bytes.split_at(CENTRAL_LEN);
    if u32_at(header, 0) != CENTRAL {
        return Err(BundleError::Malformed { what: "the directory holds something that is no entry" });
    }
    let (name_len, extra_len, comment_len) =
        (usize::from(u16_at(header, 28)), usize::from(u16_at(header, 30)), usize::from(u16_at(header, 32)));
    if extra_len > limits.max_extra_bytes {
        return Err(BundleError::ExtraTooLong { size: extra_len, limit: limits.max_extra_bytes });
    }
    if comment_len > limits.max_comment_bytes {
        return Err(BundleError::CommentTooLong { size: comment_len, limit: limits.max_comment_bytes });
    }
    let (raw_name, rest) = rest.split_at_checked(name_len).ok_or(CUT)?;
    let (extra, rest) = rest.split_at_checked(extra_len).ok_or(CUT)?;
    let (_comment, rest) = rest.split_at_checked(comment_len).ok_or(CUT)?;
    let mut entry = Entry {
        raw_name: raw_name.to_vec(),
        flags: u16_at(header, 8),
        method: u16_at(header, 10),
        crc: u32_at(header, 16),
        compressed: u32_at(header, 20).into(),
        size: u32_at(header, 24).into(),
        attributes: u32_at(header, 38),
        header: u32_at(header, 42).into(),
        data: 0,
    };
    let mut disk = u32::from(u16_at(header, 34));
    let extra = Extra::read(extra)?;
    // Markers are replaced in this order, and the field must hold exactly those: a spare number would be
    // taken by one reader and skipped by another.
    let mut wide = extra.zip64.unwrap_or_default();
    let mut next = |len: usize| -> Result<u64, BundleError> {
        let (value, left) = wide
            .split_at_checked(len)
            .ok_or(BundleError::Zip64 { what: "an entry lacks its 64-bit size" })?;
        wide = left;
        Ok(if len == 8 { u64_at(value, 0) } else { u32_at(value, 0).into() })
    };
    for value in [&mut entry.size, &mut entry.compressed, &mut entry.header] {
        if *value == u64::from(u32::MAX) {
            *value = next(8)?;
        }
    }
    if disk == u32::from(u16::MAX) {
        disk = u32::try_from(next(4)?).unwrap_or(u32::MAX);
    }
    if !wide.is_empty() {
        return Err(BundleError::Zip64 { what: "an entry has 64-bit sizes beside its 32-bit ones" });
    }
    if disk != 0 {
        return Err(BundleError::MultiDisk);
    }
    // Data that cannot be looked into cannot be checked either.
    let secret = FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS;
    if entry.flags & secret != 0 || entry.method == METHOD_AES || extra.aes {
        return Err(BundleError::Encrypted { name: entry.name() });
    }
    if entry.flags & FLAG_PATCH != 0 {
        return Err(BundleError::Malformed { what: "an entry is a patch" });
    }
    check_unicode_path(&entry, &extra)?;
    Ok((entry, rest))
}

/// The extra field may give the name a second time, with a checksum of the first. Readers that know the field would take
/// that name and all others the one in the header, so they must be the same.
fn check_unicode_path(entry: &Entry, extra: &Extra<'_>) -> Result<(), BundleError> {
    if let Some(field) = extra.unicode_path {
        let agrees = field.len() >= 5
            && field[0] == 1
            && u32_at(field, 1) == crc32fast::hash(&entry.raw_name)
            && field[5..] == entry.raw_name;
        if !agrees {
            return Err(BundleError::NameEncoding { name: entry.name() });
        }
    }
    Ok(())
}

/// Compares the local header of `entry` with what the directory says, and finds where its data starts.
///
/// Readers that stream trust the local header, others the directory. A difference between them is how one file is shown to
/// the scanner and another to the runtime.
fn compare_local(
    bundle: &mut (impl Read + Seek),
    entry: &mut Entry,
    directory: u64,
    limits: &BundleLimits,
) -> Result<(), BundleError> {
    const CUT: BundleError = BundleError::Truncated { what: "an entry" };
    let fits = |stop: Option<u64>| stop.filter(|stop| *stop <= directory).ok_or(CUT);
    let fixed = fits(entry.header.checked_add(LOCAL_LEN as u64))?;
    let header = read_at(bundle, entry.header, LOCAL_LEN as u64, "an entry")?;
    if u32_at(&header, 0) != LOCAL {
        return Err(BundleError::Malformed { what: "the directory points to something that is no entry" });
    }
    let (name_len, extra_len) = (u16_at(&header, 26), u16_at(&header, 28));
    if usize::from(extra_len) > limits.max_extra_bytes {
        return Err(BundleError::ExtraTooLong { size: extra_len.into(), limit: limits.max_extra_bytes });
    }
    entry.data = fits(fixed.checked_add(u64::from(name_len) + u64::from(extra_len)))?;
    fits(entry.data.checked_add(entry.compressed))?;
    let variable = read_at(bundle, fixed, u64::from(name_len) + u64::from(extra_len), "an entry")?;
    let (name, extra) = variable.split_at(name_len.into());
    let mismatch = |field| Err(BundleError::HeaderMismatch { name: entry.name(), field });
    if name != entry.raw_name {
        return mismatch(HeaderField::Name);
    }
    let flags = u16_at(&header, 6);
    if (flags ^ entry.flags) & !FLAG_HINTS != 0 {
        return mismatch(HeaderField::Flags);
    }
    if u16_at(&header, 8) != entry.method {
        return mismatch(HeaderField::Method);
    }
    let extra = Extra::read(extra)?;
    if extra.aes {
        return Err(BundleError::Encrypted { name: entry.name() });
    }
    check_unicode_path(entry, &extra)?;
    let crc = u32_at(&header, 14);
    let (mut compressed, mut size) = (u64::from(u32_at(&header, 18)), u64::from(u32_at(&header, 22)));
    let marker = u64::from(u32::MAX);
    match extra.zip64 {
        Some(field) if compressed == marker && size == marker && field.len() == 16 => {
            size = u64_at(field, 0);
            compressed = u64_at(field, 8);
        }
        // While streaming, a writer reserves the room before it knows whether it needs it.
        Some(_) if flags & FLAG_DESCRIPTOR != 0 && compressed == 0 && size == 0 => {}
        Some(_) => {
            return Err(BundleError::Zip64 { what: "an entry has 64-bit sizes beside its 32-bit ones" });
        }
        None => {}
    }
    // With a descriptor behind the data, a writer leaves out here what it did not know yet; what it does say must be true.
    let open = flags & FLAG_DESCRIPTOR != 0;
    if crc != entry.crc && !(open && crc == 0) {
        return mismatch(HeaderField::Checksum);
    }
    if compressed != entry.compressed && !(open && compressed == 0) {
        return mismatch(HeaderField::CompressedSize);
    }
    if size != entry.size && !(open && size == 0) {
        return mismatch(HeaderField::Size);
    }
    Ok(())
}

/// Sorts the entries by place and makes sure that they fill everything before the directory, without a gap and without
/// sharing: shared bytes make bombs that no ratio shows, gaps hide entries from readers of the directory.
fn account(
    bundle: &mut (impl Read + Seek),
    entries: &mut [Entry],
    directory: u64,
) -> Result<(), BundleError> {
    entries.sort_by_key(|entry| entry.header);
    let first = entries.first().map_or(directory, |entry| entry.header);
    if first != 0 {
        return Err(BundleError::PrependedData { bytes: first });
    }
    for (index, entry) in entries.iter().enumerate() {
        let next = entries.get(index + 1);
        let stop = next.map_or(directory, |next| next.header);
        // `compare_local` made sure that this does not overflow.
        let data_end = entry.data + entry.compressed;
        let Some(behind) = stop.checked_sub(data_end) else {
            let second = next.map_or_else(|| EntryName::from("the directory"), Entry::name);
            return Err(BundleError::Overlap { first: entry.name(), second });
        };
        if entry.flags & FLAG_DESCRIPTOR == 0 {
            if behind != 0 {
                return Err(BundleError::HiddenData { offset: data_end, bytes: behind });
            }
            continue;
        }
        // Signature or not, 32-bit or 64-bit: only one form fills the room exactly.
        if !matches!(behind, 12 | 16 | 20 | 24) {
            return match behind {
                0..12 => Err(BundleError::Descriptor { name: entry.name() }),
                _ => Err(BundleError::HiddenData { offset: data_end, bytes: behind }),
            };
        }
        let bytes = read_at(bundle, data_end, behind, "a data descriptor")?;
        let fields = match bytes.len() {
            16 | 24 if u32_at(&bytes, 0) == DESCRIPTOR => &bytes[4..],
            12 | 20 => &bytes[..],
            _ => return Err(BundleError::Descriptor { name: entry.name() }),
        };
        let (compressed, size) = if fields.len() == 12 {
            (u32_at(fields, 4).into(), u32_at(fields, 8).into())
        } else {
            (u64_at(fields, 4), u64_at(fields, 12))
        };
        if (u32_at(fields, 0), compressed, size) != (entry.crc, entry.compressed, entry.size) {
            return Err(BundleError::Descriptor { name: entry.name() });
        }
    }
    Ok(())
}

/// The extra fields that matter here.
#[derive(Default)]
struct Extra<'a> {
    zip64: Option<&'a [u8]>,
    unicode_path: Option<&'a [u8]>,
    aes: bool,
}

impl<'a> Extra<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, BundleError> {
        const BAD: BundleError = BundleError::Malformed { what: "an extra field is cut off" };
        let mut extra = Self::default();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at_checked(4).ok_or(BAD)?;
            let (field, rest) = rest.split_at_checked(u16_at(head, 2).into()).ok_or(BAD)?;
            bytes = rest;
            // A field that occurs twice is read first by one reader and last by another.
            let known = match u16_at(head, 0) {
                EXTRA_ZIP64 => extra.zip64.replace(field),
                EXTRA_UNICODE_PATH => extra.unicode_path.replace(field),
                EXTRA_AES => {
                    extra.aes = true;
                    None
                }
                _ => None,
            };
            if known.is_some() {
                return Err(BundleError::Malformed { what: "an extra field occurs twice" });
            }
        }
        Ok(extra)
    }
}

/// Reads `length` bytes at `offset`; the caller has bounded `length`.
fn read_at(
    bundle: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
    what: &'static str,
) -> Result<Vec<u8>, BundleError> {
    bundle.seek(SeekFrom::Start(offset)).map_err(BundleError::Read)?;
    let mut bytes = Vec::new();
    bundle.by_ref().take(length).read_to_end(&mut bytes).map_err(BundleError::Read)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(BundleError::Truncated { what }) }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
