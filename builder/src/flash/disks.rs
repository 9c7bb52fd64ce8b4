//! The machine's disks, as `/sys` and `/proc` show them: which there are, and which must not be erased.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::error::FlashError;

/// Length of the sectors that `/sys` counts in.
const SYS_SECTOR_BYTES: u64 = 512;

/// A disk of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskFacts {
    /// Its device: `/dev/sdb`.
    pub path: PathBuf,
    /// What it calls itself; empty when it doesn't say.
    pub model: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it can be taken out: a card, or something on USB.
    pub removable: bool,
}

/// Where disks are looked for.
#[derive(Debug, Clone)]
pub struct Disks {
    sys: PathBuf,
    proc: PathBuf,
    dev: PathBuf,
}

impl Default for Disks {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Disks {
    /// The disks that `sys`, `proc` and `dev` below `root` speak of.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            sys: root.join("sys"),
            proc: root.join("proc"),
            dev: root.join("dev"),
        }
    }

    /// All disks that can be taken out, by their names.
    ///
    /// # Errors
    /// When `/sys` can't be read.
    pub fn removable(&self) -> io::Result<Vec<DiskFacts>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.sys.join("block"))? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        let disks = names.iter().filter_map(|name| self.facts(name));
        Ok(disks.filter(|disk| disk.removable && disk.bytes > 0).collect())
    }

    /// What is known of the disk at `path`, which may be a link to it. None when it is no block device.
    ///
    /// # Errors
    /// When it is one that mustn't be erased: a partition, write-protected, mounted, in use.
    pub fn erasable(&self, path: &Path) -> Result<Option<DiskFacts>, FlashError> {
        let Ok(real) = path.canonicalize() else {
            return Ok(None);
        };
        let Some(name) = real.file_name().and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        let class = self.sys.join("class/block").join(name);
        if !real.starts_with(&self.dev) || !class.exists() {
            return Ok(None);
        }
        if class.join("partition").exists() {
            let disk = class.canonicalize().ok();
            let disk = disk.and_then(|folder| Some(folder.parent()?.file_name()?.to_str()?.to_owned()));
            return Err(FlashError::Partition {
                path: path.to_owned(),
                disk: self.dev.join(disk.unwrap_or_default()),
            });
        }
        if number(&class.join("ro")) == Some(1) {
            return Err(FlashError::ReadOnly(path.to_owned()));
        }
        if let Some(bytes) = number(&class.join("queue/logical_block_size")).filter(|bytes| *bytes != 512) {
            return Err(FlashError::Sectors {
                path: path.to_owned(),
                bytes,
            });
        }
        if let Some(by) = self.user_of(name) {
            return Err(FlashError::InUse {
                path: path.to_owned(),
                by,
            });
        }
        Ok(self.facts(name))
    }

    fn facts(&self, name: &str) -> Option<DiskFacts> {
        let folder = self.sys.join("block").join(name);
        let sectors = number(&folder.join("size"))?;
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let on_usb = real.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            part.starts_with("usb") && part[3..].bytes().all(|byte| byte.is_ascii_digit())
        });
        let is_card = name.starts_with("mmcblk") && !name.contains("boot");
        let text = |file: &str| {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            text.trim().to_owned()
        };
        let parts = [text("device/vendor"), text("device/model"), text("device/name")];
        Some(DiskFacts {
            path: self.dev.join(name),
            model: parts.join(" ").split_whitespace().collect::<Vec<_>>().join(" "),
            bytes: sectors.saturating_mul(SYS_SECTOR_BYTES),
            removable: number(&folder.join("removable")) == Some(1) || on_usb || is_card,
        })
    }

    /// Who uses a disk or one of its partitions: a mount, swap, or a device on top of it.
    fn user_of(&self, disk: &str) -> Option<String> {
        let folder = self.sys.join("block").join(disk);
        let partitions = fs::read_dir(&folder).into_iter().flatten().flatten();
        let partitions = partitions.filter(|entry| entry.path().join("partition").exists());
        let parts: Vec<PathBuf> = partitions
            .map(|entry| entry.path())
            .chain([folder.clone()])
            .collect();
        parts.iter().find_map(|part| self.user_of_part(part))
    }

    fn user_of_part(&self, folder: &Path) -> Option<String> {
        let name = folder.file_name()?.to_str()?;
        let holders = fs::read_dir(folder.join("holders"))
            .into_iter()
            .flatten()
            .flatten();
        if let Some(holder) = holders.map(|entry| entry.file_name()).next() {
            return Some(format!("{name} is part of {}", holder.to_string_lossy()));
        }
        let device = fs::read_to_string(folder.join("dev")).unwrap_or_default();
        let mounts = fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        // Source: Linux, proc_pid_mountinfo(5): the third field is major:minor, the fifth the mount point.
        let mounted = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(2);
            (fields.next()? == device.trim()).then(|| fields.nth(1).map(str::to_owned))?
        });
        if let Some(place) = mounted {
            return Some(format!("{name} is mounted on {place}"));
        }
        let swaps = fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        let path = self.dev.join(name);
        let is_swap = swaps
            .lines()
            .any(|line| line.split_whitespace().next() == path.to_str());
        is_swap.then(|| format!("{name} is swap space"))
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with a system disk `sda`, mounted, a stick `sdb` on USB with a partition, and a card `mmcblk0`.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (way, name, minor) in [
            ("pci0000:00/ata1", "sda", 0),
            ("pci0000:00/usb2/2-1", "sdb", 16),
            ("platform/mmc0", "mmcblk0", 32),
        ] {
            let folder = format!("sys/devices/{way}/block/{name}");
            let partition = if name == "mmcblk0" {
                "mmcblk0p1".to_owned()
            } else {
                format!("{name}1")
            };
            write(&format!("{folder}/size"), "4096\n");
            write(&format!("{folder}/ro"), "0\n");
            write(&format!("{folder}/removable"), "0\n");
            write(&format!("{folder}/dev"), &format!("8:{minor}\n"));
            write(&format!("{folder}/device/model"), " Flash  Disk\n");
            write(&format!("{folder}/{partition}/partition"), "1\n");
            write(
                &format!("{folder}/{partition}/dev"),
                &format!("8:{}\n", minor + 1),
            );
            for (name, target) in [
                (name, folder.clone()),
                (&partition, format!("{folder}/{partition}")),
            ] {
                let link = root.path().join("sys/class/block").join(name);
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                symlink(root.path().join(target), link).unwrap();
                write(&format!("dev/{name}"), "");
            }
            let link = root.path().join("sys/block").join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(root.path().join(&folder), link).unwrap();
        }
        write(
            "proc/self/mountinfo",
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
        );
        write("proc/swaps", "Filename Type Size Used Priority\n");
        root
    }

    fn check(root: &tempfile::TempDir, name: &str) -> Result<Option<DiskFacts>, FlashError> {
        let real = root.path().canonicalize().unwrap();
        Disks::at(&real).erasable(&real.join("dev").join(name))
    }

    #[test]
    fn cards_and_sticks_are_listed_with_what_they_call_themselves() {
        let root = machine();
        let found = Disks::at(root.path()).removable().unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|disk| disk.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["mmcblk0", "sdb"]);
        assert_eq!((found[1].model.as_str(), found[1].bytes), ("Flash Disk", 2 << 20));
    }

    #[test]
    fn the_system_s_disk_a_partition_swap_and_a_protected_disk_are_refused_and_a_free_one_isnt() {
        let root = machine();
        assert!(matches!(check(&root, "sdb"), Ok(Some(_))));
        let error = check(&root, "sda").unwrap_err();
        assert!(error.to_string().contains("sda1 is mounted on /"), "{error}");
        let error = check(&root, "sdb1").unwrap_err();
        assert!(
            matches!(&error, FlashError::Partition { disk, .. } if disk.ends_with("sdb")),
            "{error}"
        );
        let swap = format!(
            "Filename\n{} partition 1 0 -2\n",
            root.path().canonicalize().unwrap().join("dev/sdb1").display()
        );
        fs::write(root.path().join("proc/swaps"), swap).unwrap();
        assert!(
            check(&root, "sdb")
                .unwrap_err()
                .to_string()
                .contains("sdb1 is swap space")
        );
        fs::write(root.path().join("sys/block/mmcblk0/ro"), "1\n").unwrap();
        assert!(matches!(check(&root, "mmcblk0"), Err(FlashError::ReadOnly(_))));
    }

    #[test]
    fn a_disk_below_another_device_is_refused() {
        let root = machine();
        fs::create_dir_all(root.path().join("sys/block/sdb/sdb1/holders/dm-0")).unwrap();
        let error = check(&root, "sdb").unwrap_err();
        assert!(error.to_string().contains("sdb1 is part of dm-0"), "{error}");
    }

    #[test]
    fn a_plain_file_is_no_disk() {
        let root = machine();
        let file = root.path().join("card.img");
        fs::write(&file, "").unwrap();
        assert_eq!(Disks::at(root.path()).erasable(&file).unwrap(), None);
    }
}
