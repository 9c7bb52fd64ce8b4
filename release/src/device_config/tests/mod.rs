//! A good file, every kind of bad one, and what a device does with each.

mod device;
mod rendering;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin@example";

/// Every key that there is.
fn full() -> String {
    format!(
        r#"hostname = "reef-07"
channel = "stable"
time-servers = ["ntp.example.org", "192.168.7.1"]
time-zone = "America/Argentina/Ushuaia"
blank-secrets = true
[update]
mode = "approved"
windows = ["mon-fri 01:00-05:00", "sun 00:00-24:00"]
download-windows = []
daily-limit = "200MB"
report-url = "https://fleet.example/reports/"
[labels]
site = "reef"
"example.org/kind" = "ship"
[network]
proxy = "http://joe:p%20w@proxy.example.org:3128"
no-proxy = ["10.0.0.0/8", ".example.org"]
[[network.interface]]
name = "eth0"
addresses = ["192.168.7.10/24", "fd00::10/64"]
gateways = ["192.168.7.1", "fe80::1"]
dns = ["9.9.9.9"]
search = ["example.org"]
[[network.interface]]
name = "eth0"
vlan = 12
[[network.interface]]
mac = "DC:A6:32:01:02:03"
dhcp = true
[[network.interface]]
name = "wlan0"
wifi.ssid = "Reef \"7\" ☂"
wifi.password = 'a"b # c\d'
wifi.country = "DE"
wifi.hidden = true
[users.admin]
ssh-keys = ["{KEY}"]
[kubernetes]
server = "https://10.0.0.1:6443"
token = "K10abc::server:s3cret"
"#
    )
}

fn read(text: &str) -> Result<DeviceConfig, ConfigProblems> {
    Document::read(text.as_bytes()).and_then(Document::strict)
}

/// What is wrong with `text`, one a line.
fn wrong(text: &str) -> String {
    match read(text) {
        Ok(config) => panic!("{text} is good: {config:?}"),
        Err(problems) => {
            let lines: Vec<String> = problems.as_slice().iter().map(Problem::to_string).collect();
            lines.join("\n")
        }
    }
}

#[test]
fn the_template_says_nothing_and_its_lines_are_good_once_they_are_taken_out_of_comments() {
    assert_eq!(read(&template(false)).unwrap(), DeviceConfig::default());
    let padded = template(true);
    assert_eq!(padded.len(), FILE_BYTES as usize);
    assert_eq!(read(&padded).unwrap(), DeviceConfig::default());
    let uncommented: String = template(false)
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| {
            format!(
                "{}\n",
                line.replace("ssh-ed25519 AAAA... me@desk", KEY)
                    .replace("\"...\"", "\"K10\"")
            )
        })
        .filter(|line| !line.starts_with("first"))
        .collect();
    let config = read(&uncommented).unwrap();
    assert_eq!(config.network.interfaces.len(), 3, "{uncommented}");
    assert!(config.hostname.is_some() && config.kubernetes.is_some() && config.blank_secrets);
}

#[test]
fn every_key_is_read() {
    let config = read(&full()).unwrap();
    assert_eq!(config.hostname.as_deref(), Some("reef-07"));
    assert_eq!(config.channel.as_deref(), Some("stable"));
    assert_eq!(config.labels["example.org/kind"], "ship");
    assert_eq!(
        config.network.interfaces[2].link,
        Link::Mac("dc:a6:32:01:02:03".to_owned())
    );
    assert_eq!(config.network.interfaces[1].kind, InterfaceKind::Vlan(12));
    assert_eq!(config.ssh_keys["admin"], [KEY]);
    let Some(Join::Cluster { server, token }) = config.kubernetes else {
        panic!("no cluster");
    };
    assert_eq!(
        (server.as_deref(), token.expose()),
        (Some("https://10.0.0.1:6443"), "K10abc::server:s3cret")
    );
    assert!(matches!(
        read("kubernetes.first = true").unwrap().kubernetes,
        Some(Join::First)
    ));
}

#[test]
fn a_file_as_editors_of_other_systems_write_it_is_read() {
    let windows = full().replace('\n', "\r\n");
    assert_eq!(read(&windows).unwrap(), read(&full()).unwrap());
    let marked = format!("\u{feff}{}", full());
    assert_eq!(read(&marked).unwrap(), read(&full()).unwrap());
    let wide: Vec<u8> = "\u{feff}hostname"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let error = Document::read(&wide).unwrap_err().to_string();
    assert!(error.contains("UTF-16: save it as UTF-8"), "{error}");
    let error = Document::read(b"hostname = \"a\"\nchannel = \"\xff\"")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "line 2, column 12: this is no UTF-8: save the file as such"
    );
}

/// Each key with values that it can't have.
const WRONG: [(&str, &str); 71] = [
    ("hostname = ''", "is no host name"),
    ("hostname = 'a b'", "is no host name"),
    ("hostname = 'a\"; reboot; \"'", "is no host name"),
    ("hostname = '$(reboot)'", "is no host name"),
    ("hostname = \"a\\nb\"", "\"a\\nb\" is no host name"),
    ("hostname = '-a'", "is no host name"),
    ("hostname = 7", "this takes a text"),
    ("hostname = ['a']", "this takes a text"),
    ("channel = 'Stable channel'", "is no channel"),
    ("channel = '../x'", "is no channel"),
    ("time-servers = 'a'", "is a list of texts"),
    ("time-servers = ['a b']", "neither a host's name nor its address"),
    ("time-servers = ['a\\nNTP=evil']", "neither"),
    ("time-servers = ['a', 'a']", "has this twice"),
    ("time-zone = '/etc/shadow'", "is no time zone"),
    ("time-zone = 'Europe/../../x'", "is no time zone"),
    ("time-zone = ''", "is no time zone"),
    ("update = 1", "write [update]"),
    ("update.mode = 'sometimes'", "is no mode"),
    ("update.windows = '01:00-05:00'", "is a list of texts"),
    ("update.windows = ['noon']", "is no window"),
    (
        "update.windows = ['01:00-02:00', '01:00-02:00']",
        "has this twice",
    ),
    ("update.daily-limit = '0MB'", "is no amount a day"),
    ("update.daily-limit = 5", "this takes a text"),
    ("update.report-url = 'ftp://x'", "is no web address"),
    ("blank-secrets = 'yes'", "takes true or false"),
    ("labels = 1", "write [labels]"),
    ("labels.site = 'a b'", "can't be a label's value"),
    ("labels.site = 1", "this takes a text"),
    ("labels.'a b' = 'x'", "is no label"),
    ("labels.'/x' = 'x'", "is no label"),
    ("labels.a = '-x'", "can't be a label's value"),
    ("network = 1", "write [network]"),
    ("network.proxy = 'proxy:3128'", "this is no proxy"),
    ("network.proxy = 'http://a b'", "this is no proxy"),
    ("network.proxy = 'http://p\" \"X=1'", "this is no proxy"),
    ("network.proxy = 'http://p:99999'", "this is no proxy"),
    ("network.no-proxy = ['a b']", "is no place"),
    ("network.no-proxy = ['10.0.0.0/33']", "is no place"),
    ("network.interface = 'eth0'", "write [[network.interface]]"),
    ("network.interface = ['eth0']", "write [network.interface]"),
    ("network.interface = [{}]", "which interface?"),
    (
        "network.interface = [{ name = 'eth0', mac = 'dc:a6:32:01:02:03' }]",
        "leave one out",
    ),
    ("network.interface = [{ name = 'lo' }]", "is no network interface"),
    (
        "network.interface = [{ name = 'eth0 eth1' }]",
        "is no network interface",
    ),
    (
        "network.interface = [{ name = '../../x' }]",
        "is no network interface",
    ),
    (
        "network.interface = [{ name = \"a\\n[Link]\" }]",
        "is no network interface",
    ),
    (
        "network.interface = [{ mac = '1:2:3' }]",
        "is no hardware address",
    ),
    (
        "network.interface = [{ name = 'a', addresses = ['10.0.0.1'] }]",
        "with its network",
    ),
    (
        "network.interface = [{ name = 'a', addresses = ['10.0.0.0/24'] }]",
        "names the network itself",
    ),
    (
        "network.interface = [{ name = 'a', addresses = ['10.0.0.255/24'] }]",
        "broadcast address",
    ),
    (
        "network.interface = [{ name = 'a', addresses = ['10.0.0.1/33'] }]",
        "with its network",
    ),
    (
        "network.interface = [{ name = 'a', gateways = ['10.0.0.1'] }]",
        "no address of this interface is in",
    ),
    (
        "network.interface = [{ name = 'a', addresses = ['10.0.0.1/24'], gateways = ['10.0.0.1'] }]",
        "own address",
    ),
    (
        "network.interface = [{ name = 'a', addresses = ['10.0.0.1/24'], gateways = ['fe80::1'] }]",
        "is of IPv6",
    ),
    (
        "network.interface = [{ name = 'a', dns = ['one'] }]",
        "is no address",
    ),
    (
        "network.interface = [{ name = 'a', search = ['a b'] }]",
        "is no domain",
    ),
    (
        "network.interface = [{ name = 'a', dhcp = 'no' }]",
        "takes true or false",
    ),
    (
        "network.interface = [{ name = 'a', vlan = 0 }]",
        "a number from 1 to 4094",
    ),
    (
        "network.interface = [{ name = 'e*', vlan = 1 }]",
        "by its whole name",
    ),
    (
        "network.interface = [{ name = 'a' }, { name = 'a' }]",
        "described before",
    ),
    (
        "network.interface = [{ name = 'a', vlan = 1 }, { name = 'b', vlan = 1 }]",
        "described before",
    ),
    (
        "network.interface = [{ name = 'w', wifi = { ssid = 'x', password = 'short' } }]",
        "no password of a Wi-Fi",
    ),
    (
        "network.interface = [{ name = 'w', wifi = { ssid = 'x' } }]",
        "needs a password",
    ),
    (
        "network.interface = [{ name = 'w', wifi = { open = true } }]",
        "needs its name",
    ),
    (
        "network.interface = [{ name = 'w', wifi = { ssid = 'x', open = true, country = 'Germany' } }]",
        "is no country",
    ),
    ("users.'a b'.ssh-keys = []", "can't be an account"),
    ("users.admin.ssh-keys = ['rm -rf /']", "is no type of SSH key"),
    ("kubernetes.server = 'https://a'", "takes the cluster's token too"),
    (
        "kubernetes = { server = 'https://$(x)', token = 'a' }",
        "is no server",
    ),
    ("kubernetes = { first = true, token = 'a' }", "joins nobody"),
];

#[test]
fn each_key_with_a_wrong_value_is_told_with_its_place() {
    for (text, why) in WRONG {
        let told = wrong(text);
        assert!(told.contains(why), "{text}: {told}");
        assert!(told.starts_with("line 1, column "), "{text}: {told}");
    }
    // A place that isn't the first.
    let told = wrong("# ü\nchannel = \"stable\"\n  hostname = \"ü b\"\n");
    assert!(told.starts_with("line 3, column 14: "), "{told}");
}

#[test]
fn a_file_of_nothing_but_nesting_is_refused_like_any_other() {
    // 60 KB of each: what reads them must not run out of stack, least of all as PID 1.
    let deep = 30_000;
    for text in [
        format!("a = {}", "[".repeat(2 * deep)),
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}", "{a=".repeat(20_000)),
        format!("a{} = 1", ".a".repeat(deep)),
        format!("[a{}]", ".a".repeat(deep)),
        format!("[[a{}]]", ".a".repeat(deep)),
        format!("{} = 1", "\"".repeat(2 * deep)),
        "[[network.interface]]\n".repeat(2_700),
        "a=1\n".repeat(15_000),
    ] {
        let told = wrong(&text);
        assert!(told.starts_with("line "), "{}", &told[..100]);
        assert!(
            told.lines().count() <= 60 && told.len() < 20_000,
            "{}",
            told.len()
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_file_s_order() {
    let told = wrong("hostnam = 'x'\nchannel = 'A B'\n[kubernetes]\ntoken = 'a b'\n[labels]\nx = 1\n");
    let lines: Vec<&str> = told.lines().map(|line| &line[..6]).collect();
    assert_eq!(lines, ["line 1", "line 2", "line 4", "line 6"], "{told}");
    assert!(
        told.contains("\"hostnam\" is no key of the file, which has hostname"),
        "{told}"
    );
    let told = wrong("hostname = \nchannel = 'x\n");
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn a_message_is_short_whatever_the_value_and_holds_no_secret() {
    let long = "x".repeat(60_000);
    let told = wrong(&format!("hostname = '{long}'"));
    assert!(told.len() < 300, "{told}");
    let told = wrong(&format!("hostname = '{}'", "x".repeat(1 << 20)));
    assert_eq!(told, "line 1, column 1: the file is longer than 64 KiB");
    for text in [
        "kubernetes.token = 's3cret s3cret'",
        "kubernetes = { token = \"s3cret\\n\" }",
        "network.proxy = 's3cret'",
        "network.interface = [{ name = 'w', wifi = { ssid = 'x', password = 's3cret' } }]",
        "network.interface = [{ name = 'w', wifi = { ssid = 'x', password = \"s3cret\\u0020s3cret\" } }]",
        "network.interface = [{ name = 'w', wifi = { ssid = 'x', password = 's3cret s3cret', open = true } }]",
        "network.interface = [{ name = 'w', wifi = { ssid = 'x', password = ['s3cret'] } }]",
    ] {
        let told = wrong(text);
        assert!(!told.contains("s3cret"), "{told}");
    }
    assert!(!format!("{:?}", read(&full()).unwrap()).contains("s3cret"));
}
