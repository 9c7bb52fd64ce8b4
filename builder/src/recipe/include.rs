//! Reads a recipe and, depth first, the recipes that it includes.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    check::check,
    keys::RECIPE,
    merge::merge,
    node::{self, Node, Table, Value},
    problem::{Problem, RecipeError},
    source::{Location, SourceFile},
};

/// Longest recipe file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What reading gave: the merged table, the files in the order in which they were merged (the main one last), and
/// what is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) table: Table,
    pub(super) files: Vec<Arc<SourceFile>>,
    pub(super) problems: Vec<Problem>,
    /// Whether a file couldn't be read or parsed: then the table isn't whole.
    pub(super) unreadable: bool,
    /// Canonical paths of the files that are being read, outermost first.
    open: Vec<PathBuf>,
    /// Canonical paths of the files that are merged.
    done: Vec<PathBuf>,
}

/// Reads the recipe at `path` with everything that it includes.
///
/// # Errors
/// When the main file can't be read. All other trouble is in [`Merged::problems`].
pub(super) fn read(path: &Path) -> Result<Merged, RecipeError> {
    let fail = |source| RecipeError::Read {
        path: path.to_owned(),
        source,
    };
    let mut merged = Merged::default();
    let identity = path.canonicalize().map_err(fail)?;
    let bytes = read_limited(path).map_err(fail)?;
    merged.add(path, identity, bytes);
    Ok(merged)
}

/// Like [`read`], with `text` in place of the file at `path`.
pub(super) fn read_text(path: &Path, text: &str) -> Merged {
    let mut merged = Merged::default();
    merged.add(path, path.to_owned(), text.as_bytes().to_vec());
    merged
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "the file has more than {MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

impl Merged {
    fn add(&mut self, path: &Path, identity: PathBuf, bytes: Vec<u8>) {
        let (file, utf8) = decode(path, bytes);
        if let Some(problem) = utf8 {
            self.unreadable = true;
            self.problems.push(problem);
            self.files.push(file);
            return;
        }
        let mut table = match node::parse(&file) {
            Ok(table) => table,
            Err(errors) => {
                self.unreadable = true;
                self.problems.extend(errors.into_iter().map(syntax_problem));
                self.files.push(file);
                return;
            }
        };
        check(&mut table, RECIPE, &mut self.problems);
        self.open.push(identity);
        if let Some(includes) = table.remove("include") {
            self.include(&file, includes.node);
        }
        self.done.extend(self.open.pop());
        self.files.push(file);
        merge(&mut self.table, table, RECIPE);
    }

    fn include(&mut self, file: &SourceFile, includes: Node) {
        let Value::List(items) = includes.value else {
            return;
        };
        for item in items {
            let Value::Text(name) = item.value else { continue };
            let path = file.folder().join(&name);
            let read = path
                .canonicalize()
                .and_then(|identity| Ok((identity, read_limited(&path)?)));
            match read {
                Err(error) => {
                    self.unreadable = true;
                    let message = format!("can't read the included recipe {}: {error}", path.display());
                    let problem = Problem::new(message).at(item.place);
                    self.problems
                        .push(problem.help("paths are relative to the file that includes"));
                }
                Ok((identity, _)) if self.open.contains(&identity) => self.problems.push(
                    Problem::new(format!("{} includes itself", path.display()))
                        .at(item.place)
                        .label("closes the circle")
                        .help("move what both need to a third file, and include that"),
                ),
                Ok((identity, _)) if self.done.contains(&identity) => {}
                Ok((identity, bytes)) => self.add(&path, identity, bytes),
            }
        }
    }
}

fn decode(path: &Path, bytes: Vec<u8>) -> (Arc<SourceFile>, Option<Problem>) {
    let source = |text| {
        Arc::new(SourceFile {
            path: path.to_owned(),
            text: Arc::new(text),
        })
    };
    match String::from_utf8(bytes) {
        Ok(text) => (source(text), None),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let file = source(String::from_utf8_lossy(error.as_bytes()).into_owned());
            let place = Location::new(Arc::clone(&file), good..good + 1);
            let problem = Problem::new("not a text file: recipes are TOML in UTF-8").at(place);
            (file, Some(problem))
        }
    }
}

fn syntax_problem((message, place): (String, Option<Location>)) -> Problem {
    let problem = Problem::new(format!("not TOML: {message}")).help("https://toml.io has the syntax");
    match place {
        Some(place) => problem.at(place),
        None => problem,
    }
}
