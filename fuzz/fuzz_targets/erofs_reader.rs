//! Opens bytes as an EROFS image, lists it, finds each path again, reads each file, and lays out another image after it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::{
    erofs::{Options, Plan, Previous, Reader},
    progress::Silent,
    tree::{Entry, Tree},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::open(bytes) else {
        return;
    };
    for entry in reader.walk().map_while(Result::ok).take(200) {
        let _ = reader.find(&entry.path);
        let _ = reader.read_entry(&entry, 1 << 20);
        if let Ok(mut file) = reader.file(&entry) {
            let _ = std::io::copy(&mut file, &mut std::io::sink());
        }
    }
    if let Ok(previous) = Previous::read(&reader) {
        lay_out_after(&previous, &reader);
    }
});

/// Plans an image with the first files of the old one, one of them changed.
fn lay_out_after(previous: &Previous<'_>, reader: &Reader<&[u8]>) {
    let mut tree = Tree::new();
    for entry in reader.walk().map_while(Result::ok).take(20) {
        if let Ok(bytes) = reader.read_entry(&entry, 1 << 16) {
            let _ = tree.insert_all(entry.path.clone(), Entry::file(0o644, bytes));
        }
    }
    let _ = tree.insert_all("new".parse().expect("a path"), Entry::file(0o644, vec![1; 9000]));
    let options = Options {
        uuid: uuid::Uuid::nil(),
        time: 0,
        label: None,
    };
    let (plan, _) = Plan::after(&tree, &options, previous, &Silent).expect("a tree of files");
    let mut image = Vec::new();
    plan.write(&mut image, &Silent).expect("written to memory");
    let again = Reader::open(&image[..]).expect("an own image");
    assert!(again.walk().all(|entry| entry.is_ok()));
}
