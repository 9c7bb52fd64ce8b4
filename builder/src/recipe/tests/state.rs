//! What `[state]` may say.

use std::time::Duration;

use super::{load_text, problems, text};

const GOOD: &str = "[state]\npaths = [\"/var/lib/etcd\", \"/var/lib/kube/pki\"]\nunits = [\"etcd.service\"]\nkeep = 5\n\
                    [state.pre-start]\ncommand = [\"/usr/libexec/migrate\", \"up\"]\ndeadline = \"5min\"\n";

#[test]
fn state_is_read_with_its_units_and_hooks() {
    let state = load_text(&text("", GOOD)).unwrap().recipe.state.unwrap();
    assert_eq!(state.units, ["etcd.service"]);
    let definition = state.definition;
    let paths: Vec<String> = definition.paths.iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["/var/lib/etcd", "/var/lib/kube/pki"]);
    assert_eq!((definition.keep, definition.post_rollback), (5, None));
    let hook = definition.pre_start.unwrap();
    assert_eq!(hook.command, ["/usr/libexec/migrate", "up"]);
    assert_eq!(hook.deadline, Duration::from_secs(300));
}

#[test]
fn mistakes_in_the_state_section_are_refused_where_they_stand() {
    let cases = [
        ("paths = [\"/var/lib/etcd\", \"/var/lib/kube/pki\"]\n", ""),
        ("[\"/var/lib/etcd\", \"/var/lib/kube/pki\"]", "[]"),
        ("/var/lib/kube/pki", "/etc/kube"),
        ("/var/lib/kube/pki", "/var/lib/outcrop/state"),
        ("/var/lib/kube/pki", "/var/lib/etcd/member"),
        ("units = [\"etcd.service\"]\n", ""),
        ("etcd.service", "etcd"),
        ("keep = 5", "keep = 0"),
        ("keep = 5", "keep = 101"),
        ("keep = 5", "keep = \"all\""),
        ("\"/usr/libexec/migrate\"", "\"migrate\""),
        ("command = [\"/usr/libexec/migrate\", \"up\"]\n", ""),
        ("deadline = \"5min\"\n", ""),
        ("5min", "25h"),
        ("pre-start", "pre-stop"),
    ];
    let report = cases.map(|(from, to)| {
        assert!(GOOD.contains(from), "{from}");
        let found = problems(&text("", &GOOD.replacen(from, to, 1)));
        format!("{from:?} -> {to:?}\n    {}", found.join("\n    "))
    });
    insta::assert_snapshot!(report.join("\n"));
}
