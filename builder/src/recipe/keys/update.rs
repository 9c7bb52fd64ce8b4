//! `[update]`

use super::{Key, Shape, optional};

pub(super) const UPDATE: &[Key] = &[
    optional(
        "trust",
        Shape::Text("path"),
        "none: the device installs nothing",
        "The trust file: which keys' releases the device installs, and how many must have signed. `outcrop keys trust` \
         prints one.",
    ),
    optional(
        "channel",
        Shape::Text("channel"),
        "none: a device follows the channel of its device.toml, or none",
        "The channel that devices follow: a signed list of releases, made with `outcrop publish`. Needs a trust file with channel \
         keys.",
    ),
    optional(
        "url",
        Shape::Text("address"),
        "none: bundles and channels come from sticks, or where device.toml says",
        "Where releases are published: the address of the folder that `outcrop publish` makes, beginning with `https://` or \
         `http://`.",
    ),
    optional(
        "mode",
        Shape::Text("automatic, approved or off"),
        "`\"automatic\"`",
        "Who decides that an offered release is installed: the device (`automatic`), somebody at the device (`approved`, with \
         `outcrop-updater approve`), or nobody (`off`: no agent runs).",
    ),
    optional(
        "poll",
        Shape::Text("duration"),
        "`\"1h\"`",
        "How often a device asks for its channel's list, from `1min` to `168h`; an eighth less or more, so that no two ask in step.",
    ),
    optional(
        "windows",
        Shape::Replace("maintenance windows"),
        "none: at any time",
        "When a device may restart into a new release, by the site's clock (`time-zone` in device.toml): `01:00-05:00`, \
         `mon-fri 22:00-06:00`, `sat,sun 00:00-24:00`.",
    ),
    optional(
        "download-windows",
        Shape::Replace("maintenance windows"),
        "none: at any time",
        "When it may fetch releases. What was fetched in one window isn't fetched again in the next.",
    ),
    optional(
        "daily-limit",
        Shape::Text("bytes"),
        "none",
        "How much of releases it may fetch in a day, for metered links: a whole number and `kB`, `MB` or `GB`. The next day goes on \
         where the last one stopped.",
    ),
    optional(
        "inhibitors",
        Shape::Append("commands"),
        "none",
        "Programs that are asked before a restart, each an absolute path and its arguments, separated by spaces: any that doesn't exit with 0 \
         within a minute puts the restart off. A till that is open, an oven that is hot.",
    ),
    optional(
        "report-url",
        Shape::Text("address"),
        "none",
        "Where devices send their signed reports: an address that takes them by POST.",
    ),
    optional(
        "sticks",
        Shape::Flag,
        "`false`",
        "Whether a USB stick that holds a publish tree is offered like the channel on the web, when somebody plugs it in. The kernel then reads file systems \
         that anybody may have made.",
    ),
    optional(
        "rollback-index",
        Shape::Integer,
        "`0`",
        "A number below 2³² that only rises, and only when older releases must never run again (a security hole). A \
         device that has committed a release refuses those with a lower one.",
    ),
];
