//! Every key that a recipe may have: what `check` accepts, what `merge` does with it, and what docs/recipe.md says.
//!
//! `convert` reads the keys by name; a test makes sure that it reads each of them.

mod kubernetes;
mod state;
mod update;

use kubernetes::KUBERNETES;
use state::STATE;
use update::UPDATE;

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) need: Need,
    /// What it is for, in Markdown.
    pub(super) text: &'static str,
}

/// Whether a key has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    /// What holds when the key is left out, as the reference says it.
    Default(&'static str),
}

/// What a key's value looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A string; the words say of what.
    Text(&'static str),
    /// An integer.
    Integer,
    Flag,
    /// Strings; including files add to the list.
    Append(&'static str),
    /// Strings; an including file's list takes the place of the included one.
    Replace(&'static str),
    /// A table with known keys.
    Table(&'static [Key]),
    /// A table whose keys the user chooses.
    Map {
        /// What the chosen key is, in capitals.
        key: &'static str,
        value: &'static Shape,
    },
    /// A list of tables; including files add to it.
    Tables(&'static [Key]),
}

impl Shape {
    /// The type as the user would call it.
    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer => "a number",
            Self::Flag => "true or false",
            Self::Append(_) | Self::Replace(_) => "a list of texts",
            Self::Table(_) | Self::Map { .. } => "a table",
            Self::Tables(_) => "a list of tables",
        }
    }
}

const fn required(name: &'static str, shape: Shape, text: &'static str) -> Key {
    Key {
        name,
        shape,
        need: Need::Required,
        text,
    }
}

const fn optional(name: &'static str, shape: Shape, default: &'static str, text: &'static str) -> Key {
    Key {
        name,
        shape,
        need: Need::Default(default),
        text,
    }
}

/// The top level of a recipe.
pub(super) const RECIPE: &[Key] = &[
    optional(
        "include",
        Shape::Append("paths of recipe files"),
        "none",
        "Recipes that this one builds on, in order. Paths are relative to the file that says them.",
    ),
    optional(
        "overlays",
        Shape::Append("paths of folders"),
        "none",
        "Folders that mirror the image's file system, laid over the packages' files in order; a later folder wins. \
         Paths are relative to the file that says them. Everything belongs to root; files get mode 0755 when their \
         owner may execute them, else 0644, folders 0755: the builder's umask doesn't matter. Symbolic links are kept \
         as they are.",
    ),
    required("image", Shape::Table(IMAGE), "What is built."),
    required("base", Shape::Table(BASE), "What it is made from."),
    optional("packages", Shape::Table(PACKAGES), "empty", "What is installed."),
    optional(
        "kernel",
        Shape::Table(KERNEL),
        "see below",
        "Which kernel, which modules, which options.",
    ),
    optional(
        "files",
        Shape::Tables(FILE),
        "none",
        "Single files, added after the overlays. They take the place of a package's or an overlay's file. All belong \
         to root.",
    ),
    optional(
        "users",
        Shape::Map {
            key: "NAME",
            value: &Shape::Table(USER),
        },
        "none",
        "Accounts for people. None has a password, ever: they log in with SSH keys. `[users.root]` may only have \
         `ssh-keys`; with them, and only then, sshd lets root in. It belongs in recipes for development.",
    ),
    optional(
        "services",
        Shape::Table(SERVICES),
        "what the packages say",
        "Units, by full name (`ssh.service`). In one file a unit may be in one of the lists; across files the \
         including file decides.",
    ),
    optional(
        "kubernetes",
        Shape::Table(KUBERNETES),
        "none",
        "The Kubernetes that the image carries: a distribution that is one program.",
    ),
    optional(
        "state",
        Shape::Table(STATE),
        "none",
        "Data on the device that goes with the release: copied before an update's trial, brought back when the trial fails.",
    ),
    optional(
        "boot",
        Shape::Table(BOOT),
        "see below",
        "What happens before the kernel has started.",
    ),
    optional(
        "secure-boot",
        Shape::Table(SECURE_BOOT),
        "none: loader and boot payload aren't signed",
        "UEFI Secure Boot: boot loader and boot payload (kernel, initramfs, command line with the root hash) are signed, and a machine with \
         the owner's keys starts nothing else. Not for board `rpi`. docs/guide.md shows how to begin.",
    ),
    optional("disk", Shape::Table(DISK), "see below", SIZES),
    optional(
        "health",
        Shape::Table(HEALTH),
        "see below",
        "When a release counts as working.",
    ),
    optional(
        "update",
        Shape::Table(UPDATE),
        "no updates",
        "Which releases a device installs.",
    ),
    optional(
        "device",
        Shape::Table(DEVICE),
        "see below",
        "How a device takes its own configuration, `device.toml`.",
    ),
    optional(
        "access",
        Shape::Table(ACCESS),
        "none",
        "Ways in that only an image for development has.",
    ),
];

const SIZES: &str = "Sizes of the partitions: a whole number and `MiB`, `GiB` or `TiB`. A slot's size can't change \
     after the first installation, and a build fails when a release fills more than 85 % of it: leave room for later \
     releases.";

const IMAGE: &[Key] = &[
    required(
        "name",
        Shape::Text("name"),
        "Product name: 1 to 64 lower-case letters, digits and inner hyphens, starting with a letter. It begins the \
         names of all output files and is `IMAGE_ID` in os-release.",
    ),
    required(
        "version",
        Shape::Text("semantic version"),
        "Release of the product: `1.2.3`, `1.2.3-rc.1`. `IMAGE_VERSION` in os-release.",
    ),
    optional(
        "architectures",
        Shape::Replace("architectures"),
        "all that the board can have",
        "What to build for: `x86_64`, `aarch64`.",
    ),
    optional(
        "board",
        Shape::Text("board"),
        "`\"efi\"`",
        "What starts the device: `efi`, any machine with UEFI; `rpi`, a Raspberry Pi 3 or 4 (`aarch64` only, docs/raspberry-pi.md).",
    ),
];

const BASE: &[Key] = &[
    optional(
        "distribution",
        Shape::Text("distribution"),
        "`\"debian\"`",
        "Whose packages: only `debian` exists.",
    ),
    required(
        "suite",
        Shape::Text("suite"),
        "Release name: `trixie`. Its `-updates` and `-security` suites are always locked too.",
    ),
    optional(
        "components",
        Shape::Replace("components"),
        "`[\"main\"]`",
        "Parts of the archive: `main`, `contrib`, `non-free`, `non-free-firmware`.",
    ),
];

const PACKAGES: &[Key] = &[
    optional(
        "install",
        Shape::Append("package names"),
        "none",
        "Installed with their dependencies, without recommendations. Essential packages, systemd and what Outcrop needs \
         itself need not be named.",
    ),
    optional(
        "remove",
        Shape::Append("package names"),
        "none",
        "Takes names out of the `install` lists of included recipes. A name that none of them has is an error. What \
         another package depends on is installed all the same.",
    ),
    optional(
        "accept-scripts",
        Shape::Append("`PACKAGE/preinst`, `PACKAGE/postinst`, `PACKAGE/triggers`"),
        "none",
        "Maintainer scripts that you have read and want skipped. Locking fails on scripts that are neither recognised, \
         reviewed nor accepted here, and shows their lines.",
    ),
];

const KERNEL: &[Key] = &[
    optional(
        "package",
        Shape::Map {
            key: "ARCH",
            value: &Shape::Text("package name"),
        },
        "`linux-image-amd64`, `linux-image-arm64`",
        "The kernel's package, per architecture.",
    ),
    optional(
        "exclude-modules",
        Shape::Append("glob patterns"),
        "none",
        "Modules that stay out of the image, by path below the module folder's `kernel/`: `drivers/gpu/**`. A module \
         that another one needs stays in.",
    ),
    optional(
        "keep-modules",
        Shape::Append("glob patterns"),
        "none",
        "Modules that stay in though `exclude-modules` of this or an included recipe names them: a board's Wi-Fi.",
    ),
    optional(
        "initramfs-modules",
        Shape::Append("module names"),
        "none",
        "Modules that the initramfs carries beside its own list (AHCI, NVMe, SD, eMMC, USB storage, virtio).",
    ),
    optional(
        "command-line",
        Shape::Append("kernel options"),
        "none",
        "Options appended to Outcrop's own: `quiet`, `console=ttyS0`, one an item, without blanks and quotes. Those that \
         Outcrop sets itself (`root=`, `roothash=`, `init=`, `panic=`, `outcrop.`...) are refused.",
    ),
];

const FILE: &[Key] = &[
    required(
        "path",
        Shape::Text("absolute path"),
        "Where the file goes in the image: `/etc/motd`.",
    ),
    optional(
        "content",
        Shape::Text("text"),
        "",
        "What it holds. Either this or `source`.",
    ),
    optional(
        "source",
        Shape::Text("path"),
        "",
        "The file on the build machine that holds the content, relative to the recipe that says so.",
    ),
    optional(
        "mode",
        Shape::Text("octal number"),
        "`\"0644\"`",
        "Permission bits: `\"0755\"`.",
    ),
    optional(
        "replace",
        Shape::Flag,
        "`false`",
        "Two entries with one path are an error, unless the later one says `replace = true`.",
    ),
];

const USER: &[Key] = &[
    optional(
        "uid",
        Shape::Integer,
        "the next free one",
        "Fixed numeric id of the user and the group of the same name, 1000 to 59999.",
    ),
    optional(
        "groups",
        Shape::Append("group names"),
        "none",
        "Supplementary groups: `sudo`, `adm`.",
    ),
    optional(
        "shell",
        Shape::Text("absolute path"),
        "`\"/bin/bash\"`",
        "Login shell.",
    ),
    optional(
        "ssh-keys",
        Shape::Append("OpenSSH public keys"),
        "none",
        "Keys that may log in, each as the one line of a `.pub` file, without options before it.",
    ),
];

const SERVICES: &[Key] = &[
    optional("enable", Shape::Append("unit names"), "none", "Started at boot."),
    optional(
        "disable",
        Shape::Append("unit names"),
        "none",
        "Not started at boot, unless another unit asks for it.",
    ),
    optional(
        "mask",
        Shape::Append("unit names"),
        "none",
        "Can't be started at all.",
    ),
];

const BOOT: &[Key] = &[optional(
    "watchdog",
    Shape::Text("duration"),
    "none: the initramfs starts the watchdog",
    "EFI Boot Guard starts the machine's watchdog before the boot loader runs: a boot loader or kernel that hangs is reset \
     after this time, from `30s` to `10min`, which must be enough for the initramfs to be reached. Only for `x86_64`, and only \
     for machines whose watchdog EFI Boot Guard and the initramfs know (Intel's TCO, AMD's FCH, ACPI's WDAT, QEMU's i6300esb): \
     another machine does not start. Needs a new lock.",
)];

const SECURE_BOOT: &[Key] = &[
    required(
        "certificate",
        Shape::Text("path"),
        "The X.509 certificate (PEM) of the key that signs boot loader and boot payload: `db.crt` of `outcrop keys secure-boot`, or one of your \
         own. The private key comes with `outcrop build --secure-boot-key`.",
    ),
    optional(
        "keys",
        Shape::Text("path of a folder"),
        "none: machines get the certificate in another way",
        "The folder of `outcrop keys secure-boot`. Its `.auth`, `.esl` and `.cer` files go to `loader/keys/auto` on partition 1, where boot \
         loader and firmware find them; its private keys go nowhere.",
    ),
    optional(
        "enroll",
        Shape::Text("off, if-safe or force"),
        "`\"if-safe\"` with `keys`",
        "When the boot loader puts `keys` into a machine that is in setup mode (it has no platform key): in virtual machines \
         (`\"if-safe\"`), in any (`\"force\"`, 15 seconds after it said so on the screen), or never (`\"off\"`). A machine whose option ROMs are \
         signed by others may not start any more: see the guide before you write `\"force\"`.",
    ),
];

const DISK: &[Key] = &[
    optional(
        "root-slot",
        Shape::Text("size"),
        "`\"1GiB\"`",
        "Space for one root file system; there are two slots.",
    ),
    optional(
        "boot-slot",
        Shape::Text("size"),
        "`\"64MiB\"`",
        "Space for one boot payload (kernel, initramfs, command line); there are two slots.",
    ),
    optional(
        "data",
        Shape::Text("size"),
        "`\"256MiB\"`",
        "The data partition (`/var`) as built, at most 8 GiB. On the device it grows to the end of the disk.",
    ),
];

const HEALTH: &[Key] = &[optional(
    "deadline",
    Shape::Text("duration"),
    "`\"10min\"`",
    "How long a new release may take, from its kernel's start, until its health checks hold: a whole number and `s`, `min` \
     or `h`, at most a week. Then the device returns to the release before.",
)];

const DEVICE: &[Key] = &[optional(
    "import",
    Shape::Text("always or once"),
    "`\"always\"`",
    "When `device.toml` on partition 1 counts: at each boot, or (`\"once\"`) until one was taken over, for sites where anybody can \
     reach the card. With `\"once\"` the file has to be right before the first boot.",
)];

const ACCESS: &[Key] = &[optional(
    "serial-root-shell",
    Shape::Flag,
    "`false`",
    "A root shell on the serial console, without asking for anything. For development only.",
)];
