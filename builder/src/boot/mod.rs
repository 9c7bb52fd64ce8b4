//! The boot payload: initramfs and UKI.
