//! Disks as `/sys` shows them.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{Disk, Disks, Location};
use crate::gpt::Shape;

/// Length of the sectors in which `/sys` counts, whatever the disk's are.
const SYS_SECTOR_BYTES: u64 = 512;

/// The kernel's disks.
#[derive(Debug)]
pub struct SysBlock {
    sys: PathBuf,
    dev: PathBuf,
}

impl SysBlock {
    /// Disks below `sys` (usually `/sys`), whose device nodes are in `dev` (usually `/dev`).
    pub fn new(sys: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> Self {
        Self {
            sys: sys.into(),
            dev: dev.into(),
        }
    }

    /// The disk with kernel name `name`; none if it has no size or no hardware behind it.
    ///
    /// # Errors
    /// When there is no such block device.
    pub fn disk(&self, name: &str) -> io::Result<Option<Disk>> {
        let folder = fs::canonicalize(self.sys.join("block").join(name))?;
        let sectors: u64 = number(&folder.join("size")).unwrap_or(0);
        // Loop, RAM and mapped devices have no device behind them; removable media without a medium have no size.
        if sectors == 0 || !folder.join("device").exists() {
            return Ok(None);
        }
        Ok(Some(Disk {
            name: name.to_owned(),
            shape: Shape {
                sector_bytes: number(&folder.join("queue/logical_block_size")).unwrap_or(512),
                bytes: sectors.saturating_mul(SYS_SECTOR_BYTES),
            },
            location: location(&folder),
            partitions: partitions(&folder)?,
        }))
    }
}

impl Disks for SysBlock {
    fn list(&self) -> io::Result<Vec<Disk>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.sys.join("block"))? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        // A disk may vanish while it is looked at.
        Ok(names
            .iter()
            .filter_map(|name| self.disk(name).ok().flatten())
            .collect())
    }

    fn read_at(&self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        File::open(self.dev.join(device))?.read_exact_at(buffer, offset)
    }
}

fn partitions(folder: &Path) -> io::Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let (Some(number), Ok(name)) = (
            number(&entry.path().join("partition")),
            entry.file_name().into_string(),
        ) {
            found.push((number, name));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads the way to the disk from the folders above it: `/sys/devices/pci0000:00/0000:00:1f.2/ata1/.../block/sda`.
fn location(folder: &Path) -> Location {
    let mut location = Location::default();
    let mut roots = 0_usize;
    for step in folder.ancestors().collect::<Vec<_>>().into_iter().rev() {
        let name = step
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.strip_prefix("pci").is_some_and(|rest| rest.contains(':')) {
            roots += 1;
            location.root_uid = number(&step.join("firmware_node/uid"));
        } else if let Some(address) = pci_address(name) {
            location.pci.push(address);
        } else if name.starts_with("ata") {
            location.sata_port = sata_port(step, name);
        } else if let Some(ports) = usb_ports(name) {
            location.usb_ports = ports;
        } else if location.sata_port.is_none() && location.usb_ports.is_empty() {
            location.scsi = scsi_address(name).or(location.scsi);
        }
    }
    location.nvme_namespace = number(&folder.join("nsid"));
    // A second root (Intel VMD) hides the way that the firmware sees.
    if roots == 1 { location } else { Location::default() }
}

/// Device and function of `0000:00:1f.2`.
fn pci_address(name: &str) -> Option<(u8, u8)> {
    let mut parts = name.split(':');
    let (_domain, _bus, slot) = (hex(parts.next()?, 4)?, hex(parts.next()?, 2)?, parts.next()?);
    let (device, function) = slot.split_once('.')?;
    let small = |text, digits| hex(text, digits).and_then(|value| u8::try_from(value).ok());
    parts
        .next()
        .is_none()
        .then_some((small(device, 2)?, small(function, 1)?))
}

fn hex(text: &str, digits: usize) -> Option<u32> {
    let plain = text.len() >= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Port of the controller, from 0, of `.../ata3`. The kernel's own count goes over all controllers.
fn sata_port(step: &Path, name: &str) -> Option<u16> {
    let port: u16 = number(&step.join("ata_port").join(name).join("port_no"))?;
    port.checked_sub(1)
}

/// Ports of the USB device `1-4.2`; interfaces (`1-4.2:1.0`) and buses (`usb1`) are none.
fn usb_ports(name: &str) -> Option<Vec<u8>> {
    let (bus, ports) = name.split_once('-')?;
    bus.parse::<u16>().ok()?;
    ports.split('.').map(|port| port.parse().ok()).collect()
}

/// Target and unit of `2:0:1:5` (host, channel, target, unit).
fn scsi_address(name: &str) -> Option<(u32, u64)> {
    let parts: Vec<u64> = name
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    match parts[..] {
        [_, _, target, unit] => Some((u32::try_from(target).ok()?, unit)),
        _ => None,
    }
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::init::{disk::Verdict, efi::DevicePath};

    /// A `/sys` with one disk named `name` in the folder `way` below `devices`; `files` are relative to the disk's folder.
    fn sys_with(way: &str, name: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("devices").join(way).join(name);
        fs::create_dir_all(folder.join("device")).unwrap();
        fs::create_dir_all(root.path().join("block")).unwrap();
        symlink(&folder, root.path().join("block").join(name)).unwrap();
        for (path, text) in [("size", "2048\n")].iter().chain(files) {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn only_disk(root: &tempfile::TempDir) -> Disk {
        let mut disks = SysBlock::new(root.path(), "/nowhere").list().unwrap();
        assert_eq!(disks.len(), 1);
        disks.remove(0)
    }

    #[test]
    fn a_virtio_disk_has_its_pci_address_root_and_partitions() {
        let root = sys_with(
            "pci0000:00/0000:00:1f.2/virtio1/block",
            "vda",
            &[
                ("vda1/partition", "1\n"),
                ("vda9/partition", "9\n"),
                ("queue/logical_block_size", "4096\n"),
                ("../../../../firmware_node/uid", "3\n"),
            ],
        );
        let disk = only_disk(&root);
        assert_eq!(
            disk.shape,
            Shape {
                sector_bytes: 4096,
                bytes: 1 << 20
            }
        );
        assert_eq!(disk.location.pci, [(0x1f, 2)]);
        assert_eq!(disk.location.root_uid, Some(3));
        assert_eq!(disk.partitions, [(1, "vda1".to_owned()), (9, "vda9".to_owned())]);
    }

    #[test]
    fn sata_nvme_scsi_and_usb_disks_have_their_ports() {
        let sata = sys_with(
            "pci0000:00/0000:00:1f.2/ata5/host4/target4:0:0/4:0:0:0/block",
            "sda",
            &[("../../../../../ata_port/ata5/port_no", "2\n")],
        );
        assert_eq!(only_disk(&sata).location.sata_port, Some(1));
        assert_eq!(only_disk(&sata).location.scsi, None);
        let nvme = sys_with(
            "pci0000:00/0000:00:04.0/nvme/nvme0",
            "nvme0n1",
            &[("nsid", "1\n")],
        );
        assert_eq!(only_disk(&nvme).location.nvme_namespace, Some(1));
        let scsi = sys_with(
            "pci0000:00/0000:00:05.0/virtio2/host3/target3:0:1/3:0:1:2/block",
            "sdb",
            &[],
        );
        assert_eq!(only_disk(&scsi).location.scsi, Some((1, 2)));
        let usb = sys_with(
            "pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host6/target6:0:0/6:0:0:0/block",
            "sdc",
            &[],
        );
        assert_eq!(only_disk(&usb).location.usb_ports, [1, 4]);
    }

    #[test]
    fn a_disk_behind_a_second_root_has_no_comparable_place() {
        let root = sys_with(
            "pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/nvme/nvme0",
            "nvme0n1",
            &[],
        );
        assert_eq!(only_disk(&root).location, Location::default());
    }

    #[test]
    fn devices_without_size_or_hardware_are_no_disks() {
        let empty = sys_with("pci0000:00/0000:00:04.0", "sr0", &[("size", "0\n")]);
        assert_eq!(SysBlock::new(empty.path(), "/").list().unwrap(), []);
        let virtual_one = sys_with("virtual", "loop0", &[]);
        fs::remove_dir(virtual_one.path().join("devices/virtual/loop0/device")).unwrap();
        assert_eq!(SysBlock::new(virtual_one.path(), "/").list().unwrap(), []);
    }

    /// A device path, the folder and name of the disk that it leads to, and files in that folder.
    type Seen = (
        &'static str,
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
    );

    /// What OVMF and AAVMF (edk2 2022.11) wrote into `Boot####` for disks of each kind in QEMU, and where Linux 6.12 showed
    /// them.
    const SEEN: [Seen; 6] = [
        (
            "02010c00d041030a00000000 010106000005",
            "pci0000:00/0000:00:05.0/virtio2/block",
            "vda",
            &[("../../../../firmware_node/uid", "0")],
        ),
        (
            "02010c00d041030a00000000 010106000009 03120a000300ffff0000",
            "pci0000:00/0000:00:09.0/ata4/host3/target3:0:0/3:0:0:0/block",
            "sda",
            &[
                ("../../../../../../../firmware_node/uid", "0"),
                ("../../../../../ata_port/ata4/port_no", "4"),
            ],
        ),
        (
            "02010c00d041030a00000000 010106000008 010106000000 0317100001000000 0000000000000000",
            "pci0000:00/0000:00:08.0/0000:01:00.0/nvme/nvme0",
            "nvme0n1",
            &[("../../../../../firmware_node/uid", "0"), ("nsid", "1")],
        ),
        (
            "02010c00d041030a00000000 010106000007 030506000500 030506000200",
            "pci0000:00/0000:00:07.0/usb1/1-2/1-2.3/1-2.3:1.0/host12/target12:0:0/12:0:0:0/block",
            "sdb",
            &[("../../../../../../../../../firmware_node/uid", "0")],
        ),
        (
            "02010c00d041030a00000000 01010600000a 0302080005000200",
            "pci0000:00/0000:00:0a.0/virtio3/host13/target13:0:5/13:0:5:2/block",
            "sdc",
            &[("../../../../../../../firmware_node/uid", "0")],
        ),
        (
            "02010c00d041030a40000000 010106000000 010106000000",
            "pci0000:40/0000:40:00.0/0000:41:00.0/virtio4/block",
            "vdb",
            &[("../../../../../firmware_node/uid", "64")],
        ),
    ];

    fn seen_path(hex: &str) -> DevicePath {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        let bytes = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).unwrap();
            u8::from_str_radix(pair, 16).unwrap()
        });
        DevicePath::parse(&bytes.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn each_disk_that_the_firmware_named_is_found_and_no_other_one() {
        let locations: Vec<Location> = SEEN
            .iter()
            .map(|(_, way, name, files)| only_disk(&sys_with(way, name, files)).location)
            .collect();
        for (of_path, (hex, ..)) in SEEN.iter().enumerate() {
            for (of_disk, location) in locations.iter().enumerate() {
                let expected = if of_path == of_disk {
                    Verdict::Same
                } else {
                    Verdict::Different
                };
                assert_eq!(
                    location.compare(&seen_path(hex)),
                    expected,
                    "{} {}",
                    SEEN[of_path].2,
                    SEEN[of_disk].2
                );
            }
        }
    }
}
