//! dpkg triggers: deb-triggers(5). A package may ask to be told when others bring files, and do its work only then
//! (`$1` is `triggered`). No script is told anything here, so every such wish has to be known.

use super::{Residue, Unreviewed};

/// What the report and `accept-scripts` call the member.
pub(in super::super) const MEMBER: &str = "triggers";

/// Who asks to be told of what, and why nothing is lost.
struct Known {
    package: &'static str,
    trigger: &'static str,
    /// For people who read this table.
    _reason: &'static str,
}

const fn known(package: &'static str, trigger: &'static str, reason: &'static str) -> Known {
    Known {
        package,
        trigger,
        _reason: reason,
    }
}

const ALIASES: &str = "finish (base-files) links the folders of other architectures that exist";
const BUS: &str = "reloads a running bus; none runs";
const CERTIFICATES: &str = "finish (certificates) sees the certificates of all packages";
const BOOT: &str = "acts on a running kernel; systemd does it at each boot";

const KNOWN: [Known; 19] = [
    known("base-files", "/usr/lib32", ALIASES),
    known("base-files", "/usr/lib64", ALIASES),
    known("base-files", "/usr/libo32", ALIASES),
    known("base-files", "/usr/libx32", ALIASES),
    known("ca-certificates", "update-ca-certificates", CERTIFICATES),
    known("ca-certificates", "update-ca-certificates-fresh", CERTIFICATES),
    known("dbus", "/etc/dbus-1/system.d", BUS),
    known("dbus", "/usr/share/dbus-1/system-services", BUS),
    known("dbus", "/usr/share/dbus-1/system.d", BUS),
    known(
        "debianutils",
        "/usr/share/debianutils/shells.d",
        "finish (shells) reads the folder",
    ),
    known(
        "libc-bin",
        "ldconfig",
        "finish (libraries): images have no cache and need none",
    ),
    known("procps", "/usr/lib/sysctl.d", BOOT),
    known("systemd", "/usr/lib/binfmt.d", BOOT),
    known("systemd", "/usr/lib/sysctl.d", BOOT),
    known(
        "systemd",
        "/usr/lib/systemd/catalog",
        "images have no catalog of messages",
    ),
    known("systemd", "libc-upgrade", "restarts a running systemd; none runs"),
    known("udev", "/lib/udev/hwdb.d", "images have no hardware database"),
    known("udev", "/usr/lib/udev/hwdb.d", "images have no hardware database"),
    known("libc6", "libc-upgrade", "restarts running services; none runs"),
];

/// Judges a package's `triggers` member. `accepted` are the recipe's `packages.accept-scripts`.
///
/// # Errors
/// [`Unreviewed`] when the package asks to be told of something whose work nobody does.
pub fn judge(package: &str, bytes: &[u8], accepted: &[String]) -> Result<(), Box<Unreviewed>> {
    let text = String::from_utf8_lossy(bytes);
    let mut unknown = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let wish = line.split('#').next().unwrap_or_default();
        let mut words = wish.split_whitespace();
        let asks = words.next().is_some_and(|word| word.starts_with("interest"));
        let trigger = words.next().unwrap_or_default();
        if asks
            && !KNOWN
                .iter()
                .any(|known| known.package == package && known.trigger == trigger)
        {
            unknown.push((at + 1, at + 1));
        }
    }
    if accepted.contains(&format!("{package}/{MEMBER}")) {
        return Ok(());
    }
    match Residue::of(&text, &unknown, &[]) {
        None => Ok(()),
        Some(residue) => Err(Box::new(Unreviewed {
            package: package.to_owned(),
            member: MEMBER,
            residue,
            unreadable: None,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"# mine\ninterest-noawait /usr/share/frob\nactivate-noawait ldconfig\ninterest-await ldconfig\n";

    #[test]
    fn a_wish_to_be_told_that_nobody_stands_for_is_refused_unless_the_recipe_accepts_it() {
        let refused = judge("frob", TEXT, &["frob/postinst".into()]).unwrap_err();
        let lines: Vec<_> = refused.residue.lines.iter().map(|(number, _)| *number).collect();
        assert_eq!((refused.member, lines), ("triggers", vec![2, 4]));
        assert!(judge("frob", TEXT, &["frob/triggers".into()]).is_ok());
    }

    #[test]
    fn known_wishes_and_calls_of_others_triggers_are_fine() {
        assert!(judge("libc-bin", b"interest-await ldconfig\n", &[]).is_ok());
        assert!(judge("libx", b"activate-noawait ldconfig\n", &[]).is_ok());
    }
}
