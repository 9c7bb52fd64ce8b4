//! An inspection as text for people.

use std::fmt;

use super::{
    Fill, Inspection,
    files::{FileLine, Kind},
};
use crate::commands::diff::text::bytes;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = &self.release;
        writeln!(
            f,
            "{} {} ({})",
            release.name, release.version, release.architecture
        )?;
        writeln!(f, "  system     {}", release.pretty_name)?;
        writeln!(f, "  kernel     {}", release.kernel)?;
        writeln!(f, "  options    {}", release.command_line.join(" "))?;
        writeln!(f, "  root hash  {}", release.root_hash)?;
        if let Some(signer) = &release.secure_boot {
            let (subject, sha256) = (shown(&signer.subject), &signer.sha256);
            writeln!(
                f,
                "  signed by  {subject} (Secure Boot; certificate SHA-256 {sha256})"
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "  PROBLEM    {problem}")?;
        }
        self.partition_lines(f)?;
        self.slot_lines(f)?;
        self.package_lines(f)?;
        match &self.files {
            Some(files) => file_lines(f, files),
            None => Ok(()),
        }
    }
}

impl Inspection {
    fn partition_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nDisk {}, {}", self.disk, bytes(self.bytes))?;
        for partition in &self.partitions {
            let (number, label) = (partition.number, &partition.label);
            let (size, start) = (bytes(partition.bytes), bytes(partition.start));
            writeln!(f, "  {number}  {label:<16}  {size:>10}  at {start}")?;
        }
        Ok(())
    }

    fn slot_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nSlots")?;
        for slot in &self.slots {
            write!(f, "  {}  ", slot.slot)?;
            match slot.boot {
                Some(boot) => writeln!(f, "root {}, boot payload {boot}", slot.root)?,
                None => writeln!(f, "empty, root has room for {}", bytes(slot.root.total))?,
            }
        }
        Ok(())
    }

    /// Largest first.
    fn package_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nPackages: {}, the largest first", self.packages.len())?;
        let mut packages: Vec<_> = self.packages.iter().collect();
        packages.sort_by_key(|package| std::cmp::Reverse(package.bytes)); // stable: equals stay by name
        let width = packages
            .iter()
            .map(|package| package.name.len())
            .max()
            .unwrap_or(0);
        for package in packages {
            let size = bytes(package.bytes);
            writeln!(f, "  {size:>10}  {:<width$}  {}", package.name, package.version)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = (u128::from(self.used) * 100).div_ceil(u128::from(self.total.max(1)));
        write!(f, "{} of {} ({percent} %)", bytes(self.used), bytes(self.total))
    }
}

fn file_lines(f: &mut fmt::Formatter<'_>, files: &[FileLine]) -> fmt::Result {
    writeln!(f, "\nFiles: {}", files.len())?;
    for file in files {
        let kind = match file.kind {
            Kind::File => '-',
            Kind::Directory => 'd',
            Kind::Symlink => 'l',
        };
        let size = file.size.map(|size| size.to_string()).unwrap_or_default();
        write!(
            f,
            "  {kind} {} {:>5} {:>5} {size:>10}",
            file.mode, file.uid, file.gid
        )?;
        if let Some(digest) = &file.sha256 {
            write!(f, "  {digest}")?;
        }
        write!(f, "  {}", shown(&file.path))?;
        if let Some(target) = &file.target {
            write!(f, " -> {}", shown(target))?;
        }
        for (name, value) in &file.xattrs {
            write!(f, "  {name}=0x{value}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// A text of the image without what would steer the terminal.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
