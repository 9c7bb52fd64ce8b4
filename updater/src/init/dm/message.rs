//! What is said to device-mapper: a header, and with a table, one target.
//!
//! Source: Linux, `include/uapi/linux/dm-ioctl.h`, interface version 4.

use super::DmError;

/// Length of `struct dm_ioctl`.
const HEADER_BYTES: usize = 312;
/// Length of `struct dm_target_spec`.
const TARGET_BYTES: usize = 40;
/// Interface version that is asked for: any 4.x will do.
const VERSION: [u32; 3] = [4, 0, 0];
/// The device is read-only.
const READ_ONLY: u32 = 1;
/// What is asked for is the table as it was loaded, not its state.
const STATUS_TABLE: u32 = 1 << 4;
/// Room for the answer: a table of one verity target.
const ANSWER_BYTES: usize = 4096;

/// Offsets of the header's fields.
mod at {
    pub(super) const VERSION: usize = 0;
    pub(super) const DATA_SIZE: usize = 12;
    pub(super) const DATA_START: usize = 16;
    pub(super) const TARGET_COUNT: usize = 20;
    pub(super) const FLAGS: usize = 28;
    pub(super) const DEVICE: usize = 40;
    pub(super) const NAME: usize = 48;
    pub(super) const UUID: usize = 176;
    pub(super) const DATA: usize = 305;
}

/// What is asked. The values are the numbers of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Make a device without a table.
    Create = 3,
    /// Make the loaded table the active one. (The same request suspends when a flag says so.)
    Resume = 6,
    /// Give the device a table.
    LoadTable = 9,
    /// Tell the device's table.
    TableStatus = 12,
}

/// The one target of a table, from sector 0.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// Length, in sectors of 512 bytes.
    pub(super) sectors: u64,
    /// Name of the target type.
    pub(super) kind: &'a str,
    /// Its parameters.
    pub(super) parameters: &'a str,
}

/// The bytes of a request. The kernel writes its answer over them.
#[derive(Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new(
        name: &str,
        uuid: &str,
        command: Command,
        target: Option<&Target<'_>>,
    ) -> Result<Self, DmError> {
        let mut message = Self(vec![0; HEADER_BYTES]);
        for (index, part) in VERSION.into_iter().enumerate() {
            message.put(at::VERSION + 4 * index, &part.to_ne_bytes());
        }
        message.put_text(at::NAME, at::UUID, name, "the name")?;
        if command == Command::Create {
            // Later requests may name the device only once.
            message.put_text(at::UUID, at::DATA, uuid, "the UUID")?;
        }
        let flags = match command {
            Command::Create | Command::LoadTable => READ_ONLY,
            Command::Resume => 0,
            Command::TableStatus => STATUS_TABLE,
        };
        message.put(at::FLAGS, &flags.to_ne_bytes());
        if command == Command::TableStatus {
            message.0.resize(HEADER_BYTES + ANSWER_BYTES, 0);
        }
        if let Some(target) = target {
            message.put(at::TARGET_COUNT, &1_u32.to_ne_bytes());
            message.push_target(target)?;
        }
        let len = u32::try_from(message.0.len()).map_err(|_| DmError::TooLong("the table"))?;
        message.put(at::DATA_SIZE, &len.to_ne_bytes());
        message.put(at::DATA_START, &312_u32.to_ne_bytes());
        Ok(message)
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Minor number of the device in the kernel's answer. Source: Linux, `huge_encode_dev`.
    pub(super) fn device_minor(&self) -> u64 {
        let field = self.0.get(at::DEVICE..).and_then(<[u8]>::first_chunk);
        let device = field.map_or(0, |&bytes| u64::from_ne_bytes(bytes));
        (device & 0xff) | ((device >> 12) & 0xf_ff00)
    }

    /// Type and parameters of the first target in the kernel's answer to [`Command::TableStatus`].
    pub(super) fn table(&self) -> Option<(&str, &str)> {
        let start = self.0.get(at::DATA_START..).and_then(<[u8]>::first_chunk)?;
        let target = self.0.get(usize::try_from(u32::from_ne_bytes(*start)).ok()?..)?;
        let text = |bytes| std::ffi::CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok();
        Some((
            text(target.get(24..TARGET_BYTES)?)?,
            text(target.get(TARGET_BYTES..)?)?,
        ))
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + field.len()) {
            place.copy_from_slice(field);
        }
    }

    /// Puts a text that ends before `end`, with a zero.
    fn put_text(&mut self, at: usize, end: usize, text: &str, what: &'static str) -> Result<(), DmError> {
        if text.len() >= end - at {
            return Err(DmError::TooLong(what));
        }
        self.put(at, text.as_bytes());
        Ok(())
    }

    /// Appends the target, its parameters with a zero, and zeros up to a multiple of 8.
    fn push_target(&mut self, target: &Target<'_>) -> Result<(), DmError> {
        let parameters = (target.parameters.len() + 1).next_multiple_of(8);
        let next = u32::try_from(TARGET_BYTES + parameters).map_err(|_| DmError::TooLong("the table"))?;
        let mut spec = vec![0; TARGET_BYTES + parameters];
        let kind = target.kind.as_bytes();
        if kind.len() >= 16 {
            return Err(DmError::TooLong("the target type"));
        }
        spec[8..16].copy_from_slice(&target.sectors.to_ne_bytes());
        spec[20..24].copy_from_slice(&next.to_ne_bytes());
        spec[24..24 + kind.len()].copy_from_slice(kind);
        spec[TARGET_BYTES..TARGET_BYTES + target.parameters.len()]
            .copy_from_slice(target.parameters.as_bytes());
        self.0.extend(spec);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(message: &Message, at: usize) -> u32 {
        u32::from_ne_bytes(*message.0[at..].first_chunk().unwrap())
    }

    #[test]
    fn a_table_follows_the_header_padded_to_eight_bytes() {
        let target = Target {
            sectors: 8000,
            kind: "verity",
            parameters: "1 8:5 8:6",
        };
        let message = Message::new(
            "outcrop-root",
            "CRYPT-VERITY-0",
            Command::LoadTable,
            Some(&target),
        )
        .unwrap();
        assert_eq!(message.0.len(), 312 + 40 + 16);
        assert_eq!(u32_at(&message, at::DATA_SIZE), 312 + 40 + 16);
        assert_eq!(
            (
                u32_at(&message, at::DATA_START),
                u32_at(&message, at::TARGET_COUNT)
            ),
            (312, 1)
        );
        assert_eq!(u32_at(&message, at::FLAGS), READ_ONLY);
        assert_eq!(&message.0[48..61], b"outcrop-root\0");
        assert_eq!(&message.0[312 + 8..312 + 16], &8000_u64.to_ne_bytes());
        assert_eq!(u32_at(&message, 312 + 20), 56);
        assert_eq!(&message.0[312 + 24..312 + 31], b"verity\0");
        assert_eq!(&message.0[312 + 40..], b"1 8:5 8:6\0\0\0\0\0\0\0");
    }

    #[test]
    fn starting_a_device_sets_no_flag() {
        let message = Message::new("outcrop-root", "", Command::Resume, None).unwrap();
        assert_eq!(u32_at(&message, at::FLAGS), 0);
    }

    #[test]
    fn only_the_first_request_has_the_uuid() {
        let uuid = |command| Message::new("x", "CRYPT-VERITY-0", command, None).unwrap().0[at::UUID];
        assert_eq!(uuid(Command::Create), b'C');
        assert_eq!((uuid(Command::LoadTable), uuid(Command::Resume)), (0, 0));
    }

    #[test]
    fn the_minor_number_is_read_in_the_kernels_split_form() {
        let mut message = Message::new("x", "", Command::Resume, None).unwrap();
        message.put(at::DEVICE, &0x0010_fd03_u64.to_ne_bytes());
        assert_eq!(message.device_minor(), 0x103);
    }

    #[test]
    fn the_table_is_read_from_where_the_kernel_puts_it() {
        let target = Target {
            sectors: 8000,
            kind: "verity",
            parameters: "1 8:5 8:6 4096 4096 1000 1 sha256 abcd -",
        };
        let mut answer = Message::new("x", "", Command::LoadTable, Some(&target)).unwrap();
        assert_eq!(answer.table(), Some(("verity", target.parameters)));
        let asked = Message::new("x", "", Command::TableStatus, None).unwrap();
        assert_eq!(
            (asked.0.len(), u32_at(&asked, at::FLAGS)),
            (312 + 4096, STATUS_TABLE)
        );
        assert_eq!(asked.table(), Some(("", "")));
        answer.put(at::DATA_START, &u32::MAX.to_ne_bytes());
        assert_eq!(answer.table(), None);
    }

    #[test]
    fn texts_that_dont_fit_are_refused() {
        let long = "x".repeat(128);
        assert!(matches!(
            Message::new(&long, "", Command::Create, None),
            Err(DmError::TooLong("the name"))
        ));
        let long = "x".repeat(129);
        assert!(matches!(
            Message::new("x", &long, Command::Create, None),
            Err(DmError::TooLong("the UUID"))
        ));
    }
}
