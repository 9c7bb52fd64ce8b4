//! Reads bytes as a channel's list, signed and unsigned, and as what people type of waves, labels and addresses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::{
    channel::{Admission, Channel, ChannelDefinition, LabelSelector, Waves, accept, tree_url},
    trust::{Role, Trust},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(channel) = Channel::parse(bytes) {
        let again = Channel::parse(&channel.to_bytes()).expect("it was written");
        assert_eq!(again, channel);
        assert!(
            channel
                .offers
                .iter()
                .all(|offer| !offer.file_name().contains('/'))
        );
    }
    let _definition_or_error = ChannelDefinition::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        text_forms(text);
    }
    refused(bytes);
});

fn text_forms(text: &str) {
    if let Ok(waves) = text.parse::<Waves>() {
        assert_eq!(waves.to_string().parse::<Waves>().expect("it was written"), waves);
    }
    if let Ok(label) = text.parse::<LabelSelector>() {
        assert_eq!(label.to_string(), text);
    }
    if let Ok(url) = tree_url(text) {
        assert_eq!(tree_url(&url).as_ref(), Ok(&url));
    }
}

/// Nobody has signed what a fuzzer makes up.
fn refused(bytes: &[u8]) {
    let key = |digits: &str| format!("ed25519:{digits}").parse().expect("a point of the curve");
    let release = key("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let channel = key("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let role = Role::new(1, vec![("c".to_owned(), channel)]).expect("one key");
    let trust = Trust::new(1, vec![("r".to_owned(), release)]).expect("one key");
    let trust = trust.with_channel(role).expect("two roles");
    let admission = Admission {
        trust: &trust,
        name: &"stable".parse().expect("a name"),
        seen: None,
        now: "2026-11-30T00:00:00Z".parse().expect("a time"),
        built: "2026-11-01T00:00:00Z".parse().expect("a time"),
    };
    assert!(accept(bytes, &admission).is_err());
}
