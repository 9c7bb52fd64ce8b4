//! UEFI Secure Boot: programs signed so that a machine's firmware starts them, and the files that bring the owner's keys into a
//! machine.
//!
//! A machine holds four sets of keys. PK, the platform key, is the owner's: it signs changes of KEK. Keys of KEK sign changes of db, and db
//! has the certificates whose programs are started. (The fourth, dbx, has what isn't started all the same; Outcrop leaves it alone.) Only
//! db's private key is needed for building.
//!
//! Sources: UEFI 2.10, chapter 32 "Secure Boot and Driver Signing"; Microsoft, "Windows Authenticode Portable Executable Signature
//! Format", 2008.

mod authenticode;
mod certificate;
mod enrollment;
mod error;
mod key;
pub(crate) mod key_set;
mod pkcs7;
mod signer;
mod table;
mod variables;

pub use authenticode::{Fault, digest, read_signature, sign};
pub use certificate::{Certificate, Validity};
pub use enrollment::{Enrollment, EnrollmentFile};
pub use error::SecureBootError;
pub use key::RsaKey;
pub use key_set::{KeySet, Wanted, read_certificate};
pub use signer::Signer;
pub use variables::{Moment, Variable, certificates_of, signature_list};
