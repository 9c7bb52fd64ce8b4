//! The control member: the package's description, its scripts and lists.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use deb822_fast::Paragraph;

use super::{
    Limits, MemberError,
    tar::{TarReader, Type},
};

/// What a package says about itself. deb-control(5).
#[derive(Debug, Clone)]
pub struct Control {
    paragraph: Paragraph,
    files: BTreeMap<String, Vec<u8>>,
}

/// One line of `conffiles`. deb-conffiles(5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conffile {
    /// Absolute path, as the line has it.
    pub path: String,
    /// dpkg removes the file on upgrade; it isn't in the data member.
    pub remove_on_upgrade: bool,
}

/// Why control information can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Something else than a plain file directly in the archive.
    #[error("{0:?} is no plain file at the top")]
    Entry(String),
    /// The same file twice.
    #[error("{0:?} is there twice")]
    Duplicate(String),
    /// A file longer than the limit.
    #[error("{name:?} has {size} bytes, and {limit} are the most that is read")]
    FileSize {
        /// Which file.
        name: String,
        /// How long it says it is.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// There is no `control`.
    #[error("there is no file `control`")]
    Missing,
    /// A file that must be UTF-8 isn't.
    #[error("{0:?} isn't UTF-8")]
    Encoding(&'static str),
    /// `control` isn't one paragraph of fields.
    #[error("the file `control` isn't one paragraph of fields")]
    Syntax,
    /// A field that every package has is missing or malformed.
    #[error("the field {0} is missing or malformed")]
    Field(&'static str),
    /// A line of `conffiles` that is no absolute path, or has an unknown flag.
    #[error("the line {0:?} of `conffiles` is malformed")]
    Conffile(String),
}

impl Control {
    /// Parses the files of a control member: for whoever kept them elsewhere than in a package.
    ///
    /// # Errors
    /// When there is no `control`, or it isn't one paragraph with name, version and architecture.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Result<Self, ControlError> {
        let text = files.get("control").ok_or(ControlError::Missing)?;
        let text = std::str::from_utf8(text).map_err(|_| ControlError::Encoding("control"))?;
        let paragraph = parse_paragraph(text)?;
        check_field(&paragraph, "Package", is_package_name)?;
        check_field(&paragraph, "Version", is_version)?;
        check_field(&paragraph, "Architecture", is_package_name)?;
        Ok(Self { paragraph, files })
    }

    /// The package's name.
    #[must_use]
    pub fn package(&self) -> &str {
        self.field("Package").unwrap_or_default() // checked when it was read
    }

    /// The package's version, epoch included.
    #[must_use]
    pub fn version(&self) -> &str {
        self.field("Version").unwrap_or_default()
    }

    /// `amd64`, `arm64`, `all`, ...
    #[must_use]
    pub fn architecture(&self) -> &str {
        self.field("Architecture").unwrap_or_default()
    }

    /// A field's value; names are compared without regard to case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.paragraph
            .iter()
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// All fields in their order. Continuation lines are joined by line breaks.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.paragraph.iter()
    }

    /// A file of the control member: `control`, `preinst`, `postinst`, `prerm`, `postrm`, `config`, `conffiles`,
    /// `md5sums`, `shlibs`, `symbols`, `templates`, `triggers`, ...
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// All files of the control member by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The configuration files, in the order of the list.
    ///
    /// # Errors
    /// When the list isn't one of deb-conffiles(5).
    pub fn conffiles(&self) -> Result<Vec<Conffile>, ControlError> {
        let text = std::str::from_utf8(self.file("conffiles").unwrap_or_default())
            .map_err(|_| ControlError::Encoding("conffiles"))?;
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(conffile)
            .collect()
    }
}

/// deb-conffiles(5): an absolute path, with the flag `remove-on-upgrade` before it or none.
fn conffile(line: &str) -> Result<Conffile, ControlError> {
    let line = line.trim_end();
    let (path, remove_on_upgrade) = match line.strip_prefix("remove-on-upgrade ") {
        Some(path) => (path.trim_start(), true),
        None => (line, false),
    };
    if !path.starts_with('/') {
        return Err(ControlError::Conffile(line.to_owned()));
    }
    Ok(Conffile {
        path: path.to_owned(),
        remove_on_upgrade,
    })
}

fn parse_paragraph(text: &str) -> Result<Paragraph, ControlError> {
    let parsed: deb822_fast::Deb822 = text.parse().map_err(|_| ControlError::Syntax)?;
    let mut paragraphs = parsed.iter();
    match (paragraphs.next(), paragraphs.next()) {
        (Some(paragraph), None) => Ok(paragraph.clone()),
        _ => Err(ControlError::Syntax),
    }
}

fn check_field(
    paragraph: &Paragraph,
    name: &'static str,
    legal: fn(&str) -> bool,
) -> Result<(), ControlError> {
    let mut values = paragraph
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) if legal(value) => Ok(()),
        _ => Err(ControlError::Field(name)),
    }
}

/// Debian Policy 5.6.7: lower-case letters, digits, `+`, `-`, `.`. Architectures fit the same alphabet.
fn is_package_name(text: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(legal)
}

/// The alphabet of deb-version(7); the order of its parts is the resolver's business.
fn is_version(text: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~' | b':' | b'_');
    text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(legal)
}

/// Reads the control member from `reader` to its end.
pub(super) fn read(reader: impl Read, limits: &Limits) -> Result<Control, MemberError> {
    let mut archive = TarReader::new(reader);
    let mut files = BTreeMap::new();
    let mut entries = 0;
    while let Some(entry) = archive.next_entry()? {
        entries += 1;
        if entries > limits.entries {
            return Err(MemberError::TooMany(limits.entries));
        }
        if entry.header.kind == Type::Directory && matches!(entry.header.name.as_slice(), b"./" | b".") {
            continue;
        }
        let name = file_name(&entry.header.name, entry.header.kind).map_err(MemberError::Control)?;
        check_size(&name, entry.header.size, limits).map_err(MemberError::Control)?;
        let bytes = read_body(&mut archive)?;
        if files.insert(name.clone(), bytes).is_some() {
            return Err(MemberError::Control(ControlError::Duplicate(name)));
        }
    }
    Control::from_files(files).map_err(MemberError::Control)
}

fn file_name(name: &[u8], kind: Type) -> Result<String, ControlError> {
    let plain = name.strip_prefix(b"./").unwrap_or(name);
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    let text = String::from_utf8_lossy(name).into_owned();
    if kind != Type::File || plain.is_empty() || !plain.iter().all(legal) || plain.starts_with(b".") {
        return Err(ControlError::Entry(text));
    }
    Ok(String::from_utf8_lossy(plain).into_owned())
}

fn check_size(name: &str, size: u64, limits: &Limits) -> Result<(), ControlError> {
    if size <= limits.control_file_bytes {
        return Ok(());
    }
    Err(ControlError::FileSize {
        name: name.to_owned(),
        size,
        limit: limits.control_file_bytes,
    })
}

/// The body's length was checked; memory grows with what really comes.
fn read_body<R: Read>(archive: &mut TarReader<R>) -> Result<Vec<u8>, MemberError> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        match archive.read_body(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(super::tar::TarError::Read(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
