//! What only a real build or a booted machine can show. One program: its scenarios share the machine's cores from the first to the
//! last, whichever runner starts it.

mod agent;
mod bad_input;
mod boot;
mod boot_script;
mod built;
mod damage;
mod device_toml;
mod kubernetes;
mod power_cuts;
mod raspberry_pi;
mod reproducible;
mod secure_boot;
mod ssh;
mod tpm;
mod update;
mod updates_of_a_file;
