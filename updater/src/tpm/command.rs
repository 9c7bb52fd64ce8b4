//! The few commands, as bytes. Every password is empty, so that one authorization without a session does for all.

use super::wire::Writer;

/// Tags. Source: part 2, section 6.9, `TPM_ST`.
pub(super) const NO_SESSIONS: u16 = 0x8001;
pub(super) const SESSIONS: u16 = 0x8002;
/// Tag, length, and command or response code.
pub(super) const HEADER_BYTES: usize = 10;

/// Command codes. Source: part 2, section 6.5.2, `TPM_CC`.
pub(crate) const CREATE_PRIMARY: u32 = 0x131;
pub(crate) const CREATE: u32 = 0x153;
pub(crate) const LOAD: u32 = 0x157;
pub(crate) const UNSEAL: u32 = 0x15e;
pub(crate) const FLUSH_CONTEXT: u32 = 0x165;

/// Permanent handles. Source: part 2, section 7.4, `TPM_RH`.
pub(super) const OWNER: Handle = Handle(0x4000_0001);
const PASSWORD: u32 = 0x4000_0009;

/// Algorithms and a curve. Source: part 2, sections 6.3 (`TPM_ALG_ID`) and 6.4 (`TPM_ECC_CURVE`).
const AES: u16 = 0x0006;
const KEYED_HASH: u16 = 0x0008;
const SHA_256: u16 = 0x000b;
const NULL: u16 = 0x0010;
const ECC: u16 = 0x0023;
const CFB: u16 = 0x0043;
const P_256: u16 = 0x0003;

/// Attributes of objects. Source: part 2, section 8.3, `TPMA_OBJECT`.
const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const USER_WITH_AUTH: u32 = 1 << 6;
/// Wrong passwords of others don't lock it.
const NO_DA: u32 = 1 << 10;
const RESTRICTED: u32 = 1 << 16;
const DECRYPT: u32 = 1 << 17;

/// Something that is loaded, or always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(pub(super) u32);

/// Makes the owner's storage key: the same one each time, until the TPM is cleared, so nothing of it need be kept. Source: part 3, section
/// 24.1; the template is that of TCG, "TPM v2.0 Provisioning Guidance" 1.0, section 7.5.1, and "EK Credential Profile" 2.0, annex B.
pub(super) fn create_primary() -> Vec<u8> {
    let coordinate = [0; 32];
    let attributes =
        FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | DECRYPT;
    let public = Writer::default()
        .u16(ECC)
        .u16(SHA_256)
        .u32(attributes)
        .sized(&[]) // no policy
        .u16(AES)
        .u16(128)
        .u16(CFB)
        .u16(NULL) // no scheme
        .u16(P_256)
        .u16(NULL) // no key derivation
        .sized(&coordinate)
        .sized(&coordinate);
    let parameters = Writer::default()
        .sized(&sensitive(&[]))
        .sized(&public.0)
        .sized(&[]) // nothing from outside
        .u32(0); // no PCRs
    authorized(CREATE_PRIMARY, OWNER, &parameters)
}

/// Seals `secret` under a storage key. Source: part 3, section 12.1.
pub(super) fn create(parent: Handle, secret: &[u8]) -> Vec<u8> {
    let parameters = Writer::default()
        .sized(&sensitive(secret))
        .sized(&[&sealed_template()[..], &[0, 0]].concat()) // `unique` is the TPM's to fill
        .sized(&[])
        .u32(0);
    authorized(CREATE, parent, &parameters)
}

/// How the public area of a sealed object begins: all but the digest that the TPM adds. Source: part 2, section 12.2.4, `TPMT_PUBLIC`.
pub(super) fn sealed_template() -> Vec<u8> {
    Writer::default()
        .u16(KEYED_HASH)
        .u16(SHA_256)
        .u32(FIXED_TPM | FIXED_PARENT | USER_WITH_AUTH | NO_DA)
        .sized(&[]) // no policy
        .u16(NULL) // no scheme: it is data
        .0
}

/// Loads a sealed object. Source: part 3, section 12.2.
pub(super) fn load(parent: Handle, private: &[u8], public: &[u8]) -> Vec<u8> {
    let parameters = Writer::default().sized(private).sized(public);
    authorized(LOAD, parent, &parameters)
}

/// Asks for what a loaded object holds. Source: part 3, section 12.7.
pub(super) fn unseal(object: Handle) -> Vec<u8> {
    authorized(UNSEAL, object, &Writer::default())
}

/// Puts a loaded object away. Source: part 3, section 28.4.
pub(super) fn flush(object: Handle) -> Vec<u8> {
    message(NO_SESSIONS, FLUSH_CONTEXT, &Writer::default().u32(object.0))
}

/// An empty password, and data. Source: part 2, section 11.1.15, `TPMS_SENSITIVE_CREATE`.
fn sensitive(data: &[u8]) -> Vec<u8> {
    Writer::default().sized(&[]).sized(data).0
}

/// A command about one object, authorized by its empty password. Source: part 2, section 10.13.2, `TPMS_AUTH_COMMAND`.
fn authorized(code: u32, handle: Handle, parameters: &Writer) -> Vec<u8> {
    let authorization = Writer::default()
        .u32(PASSWORD)
        .sized(&[]) // nonce
        .u8(0) // attributes of a session
        .sized(&[]); // the password
    let [.., a, b, c, d] = authorization.0.len().to_be_bytes();
    let body = Writer::default()
        .u32(handle.0)
        .bytes(&[a, b, c, d])
        .bytes(&authorization.0)
        .bytes(&parameters.0);
    message(SESSIONS, code, &body)
}

fn message(tag: u16, code: u32, body: &Writer) -> Vec<u8> {
    let [.., a, b, c, d] = (HEADER_BYTES + body.0.len()).to_be_bytes();
    let header = Writer::default().u16(tag).bytes(&[a, b, c, d]).u32(code);
    header.bytes(&body.0).0
}
