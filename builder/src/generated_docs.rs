//! Documents that are generated from code and kept in the repository: a test compares them.

use std::path::Path;

/// Fails when the repository's `path` differs from `text`; with `OUTCROP_WRITE_DOCS=1` in the environment writes it.
pub(crate) fn assert_generated(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("OUTCROP_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{path} is out of date: run `OUTCROP_WRITE_DOCS=1 cargo test -p outcrop-builder --lib docs` and commit it"
    );
}
