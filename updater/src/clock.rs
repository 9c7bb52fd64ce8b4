//! The clock on the site's wall.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::tz::TimeZone;

/// Where the system says by which time zone its clocks go. Source: localtime(5).
const LOCALTIME: &str = "etc/localtime";
/// What precedes a time zone's name there.
const ZONES: &str = "/zoneinfo/";

/// The time zone can't be used.
#[derive(Debug, thiserror::Error)]
#[error("understand the time zone in {}", path.display())]
pub struct ZoneError {
    path: PathBuf,
    source: io::Error,
}

/// The time zone of the system whose root is `root`: UTC where none is set.
///
/// # Errors
/// When one is set and can't be read.
pub fn site_zone(root: &Path) -> Result<TimeZone, ZoneError> {
    let link = root.join(LOCALTIME);
    let target = match fs::read_link(&link) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TimeZone::UTC),
        // A file of its own.
        Err(_) => PathBuf::from("localtime"),
    };
    let path = match target.strip_prefix("/") {
        Ok(below) => root.join(below),
        Err(_) => link.with_file_name(&target),
    };
    let name = target.to_string_lossy();
    let name = name.split_once(ZONES).map_or(name.as_ref(), |(_, name)| name);
    let failed = |source| ZoneError {
        path: path.clone(),
        source,
    };
    let bytes = fs::read(&path).map_err(failed)?;
    TimeZone::tzif(name, &bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A zone with no transitions, an hour east. Source: RFC 9636, section 3.
    fn an_hour_east() -> Vec<u8> {
        let mut file = Vec::new();
        for _ in 0..2 {
            file.extend(b"TZif2");
            file.extend([0; 15]);
            for count in [0_u32, 0, 0, 0, 1, 4] {
                file.extend(count.to_be_bytes());
            }
            file.extend(3600_i32.to_be_bytes());
            file.extend([0, 0]);
            file.extend(b"ONE\0");
        }
        file.extend(b"\nONE-1\n");
        file
    }

    #[test]
    fn the_site_s_zone_is_what_etc_localtime_leads_to_and_utc_without_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(site_zone(root).unwrap(), TimeZone::UTC);
        let zones = root.join("usr/share/zoneinfo/Sea");
        fs::create_dir_all(&zones).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(zones.join("Reef"), an_hour_east()).unwrap();
        for target in ["/usr/share/zoneinfo/Sea/Reef", "../usr/share/zoneinfo/Sea/Reef"] {
            symlink(target, root.join(LOCALTIME)).unwrap();
            let zone = site_zone(root).unwrap();
            let noon = jiff::Timestamp::from_second(12 * 3600).unwrap().to_zoned(zone);
            assert_eq!(noon.hour(), 13);
            assert!(noon.to_string().ends_with("[Sea/Reef]"), "{noon}");
            fs::remove_file(root.join(LOCALTIME)).unwrap();
        }
        symlink("/usr/share/zoneinfo/Nowhere", root.join(LOCALTIME)).unwrap();
        assert!(
            site_zone(root)
                .unwrap_err()
                .to_string()
                .contains("zoneinfo/Nowhere")
        );
        fs::remove_file(root.join(LOCALTIME)).unwrap();
        fs::write(root.join(LOCALTIME), "no zone").unwrap();
        assert!(site_zone(root).is_err());
    }
}
