//! Where a disk is plugged in, and whether that is where the firmware's path leads.

use crate::init::efi::{DevicePath, Node};

/// What `/sys` says about the way to a disk. What isn't known is none, or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// ACPI `_UID` of the PCI root bridge.
    pub root_uid: Option<u32>,
    /// Device and function of each PCI device on the way, the one at the root bridge first.
    pub pci: Vec<(u8, u8)>,
    /// Target and unit on a SCSI bus.
    pub scsi: Option<(u32, u64)>,
    /// Port of the SATA controller, from 0.
    pub sata_port: Option<u16>,
    /// Namespace of the NVMe controller.
    pub nvme_namespace: Option<u32>,
    /// USB ports, from 1, the controller's first.
    pub usb_ports: Vec<u8>,
}

/// How a disk's location compares with the firmware's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same place, as far as both tell, down to the controller at least.
    Same,
    /// Another place.
    Different,
    /// One of them doesn't say enough.
    Unknown,
}

impl Location {
    /// Compares with the path of the firmware's boot option.
    ///
    /// Controllers must be equal; a port or unit behind the controller counts where both sides know it. USB ports of the
    /// controller itself don't count: firmware numbers all ports of an xHCI controller in one row, Linux in two.
    #[must_use]
    pub fn compare(&self, path: &DevicePath) -> Verdict {
        let nodes = path.nodes();
        let pci: Vec<(u8, u8)> = collect(nodes, |node| match *node {
            Node::Pci { device, function } => Some((device, function)),
            _ => None,
        });
        let Some(Node::PciRoot(root)) = nodes.first() else {
            return Verdict::Unknown;
        };
        if pci.is_empty() || self.pci.is_empty() {
            return Verdict::Unknown;
        }
        let same = pci == self.pci
            && agree(*root, self.root_uid)
            && nodes.iter().all(|node| self.agrees_with_node(node))
            && self.agrees_with_usb(nodes);
        if same { Verdict::Same } else { Verdict::Different }
    }

    fn agrees_with_node(&self, node: &Node) -> bool {
        match *node {
            Node::Scsi { target, unit } => agree(Some((target.into(), unit.into())), self.scsi),
            Node::Sata(port) => agree(Some(port), self.sata_port),
            Node::Nvme(namespace) => agree(Some(namespace), self.nvme_namespace),
            _ => true,
        }
    }

    fn agrees_with_usb(&self, nodes: &[Node]) -> bool {
        let ports: Vec<u8> = collect(nodes, |node| match *node {
            Node::Usb(port) => Some(port),
            _ => None,
        });
        let behind_hubs = |ports: &[u8]| ports.get(1..).unwrap_or_default().to_vec();
        let theirs: Vec<u8> = behind_hubs(&ports)
            .iter()
            .map(|port| port.saturating_add(1))
            .collect();
        ports.len() == self.usb_ports.len() && theirs == behind_hubs(&self.usb_ports)
    }
}

fn collect<T>(nodes: &[Node], pick: impl Fn(&Node) -> Option<T>) -> Vec<T> {
    nodes.iter().filter_map(pick).collect()
}

/// Equal, or not known to one of them.
fn agree<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(nodes: &[Node]) -> DevicePath {
        DevicePath::new(nodes.to_vec())
    }

    const fn pci(device: u8) -> Node {
        Node::Pci { device, function: 0 }
    }

    fn at(devices: &[u8]) -> Location {
        Location {
            root_uid: Some(0),
            pci: devices.iter().map(|&device| (device, 0)).collect(),
            ..Location::default()
        }
    }

    #[test]
    fn the_chain_of_controllers_decides() {
        let firmware = path(&[Node::PciRoot(Some(0)), pci(28), pci(0)]);
        assert_eq!(at(&[28, 0]).compare(&firmware), Verdict::Same);
        assert_eq!(at(&[28]).compare(&firmware), Verdict::Different);
        assert_eq!(at(&[28, 1]).compare(&firmware), Verdict::Different);
        assert_eq!(at(&[28, 0, 0]).compare(&firmware), Verdict::Different);
    }

    #[test]
    fn the_same_chain_below_another_root_bridge_is_another_place() {
        let other_root = path(&[Node::PciRoot(Some(1)), pci(3)]);
        assert_eq!(at(&[3]).compare(&other_root), Verdict::Different);
        let named_by_text = path(&[Node::PciRoot(None), pci(3)]);
        assert_eq!(at(&[3]).compare(&named_by_text), Verdict::Same);
    }

    #[test]
    fn a_path_that_begins_with_a_partition_decides_nothing() {
        let short = path(&[Node::GptPartition(uuid::Uuid::nil()), Node::Other(4, 4)]);
        assert_eq!(at(&[3]).compare(&short), Verdict::Unknown);
        assert_eq!(at(&[3]).compare(&path(&[])), Verdict::Unknown);
        assert_eq!(
            at(&[3]).compare(&path(&[Node::PciRoot(Some(0))])),
            Verdict::Unknown
        );
    }

    #[test]
    fn a_disk_that_isnt_behind_pci_decides_nothing() {
        let firmware = path(&[Node::PciRoot(Some(0)), pci(3)]);
        assert_eq!(at(&[]).compare(&firmware), Verdict::Unknown);
    }

    #[test]
    fn ports_and_units_of_one_controller_are_told_apart() {
        let root = Node::PciRoot(Some(0));
        let sata = Location {
            sata_port: Some(1),
            ..at(&[31])
        };
        assert_eq!(
            sata.compare(&path(&[root.clone(), pci(31), Node::Sata(1)])),
            Verdict::Same
        );
        assert_eq!(
            sata.compare(&path(&[root.clone(), pci(31), Node::Sata(0)])),
            Verdict::Different
        );
        let nvme = Location {
            nvme_namespace: Some(2),
            ..at(&[4])
        };
        assert_eq!(
            nvme.compare(&path(&[root.clone(), pci(4), Node::Nvme(1)])),
            Verdict::Different
        );
        let scsi = Location {
            scsi: Some((0, 1)),
            ..at(&[5])
        };
        let firmware = path(&[root, pci(5), Node::Scsi { target: 0, unit: 1 }]);
        assert_eq!(scsi.compare(&firmware), Verdict::Same);
    }

    #[test]
    fn usb_ports_behind_hubs_count_those_of_the_controller_do_not() {
        let root = Node::PciRoot(Some(0));
        let usb = |ports: &[u8]| Location {
            usb_ports: ports.to_vec(),
            ..at(&[6])
        };
        let firmware = path(&[root.clone(), pci(6), Node::Usb(4), Node::Usb(1)]);
        assert_eq!(usb(&[1, 2]).compare(&firmware), Verdict::Same);
        assert_eq!(usb(&[1, 3]).compare(&firmware), Verdict::Different);
        assert_eq!(usb(&[1]).compare(&firmware), Verdict::Different);
        assert_eq!(
            usb(&[9]).compare(&path(&[root, pci(6), Node::Usb(0)])),
            Verdict::Same
        );
    }
}
