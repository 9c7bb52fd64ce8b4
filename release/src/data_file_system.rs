//! The data partition's ext4: the same whether the builder makes it or a device that installs itself.

/// Label of the file system.
pub const LABEL: &str = "outcrop-data";
/// The features, none left to a version's defaults. `resize_inode` keeps room for the group descriptors of a larger
/// file system, so that it grows while it is mounted; `orphan_file` and `metadata_csum_seed`, new defaults, stay out: older
/// rescue systems can't check them.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// What `MKE2FS_CONFIG` names: what the command line leaves open.
pub const CONFIG: &str = "[defaults]
\tbase_features = none
\tdefault_mntopts = acl,user_xattr
\tenable_periodic_fsck = 0
\tblocksize = 4096
\tinode_ratio = 16384
\tflex_bg_size = 16
[fs_types]
\text4 = {
\t\tinode_size = 256
\t}
\toutcrop = {
\t\tinode_size = 256
\t}
";
/// Length of a block, in bytes.
pub const BLOCK_BYTES: u64 = 4096;
/// Journal, in MiB. It doesn't grow with the file system: enough for a disk, small beside the image.
pub const JOURNAL_MIB: u32 = 32;
/// Length, in blocks, up to which descriptors have room: 4 TiB. Beyond, the kernel moves to `meta_bg` by itself.
const RESIZE_BLOCKS: u64 = 1 << 30;

/// Arguments of `mke2fs` before the device and its blocks, with `extended` options beside those that every one has.
/// Source: mke2fs(8).
#[must_use]
pub fn mke2fs_arguments(extended: &str) -> Vec<String> {
    let extended =
        format!("{extended},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=0,resize={RESIZE_BLOCKS}");
    let journal = format!("size={JOURNAL_MIB}");
    [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-I",
        "256",
        "-i",
        "16384",
        "-m",
        "1",
        "-e",
        "remount-ro",
        "-O",
        FEATURES,
        "-L",
        LABEL,
        "-E",
        &extended,
        "-J",
        &journal,
    ]
    .map(str::to_owned)
    .to_vec()
}
