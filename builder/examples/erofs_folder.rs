//! Makes an EROFS image of a folder and says how long that took: `cargo run --example erofs_folder -- FOLDER IMAGE`.
//! With `-` for IMAGE it is written nowhere, which leaves planning and reading.

use std::{
    error::Error,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use outcrop_builder::{
    erofs::{Options, Plan, Reader},
    progress::Silent,
    read_at::FileSource,
    tree::{Content, Entry, Metadata, Node, StoredObject, Tree, TreePath},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("usage: erofs_folder FOLDER IMAGE".into());
    };
    let mut tree = Tree::new();
    add(&mut tree, &folder, &TreePath::root())?;
    let options = Options {
        uuid: uuid::Uuid::nil(),
        time: 0,
        label: None,
    };
    let began = Instant::now();
    let plan = Plan::new(&tree, &options)?;
    let planned = began.elapsed();
    if image == Path::new("-") {
        plan.write(&mut io::sink(), &Silent)?;
    } else {
        plan.write(&mut fs::File::create(&image)?, &Silent)?;
    }
    let written = began.elapsed();
    let mut out = io::stdout().lock();
    report(&mut out, &tree, &plan)?;
    io::Write::write_fmt(
        &mut out,
        format_args!("plan {planned:?}, plan and write {written:?}\n"),
    )?;
    if image != Path::new("-") {
        let count = Reader::open(FileSource::new(fs::File::open(&image)?)?)?
            .walk()
            .count();
        let walked = began.elapsed() - written;
        io::Write::write_fmt(&mut out, format_args!("{count} names listed in {walked:?}\n"))?;
    }
    Ok(())
}

fn report(out: &mut impl io::Write, tree: &Tree, plan: &Plan) -> io::Result<()> {
    let content = tree.iter().map(|(_, entry)| match &entry.node {
        Node::File(content, _) => content.len(),
        _ => 0,
    });
    let (entries, bytes) = (tree.len(), content.sum::<u64>());
    writeln!(
        out,
        "{entries} entries, {bytes} bytes of content, image of {} bytes",
        plan.size_bytes()
    )
}

fn add(tree: &mut Tree, folder: &Path, at: &TreePath) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let Some(path) = entry.file_name().to_str().and_then(|name| at.join(name).ok()) else {
            continue;
        };
        let metadata = Metadata::root((meta.mode() & 0o7777) as u16);
        if meta.is_dir() {
            let node = Node::Directory;
            tree.insert(path.clone(), Entry { metadata, node })?;
            add(tree, &entry.path(), &path)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(entry.path())?;
            tree.insert(path, Entry::symlink(&target.to_string_lossy()))?;
        } else if meta.is_file() {
            let object = StoredObject {
                checksum: path.to_string(),
                path: entry.path(),
                size: meta.len(),
                metadata: metadata.clone(),
            };
            let node = Node::File(Content::Stored(Arc::new(object)), None);
            tree.insert(path, Entry { metadata, node })?;
        }
    }
    Ok(())
}
