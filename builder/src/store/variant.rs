//! OSTree's serialised forms: headers of file objects, folder metadata, folder listings.
//!
//! Source: libostree `ostree-core.h` (`OSTREE_*_GVARIANT_FORMAT`) and the GVariant specification. Numbers in them are
//! big-endian. [`tests`] compares them with what libostree writes.

use ostree::glib::{
    Variant, VariantTy,
    variant::{StaticVariantType as _, ToVariant as _},
};

use super::checksum::Checksum;
use crate::sha256::Sha256;
use crate::tree::Metadata;

/// `S_IFMT` and its values. Source: Linux `stat.h`.
pub(super) const TYPE_MASK: u32 = 0o170_000;
/// `S_IFREG`
pub(super) const REGULAR: u32 = 0o100_000;
/// `S_IFDIR`
pub(super) const DIRECTORY: u32 = 0o040_000;
/// `S_IFLNK`
pub(super) const SYMLINK: u32 = 0o120_000;

const DIR_META: &str = "(uuua(ayay))";
const DIR_TREE: &str = "(a(say)a(sayay))";

/// A folder's direct entries: files and links by their object, folders by listing and metadata.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<(String, Checksum)>,
    pub(super) folders: Vec<(String, Folder)>,
}

/// The two objects that a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Folder {
    /// The listing (`.dirtree`).
    pub(super) contents: Checksum,
    /// Owner, mode, attributes (`.dirmeta`).
    pub(super) metadata: Checksum,
}

/// A SHA-256 that has taken in a file object's header: its length, four zero bytes, the header. The content follows.
pub(super) fn hash_of_header(metadata: &Metadata, kind: u32, target: &str) -> Sha256 {
    let header = (
        metadata.uid.to_be(),
        metadata.gid.to_be(),
        (kind | u32::from(metadata.mode)).to_be(),
        0_u32, // device number: there are none
        target,
        raw_xattrs(metadata),
    )
        .to_variant();
    let bytes = header.data();
    let mut hash = Sha256::new();
    hash.update(u64::to_be_bytes((bytes.len() as u64) << 32)); // 32-bit length, then padding
    hash.update(bytes);
    hash
}

/// The attribute `user.ostreemeta` of a file object, and the whole of a `.dirmeta` object.
pub(super) fn metadata_bytes(metadata: &Metadata, kind: u32) -> Vec<u8> {
    (
        metadata.uid.to_be(),
        metadata.gid.to_be(),
        (kind | u32::from(metadata.mode)).to_be(),
        raw_xattrs(metadata),
    )
        .to_variant()
        .data()
        .to_vec()
}

/// Names carry their final NUL.
fn raw_xattrs(metadata: &Metadata) -> Vec<(Vec<u8>, Vec<u8>)> {
    let name = |name: &String| [name.as_bytes(), b"\0"].concat();
    metadata
        .xattrs
        .iter()
        .map(|(key, value)| (name(key), value.clone()))
        .collect()
}

/// Reads [`metadata_bytes`] back; the kind is one of [`TYPE_MASK`]'s values.
pub(super) fn parse_metadata(bytes: &[u8]) -> Option<(Metadata, u32)> {
    let ty = VariantTy::new(DIR_META).ok()?;
    let (uid, gid, mode, xattrs) =
        Variant::from_data_with_type(bytes, ty).get::<(u32, u32, u32, Vec<(Vec<u8>, Vec<u8>)>)>()?;
    let mode = u32::from_be(mode);
    let xattrs = xattrs
        .into_iter()
        .map(|(name, value)| Some((String::from_utf8(name.strip_suffix(b"\0")?.to_vec()).ok()?, value)))
        .collect::<Option<_>>()?;
    let metadata = Metadata {
        mode: u16::try_from(mode & 0o7777).ok()?,
        uid: u32::from_be(uid),
        gid: u32::from_be(gid),
        xattrs,
    };
    Some((metadata, mode & TYPE_MASK))
}

impl Listing {
    /// The bytes of a `.dirtree` object; sorts the entries, as OSTree demands.
    pub(super) fn sort_and_serialize(&mut self) -> Vec<u8> {
        self.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.folders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let files = self
            .files
            .iter()
            .map(|(name, object)| Variant::tuple_from_iter([name.to_variant(), object.to_variant()]));
        let folders = self.folders.iter().map(|(name, folder)| {
            Variant::tuple_from_iter([
                name.to_variant(),
                folder.contents.to_variant(),
                folder.metadata.to_variant(),
            ])
        });
        Variant::tuple_from_iter([
            Variant::array_from_iter_with_type(&<(String, Vec<u8>)>::static_variant_type(), files),
            Variant::array_from_iter_with_type(&<(String, Vec<u8>, Vec<u8>)>::static_variant_type(), folders),
        ])
        .data()
        .to_vec()
    }

    /// Reads a `.dirtree` object.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let ty = VariantTy::new(DIR_TREE).ok()?;
        let tree = Variant::from_data_with_type(bytes, ty);
        let name = |entry: &Variant| entry.child_value(0).str().map(str::to_owned);
        let checksum = |entry: &Variant, index| Checksum::from_variant(&entry.child_value(index));
        let files = tree
            .child_value(0)
            .iter()
            .map(|entry| Some((name(&entry)?, checksum(&entry, 1)?)))
            .collect::<Option<_>>()?;
        let folder = |entry: Variant| {
            let folder = Folder {
                contents: checksum(&entry, 1)?,
                metadata: checksum(&entry, 2)?,
            };
            Some((name(&entry)?, folder))
        };
        let folders = tree.child_value(1).iter().map(folder).collect::<Option<_>>()?;
        Some(Self { files, folders })
    }
}
