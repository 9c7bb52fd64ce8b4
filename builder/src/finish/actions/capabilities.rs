//! `setcap`: file capabilities as an extended attribute.
//!
//! Text form: cap_from_text(3). Binary form: Linux `include/uapi/linux/capability.h`, `vfs_cap_data` revision 2.

use super::ownership;
use crate::{
    action::Action,
    finish::error::{ActionError, FinishError},
    tree::{Node, Tree},
};

/// The attribute that the kernel reads.
pub(in crate::finish) const ATTRIBUTE: &str = "security.capability";
/// Revision 2: 64 capabilities, no user namespace.
const REVISION: u32 = 0x0200_0000;
/// The flag that makes all permitted capabilities effective.
const EFFECTIVE: u32 = 1;
/// Names by number. Source: Linux 6.12 `include/uapi/linux/capability.h`.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Sets of capabilities, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sets {
    permitted: u64,
    inheritable: u64,
    effective: u64,
}

/// Carries out [`Action::Capability`]; other actions do nothing here.
pub(super) fn apply(tree: &mut Tree, package: &str, action: &Action) -> Result<(), FinishError> {
    let Action::Capability { path, capabilities } = action else {
        return Ok(());
    };
    let found = ownership::existing(tree, package, path)?;
    if !matches!(
        tree.get(found.as_str()).map(|entry| &entry.node),
        Some(Node::File(..))
    ) {
        return Err(ActionError::NotFile {
            package: package.to_owned(),
            path: path.clone(),
        }
        .into());
    }
    let value = parse(capabilities)
        .and_then(encode)
        .ok_or_else(|| ActionError::Capabilities {
            package: package.to_owned(),
            text: capabilities.clone(),
        })?;
    ownership::change(tree, &found, |metadata| {
        metadata.xattrs.insert(ATTRIBUTE.to_owned(), value.clone());
    });
    Ok(())
}

fn parse(text: &str) -> Option<Sets> {
    let mut sets = Sets::default();
    for clause in text.split_whitespace() {
        let (names, flags) = clause.split_once(['+', '='])?;
        let bits = names
            .split(',')
            .try_fold(0, |bits, name| Some(bits | bit(name)?))?;
        for flag in flags.chars() {
            match flag {
                'p' => sets.permitted |= bits,
                'i' => sets.inheritable |= bits,
                'e' => sets.effective |= bits,
                _ => return None,
            }
        }
    }
    (sets != Sets::default()).then_some(sets)
}

fn bit(name: &str) -> Option<u64> {
    let name = name.strip_prefix("cap_")?;
    NAMES
        .iter()
        .position(|known| *known == name)
        .map(|number| 1 << number)
}

/// The attribute's 20 bytes: the file form has one bit for "effective", so it must be all or nothing.
fn encode(sets: Sets) -> Option<Vec<u8>> {
    let all = sets.permitted | sets.inheritable;
    let flag = match sets.effective {
        0 => 0,
        effective if effective == all => EFFECTIVE,
        _ => return None,
    };
    let mut bytes = (REVISION | flag).to_le_bytes().to_vec();
    for half in [0, 32] {
        for set in [sets.permitted, sets.inheritable] {
            let word = u32::try_from((set >> half) & 0xffff_ffff).ok()?;
            bytes.extend(word.to_le_bytes());
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn encoded(text: &str) -> Option<String> {
        parse(text).and_then(encode).map(hex::encode)
    }

    #[test]
    fn texts_become_the_bytes_that_setcap_writes() {
        // As `setcap TEXT FILE; getfattr -e hex -n security.capability FILE` of libcap 2.66 shows them.
        let cases = [
            ("cap_net_raw+ep", "0100000200200000000000000000000000000000"),
            (
                "cap_net_bind_service,cap_net_raw=ep",
                "0100000200240000000000000000000000000000",
            ),
            (
                "cap_net_raw,cap_net_raw+ep",
                "0100000200200000000000000000000000000000",
            ),
            ("cap_bpf=p", "0000000200000000000000008000000000000000"),
            ("cap_sys_nice+pie", "0100000200008000000080000000000000000000"),
        ];
        for (text, bytes) in cases {
            assert_eq!(encoded(text).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn texts_without_meaning_are_refused() {
        for text in [
            "",
            "net_raw+ep",
            "cap_nothing+ep",
            "cap_net_raw",
            "cap_net_raw+x",
            "cap_kill+p cap_chown+ep",
        ] {
            assert_eq!(encoded(text), None, "{text}");
        }
    }

    #[test]
    fn the_attribute_lands_on_the_file() {
        let mut tree = testing::tree(&[("usr/bin/ping", "x")]);
        let (path, capabilities) = ("/bin/ping".to_owned(), "cap_net_raw+ep".to_owned());
        apply(
            &mut tree,
            "iputils-ping",
            &Action::Capability { path, capabilities },
        )
        .unwrap();
        assert!(
            tree.get("usr/bin/ping")
                .unwrap()
                .metadata
                .xattrs
                .contains_key(ATTRIBUTE)
        );
    }
}
