//! From recipe and lock to the files in the output folder.
