//! dm-verity: the hash tree over a root file system.
