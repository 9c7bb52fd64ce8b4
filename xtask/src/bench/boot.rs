//! `cargo xtask bench boot`: kernel start to healthy, and the initramfs' part of it.
