//! Which channel the devices of a release follow, unless their own configuration says otherwise.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ChannelName;
use crate::definition::{self, BadDefinition};

/// What a release says about channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelDefinition {
    /// Address of the publish tree, `http://` or `https://`, without a slash at its end; none when only sticks have one.
    pub url: Option<String>,
    /// The channel.
    pub channel: ChannelName,
    /// When the newest of its packages' lists was made: the release can't be older, and no right clock is earlier.
    pub built: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    url: Option<String>,
    channel: String,
    built: Timestamp,
}

impl ChannelDefinition {
    /// Where it lies in the root file system.
    pub const PATH: &str = "usr/lib/outcrop/channel.json";

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        definition::write(&Fields {
            url: self.url.clone(),
            channel: self.channel.to_string(),
            built: self.built,
        })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it isn't what the builder writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDefinition> {
        let fields: Fields = definition::read(bytes)?;
        let channel = fields.channel.parse().map_err(|_| BadDefinition::Value {
            field: "channel",
            value: fields.channel.clone(),
        })?;
        Ok(Self {
            url: fields.url,
            channel,
            built: fields.built,
        })
    }
}

/// Takes the address of a publish tree, or of whoever takes reports, as people write it: a slash at its end may be there or not.
///
/// # Errors
/// When it is none, in words for people.
pub fn tree_url(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let is_legal = |c: char| c.is_ascii_graphic() && !"\"'`<>\\^{}|?#".contains(c);
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if host.is_empty() || host.contains('@') || text.len() > 1024 || !text.chars().all(is_legal) {
        return Err(format!(
            "{text:?} is no web address: write it like \"https://updates.example/edge\", without a name or password"
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_release_says_survives_its_form() {
        for url in [None, Some("https://updates.example/edge".to_owned())] {
            let definition = ChannelDefinition {
                url,
                channel: "stable".parse().unwrap(),
                built: Timestamp::from_second(1_795_313_345).unwrap(),
            };
            assert_eq!(
                ChannelDefinition::parse(&definition.to_bytes()).unwrap(),
                definition
            );
        }
        assert!(
            ChannelDefinition::parse(
                b"{\"format\":1,\"channel\":\"A B\",\"built\":\"2026-11-30T00:00:00Z\"}"
            )
            .is_err()
        );
    }

    #[test]
    fn addresses_are_web_addresses_without_secrets() {
        for (text, wanted) in [
            ("https://a.example", "https://a.example"),
            ("http://[::1]:8080/x/", "http://[::1]:8080/x"),
        ] {
            assert_eq!(tree_url(text).unwrap(), wanted);
        }
        for text in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https:///x",
            "https://u:p@a",
            "https://a b",
            "https://a/?x",
            "https://a/\n",
        ] {
            assert!(tree_url(text).is_err(), "{text:?}");
        }
    }
}
