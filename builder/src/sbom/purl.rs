//! Package URLs, by which scanners find a package in their databases.

use std::fmt::Write as _;

/// The URL of a Debian package: `pkg:deb/debian/NAME@VERSION?arch=ARCH&distro=SUITE`.
/// Source: package-url/purl-spec, "deb" type definition.
pub(super) fn debian(name: &str, version: &str, architecture: &str, suite: &str) -> String {
    let [name, version, architecture, suite] = [name, version, architecture, suite].map(encode);
    format!("pkg:deb/debian/{name}@{version}?arch={architecture}&distro={suite}")
}

/// Percent-encodes all but letters, digits and `.-_~:`.
/// Source: package-url/purl-spec, "Character encoding".
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(byte.into());
        } else {
            // Writing to a string can't fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::debian;

    #[test]
    fn signs_that_debian_versions_have_are_encoded_as_the_specification_says() {
        assert_eq!(
            debian("libstdc++6", "1:14.2.0-19~deb13+u1", "arm64", "trixie"),
            "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19~deb13%2Bu1?arch=arm64&distro=trixie"
        );
    }
}
