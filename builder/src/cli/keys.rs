//! Arguments of `outcrop keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    commands::{self, keys::Protection},
    keys::KeyName,
};

/// What to do about keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key: NAME.key, to be kept safe, and NAME.pub
    ///
    /// The private key is encrypted with a passphrase: that of $OUTCROP_KEY_PASSPHRASE, else one that is asked for. It is a
    /// PKCS #8 file that OpenSSL reads, too.
    Generate(GenerateArgs),
    /// Make the keys of UEFI Secure Boot, and the files that bring them into machines
    ///
    /// For each of PK, KEK and db: NAME.key, to be kept safe, the certificate NAME.crt, and NAME.auth, NAME.esl and NAME.cer for machines.
    /// Builds need db.key alone. Pairs that are in DIR already are taken as they are, also those that OpenSSL made. RSA, 2048 bits.
    SecureBoot(SecureBootArgs),
    /// Print the trust file of public keys, for the recipe
    ///
    /// A device installs what at least N of these keys have signed.
    Trust(TrustArgs),
}

#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// What people call the key
    #[arg(long, value_name = "NAME")]
    name: KeyName,
    /// Folder that the files go to
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Write the private key unencrypted, for machines that hold it in a secret store anyway
    #[arg(long)]
    no_passphrase: bool,
}

impl From<GenerateArgs> for commands::keys::Generate {
    fn from(arguments: GenerateArgs) -> Self {
        Self {
            name: arguments.name,
            folder: arguments.output,
            protection: protection(arguments.no_passphrase),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// Public keys
    #[arg(required = true, value_name = "KEY.pub")]
    keys: Vec<PathBuf>,
    /// How many of the keys must have signed a release
    #[arg(long, value_name = "N")]
    threshold: usize,
    /// Public key that signs channels, not releases; may repeat. Without any, devices follow no channel
    #[arg(long, value_name = "KEY.pub")]
    channel_key: Vec<PathBuf>,
    /// How many of the channel keys must have signed a channel
    #[arg(long, value_name = "N", default_value_t = 1, requires = "channel_key")]
    channel_threshold: usize,
}

impl From<TrustArgs> for commands::keys::TrustOptions {
    fn from(arguments: TrustArgs) -> Self {
        Self {
            keys: arguments.keys,
            threshold: arguments.threshold,
            channel_keys: arguments.channel_key,
            channel_threshold: arguments.channel_threshold,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct SecureBootArgs {
    /// Whose keys these are, as firmware shows it
    #[arg(long, value_name = "NAME", default_value = "Outcrop")]
    owner: KeyName,
    /// Folder of the keys; made when it isn't there
    #[arg(long, value_name = "DIR", default_value = "secure-boot")]
    output: PathBuf,
    /// Write private keys unencrypted, for machines that hold them in a secret store anyway
    #[arg(long)]
    no_passphrase: bool,
}

impl From<SecureBootArgs> for commands::secure_boot_keys::Options {
    fn from(arguments: SecureBootArgs) -> Self {
        Self {
            owner: arguments.owner,
            folder: arguments.output,
            protection: protection(arguments.no_passphrase),
        }
    }
}

const fn protection(no_passphrase: bool) -> Protection {
    if no_passphrase {
        Protection::Mode
    } else {
        Protection::Passphrase
    }
}
