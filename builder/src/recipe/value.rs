//! Values that are more than text: each function takes the text and says what is wrong with it.

use std::time::Duration;

use globset::GlobBuilder;
use outcrop_release::{
    cmdline::{BuildError, check_option},
    digest::FileDigest,
    manifest::MAX_DEADLINE,
};
use semver::Version;

use crate::{boot::guard::WatchdogLimit, tree::TreePath};

/// One MiB: what all partition sizes are multiples of.
pub(super) const MIB: u64 = 1 << 20;

/// Parses a size: a whole number and `MiB`, `GiB` or `TiB`, at least one MiB. The result is in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [("MiB", MIB), ("GiB", MIB << 10), ("TiB", MIB << 20)];
    let wrong =
        || format!("{text:?} is not a size: write a whole number and MiB, GiB or TiB, like \"512MiB\"");
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end_matches(' '), *unit)))
        .ok_or_else(wrong)?;
    if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    match bytes {
        Some(0) | None => Err(format!("{text:?} is no size that a partition can have")),
        Some(bytes) => Ok(bytes),
    }
}

/// A size as recipes write it. `bytes` is a multiple of one MiB.
pub(super) fn size_text(bytes: u64) -> String {
    match bytes / MIB {
        mib if mib % 1024 == 0 => format!("{}GiB", mib / 1024),
        mib => format!("{mib}MiB"),
    }
}

/// Parses a deadline: a duration from one second to what a manifest can say.
pub(super) fn deadline(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if !time.is_zero() && time <= MAX_DEADLINE => Ok(time),
        _ => Err(format!(
            "{text:?} is no deadline: it is from 1s to {}h",
            MAX_DEADLINE.as_secs() / 3600
        )),
    }
}

/// Parses the time after which a watchdog resets the machine.
pub(super) fn watchdog(text: &str) -> Result<WatchdogLimit, String> {
    WatchdogLimit::new(duration(text)?).ok_or_else(|| {
        format!(
            "{text:?} is no time for a watchdog: it is from {}s to {}min",
            WatchdogLimit::LEAST.as_secs(),
            WatchdogLimit::MOST.as_secs() / 60
        )
    })
}

/// Parses a duration: a whole number and `s`, `min` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("min", 60), ("s", 1), ("h", 3600)];
    let split = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end_matches(' '), *unit)));
    let whole = split.filter(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()));
    whole
        .and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            format!("{text:?} is no duration: write a whole number and s, min or h, like \"10min\"")
        })
}

/// Checks a package name. Source: Debian Policy, section 5.6.1.
pub(super) fn package_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let good = text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(legal);
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} can't be a package: names have lower-case letters, digits, `+`, `-` and `.`, no version"
        ))
    }
}

/// Checks `PACKAGE/preinst` or `PACKAGE/postinst`.
pub(super) fn script(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((package, "preinst" | "postinst" | "triggers")) => {
            package_name(package).map(|_| text.to_owned())
        }
        _ => Err(format!(
            "{text:?} names no script: write PACKAGE/preinst, PACKAGE/postinst or PACKAGE/triggers"
        )),
    }
}

/// Checks a unit's full name. Source: systemd.unit(5), "Description".
pub(super) fn unit_name(text: &str) -> Result<String, String> {
    const KINDS: [&str; 9] = [
        "service",
        "socket",
        "timer",
        "path",
        "target",
        "mount",
        "automount",
        "swap",
        "slice",
    ];
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let kind = text
        .rsplit_once('.')
        .filter(|(name, _)| !name.is_empty() && !name.starts_with('.'));
    match kind {
        Some((_, kind)) if KINDS.contains(&kind) && text.len() <= 255 && text.chars().all(legal) => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "{text:?} is no unit's full name: write it with its ending, like \"ssh.service\" ({})",
            KINDS.join(", ")
        )),
    }
}

/// Parses the version of a Kubernetes distribution: `1.36.3+k0s.0`, also with the `v` of its release's name.
pub(super) fn kubernetes_version(text: &str) -> Result<Version, String> {
    text.strip_prefix('v').unwrap_or(text).parse().map_err(|error| {
        format!("{text:?} is no version of Kubernetes ({error}): write it like \"1.36.3+k0s.0\"")
    })
}

/// Checks an address that files are fetched from.
pub(super) fn web_address(text: &str) -> Result<String, String> {
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "{text:?} is no web address: it begins with https:// or http://"
        )),
    }
}

/// Checks the file name of an archive of container images.
pub(super) fn image_name(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let good = !text.starts_with('.') && !text.is_empty() && text.len() <= 128 && text.chars().all(legal);
    good.then_some(())
        .ok_or_else(|| format!("{text:?} can't name an archive"))
}

/// Parses a SHA-256.
pub(super) fn sha256(text: &str) -> Result<FileDigest, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no SHA-256: `sha256sum FILE` prints its 64 hexadecimal digits"))
}

/// Checks the name of a user or group: `[a-z_][a-z0-9_-]{0,30}`.
pub(super) fn account_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let good = text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(legal);
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} can't name an account: use at most 31 lower-case letters, digits, `_` and `-`, not starting \
             with a digit or `-`"
        ))
    }
}

/// Parses an absolute path inside the image; not the root itself.
pub(super) fn image_path(text: &str) -> Result<TreePath, String> {
    let below = text
        .strip_prefix('/')
        .filter(|below| !below.is_empty())
        .ok_or_else(|| format!("{text:?} is not an absolute path of a file"))?;
    below
        .parse()
        .map_err(|error: crate::tree::PathError| error.to_string())
}

/// Parses a path of a file that a recipe may add: not below folders that exist at run time only.
pub(super) fn file_path(text: &str) -> Result<TreePath, String> {
    const MOUNTED: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
    let path = image_path(text)?;
    let top = text.split('/').nth(1).unwrap_or_default();
    if MOUNTED.contains(&top) {
        return Err(format!(
            "{path} can't be in an image: /{top} is mounted over when the device starts"
        ));
    }
    Ok(path)
}

/// Parses permission bits in octal. Set-user-ID and the like are in them: four digits.
pub(super) fn mode(text: &str) -> Result<u16, String> {
    let octal = matches!(text.len(), 3..=5) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o7777)
        .ok_or_else(|| format!("{text:?} is no file mode: write it in octal, like \"0644\""))
}

/// Checks a pattern for module paths.
pub(super) fn module_glob(text: &str) -> Result<String, String> {
    if text.starts_with('/') || text.is_empty() {
        return Err(format!(
            "{text:?}: patterns start below the module folder's kernel/, like \"drivers/gpu/**\""
        ));
    }
    GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map(|_| text.to_owned())
        .map_err(|error| format!("{text:?} is no pattern: {}", error.kind()))
}

/// Checks a kernel module's name.
pub(super) fn module_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.is_empty() && text.len() <= 55 && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} can't be a module: write its name without folder and `.ko`"
        ))
    }
}

/// Checks one option of the kernel command line, by the rule by which the boot payload's is made.
pub(super) fn kernel_option(text: &str) -> Result<String, String> {
    match check_option(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(BuildError::Reserved(_)) => {
            let name = text.split('=').next().unwrap_or_default();
            Err(format!(
                "`{name}` is set by Outcrop: it decides which root the device trusts, or how damage is met"
            ))
        }
        Err(_) => Err(format!(
            "{text:?} is not one kernel option: write one per item, without blanks and quotes"
        )),
    }
}

/// Checks the name of a suite or component: it becomes part of a URL and of apt's configuration.
pub(super) fn archive_word(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 64 && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} can't name a part of the archive: use lower-case letters, digits and hyphens"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_binary_unit_and_survive_their_text_form() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("64 MiB"), Ok(64 << 20));
        assert_eq!(size("2TiB").map(size_text), Ok("2048GiB".to_owned()));
        assert_eq!(size_text(192 << 20), "192MiB");
        for text in [
            "",
            "1",
            "1GB",
            "1.5GiB",
            "-1GiB",
            "GiB",
            "0MiB",
            "99999999999999999999MiB",
            "1 GiB ",
            "+1GiB",
        ] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_of_packages_units_and_accounts_follow_their_specifications() {
        assert!(package_name("libstdc++6").is_ok() && package_name("0ad").is_ok());
        for text in ["", "a", "Vim", "vim=1", "vim:arm64", "-vim", "../x", "vim "] {
            assert!(package_name(text).is_err(), "{text:?}");
        }
        assert!(unit_name("getty@ttyS0.service").is_ok() && unit_name("dev-disk\\x2d1.swap").is_ok());
        for text in [
            "ssh",
            "ssh.",
            ".service",
            "a/b.service",
            "ssh.servic",
            "..service",
        ] {
            assert!(unit_name(text).is_err(), "{text:?}");
        }
        assert!(account_name("_apt").is_ok());
        for text in ["", "1st", "-x", "Root", "a b", "a:b", &"a".repeat(32)] {
            assert!(account_name(text).is_err(), "{text:?}");
        }
        assert!(
            script("mdadm/postinst").is_ok() && script("mdadm/prerm").is_err() && script("mdadm").is_err()
        );
    }

    #[test]
    fn files_go_to_absolute_paths_that_survive_the_start_of_the_device() {
        assert_eq!(
            file_path("/etc/motd").map(|path| path.to_string()),
            Ok("/etc/motd".to_owned())
        );
        for text in [
            "",
            "/",
            "etc/motd",
            "/etc/../shadow",
            "/etc/",
            "//etc/x",
            "/run/x",
            "/tmp/x",
            "/proc/x",
        ] {
            assert!(file_path(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn modes_are_octal_text() {
        assert_eq!(
            (mode("0644"), mode("755"), mode("4755")),
            (Ok(0o644), Ok(0o755), Ok(0o4755))
        );
        for text in ["", "0o755", "9", "888", "10000", "-755", "+755"] {
            assert!(mode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn options_that_outcrop_sets_and_more_than_one_plain_word_are_refused() {
        for text in ["quiet", "console=ttyS0,115200", "panic_on_oops=1"] {
            assert!(kernel_option(text).is_ok(), "{text:?}");
        }
        for text in [
            "",
            "a b",
            "init=/bin/sh",
            "rw",
            "outcrop.slot=b",
            "x=\"a",
            "dyndbg=\"file x +p\"",
            "panic=0",
            "systemd.gpt-auto=yes",
            "a\nb",
            "root=/dev/sda",
        ] {
            assert!(kernel_option(text).is_err(), "{text:?}");
        }
    }
}
