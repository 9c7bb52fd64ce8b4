//! The disk image: GPT, FAT, data file system, block map.
