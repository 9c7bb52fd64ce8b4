//! What becomes of a configuration in `/etc`.

use proptest::prelude::*;

use super::{
    super::{
        render::{Entry, ReleaseFacts, Rendered, render},
        *,
    },
    KEY, full, read,
};

fn facts() -> ReleaseFacts {
    ReleaseFacts {
        accounts: [
            ("admin".to_owned(), "ssh-rsa OWN".to_owned()),
            ("root".to_owned(), String::new()),
        ]
        .into(),
        networkd: true,
        wifi: true,
        timesyncd: true,
        ssh: true,
        time_zone: true,
    }
}

fn told(rendered: &Rendered) -> String {
    let mut text = String::new();
    for (path, entry) in &rendered.entries {
        let (kind, content) = match entry {
            Entry::Public(content) => ("", content),
            Entry::Private(content) => (" (private)", content),
            Entry::Link(target) => (" (link)", target),
        };
        text += &format!("== {path}{kind}\n{}\n", content.trim_end());
    }
    text
}

#[test]
fn every_key_becomes_what_the_system_reads() {
    let rendered = render(&read(&full()).unwrap(), &facts());
    assert_eq!(rendered.complaints, Vec::<String>::new());
    assert_eq!(told(&rendered), include_str!("rendered.txt").replace("KEY", KEY));
    assert_eq!(render(&DeviceConfig::default(), &facts()), Rendered::default());
}

#[test]
fn an_interface_whose_name_has_a_hyphen_is_one_instance_of_the_unit() {
    let wifi = "wifi = { ssid = 'x', open = true }";
    let config = read(&format!("network.interface = [{{ name = 'wlan-1', {wifi} }}]")).unwrap();
    let rendered = render(&config, &facts());
    let unit = "systemd/system/multi-user.target.wants/wpa_supplicant@wlan\\x2d1.service";
    assert!(
        rendered.entries.contains_key(unit),
        "{:?}",
        rendered.entries.keys()
    );
    let file = "wpa_supplicant/wpa_supplicant-wlan-1.conf";
    assert!(matches!(&rendered.entries[file], Entry::Private(text) if text.contains("key_mgmt=NONE")));
}

#[test]
fn what_the_release_can_t_do_is_told() {
    let rendered = render(&read(&full()).unwrap(), &ReleaseFacts::default());
    let told = rendered.complaints.join("\n");
    for part in [
        "time-servers: this release doesn't run systemd-timesyncd",
        "network.interface: this release doesn't run systemd-networkd",
        "wifi: this release can't join a Wi-Fi: it lacks the package wpasupplicant",
        "users.admin: this release has no such account",
        "users: this release starts no SSH server",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(
        !rendered
            .entries
            .keys()
            .any(|path| path.contains("authorized_keys"))
    );
}

#[test]
fn root_is_let_in_with_keys_only_when_the_file_has_some() {
    let config = read(&format!("users.root.ssh-keys = ['{KEY}']")).unwrap();
    let rendered = render(&config, &facts());
    let sshd = Entry::Public("PermitRootLogin prohibit-password\n".to_owned());
    assert_eq!(
        rendered.entries.get("ssh/sshd_config.d/05-device-root.conf"),
        Some(&sshd)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_value_of_a_good_file_can_break_out_of_its_line(
        name in "\\PC{1,32}", password in "[ -~]{8,63}", user in "[!-~]{0,20}",
    ) {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let text = format!(
            "network.proxy = {}\nnetwork.interface = [{{ name = 'wlan0', wifi = {{ ssid = {}, password = {} }} }}]",
            quote(&format!("http://{user}@proxy")), quote(&name), quote(&password),
        );
        if let Ok(config) = read(&text) {
            let rendered = render(&config, &facts());
            if let Some(Entry::Private(wifi)) = rendered.entries.get("wpa_supplicant/wpa_supplicant-wlan0.conf") {
                prop_assert_eq!(wifi.lines().count(), 9);
            }
            if let Some(Entry::Private(manager)) = rendered.entries.get("systemd/system.conf.d/50-device.conf") {
                prop_assert_eq!(manager.lines().count(), 2);
                prop_assert_eq!(manager.matches('"').count(), 12);
            }
        }
    }
}
