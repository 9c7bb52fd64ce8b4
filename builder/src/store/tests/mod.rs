//! What the store promises.

mod images;
mod packages;
mod robust;

use crate::deb::testing::TarBuilder;

pub(super) fn sample() -> TarBuilder {
    TarBuilder::new()
        .directory(".")
        .directory("./usr")
        .directory("./usr/bin")
        .file_with("./usr/bin/su", 0o4755, 0, 0, b"setuid")
        .file_with("./usr/bin/mail", 0o2755, 0, 8, b"setgid")
        .file_with("./usr/bin/owned", 0o640, 1000, 1001, b"owned")
        .hard_link("./usr/bin/sudo", "./usr/bin/su")
        .symlink("./usr/bin/sh", "dash")
        .file("./usr/bin/empty", b"")
}

pub(super) const LISTED: [&str; 9] = [
    "/ 755 0:0 folder",
    "/usr 755 0:0 folder",
    "/usr/bin 755 0:0 folder",
    "/usr/bin/empty 644 0:0 \"\"",
    "/usr/bin/mail 2755 0:8 \"setgid\"",
    "/usr/bin/owned 640 1000:1001 \"owned\"",
    "/usr/bin/sh 777 0:0 -> dash",
    "/usr/bin/su 4755 0:0 \"setuid\" link 0",
    "/usr/bin/sudo 4755 0:0 \"setuid\" link 0",
];
