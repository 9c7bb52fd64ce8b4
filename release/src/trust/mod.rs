//! Who may make releases: keys, signatures, and the proof that a release has enough of them.
//!
//! A release is trusted when as many different keys of the device's trust file as that file demands have signed the exact
//! bytes of its manifest. Signatures are Ed25519, checked strictly: no weak keys, no second form of one signature.
//! Sources: RFC 8032; "Taming the many EdDSAs" (2020) for what strict means.

mod file;
mod key;
mod signature;
mod verify;

pub use file::{Role, Trust, TrustError};
pub use key::{KeyError, PublicKey};
pub use signature::{MAX_SIGNATURES_BYTES, Signature, SignatureError, Signatures};
pub use verify::{
    Purpose, Untrusted, VerifiedDelta, VerifiedImage, VerifiedRelease, signed_message, verify,
    verify_channel, verify_delta, verify_image,
};
