//! Debian packages: the ar container, the control member, the data member. Strict: what is odd is refused.
//!
//! Format: deb(5), deb-control(5), ar as deb(5) restricts it, tar as [`tar`] says. A package is hostile until it is
//! read to its end: nothing here allocates by a length that the file states, recurses, or writes anywhere.
//!
//! ```no_run
//! # use outcrop_builder::deb::{Deb, DebError, Limits, Node};
//! # fn main() -> Result<(), DebError> {
//! let mut deb = Deb::open("curl_8.14.1-2_amd64.deb".as_ref(), Limits::default())?;
//! let control = deb.control()?;
//! println!("{} {}", control.package(), control.version());
//! let mut data = deb.data()?;
//! while let Some(mut entry) = data.next_entry()? {
//!     if let Node::File { size } = entry.node() {
//!         println!("{} has {size} bytes", entry.path());
//!         // `entry` reads them; what is left unread is skipped.
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod ar;
pub mod compression;
mod control;
mod data;
mod error;
mod limits;
pub mod tar;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

pub use control::{Conffile, Control, ControlError};
pub use data::{DataEntry, DataReader, EntryError, Node};
pub use error::{DebError, MemberError};
pub use limits::Limits;

use self::{ar::Member, compression::Decoder};

/// A package file whose container was checked; its members are read on demand, each as often as needed.
#[derive(Debug)]
pub struct Deb<R> {
    name: String,
    reader: R,
    limits: Limits,
    control: Member,
    data: Member,
}

impl Deb<File> {
    /// Opens a package file and checks its container.
    ///
    /// # Errors
    /// When the file can't be opened, or the container isn't one of deb(5).
    pub fn open(path: &Path, limits: Limits) -> Result<Self, DebError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::new(&name, file, limits),
            Err(source) => Err(DebError::Open {
                package: name,
                source,
            }),
        }
    }
}

impl<R: Read + Seek + Send> Deb<R> {
    /// Checks the container of the package that `reader` holds from its start to its end. `name` is for errors.
    ///
    /// # Errors
    /// When the container isn't one of deb(5).
    pub fn new(name: &str, mut reader: R, limits: Limits) -> Result<Self, DebError> {
        let members = ar::read_package(&mut reader).map_err(|source| DebError::Container {
            package: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            reader,
            limits,
            control: members.control,
            data: members.data,
        })
    }

    /// Calls the package by another name in errors: `curl 8.14.1-2` instead of a cache path.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Reads the control member.
    ///
    /// # Errors
    /// When it can't be read, exceeds the limits, or holds something else than deb(5) says.
    pub fn control(&mut self) -> Result<Control, DebError> {
        let limits = self.limits;
        let member = self.control.clone();
        let fail = member_failure(&self.name, &member);
        let decoder = self.member(&member, limits.control_bytes).map_err(&fail)?;
        control::read(decoder, &limits).map_err(fail)
    }

    /// Begins to read the data member.
    ///
    /// # Errors
    /// When the member can't be read.
    pub fn data(&mut self) -> Result<DataReader<'_>, DebError> {
        let limits = self.limits;
        let member = self.data.clone();
        let name = self.name.clone();
        let decoder = self
            .member(&member, limits.data_bytes)
            .map_err(member_failure(&name, &member))?;
        Ok(DataReader::new(decoder, &name, &member.name, limits))
    }

    fn member(&mut self, member: &Member, expanded: u64) -> Result<Decoder<'_>, MemberError> {
        self.reader
            .seek(SeekFrom::Start(member.offset))
            .map_err(MemberError::Read)?;
        let bytes = (&mut self.reader).take(member.size);
        Decoder::new(bytes, member.compression, expanded, self.limits.decoder_memory)
    }
}

fn member_failure(package: &str, member: &Member) -> impl Fn(MemberError) -> DebError + use<> {
    let (package, member) = (package.to_owned(), member.name.clone());
    move |source| DebError::Member {
        package: package.clone(),
        member: member.clone(),
        source: Box::new(source),
    }
}
