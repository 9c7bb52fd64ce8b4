//! The kernel command line of a release: written by the builder into the boot payload, read by `outcrop-init`.
//!
//! Nothing in it names a slot: one boot payload serves both.

use crate::{
    arch::Architecture,
    board::Board,
    digest::{DigestError, RootHash},
};

/// Option that holds the root hash of the release. systemd's generators read the same one.
pub const ROOT_HASH_OPTION: &str = "roothash";
/// Option by which U-Boot says which slot it started.
pub const SLOT_OPTION: &str = "outcrop.slot";
/// Option by which U-Boot says why it started that slot.
pub const START_OPTION: &str = "outcrop.start";
/// Option by which U-Boot names partition 1 of the disk that it started from: its GUID.
pub const PARTITION_OPTION: &str = "outcrop.partition";

/// Options of every release, beside root hash and consoles:
/// * `panic=10`: Debian's kernel would hang after a panic for ever;
/// * `gpt`: use the backup partition table when the primary is damaged;
/// * `ro`: nothing ever writes the root;
/// * `systemd.gpt_auto=no`: `outcrop-init` has set up everything, discovery would find two of each.
const COMMON: [&str; 4] = ["ro", "panic=10", "gpt", "systemd.gpt_auto=no"];

/// Longest command line that the kernels of both architectures take, in bytes.
/// Source: Linux, `COMMAND_LINE_SIZE` in `arch/{x86,arm64}/include/*asm/setup.h` (2048, with the terminating zero).
pub const MAX_BYTES: usize = 2047;

/// Options that a recipe can't set: they decide what is started and how damage is met.
const RESERVED: [&str; 14] = [
    ROOT_HASH_OPTION,
    SLOT_OPTION,
    "panic",
    "ro",
    "rw",
    "verity",
    "root",
    "rootfstype",
    "rootflags",
    "init",
    "rdinit",
    "initrd",
    "systemd.gpt_auto",
    "usrhash",
];

/// Beginnings of options that a recipe can't set: Outcrop's own, and those of initramfs programs that images don't have.
const RESERVED_PREFIXES: [&str; 2] = ["outcrop.", "rd."];

/// A command line can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// An option has white space, quotes or characters that aren't printable ASCII, or is `--` or nothing.
    #[error("{0:?} is no single kernel option of printable ASCII without spaces and quotes")]
    Form(String),
    /// An option that belongs to Outcrop.
    #[error("kernel option {0:?} is set by Outcrop and can't be changed")]
    Reserved(String),
    /// Too long.
    #[error("the kernel command line has {0} bytes, the kernel takes {MAX_BYTES}")]
    Length(usize),
}

/// A command line doesn't say what `outcrop-init` must know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No root hash.
    #[error("no roothash= on the kernel command line")]
    NoRootHash,
    /// More than one root hash: which one was meant can't be known.
    #[error("more than one roothash= on the kernel command line")]
    SeveralRootHashes,
    /// A root hash that is none.
    #[error("roothash= on the kernel command line")]
    RootHash(#[source] DigestError),
}

/// The consoles of a machine; the last one is `/dev/console`, and what isn't there is passed over.
const fn consoles(board: Board, arch: Architecture) -> [&'static str; 2] {
    match (board, arch) {
        (Board::Efi, Architecture::X86_64) => ["console=tty0", "console=ttyS0,115200"],
        (Board::Efi, Architecture::Aarch64) => ["console=tty0", "console=ttyAMA0,115200"],
        // Pins 8 and 10 of the header: the small UART; the other one is Bluetooth's.
        (Board::Rpi, _) => ["console=tty0", "console=ttyS1,115200"],
    }
}

/// The command line of the release whose root file system has the hash `root`, without a line end. `extra` are the
/// recipe's options, in its order; they come last, so that they win where the kernel takes the last value.
///
/// # Errors
/// When an option of the recipe isn't one, or is Outcrop's, or all together are too long.
pub fn build<T: AsRef<str>>(
    root: &RootHash,
    board: Board,
    arch: Architecture,
    extra: &[T],
) -> Result<String, BuildError> {
    let mut line = format!("{ROOT_HASH_OPTION}={root}");
    for option in COMMON.into_iter().chain(consoles(board, arch)) {
        line = line + " " + option;
    }
    for option in extra.iter().map(AsRef::as_ref) {
        check_option(option)?;
        line = line + " " + option;
    }
    if line.len() > MAX_BYTES {
        return Err(BuildError::Length(line.len()));
    }
    Ok(line)
}

/// Whether a recipe may pass `option`. Dash and underscore are the same to the kernel.
///
/// # Errors
/// When it isn't one plain option, or is one of Outcrop's.
pub fn check_option(option: &str) -> Result<(), BuildError> {
    let plain = option
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'');
    if !plain || option.is_empty() || option == "--" {
        return Err(BuildError::Form(option.to_owned()));
    }
    let key = option.split('=').next().unwrap_or(option).replace('-', "_");
    if RESERVED.contains(&key.as_str()) || RESERVED_PREFIXES.iter().any(|own| key.starts_with(own)) {
        return Err(BuildError::Reserved(option.to_owned()));
    }
    Ok(())
}

/// A command line that was read, from `/proc/cmdline` or a boot payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    options: Vec<String>,
}

impl CommandLine {
    /// Splits `text` as the kernel does: at white space outside of double quotes, which are dropped. What follows a
    /// lone `--` is for PID 1 and left out.
    /// Source: Linux, `lib/cmdline.c`, `next_arg`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (mut options, mut current, mut quoted) = (Vec::new(), String::new(), false);
        for c in text.trim_end_matches('\0').chars().chain([' ']) {
            if c == '"' {
                quoted = !quoted;
            } else if c.is_ascii_whitespace() && !quoted {
                options.push(std::mem::take(&mut current));
            } else {
                current.push(c);
            }
        }
        options.push(current);
        options.retain(|option| !option.is_empty());
        let end = options.iter().position(|option| option == "--");
        options.truncate(end.unwrap_or(options.len()));
        Self { options }
    }

    /// All options, in order.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(String::as_str)
    }

    /// Whether `name` is there, with a value or without.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options()
            .any(|option| option.split('=').next() == Some(name))
    }

    /// The last value of `name`, if it is there with a value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// All values of `name`, in order.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.options()
            .filter_map(move |option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// The root hash of the release.
    ///
    /// # Errors
    /// When there is none, more than one, or one that is no SHA-256.
    pub fn root_hash(&self) -> Result<RootHash, ReadError> {
        let mut all = self.values(ROOT_HASH_OPTION);
        let first = all.next().ok_or(ReadError::NoRootHash)?;
        match all.next() {
            None => first.parse().map_err(ReadError::RootHash),
            Some(_) => Err(ReadError::SeveralRootHashes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: RootHash = RootHash::from_bytes([0xab; 32]);

    #[test]
    fn what_the_builder_writes_the_initramfs_reads() {
        for arch in Architecture::ALL {
            let line = build(&ROOT, Board::Efi, arch, &["loglevel=5", "quiet"]).unwrap();
            let read = CommandLine::parse(&line);
            assert_eq!(read.root_hash(), Ok(ROOT));
            assert_eq!(read.value("panic"), Some("10"));
            assert_eq!(read.value("loglevel"), Some("5"));
            assert!(read.has("quiet") && read.has("gpt") && !read.has("outcrop.slot"));
        }
    }

    #[test]
    fn each_architecture_has_its_serial_console_last() {
        let last = |board, arch| {
            let line = build::<&str>(&ROOT, board, arch, &[]).unwrap();
            CommandLine::parse(&line).value("console").map(str::to_owned)
        };
        assert_eq!(
            last(Board::Efi, Architecture::X86_64).as_deref(),
            Some("ttyS0,115200")
        );
        let aarch64 = |board| last(board, Architecture::Aarch64);
        assert_eq!(aarch64(Board::Efi).as_deref(), Some("ttyAMA0,115200"));
        assert_eq!(aarch64(Board::Rpi).as_deref(), Some("ttyS1,115200"));
    }

    #[test]
    fn a_recipe_cant_take_over_what_is_started() {
        for option in [
            "roothash=00",
            "init=/bin/sh",
            "panic=0",
            "rd.break",
            "root=/dev/sda",
            "systemd.gpt-auto=yes",
            "outcrop.slot=b",
        ] {
            assert_eq!(check_option(option), Err(BuildError::Reserved(option.to_owned())));
        }
    }

    #[test]
    fn an_option_that_would_become_two_or_end_the_list_is_refused() {
        for option in ["", "--", "a b", "a\nb", "a=\"b", "a=é", "a\0"] {
            assert_eq!(check_option(option), Err(BuildError::Form(option.to_owned())));
        }
    }

    #[test]
    fn a_line_longer_than_the_kernels_is_refused() {
        let option = "x".repeat(MAX_BYTES);
        let error = build(&ROOT, Board::Efi, Architecture::X86_64, &[option]).unwrap_err();
        assert!(matches!(error, BuildError::Length(length) if length > MAX_BYTES));
    }

    #[test]
    fn quotes_hold_an_option_together_and_a_lone_double_dash_ends_the_list() {
        let line = CommandLine::parse("a=\"b c\"  d \n-- init=x\0\0");
        assert_eq!(line.options().collect::<Vec<_>>(), ["a=b c", "d"]);
    }

    #[test]
    fn none_and_several_root_hashes_are_told_apart() {
        assert_eq!(CommandLine::parse("ro").root_hash(), Err(ReadError::NoRootHash));
        let twice = format!("roothash={ROOT} roothash={ROOT}");
        assert_eq!(
            CommandLine::parse(&twice).root_hash(),
            Err(ReadError::SeveralRootHashes)
        );
        let error = CommandLine::parse("roothash=12").root_hash().unwrap_err();
        assert!(matches!(error, ReadError::RootHash(_)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = CommandLine::parse(&text).root_hash();
        }

        #[test]
        fn every_plain_option_is_read_back(options in proptest::collection::vec("[a-z._]{1,9}=[!#-&(-~]{0,9}", 0..9)) {
            prop_assume!(options.iter().all(|option| check_option(option).is_ok()));
            let line = build(&ROOT, Board::Efi, Architecture::X86_64, &options).unwrap();
            let read = CommandLine::parse(&line);
            let tail: Vec<&str> = read.options().skip(1 + COMMON.len() + 2).collect();
            prop_assert_eq!(tail, options);
        }
    }
}
