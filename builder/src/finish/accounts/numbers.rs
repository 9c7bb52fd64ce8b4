//! Numbers for accounts that don't ask for a fixed one.
//!
//! /var outlives a release, so an account must have the same number in every release of every slot: numbers can't
//! depend on which other packages happen to be installed. Well-known names have theirs in a table that only ever
//! grows; any other name's number is computed from the name alone. Two computed numbers that collide are an error that
//! says how to fix one (see [`AccountError::SameId`]), because moving one silently would give its files away.

use std::ops::Range;

use crate::sha256::Sha256;

/// Numbers of the table; Debian gives 100 to the group `users`.
const TABLE_BASE: u32 = 110;
/// Numbers computed for other system accounts; above them is what systemd-sysusers would take at run time.
const COMPUTED: Range<u32> = 300..900;
/// Numbers computed for people without a `uid` in the recipe.
const PEOPLE: Range<u32> = 20_000..60_000;

/// System accounts and groups of Debian packages; the position is the number. Append only, never reorder or remove.
const TABLE: [&str; 90] = [
    "messagebus",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-journal",
    "systemd-coredump",
    "systemd-journal-remote",
    "systemd-journal-gateway",
    "systemd-journal-upload",
    "systemd-oom",
    "sshd",
    "_ssh",
    "input",
    "sgx",
    "clock",
    "kvm",
    "render",
    "crontab",
    "netdev",
    "polkitd",
    "_chrony",
    "ntpsec",
    "tcpdump",
    "uuidd",
    "tss",
    "dnsmasq",
    "_rpc",
    "statd",
    "avahi",
    "rtkit",
    "plocate",
    "docker",
    "lxd",
    "libvirt",
    "rdma",
    "nut",
    "mosquitto",
    "redis",
    "postgres",
    "mysql",
    "prometheus",
    "grafana",
    "influxdb",
    "telegraf",
    "etcd",
    "haproxy",
    "keepalived_script",
    "unbound",
    "bind",
    "openvpn",
    "iperf3",
    "Debian-snmp",
    "ssl-cert",
    "wireshark",
    "i2c",
    "gpio",
    "spi",
    "_lldpd",
    "gpsd",
    "bluetooth",
    "geoclue",
    "colord",
    "fwupd-refresh",
    "kube",
    "kube-apiserver",
    "kube-scheduler",
    "kube-controller-manager",
    "konnectivity-server",
    "_dhcpcd",
    "pcp",
    "landscape",
    "syslog",
    "rsyslog",
    "logcheck",
    "postfix",
    "postdrop",
    "Debian-exim",
    "dovecot",
    "vault",
    "consul",
    "nomad",
    "minio",
    "nats",
    "fluent-bit",
    "vector",
    "containerd",
    "sambashare",
    "memcache",
    "nginx",
    "zabbix",
];

/// The number of the system account or group `name`: from the table, else computed.
#[must_use]
pub fn system(name: &str) -> u32 {
    let known = (TABLE_BASE..).zip(TABLE).find(|(_, known)| *known == name);
    known.map_or_else(|| computed(name, &COMPUTED), |(number, _)| number)
}

/// The number of a person without a `uid` in the recipe.
#[must_use]
pub fn person(name: &str) -> u32 {
    computed(name, &PEOPLE)
}

fn computed(name: &str, range: &Range<u32>) -> u32 {
    let digest = Sha256::digest(name.as_bytes());
    let wide = digest
        .iter()
        .take(4)
        .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    range.start + wide % (range.end - range.start)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_has_no_name_twice_and_stays_below_the_computed_numbers() {
        assert_eq!(TABLE.iter().collect::<BTreeSet<_>>().len(), TABLE.len());
        assert!(TABLE.iter().all(|name| system(name) < COMPUTED.start));
    }

    #[test]
    fn numbers_that_devices_already_have_never_change() {
        // These are on devices: a change here would give their files in /var to somebody else.
        assert_eq!(system("messagebus"), 110);
        assert_eq!(system("sshd"), 120);
        assert_eq!(system("zabbix"), 199);
        assert_eq!(system("my-daemon"), 897);
        assert_eq!(person("operator1"), 40_079);
    }
}
