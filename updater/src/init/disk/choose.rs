//! Which disk the firmware booted from.

use uuid::Uuid;

use super::{OutcropDisk, Verdict};
use crate::init::efi::DevicePath;

/// How sure the choice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// The firmware's own path leads there.
    FirmwarePath,
    /// The only one in question after waiting for others.
    Only,
    /// The only one, though the firmware's path leads elsewhere: to be reported.
    OnlyElsewhere,
}

/// How long devices have been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waited {
    /// Something came a moment ago: more may follow.
    Briefly,
    /// Nothing came for a while.
    UntilQuiet,
    /// The patience is at its end.
    Fully,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// Take the disk with this index.
    Take(usize, Certainty),
    /// Look again when more devices are there.
    Wait,
}

/// No choice can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No disk with Outcrop's partitions has the loader's partition.
    #[error("no disk has Outcrop's partitions{}", wanted.map(|guid| format!(" and the boot loader's partition {guid}")).unwrap_or_default())]
    NoDisk {
        /// The partition from which the loader was started, if it is known.
        wanted: Option<Uuid>,
    },
    /// Several would do.
    #[error("{} would all do as the boot disk: won't guess; detach the copy", names.join(", "))]
    Several {
        /// Their kernel names.
        names: Vec<String>,
    },
}

/// Chooses among `disks`. `wanted` is the partition from which the loader was started; without it every disk with
/// Outcrop's partitions is in question. `firmware` is the path of the firmware's boot option.
///
/// A disk at the very place that the firmware names is taken at once. Where its place can't be compared, a twin may
/// still be on its way, so the answer waits until things are quiet. One that is certainly at another place is taken only
/// when nothing else came at all: firmware that lies about its path must not make a device useless.
///
/// # Errors
/// When several would do, or, at the end of the patience, none.
pub fn choose(
    disks: &[OutcropDisk],
    wanted: Option<Uuid>,
    firmware: Option<&DevicePath>,
    waited: Waited,
) -> Result<Choice, Refusal> {
    let in_question = disks
        .iter()
        .enumerate()
        .filter(|(_, disk)| wanted.is_none_or(|guid| disk.has_partition(guid)));
    let (mut same, mut unknown, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for (index, disk) in in_question {
        match firmware.map_or(Verdict::Unknown, |path| disk.disk.location.compare(path)) {
            Verdict::Same => same.push(index),
            Verdict::Unknown => unknown.push(index),
            Verdict::Different => elsewhere.push(index),
        }
    }
    let stages = [
        (same, Waited::Briefly, Certainty::FirmwarePath),
        (unknown, Waited::UntilQuiet, Certainty::Only),
        (elsewhere, Waited::Fully, Certainty::OnlyElsewhere),
    ];
    match stages.into_iter().find(|(found, ..)| !found.is_empty()) {
        None if waited == Waited::Fully => Err(Refusal::NoDisk { wanted }),
        None => Ok(Choice::Wait),
        Some((_, enough, _)) if waited < enough => Ok(Choice::Wait),
        Some((found, _, certainty)) => match found[..] {
            [one] => Ok(Choice::Take(one, certainty)),
            _ => Err(several(disks, &found)),
        },
    }
}

fn several(disks: &[OutcropDisk], found: &[usize]) -> Refusal {
    let chosen = found.iter().filter_map(|&index| disks.get(index));
    Refusal::Several {
        names: chosen.map(|disk| disk.disk.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpt::{Shape, test_table};
    use crate::init::{
        disk::{Disk, Location},
        efi::Node,
    };

    const ESP: Uuid = Uuid::from_u128(1);

    fn disk(name: &str, pci: u8, esp: Uuid) -> OutcropDisk {
        let location = Location {
            pci: if pci == 0 { vec![] } else { vec![(pci, 0)] },
            ..Location::default()
        };
        let mut table = test_table(&[(1, "outcrop-esp")]);
        table.partitions[0].guid = esp;
        let shape = Shape {
            sector_bytes: 512,
            bytes: 0,
        };
        let name = name.to_owned();
        let disk = Disk {
            name,
            shape,
            location,
            partitions: vec![],
        };
        OutcropDisk { disk, table }
    }

    fn firmware(pci: u8) -> DevicePath {
        DevicePath::new(vec![
            Node::PciRoot(Some(0)),
            Node::Pci {
                device: pci,
                function: 0,
            },
        ])
    }

    #[test]
    fn the_firmwares_path_tells_a_disk_from_its_copy_at_once() {
        let twins = [disk("vda", 3, ESP), disk("vdb", 4, ESP)];
        let choice = choose(&twins, Some(ESP), Some(&firmware(4)), Waited::Briefly);
        assert_eq!(choice, Ok(Choice::Take(1, Certainty::FirmwarePath)));
    }

    #[test]
    fn twins_that_nothing_tells_apart_are_refused_by_name() {
        let twins = [disk("vda", 3, ESP), disk("vdb", 4, ESP)];
        assert_eq!(choose(&twins, Some(ESP), None, Waited::Briefly), Ok(Choice::Wait));
        let error = choose(&twins, Some(ESP), None, Waited::Fully).unwrap_err();
        assert_eq!(
            error.to_string(),
            "vda, vdb would all do as the boot disk: won't guess; detach the copy"
        );
        assert!(choose(&twins, Some(ESP), Some(&firmware(9)), Waited::Fully).is_err());
    }

    #[test]
    fn twins_behind_one_controller_are_refused() {
        let twins = [disk("sda", 3, ESP), disk("sdb", 3, ESP)];
        assert!(matches!(
            choose(&twins, Some(ESP), Some(&firmware(3)), Waited::Fully),
            Err(Refusal::Several { .. })
        ));
    }

    #[test]
    fn a_foreign_disk_with_outcrops_labels_is_no_candidate() {
        let disks = [disk("vda", 3, Uuid::from_u128(7)), disk("vdb", 4, ESP)];
        assert_eq!(
            choose(&disks, Some(ESP), None, Waited::Fully),
            Ok(Choice::Take(1, Certainty::Only))
        );
        let error = choose(&disks[..1], Some(ESP), None, Waited::Fully).unwrap_err();
        assert_eq!(error, Refusal::NoDisk { wanted: Some(ESP) });
    }

    #[test]
    fn a_disk_whose_place_is_unknown_waits_for_a_twin_then_is_taken() {
        let one = [disk("mmcblk0", 0, ESP)];
        assert_eq!(
            choose(&one, Some(ESP), Some(&firmware(3)), Waited::Briefly),
            Ok(Choice::Wait)
        );
        assert_eq!(
            choose(&one, Some(ESP), Some(&firmware(3)), Waited::UntilQuiet),
            Ok(Choice::Take(0, Certainty::Only))
        );
    }

    #[test]
    fn the_only_disk_is_taken_though_the_firmware_points_elsewhere_but_as_late_as_can_be() {
        let one = [disk("sda", 5, ESP)];
        assert_eq!(
            choose(&one, Some(ESP), Some(&firmware(3)), Waited::UntilQuiet),
            Ok(Choice::Wait)
        );
        assert_eq!(
            choose(&one, Some(ESP), Some(&firmware(3)), Waited::Fully),
            Ok(Choice::Take(0, Certainty::OnlyElsewhere))
        );
    }

    #[test]
    fn a_disk_that_the_firmware_cant_mean_loses_to_one_that_it_may() {
        let disks = [disk("sda", 5, ESP), disk("mmcblk0", 0, ESP)];
        assert_eq!(
            choose(&disks, Some(ESP), Some(&firmware(3)), Waited::Fully),
            Ok(Choice::Take(1, Certainty::Only))
        );
    }

    #[test]
    fn without_a_loader_partition_every_outcrop_disk_is_in_question() {
        let disks = [disk("vda", 3, ESP), disk("vdb", 4, Uuid::from_u128(7))];
        assert!(choose(&disks, None, None, Waited::Fully).is_err());
        assert_eq!(
            choose(&disks[1..], None, None, Waited::Fully),
            Ok(Choice::Take(0, Certainty::Only))
        );
        assert_eq!(
            choose(&[], None, None, Waited::Fully),
            Err(Refusal::NoDisk { wanted: None })
        );
    }
}
