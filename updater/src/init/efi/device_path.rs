//! UEFI device paths: the way from the processor to a disk, as the firmware sees it.
//!
//! Source: UEFI specification 2.10, section 10.3.

use uuid::Uuid;

/// Most nodes that are read. Real paths have fewer than ten.
const MAX_NODES: usize = 64;

/// One step of a path, as far as it says where a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A PCI root bridge (ACPI `PNP0A03` or `PNP0A08`) with its `_UID`; none if that is a text.
    PciRoot(Option<u32>),
    /// A PCI device or bridge on the bus that the nodes before lead to.
    Pci {
        /// Device number, 0 to 31.
        device: u8,
        /// Function number, 0 to 7.
        function: u8,
    },
    /// Target and unit on a SCSI bus.
    Scsi {
        /// Target.
        target: u16,
        /// Logical unit.
        unit: u16,
    },
    /// A port of a USB hub, counted from 0; the first is the controller's.
    Usb(u8),
    /// A port of a SATA controller, counted from 0.
    Sata(u16),
    /// A namespace of an NVMe controller.
    Nvme(u32),
    /// A GPT partition of the disk that the nodes before lead to.
    GptPartition(Uuid),
    /// Anything else: type and subtype.
    Other(u8, u8),
}

/// Bytes that are no device path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DevicePathError {
    /// A node is longer than what is left, or shorter than its header.
    #[error("node {0} of the device path runs past the end")]
    Truncated(usize),
    /// More nodes than any real path has.
    #[error("the device path has more than {MAX_NODES} nodes")]
    TooLong,
}

/// A path, without its end node. Only the first is read where several are stored as one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DevicePath(Vec<Node>);

impl DevicePath {
    /// A path of these nodes.
    #[must_use]
    pub const fn new(nodes: Vec<Node>) -> Self {
        Self(nodes)
    }

    /// Reads nodes up to the first end node, or to the end of `bytes`.
    ///
    /// # Errors
    /// When a node's length doesn't fit.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, DevicePathError> {
        let mut nodes = Vec::new();
        while let Some(Split { kind, body, rest }) = split_node(bytes, nodes.len())? {
            if nodes.len() == MAX_NODES {
                return Err(DevicePathError::TooLong);
            }
            nodes.push(Node::parse(kind, body));
            bytes = rest;
        }
        Ok(Self(nodes))
    }

    /// The nodes, from the processor outwards.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }
}

/// Type and subtype.
type Kind = (u8, u8);

/// The first node of some bytes, and what follows it.
struct Split<'a> {
    kind: Kind,
    body: &'a [u8],
    rest: &'a [u8],
}

/// None at an end node or after the last byte.
fn split_node(bytes: &[u8], index: usize) -> Result<Option<Split<'_>>, DevicePathError> {
    const END: u8 = 0x7f;
    if bytes.is_empty() {
        return Ok(None);
    }
    let truncated = || DevicePathError::Truncated(index);
    let &[kind, subtype, low, high] = bytes.first_chunk().ok_or_else(truncated)?;
    if kind == END {
        return Ok(None);
    }
    let len = usize::from(u16::from_le_bytes([low, high]));
    let body = bytes.get(4..len).ok_or_else(truncated)?;
    let rest = bytes.get(len..).ok_or_else(truncated)?;
    let kind = (kind, subtype);
    Ok(Some(Split { kind, body, rest }))
}

impl Node {
    fn parse(kind: Kind, body: &[u8]) -> Self {
        Self::known(kind, body).unwrap_or(Self::Other(kind.0, kind.1))
    }

    /// The node, if its type is one of ours and its body is long enough.
    fn known(kind: Kind, body: &[u8]) -> Option<Self> {
        Some(match kind {
            (0x01, 0x01) => Self::Pci {
                function: *body.first()?,
                device: *body.get(1)?,
            },
            (0x02, 0x01) if is_pci_root(word(body, 0)?) => Self::PciRoot(Some(word(body, 4)?)),
            // Expanded ACPI node: _HID, _UID, _CID, then three texts, the second being the _UID.
            (0x02, 0x02) if is_pci_root(word(body, 0)?) || is_pci_root(word(body, 8)?) => {
                Self::PciRoot(numeric_uid(body))
            }
            (0x03, 0x02) => Self::Scsi {
                target: half(body, 0)?,
                unit: half(body, 2)?,
            },
            (0x03, 0x05) => Self::Usb(*body.first()?),
            (0x03, 0x12) => Self::Sata(half(body, 0)?),
            (0x03, 0x17) => Self::Nvme(word(body, 0)?),
            // Hard disk: number, start, size, signature, table type (2: GPT), signature type (2: GUID).
            (0x04, 0x01) if body.get(36..38)? == [2, 2] => {
                Self::GptPartition(Uuid::from_bytes_le(*body.get(20..36)?.first_chunk()?))
            }
            _ => return None,
        })
    }
}

/// Whether a compressed EISA id is `PNP0A03` (PCI) or `PNP0A08` (PCI Express).
const fn is_pci_root(id: u32) -> bool {
    matches!(id, 0x0a03_41d0 | 0x0a08_41d0)
}

/// The `_UID` of an expanded node, unless it is given as a text.
fn numeric_uid(body: &[u8]) -> Option<u32> {
    let mut texts = body.get(12..)?.split(|&byte| byte == 0);
    let _hid = texts.next()?;
    let uid = texts.next()?;
    if uid.is_empty() { word(body, 4) } else { None }
}

fn half(body: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*body.get(at..)?.first_chunk()?))
}

fn word(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*body.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const END: [u8; 4] = [0x7f, 0xff, 4, 0];
    const ROOT_0: [u8; 12] = [2, 1, 12, 0, 0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0];

    fn pci(device: u8, function: u8) -> [u8; 6] {
        [1, 1, 6, 0, function, device]
    }

    #[test]
    fn a_disk_behind_a_bridge_is_read_step_by_step() {
        let sata = [3, 0x12, 10, 0, 2, 0, 0xff, 0xff, 0, 0];
        let bytes = [&ROOT_0[..], &pci(28, 0), &pci(0, 1), &sata, &END].concat();
        let path = DevicePath::parse(&bytes).unwrap();
        assert_eq!(
            path.nodes(),
            [
                Node::PciRoot(Some(0)),
                Node::Pci {
                    device: 28,
                    function: 0
                },
                Node::Pci {
                    device: 0,
                    function: 1
                },
                Node::Sata(2)
            ]
        );
    }

    #[test]
    fn a_partition_has_the_guid_in_the_byte_order_of_gpt() {
        let guid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let mut node = vec![4, 1, 42, 0, 1, 0, 0, 0];
        node.extend([0; 16]);
        node.extend(guid.to_bytes_le());
        node.extend([2, 2]);
        assert_eq!(
            DevicePath::parse(&node).unwrap().nodes(),
            [Node::GptPartition(guid)]
        );
        node[40] = 1; // MBR
        assert_eq!(DevicePath::parse(&node).unwrap().nodes(), [Node::Other(4, 1)]);
    }

    #[test]
    fn a_root_bridge_named_by_text_has_no_number() {
        let node = |texts: &[u8]| {
            let mut bytes = vec![2, 2, 0, 0, 0xd0, 0x41, 0x08, 0x0a, 7, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(texts);
            bytes[2] = u8::try_from(bytes.len()).unwrap();
            DevicePath::parse(&bytes).unwrap().nodes().to_vec()
        };
        assert_eq!(node(b"\0PC00\0\0"), [Node::PciRoot(None)]);
        assert_eq!(node(b"\0\0\0"), [Node::PciRoot(Some(7))]);
    }

    #[test]
    fn only_the_first_of_several_paths_counts() {
        let bytes = [&ROOT_0[..], &[0x7f, 1, 4, 0], &pci(1, 0), &END].concat();
        assert_eq!(DevicePath::parse(&bytes).unwrap().nodes().len(), 1);
    }

    #[test]
    fn lengths_that_lead_nowhere_are_refused() {
        for bytes in [&[1, 1, 6][..], &[1, 1, 0, 0], &[1, 1, 3, 0], &[1, 1, 7, 0, 0, 0]] {
            assert_eq!(
                DevicePath::parse(bytes),
                Err(DevicePathError::Truncated(0)),
                "{bytes:?}"
            );
        }
        assert_eq!(
            DevicePath::parse(&pci(0, 0).repeat(65)),
            Err(DevicePathError::TooLong)
        );
    }

    #[test]
    fn a_known_node_that_is_too_short_is_just_another_node() {
        assert_eq!(
            DevicePath::parse(&[3, 0x17, 4, 0]).unwrap().nodes(),
            [Node::Other(3, 0x17)]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = DevicePath::parse(&bytes);
        }

        #[test]
        fn no_body_makes_a_node_panic(kind in 1_u8..5, subtype in 0_u8..0x20, body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let len = u16::try_from(body.len() + 4).unwrap().to_le_bytes();
            let bytes = [&[kind, subtype], &len[..], &body].concat();
            prop_assert_eq!(DevicePath::parse(&bytes).unwrap().nodes().len(), 1);
        }
    }
}
