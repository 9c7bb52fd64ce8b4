//! `wifi`: what wpa_supplicant reads. Source: wpa_supplicant.conf(5) and the example file that it ships.

use std::fmt::Write as _;

use super::{super::Wifi, ReleaseFacts, Rendered};

/// The unit of Debian's wpasupplicant, in `/usr/lib/systemd/system`.
const UNIT: &str = "/usr/lib/systemd/system/wpa_supplicant@.service";

pub(super) fn wifi(rendered: &mut Rendered, interface: &str, wifi: &Wifi, release: &ReleaseFacts) {
    if !release.wifi {
        rendered.complain(
            "network.interface.wifi",
            "can't join a Wi-Fi: it lacks the package wpasupplicant",
        );
        return;
    }
    let mut text = "ctrl_interface=/run/wpa_supplicant\nupdate_config=0\n".to_owned();
    if let Some(country) = &wifi.country {
        let _ = writeln!(text, "country={country}");
    }
    // In hexadecimal digits, a name is nothing but a name.
    let ssid: String = wifi.ssid.bytes().map(|byte| format!("{byte:02x}")).collect();
    let _ = write!(text, "\nnetwork={{\n\tssid={ssid}\n");
    if wifi.hidden {
        text += "\tscan_ssid=1\n";
    }
    match &wifi.password {
        None => text += "\tkey_mgmt=NONE\n",
        Some(password) => {
            let password = password.expose();
            if password.len() == 64 {
                // The key itself, which WPA3 can't use.
                let _ = write!(text, "\tkey_mgmt=WPA-PSK\n\tpsk={password}\n");
            } else {
                // What stands between the first quotation mark and the last is the passphrase, whatever it holds.
                let _ = write!(
                    text,
                    "\tkey_mgmt=WPA-PSK SAE\n\tieee80211w=1\n\tpsk=\"{password}\"\n"
                );
            }
        }
    }
    text += "}\n";
    rendered.private(&format!("wpa_supplicant/wpa_supplicant-{interface}.conf"), text);
    // A `-` in an instance's name stands for `/`. Source: systemd.unit(5), "String Escaping for Inclusion in Unit Names".
    let instance = interface.replace('-', "\\x2d");
    let unit = format!("systemd/system/multi-user.target.wants/wpa_supplicant@{instance}.service");
    rendered.link(&unit, UNIT);
}
