//! Builds package files for tests, hostile ones included: nothing here checks anything.

use std::io::Write as _;

use super::tar::BLOCK_BYTES;

/// Writes a tar archive, entry after entry.
#[derive(Debug, Clone, Default)]
pub struct TarBuilder {
    bytes: Vec<u8>,
}

/// The header of a tar entry, as raw as the archive has it.
#[derive(Debug, Clone)]
pub struct RawHeader {
    /// Name, at most 100 bytes.
    pub name: Vec<u8>,
    /// Link target, at most 100 bytes.
    pub link: Vec<u8>,
    /// Permission bits.
    pub mode: u64,
    /// Numeric owner.
    pub uid: u64,
    /// Numeric group.
    pub gid: u64,
    /// What the header says about the body's length.
    pub size: u64,
    /// Type flag.
    pub flag: u8,
}

impl RawHeader {
    /// Owned by root, 0644, without body.
    #[must_use]
    pub fn new(flag: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            flag,
        }
    }

    /// The block, with a right checksum, in the GNU format.
    #[must_use]
    pub fn block(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 0, &self.name);
        put(&mut block, 100, format!("{:07o}", self.mode).as_bytes());
        put(&mut block, 108, format!("{:07o}", self.uid).as_bytes());
        put(&mut block, 116, format!("{:07o}", self.gid).as_bytes());
        put(&mut block, 124, &size_field(self.size));
        put(&mut block, 136, b"00000000000");
        block[156] = self.flag;
        put(&mut block, 157, &self.link);
        put(&mut block, 257, b"ustar  \0");
        seal(&mut block);
        block
    }
}

fn put(block: &mut [u8; BLOCK_BYTES], offset: usize, bytes: &[u8]) {
    block[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Octal when it fits, else base-256.
fn size_field(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size < 1 << 33 {
        field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
    }
    field
}

/// Puts the right checksum into a header block.
pub fn seal(block: &mut [u8; BLOCK_BYTES]) {
    put(block, 148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(block, 148, format!("{sum:06o}\0 ").as_bytes());
}

impl TarBuilder {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a header and a body, padded to a whole block.
    #[must_use]
    pub fn entry(mut self, header: &RawHeader, body: &[u8]) -> Self {
        self.bytes.extend_from_slice(&header.block());
        self.bytes.extend_from_slice(body);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        self
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A regular file, 0644.
    #[must_use]
    pub fn file(self, name: &str, body: &[u8]) -> Self {
        self.file_with(name, 0o644, 0, 0, body)
    }

    /// A regular file with owner and permissions.
    #[must_use]
    pub fn file_with(self, name: &str, mode: u64, uid: u64, gid: u64, body: &[u8]) -> Self {
        let header = RawHeader {
            mode,
            uid,
            gid,
            size: body.len() as u64,
            ..RawHeader::new(b'0', name)
        };
        self.entry(&header, body)
    }

    /// A folder, 0755; a slash is appended.
    #[must_use]
    pub fn directory(self, name: &str) -> Self {
        let mut header = RawHeader::new(b'5', format!("{name}/"));
        header.mode = 0o755;
        self.entry(&header, b"")
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.link(b'2', name, target)
    }

    /// A hard link.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(b'1', name, target)
    }

    fn link(self, flag: u8, name: &str, target: &str) -> Self {
        let mut header = RawHeader::new(flag, name);
        header.link = target.as_bytes().to_vec();
        header.mode = 0o777;
        self.entry(&header, b"")
    }

    /// A PAX extended header with these records, for the next entry.
    #[must_use]
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let body: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| pax_record(key, value))
            .collect();
        self.extension(b'x', &body)
    }

    /// A GNU long name (`L`) or long link (`K`) header, for the next entry.
    #[must_use]
    pub fn long_text(self, flag: u8, text: &str) -> Self {
        self.extension(flag, format!("{text}\0").as_bytes())
    }

    /// An extension header of any type.
    #[must_use]
    pub fn extension(self, flag: u8, body: &[u8]) -> Self {
        let mut header = RawHeader::new(flag, "././@Extension");
        header.size = body.len() as u64;
        self.entry(&header, body)
    }

    /// The archive with its end mark.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 2 * BLOCK_BYTES]);
        self.bytes
    }

    /// The archive without end mark.
    #[must_use]
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

/// One PAX record; its length counts itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3; // space, equals sign, line break
    let length = (rest + 1..=rest + 20).find(|length| length.to_string().len() + rest == *length);
    let mut record = format!("{} {key}=", length.unwrap_or_default()).into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// An ar archive of these members.
#[must_use]
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = super::ar::MAGIC.to_vec();
    for (name, body) in members {
        archive.extend_from_slice(&ar_header(name, &body.len().to_string()));
        archive.extend_from_slice(body);
        if body.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

/// The header of an ar member.
#[must_use]
pub fn ar_header(name: &str, size: &str) -> Vec<u8> {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).into_bytes()
}

/// A package of an uncompressed data member and a control member that `control` describes: see [`control_tar`].
#[must_use]
pub fn deb(control: &[(&str, &[u8])], data: &[u8]) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control_tar(control)),
        ("data.tar", data),
    ])
}

/// A control archive of these files. When `control` isn't among them, it names package `sample` 1.0 for `all`.
#[must_use]
pub fn control_tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = TarBuilder::new().directory(".");
    if files.iter().all(|(name, _)| *name != "control") {
        archive = archive.file("./control", SAMPLE_CONTROL.as_bytes());
    }
    for (name, body) in files {
        archive = archive.file(&format!("./{name}"), body);
    }
    archive.finish()
}

/// The control file of package `sample`.
pub const SAMPLE_CONTROL: &str = "Package: sample\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody \
                                  <nobody@example.org>\nDescription: a sample\n It does nothing.\n";

/// `bytes` compressed by gzip.
///
/// # Panics
/// Never: writing to memory doesn't fail.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// `bytes` compressed by xz, preset 6 as dpkg-deb's.
#[must_use]
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// `bytes` compressed by zstd.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap_or_default()
}
