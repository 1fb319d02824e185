//! Makes ZIPs byte by byte, so that each field of each header can lie on its own.

use std::io::Write as _;

/// What stands in a header of an entry; the local and the central one have the same fields.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) compressed: u32,
    pub(super) size: u32,
    pub(super) name: Vec<u8>,
    pub(super) extra: Vec<u8>,
}

/// An entry.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) local: Header,
    pub(super) central: Header,
    pub(super) attributes: u32,
    pub(super) disk: u16,
    pub(super) comment: Vec<u8>,
    pub(super) descriptor: Vec<u8>,
    data: Vec<u8>,
    host: u16,
    listed: bool,
    same_place_as: Option<usize>,
}

impl Item {
    pub(super) fn file(name: &str, content: &[u8]) -> Self {
        Self::entry(name, 0, content.to_vec(), content, 0o100_644)
    }

    pub(super) fn directory(name: &str) -> Self {
        Self::entry(name, 0, Vec::new(), b"", 0o040_755)
    }

    /// An entry with compressed data that need not be true.
    pub(super) fn raw(name: &str, data: Vec<u8>, content: &[u8]) -> Self {
        Self::entry(name, 8, data, content, 0o100_644)
    }

    fn entry(name: &str, method: u16, data: Vec<u8>, content: &[u8], mode: u32) -> Self {
        let header = Header {
            flags: if name.is_ascii() { 0 } else { 1 << 11 },
            method,
            crc: crc32fast::hash(content),
            compressed: u32::try_from(data.len()).unwrap(),
            size: u32::try_from(content.len()).unwrap(),
            name: name.as_bytes().to_vec(),
            extra: Vec::new(),
        };
        let mut header = header;
        if name.as_bytes() == b"x" {
            // Tests that replace the name need the mark.
            header.flags = 1 << 11;
        }
        Self {
            local: header.clone(),
            central: header,
            attributes: mode << 16,
            disk: 0,
            comment: Vec::new(),
            descriptor: Vec::new(),
            data,
            host: 3,
            listed: true,
            same_place_as: None,
        }
    }

    pub(super) fn deflated(mut self) -> Self {
        self.data = deflate(&self.data);
        let compressed = u32::try_from(self.data.len()).unwrap();
        for header in [&mut self.local, &mut self.central] {
            header.method = 8;
            header.compressed = compressed;
        }
        self
    }

    /// As written to a pipe: sizes in a descriptor behind the data.
    pub(super) fn streamed(mut self, signature: bool, wide: bool) -> Self {
        let central = &mut self.central;
        central.flags |= 1 << 3;
        self.local = Header { crc: 0, compressed: 0, size: 0, ..central.clone() };
        let mut descriptor = if signature { b"PK\x07\x08".to_vec() } else { Vec::new() };
        descriptor.extend_from_slice(&central.crc.to_le_bytes());
        for value in [central.compressed, central.size] {
            if wide {
                descriptor.extend_from_slice(&u64::from(value).to_le_bytes());
            } else {
                descriptor.extend_from_slice(&value.to_le_bytes());
            }
        }
        self.descriptor = descriptor;
        self
    }

    pub(super) fn mode(mut self, mode: u32) -> Self {
        self.attributes = mode << 16;
        self
    }

    pub(super) fn made_by(mut self, host: u16) -> Self {
        self.host = host;
        self
    }

    pub(super) fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// Writes nothing and points to the data of another entry.
    pub(super) fn at_same_place_as(mut self, index: usize) -> Self {
        self.same_place_as = Some(index);
        self
    }
}

/// A ZIP.
#[derive(Debug)]
pub(super) struct Zip {
    pub(super) items: Vec<Item>,
    pub(super) prefix: Vec<u8>,
    pub(super) shift_offsets: bool,
    pub(super) comment: Vec<u8>,
    pub(super) directory_tail: Vec<u8>,
    /// The number of entries to declare instead of the true one.
    pub(super) entries: Option<u16>,
    pub(super) disk: u16,
    pub(super) end64: bool,
}

impl Zip {
    pub(super) fn new(items: impl IntoIterator<Item = Item>) -> Self {
        Self {
            items: items.into_iter().collect(),
            prefix: Vec::new(),
            shift_offsets: false,
            comment: Vec::new(),
            directory_tail: Vec::new(),
            entries: None,
            disk: 0,
            end64: false,
        }
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut out = Out(self.prefix.clone());
        let base = if self.shift_offsets { 0 } else { self.prefix.len() };
        let mut offsets = Vec::new();
        for item in &self.items {
            if let Some(index) = item.same_place_as {
                offsets.push(offsets[index]);
                continue;
            }
            offsets.push(out.len() - base);
            out.u32(0x0403_4b50).u16(20).header(&item.local).bytes(&item.local.name).bytes(&item.local.extra);
            out.bytes(&item.data).bytes(&item.descriptor);
        }
        let directory = out.len();
        for (item, offset) in self.items.iter().zip(&offsets).filter(|(item, _)| item.listed) {
            out.u32(0x0201_4b50).u16(item.host << 8 | 20).u16(20).header(&item.central);
            out.u16(u16::try_from(item.comment.len()).unwrap()).u16(item.disk).u16(0).u32(item.attributes);
            out.u32(u32::try_from(*offset).unwrap());
            out.bytes(&item.central.name).bytes(&item.central.extra).bytes(&item.comment);
        }
        out.bytes(&self.directory_tail);
        let size = u32::try_from(out.len() - directory).unwrap();
        let directory = u32::try_from(directory - base).unwrap();
        let listed = self.items.iter().filter(|item| item.listed).count();
        let listed = u16::try_from(listed).unwrap();
        if self.end64 {
            let start = out.len();
            out.u32(0x0606_4b50).u64(44).u16(45).u16(45).u32(0).u32(0);
            out.u64(listed.into()).u64(listed.into()).u64(size.into()).u64(directory.into());
            out.u32(0x0706_4b50).u32(0).u64(start as u64).u32(1);
        }
        let count = self.entries.unwrap_or(listed);
        out.bytes(b"PK\x05\x06").u16(self.disk).u16(self.disk).u16(count).u16(count).u32(size).u32(directory);
        out.u16(u16::try_from(self.comment.len()).unwrap()).bytes(&self.comment);
        out.0
    }
}

struct Out(Vec<u8>);

impl Out {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// The fields that both headers have in the same order.
    fn header(&mut self, header: &Header) -> &mut Self {
        self.u16(header.flags).u16(header.method).u16(0).u16(0x21).u32(header.crc);
        self.u32(header.compressed).u32(header.size);
        self.u16(u16::try_from(header.name.len()).unwrap()).u16(u16::try_from(header.extra.len()).unwrap())
    }
}

pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `size` zeros, compressed as well as deflate can.
pub(super) fn raw_deflate_bomb(size: usize) -> Vec<u8> {
    deflate(&vec![0; size])
}
