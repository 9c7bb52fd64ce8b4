//! Many packages' trees into one.
