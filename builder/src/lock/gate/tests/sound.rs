//! An effect never vanishes without a trace: what is doubtful is residue, and the digest covers what decides over it.

use super::*;

fn digest(text: &str) -> FileDigest {
    postinst(text).residue.unwrap().digest
}

fn own(path: &str, mode: &str) -> Action {
    Action::Own {
        path: path.into(),
        user: None,
        group: None,
        mode: Some(mode.into()),
    }
}

#[test]
fn an_exit_behind_a_doubtful_return_does_not_end_the_analysis() {
    let text =
        "check() {\n  if is_merged; then return; fi\n  exit 1\n}\ncheck\nfrobnicate\nmkdir -p /var/lib/x\n";
    assert_eq!(left(text), [1, 2, 3, 4, 5, 6, 7]);
    assert!(postinst(text).actions.is_empty());
    let text = "check() {\n  if is_merged; then return; fi\n  if [ -e /x ]; then exit 1; fi\n}\ncheck\nmkdir -p /var/lib/x\n";
    assert!(postinst(text).actions.is_empty());
}

#[test]
fn an_exit_inside_a_called_function_makes_what_follows_doubtful() {
    for leave in ["exit 1", "stop", "eval x", "$x", ". /etc/x"] {
        let text = format!("stop() {{ exit 1; }}\nif [ -e /etc/x ]; then {leave}; fi\nmkdir -p /var/lib/x\n");
        assert!(postinst(&text).actions.is_empty(), "{leave}");
    }
}

#[test]
fn a_mode_under_doubt_changes_no_earlier_action() {
    let text = "chown root:mail /usr/x/y\nif [ -e /etc/x ]; then exit 0; fi\nchmod 0600 /usr/x/y\n";
    let [Action::Own { mode, .. }] = &postinst(text).actions[..] else {
        panic!()
    };
    assert_eq!(*mode, None);
    assert_eq!(left(text), [2, 3]);
}

#[test]
fn the_digest_covers_the_functions_that_residue_calls() {
    let text =
        |body: &str| format!("inner() {{ {body}; }}\nouter() {{ inner; }}\nif [ -e /x ]; then outer; fi\n");
    assert_ne!(digest(&text("rm /etc/a/b")), digest(&text("rm /etc/a/c")));
}

#[test]
fn the_digest_covers_the_words_of_loops_and_what_is_read_or_set() {
    let looped = |words: &str| format!("for x in {words}; do\n  frobnicate $x\ndone\n");
    assert_ne!(digest(&looped("a b")), digest(&looped("a c")));
    let read = |text: &str| format!("read x <<EOF\n{text}\nEOF\nfrobnicate $x\n");
    assert_ne!(digest(&read("a")), digest(&read("b")));
    let set = |text: &str| format!("set -- {text}\nfrobnicate \"$@\"\n");
    assert_ne!(digest(&set("a")), digest(&set("b")));
}

#[test]
fn a_review_drops_the_actions_that_it_names_and_no_other() {
    let review = reviewed::Review {
        package: "p".into(),
        script: ScriptKind::Postinst,
        residue: Vec::new(),
        verdict: String::new(),
        actions: vec![own("/c", "644")],
        drops: vec![own("/a", "644")],
    };
    let recognised = vec![own("/a", "644"), own("/a", "600"), own("/b", "644")];
    let left = review.replace(recognised);
    assert_eq!(left, [own("/a", "600"), own("/b", "644"), own("/c", "644")]);
}

#[test]
fn whether_an_account_exists_is_only_certain_when_base_passwd_or_the_script_makes_it() {
    assert_eq!(
        actions("if getent group sudo >/dev/null; then chgrp sudo /usr/bin/x; fi").len(),
        1
    );
    let text = "if getent group other >/dev/null; then\n  chgrp other /usr/bin/x\nfi";
    assert_eq!(left(text), [1, 2, 3]);
    let text = "if ! getent group own; then addgroup --system own; fi\nif getent group own; then chgrp own /usr/bin/x; fi";
    assert_eq!(actions(text).len(), 2);
    assert_eq!(left("if id other >/dev/null; then rm /etc/x/y; fi"), [1]);
}

#[test]
fn a_system_users_home_is_made_unless_the_script_says_otherwise() {
    let folder = |text: &str| {
        actions(text).into_iter().find_map(|action| match action {
            Action::Directory {
                path, user, group, ..
            } => Some((path, user, group)),
            _ => None,
        })
    };
    let made = |group: &str| Some(("/var/lib/x".to_owned(), "x".to_owned(), group.to_owned()));
    assert_eq!(folder("adduser --system --home /var/lib/x x"), made("nogroup"));
    assert_eq!(folder("adduser --system --group --home /var/lib/x x"), made("x"));
    assert_eq!(
        folder("adduser --system --no-create-home --home /var/lib/x x"),
        None
    );
    assert_eq!(folder("adduser --system --home /nonexistent x"), None);
    assert_eq!(folder("useradd -r -d /var/lib/x x"), None);
}

#[test]
fn useradd_has_its_own_defaults() {
    let [Action::SystemUser { home, shell, .. }] = &actions("useradd -r x")[..] else {
        panic!()
    };
    assert_eq!(
        (home.as_deref(), shell.as_deref()),
        (Some("/home/x"), Some("/bin/sh"))
    );
}

#[test]
fn a_local_variable_is_what_it_was_after_the_call() {
    let text = "dir=/var/lib/a\nf() {\n  local dir=/var/lib/b\n}\nf\nmkdir -p $dir";
    assert!(matches!(&actions(text)[..], [Action::Directory { path, .. }] if path == "/var/lib/a"));
}

#[test]
fn every_positional_parameter_is_unknown_after_set_and_shift() {
    for change in ["set -- a b c d e", "shift"] {
        let text = format!("f() {{\n  {change}\n  [ -z \"$5\" ] || rm /etc/x/y\n}}\nf");
        assert!(left(&text).contains(&3), "{change}");
    }
}

#[test]
fn an_answer_of_debconf_is_unknown() {
    assert_eq!(
        left("RET=no\ndb_get x/y\n[ \"$RET\" = no ] || rm /etc/x/y"),
        [1, 2, 3]
    );
    assert_eq!(
        left("RET=no\ndb_metaget x y\n[ \"$RET\" = no ] || rm /etc/x/y").len(),
        3
    );
}

#[test]
fn what_acts_on_a_running_system_may_fail() {
    assert_eq!(left("modprobe x || rm /etc/x/y"), [1]);
    assert_eq!(left("systemctl restart x || rm /etc/x/y"), [1]);
    assert_eq!(left("invoke-rc.d x start || exit 1"), [] as [usize; 0]);
}

#[test]
fn commands_with_other_options_than_the_known_are_residue() {
    for text in [
        "pam-auth-update --remove x",
        "pam-auth-update --enable x",
        "update-rc.d x disable",
        "systemctl --runtime enable x.service",
        "systemctl --root /x enable x.service",
        "umask 077",
        "mkdir -p -m 700 /var/lib/x",
        "dpkg-divert --package other --rename --divert /usr/bin/y /usr/bin/x",
        "dpkg-divert --local --rename --divert /usr/bin/y /usr/bin/x",
        "[ \"$(dpkg-divert --truename /usr/bin/x)\" != /usr/bin/x ] && rm /etc/x/y",
        "[ -z \"$(dpkg-divert --listpackage /usr/bin/x)\" ] || rm /etc/x/y",
    ] {
        assert_eq!(left(text), [1], "{text}");
    }
    for text in [
        "pam-auth-update --package --root \"$DPKG_ROOT\"",
        "/usr/sbin/update-rc.d x defaults",
    ] {
        assert_eq!(actions(text), [], "{text}");
    }
    let user = Action::EnableUserUnit {
        unit: "x.socket".into(),
    };
    assert_eq!(actions("systemctl --global enable x.socket"), [user]);
}

#[test]
fn an_init_script_without_a_unit_is_found_by_any_name_of_the_command() {
    let bytes = b"#!/bin/sh\n/usr/sbin/update-rc.d a defaults\n";
    let script = Script {
        package: "p",
        architecture: Architecture::X86_64,
        kind: ScriptKind::Postinst,
        bytes,
        init_only: &["a".to_owned()],
    };
    assert!(analyse(&script).residue.is_some());
}

#[test]
fn a_folder_gets_what_the_command_gives_it() {
    let text = "install -d -m 0750 -g adm /var/log/x\nucf /usr/share/x/default /etc/x";
    let [
        Action::Directory { mode: made, .. },
        Action::Own {
            user, group, mode, ..
        },
        Action::Copy { mode: copied, .. },
    ] = &actions(text)[..]
    else {
        panic!()
    };
    assert_eq!(
        (made.as_str(), user, group.as_deref()),
        ("0750", &None, Some("adm"))
    );
    assert_eq!((mode.as_deref(), copied), (Some("0750"), &None));
}

#[test]
fn nothing_is_known_after_text_that_nobody_sees_has_run() {
    for unseen in [
        ". /etc/default/x",
        "source /etc/default/x",
        "eval \"$line\"",
        "$command",
        "command . /etc/default/x",
        "if [ -r /etc/default/x ]; then . /etc/default/x; fi",
        "load() { . /etc/default/x; }; load",
    ] {
        let text = format!("E=no\n{unseen}\nif [ \"$E\" = yes ]; then adduser --system x; fi\n");
        assert!(left(&text).contains(&3), "{unseen}");
        let text = format!("f() {{ true; }}\n{unseen}\nf || adduser --system x\n");
        assert!(left(&text).contains(&3), "{unseen}");
        let text = format!("{unseen}\nx=/etc/x/y\nrm $x\n");
        assert!(left(&text).contains(&3), "{unseen}");
    }
    let text = "E=no\n. /usr/share/debconf/confmodule\nif [ \"$E\" = yes ]; then adduser --system x; fi\n";
    assert_eq!(actions(text), []);
}

#[test]
fn a_function_whose_body_is_unknown_may_set_any_variable() {
    let text = "E=no\nif [ -e /x ]; then f() { E=yes; }; fi\nf\n[ \"$E\" = no ] || rm /etc/x/y\n";
    assert!(left(text).contains(&4));
}

#[test]
fn a_command_that_may_fail_decides_nothing() {
    for may_fail in ["cd /var/lib/x", "read x", "getopts a x", "rmdir /var/lib/y"] {
        let text = format!("{may_fail} || mkdir -p /var/lib/x");
        assert_eq!(left(&text), [1], "{may_fail}");
    }
    for name in ["x", "OPTARG"] {
        let text = format!("{name}=\ngetopts a x\n[ -z \"${name}\" ] || rm /etc/x/y");
        assert!(left(&text).contains(&3), "{name}");
    }
}

#[test]
fn work_that_is_done_elsewhere_is_only_what_packages_bring_as_files() {
    for text in [
        "echo 'u frob -' | systemd-sysusers -",
        "systemd-sysusers --inline 'u frob -'",
        "systemd-sysusers --root=/srv/x frob.conf",
        "systemd-sysusers --replace=/usr/lib/sysusers.d/frob.conf -",
        "systemd-sysusers /usr/share/frob/frob.conf",
        "systemd-sysusers \"$frob\"",
        "systemd-tmpfiles --remove frob.conf",
        "ldconfig /usr/lib/frob",
        "ldconfig -n /usr/lib/frob",
        "update-ca-certificates --certsconf /etc/frob",
    ] {
        assert_eq!(left(text), [1], "{text}");
    }
    assert_eq!(
        left("systemd-tmpfiles --create - <<EOF\nd /etc/x\nEOF"),
        [1, 2, 3]
    );
    for text in [
        "systemd-sysusers ${DPKG_ROOT:+--root=\"$DPKG_ROOT\"} frob.conf x.conf",
        "systemd-sysusers >/dev/null",
        "systemd-tmpfiles --root=\"$DPKG_ROOT\" --create /usr/lib/tmpfiles.d/frob.conf || true",
        "ldconfig -r \"$DPKG_ROOT/\" || ldconfig --verbose -r \"$DPKG_ROOT/\"",
        "update-ca-certificates --hooksdir \"\" --fresh",
        "depmod -a 6.12",
    ] {
        assert_eq!(actions(text), [], "{text}");
    }
}

#[test]
fn what_a_command_substitution_sets_stays_there() {
    let text = "f=/etc/x/y\nread_it() { f=no; . /etc/default/x; }\ng=$(read_it)\nrm $f\n";
    let remove = Action::Remove {
        path: "/etc/x/y".into(),
    };
    assert_eq!(postinst(text).actions, [remove]);
}

#[test]
fn the_value_of_an_unquoted_parameter_may_be_a_pattern_or_several_words() {
    for text in [
        "F='/etc/x/*'\nrm -f $F",
        "F='/etc/x/[ab]'\nrm -f $F",
        "IFS=:\nrm -f $F /etc/a/b",
        "IFS=:\nF=/etc/x:/etc/y\nrm -f $F",
        "for f in $(dirname '/etc/*/x'); do rm $f/y; done",
    ] {
        let last = text.lines().count();
        assert!(left(text).contains(&last), "{text}");
    }
    let remove = Action::Remove {
        path: "/etc/x/y".into(),
    };
    assert_eq!(actions("F=/etc/x/y\nIFS=:\nrm -f \"$F\""), [remove]);
}

#[test]
fn an_expansion_that_sets_a_variable_makes_it_unknown() {
    for set in [
        ": ${E:=yes}",
        ": ${E=yes}",
        "echo \"${F:-${E:=yes}}\"",
        "echo $((E=1))",
        "echo $((E++))",
        "case ${E:=yes} in *) ;; esac",
        "for i in ${E:=yes} *; do :; done",
        "cat <<EOF\n${E:=yes}\nEOF",
    ] {
        let text = format!("E=\n{set}\n[ -z \"$E\" ] || rm /etc/x/y\n");
        assert!(left(&text).contains(&(text.lines().count())), "{set}");
    }
}

#[test]
fn commands_inside_arithmetic_are_seen() {
    for text in ["echo $(( $(rm -rf /x) ))", "echo $((rm -rf /x); rm -rf /y)"] {
        assert!(postinst(text).residue.is_some(), "{text}");
    }
    assert_eq!(actions("echo $(( (1 + 2) * 3 ))"), []);
}

#[test]
fn without_a_colon_only_a_variable_that_is_not_there_is_replaced() {
    for text in [
        "[ -z \"${2-x}\" ] || rm /etc/x/y",
        "[ -z \"${2+x}\" ] || rm /etc/x/y",
    ] {
        assert_eq!(left(text), [1], "{text}");
    }
    for text in [
        "[ -z \"${2:-}\" ] || rm /etc/x/y",
        "[ -z \"${2-}\" ] || rm /etc/x/y",
        "[ -z \"${2:+x}\" ] || rm /etc/x/y",
        "[ \"${1-x}\" = configure ] || rm /etc/x/y",
    ] {
        assert_eq!(actions(text), [], "{text}");
    }
}

#[test]
fn braces_that_bash_expands_leave_the_whole_script_to_a_person() {
    for word in [
        "/etc/x{,.d}",
        "/etc/{a,b}",
        "/etc/{1..3}",
        "{a,$x}/y",
        "/etc/{\"a b\",c}",
    ] {
        let analysis = postinst(&format!("mkdir -p {word}\n"));
        assert!(analysis.actions.is_empty(), "{word}");
        assert!(analysis.unreadable.unwrap().contains("braces"), "{word}");
    }
    for word in ["'/etc/{a,b}'", "\"/etc/{a,b}\"", "/etc/{a}", "${x:-a,b}"] {
        assert_eq!(postinst(&format!("echo {word}\n")).unreadable, None, "{word}");
    }
}
