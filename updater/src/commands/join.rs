//! `outcrop-updater join`

use std::path::{Path, PathBuf};

use super::{CommandError, say};
use crate::{
    device::Device,
    join::{JoinData, JoinError},
};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct JoinOptions {
    /// Where the cluster is, for k3s; k0s has it in the token.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The file with the token that lets this device in.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["first", "prepare"])]
    pub token_file: Option<PathBuf>,
    /// A label of the node; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// This device is the cluster's first: it joins nobody.
    #[arg(long, conflicts_with = "server")]
    pub first: bool,
    /// Gives this boot's units what was kept.
    #[arg(long, hide = true, exclusive = true)]
    pub prepare: bool,
}

/// Keeps which cluster this device joins, from the next restart on.
///
/// # Errors
/// See [`CommandError`].
pub fn join(root: &Path, options: &JoinOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    if options.prepare {
        return Ok(JoinData::in_force(&device.state_folder())?.prepare(&device.run_folder())?);
    }
    read(options)?.save(&device.state_folder())?;
    say("noted: restart the device");
    Ok(())
}

fn read(options: &JoinOptions) -> Result<JoinData, JoinError> {
    let mut data = match options.first {
        true => JoinData::first(),
        false => JoinData::default(),
    };
    if let Some(server) = &options.server {
        data = data.with_server(server)?;
    }
    if let Some(path) = &options.token_file {
        data = data.with_token_of(path)?;
    }
    options
        .labels
        .iter()
        .try_fold(data, |data, label| data.with_label(label))
}
