mod sound;

use proptest::prelude::*;

use super::*;
use crate::action::Action;

fn analysis(kind: ScriptKind, text: &str) -> Analysis {
    let text = format!("#!/bin/sh\n{text}");
    analyse(&Script {
        package: "p",
        architecture: Architecture::X86_64,
        kind,
        bytes: text.as_bytes(),
        init_only: &[],
    })
}

fn postinst(text: &str) -> Analysis {
    analysis(ScriptKind::Postinst, text)
}

/// The residue's line numbers, counted without the `#!` line.
fn left(text: &str) -> Vec<usize> {
    let lines = postinst(text)
        .residue
        .map(|residue| residue.lines)
        .unwrap_or_default();
    lines.into_iter().map(|(number, _)| number - 1).collect()
}

fn actions(text: &str) -> Vec<Action> {
    let analysis = postinst(text);
    assert_eq!(analysis.residue, None, "{text}");
    analysis.actions
}

fn enabled(unit: &str) -> Action {
    Action::EnableUnit { unit: unit.into() }
}

const ENABLE: &str = r#"
set -e
# Automatically added by dh_installsystemd/13.24.2
if [ "$1" = "configure" ] || [ "$1" = "abort-upgrade" ] || [ "$1" = "abort-deconfigure" ] || [ "$1" = "abort-remove" ] ; then
	deb-systemd-helper unmask 'a.service' >/dev/null || true

	# was-enabled defaults to true, so new installations run enable.
	if deb-systemd-helper --quiet was-enabled 'a.service'; then
		deb-systemd-helper enable 'a.service' >/dev/null || true
	else
		deb-systemd-helper update-state 'a.service' >/dev/null || true
	fi
fi
# End automatically added section
"#;

#[test]
fn a_unit_that_debhelper_enables_becomes_an_action() {
    assert_eq!(actions(ENABLE), [enabled("a.service")]);
}

#[test]
fn a_unit_that_debhelper_installs_without_enabling_stays_disabled() {
    let text = ENABLE.replace("--quiet was-enabled", "debian-installed");
    assert_eq!(actions(&text), []);
}

#[test]
fn the_marks_of_debhelper_protect_nothing() {
    let text =
        "# Automatically added by dh_installsystemd/13.24.2\nfrobnicate\n# End automatically added section\n";
    assert_eq!(left(text), [2]);
}

#[test]
fn a_user_unit_an_init_script_and_a_start_on_a_running_system_are_recognised() {
    let text = r#"
if [ "$1" = "configure" ] ; then
	if [ -z "$DPKG_ROOT" ] ; then
		if deb-systemd-helper --quiet --user was-enabled 'u.socket' ; then
			deb-systemd-helper --user enable 'u.socket' >/dev/null || true
		fi
	fi
	if [ -z "$DPKG_ROOT" ] && [ -x "/etc/init.d/a" ]; then
		update-rc.d a defaults >/dev/null
		if [ -n "$2" ]; then
			_dh_action=restart
		else
			_dh_action=start
		fi
		invoke-rc.d --skip-systemd-native a $_dh_action || exit 1
	fi
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		deb-systemd-invoke start 'a.service' >/dev/null || true
	fi
fi
"#;
    assert_eq!(
        actions(text),
        [Action::EnableUserUnit {
            unit: "u.socket".into()
        }]
    );
}

#[test]
fn alternatives_keep_their_slaves_and_priority() {
    let text = "update-alternatives --quiet --install /usr/bin/pager pager \\\n  /usr/bin/less 77 --slave /usr/share/man/man1/pager.1.gz \\\n  pager.1.gz /usr/share/man/man1/less.1.gz\n";
    let [
        Action::Alternative {
            name,
            link,
            path,
            priority,
            slaves,
        },
    ] = &actions(text)[..]
    else {
        panic!()
    };
    assert_eq!(
        (name.as_str(), link.as_str(), path.as_str()),
        ("pager", "/usr/bin/pager", "/usr/bin/less")
    );
    assert_eq!(
        (*priority, slaves.len(), slaves[0].name.as_str()),
        (77, 1, "pager.1.gz")
    );
}

#[test]
fn accounts_owners_and_capabilities_become_actions() {
    let text = r#"
if ! getent passwd daemonx >/dev/null; then
	adduser --system --quiet --group --no-create-home --home /var/lib/x daemonx
fi
if ! dpkg-statoverride --list /usr/lib/x/helper >/dev/null; then
	dpkg-statoverride --update --add root daemonx 4754 /usr/lib/x/helper
fi
mkdir -p /var/lib/x
chown daemonx:daemonx /var/lib/x
chmod 0750 /var/lib/x
setcap cap_net_raw+ep /usr/bin/x
add-shell /usr/bin/xsh
"#;
    let own = |path: &str, user: &str, mode: &str| Action::Own {
        path: path.into(),
        user: Some(user.into()),
        group: Some("daemonx".into()),
        mode: Some(mode.into()),
    };
    let directory = |path: &str| Action::Directory {
        path: path.into(),
        mode: "755".into(),
        user: "root".into(),
        group: "root".into(),
    };
    let user = Action::SystemUser {
        name: "daemonx".into(),
        group: None,
        home: Some("/var/lib/x".into()),
        shell: None,
    };
    assert_eq!(
        actions(text),
        [
            user,
            own("/usr/lib/x/helper", "root", "4754"),
            directory("/var/lib/x"),
            own("/var/lib/x", "daemonx", "0750"),
            Action::Capability {
                path: "/usr/bin/x".into(),
                capabilities: "cap_net_raw+ep".into()
            },
            Action::Shell {
                path: "/usr/bin/xsh".into()
            },
        ]
    );
}

#[test]
fn what_only_an_upgrade_or_a_removal_runs_is_nothing() {
    for text in [
        "if [ \"$1\" = configure ] && [ -n \"$2\" ]; then rm -rf /x; fi",
        "if dpkg --compare-versions \"$2\" lt-nl 2.0; then rm -rf /x; fi",
        "case \"$1\" in\n  abort-upgrade|abort-remove) rm -rf /x ;;\n  configure) ;;\n  *) exit 1 ;;\nesac",
        "if [ \"$1\" = triggered ]; then\n  rm -rf /x\n  exit 0\nfi",
        "clean() { rm -rf /x; }\n[ -z \"$2\" ] || clean",
        "exit 0\nrm -rf /x",
    ] {
        assert_eq!(left(text), [] as [usize; 0], "{text}");
    }
}

#[test]
fn what_hangs_on_something_unknown_is_residue_as_a_whole_unless_it_does_nothing() {
    assert_eq!(left("if [ -e /etc/x ]; then\n  rm /etc/x\nfi"), [1, 2, 3]);
    assert_eq!(left("if [ -e /etc/x ]; then\n  echo fine\nfi"), [] as [usize; 0]);
    assert_eq!(
        left("if [ -e /etc/x ]; then\n  deb-systemd-helper enable a.service\nfi"),
        [1, 2, 3]
    );
    assert_eq!(left("x=$(cat /etc/x)\n[ \"$x\" = y ] && rm /etc/z"), [1, 2]);
    assert_eq!(left("for f in /etc/x/*; do\n  rm $f\ndone"), [1, 2, 3]);
}

#[test]
fn the_residue_holds_the_calls_and_assignments_that_give_it_its_meaning() {
    let text = "base=/etc\nfile=$base/x\nother=1\nput() {\n  frobnicate \"$file\" \"$1\"\n}\nput a\n";
    assert_eq!(left(text), [1, 2, 4, 5, 6, 7]);
}

#[test]
fn removing_is_an_action_after_unpacking_and_nothing_before() {
    let remove = Action::Remove {
        path: "/etc/x/old".into(),
    };
    assert_eq!(actions("rm -f /etc/x/old"), [remove]);
    let preinst = analysis(ScriptKind::Preinst, "rm -f /etc/x/old");
    assert_eq!((preinst.residue, preinst.actions), (None, Vec::new()));
    assert_eq!(left("rm -rf /etc"), [1]);
}

#[test]
fn an_unknown_condition_joined_with_a_false_one_is_false() {
    assert_eq!(
        left("if [ -e /etc/x ] && [ -n \"$2\" ]; then rm /etc/x/y; fi"),
        [] as [usize; 0]
    );
}

#[test]
fn a_script_that_multiplies_its_work_is_given_up() {
    let mut text = String::from("f0() { true; }\n");
    for level in 1..12 {
        let below = format!("f{}; ", level - 1).repeat(20);
        text += &format!("f{level}() {{ {below} }}\n");
    }
    assert!(postinst(&(text + "f11\n")).residue.is_some());
}

#[test]
fn lines_behind_a_doubtful_exit_are_not_taken_for_certain() {
    let text = "if [ -e /etc/x ]; then exit 0; fi\nmkdir -p /var/lib/x";
    assert_eq!(left(text), [1, 2]);
    assert!(postinst(text).actions.is_empty());
}

#[test]
fn commands_hidden_in_words_are_seen() {
    assert_eq!(left("echo \"$(rm -rf /x)\""), [1]);
    assert_eq!(left("x=`rm -rf /x`"), [1]);
    assert_eq!(left("cat <<EOF\n$(rm -rf /x)\nEOF"), [1, 2, 3]);
    assert_eq!(left("cat <<'EOF'\n$(rm -rf /x)\nEOF"), [] as [usize; 0]);
}

#[test]
fn writing_to_a_file_is_residue_and_writing_to_nothing_is_not() {
    assert_eq!(left("echo x > /etc/x"), [1]);
    assert_eq!(left("echo x >/dev/null 2>&1\necho y >&2"), [] as [usize; 0]);
    assert_eq!(
        left("while read l; do\n  echo $l\ndone < /etc/a > /etc/b"),
        [1, 2, 3]
    );
}

#[test]
fn a_command_named_by_a_variable_evaluated_or_unknown_is_residue() {
    for text in [
        "$helper --now",
        "eval \"$x\"",
        "trap cleanup EXIT",
        "frobnicate",
        "deb-systemd-helper mask a.service",
    ] {
        assert_eq!(left(text), [1], "{text}");
    }
}

#[test]
fn a_function_is_followed_with_its_arguments() {
    let text = "make() {\n  local dir=\"$1\"\n  mkdir -p \"$dir/$2\"\n}\nmake /var/lib x\n";
    assert_eq!(actions(text).len(), 1);
    assert_eq!(left("f() {\n  f\n  rm /x\n}\nf"), [1, 2, 3, 4, 5]);
}

#[test]
fn a_script_that_is_no_shell_or_can_not_be_read_is_residue_to_its_last_line() {
    let script = |bytes: &[u8]| {
        let kind = ScriptKind::Postinst;
        analyse(&Script {
            package: "p",
            architecture: Architecture::X86_64,
            kind,
            bytes,
            init_only: &[],
        })
    };
    for bytes in [
        &b"#!/usr/bin/perl\nunlink '/x';\n"[..],
        b"#!/bin/sh\nif true\n",
        b"#!/bin/sh\n\xff\n",
        b"echo\n",
    ] {
        let analysis = script(bytes);
        assert!(analysis.unreadable.is_some() && analysis.residue.is_some());
    }
}

#[test]
fn the_residue_of_a_kernel_is_the_same_for_every_release_and_architecture() {
    let residue = |package: &str, architecture: Architecture| {
        let release = package.strip_prefix("linux-image-").unwrap();
        let folder = architecture.multiarch();
        let text =
            format!("#!/bin/sh\nversion={release}\nlinux-run-hooks image {release} /usr/lib/{folder}\n");
        let kind = ScriptKind::Postinst;
        analyse(&Script {
            package,
            architecture,
            kind,
            bytes: text.as_bytes(),
            init_only: &[],
        })
        .residue
        .unwrap()
        .digest
    };
    assert_eq!(
        residue("linux-image-6.12.117+deb13-amd64", Architecture::X86_64),
        residue("linux-image-6.12.130+deb13-arm64", Architecture::Aarch64)
    );
}

#[test]
fn an_unreviewed_script_is_refused_with_its_lines_and_taken_once_the_recipe_accepts_it() {
    let bytes = b"#!/bin/sh\nset -e\nfrobnicate --all\nexit 0\n";
    let script = Script {
        package: "frob",
        architecture: Architecture::X86_64,
        kind: ScriptKind::Postinst,
        bytes,
        init_only: &[],
    };
    let refused = judge(&script, &["frob/preinst".into()]).unwrap_err();
    assert_eq!(refused.residue.lines, [(3, "frobnicate --all".to_owned())]);
    let locked = judge(&script, &["frob/postinst".into()]).unwrap();
    assert_eq!(locked.verdict, Verdict::Accepted);
    assert_eq!(locked.sha256, FileDigest::of(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_script_makes_the_gate_panic(
        words in prop::collection::vec(
            prop_oneof![
                Just("if"), Just("then"), Just("fi"), Just("case"), Just("in"), Just("esac"), Just(";;"), Just("("),
                Just(")"), Just("{"), Just("}"), Just("$("), Just("`"), Just("\""), Just("'"), Just("<<E\n"), Just("E\n"),
                Just("\n"), Just(";"), Just("&&"), Just("||"), Just("|"), Just("!"), Just("x=$1"), Just("${x:-y}"), Just("${"),
                Just("f()"), Just("f"), Just("[ -z \"$2\" ]"), Just("for x in a b; do"), Just("done"), Just("é\\"), Just("exit"),
            ],
            0..30,
        )
    ) {
        let _ = postinst(&words.join(" "));
        let _ = postinst(&words.concat());
    }
}

#[test]
fn enabling_an_init_script_without_a_unit_is_residue() {
    let bytes = b"#!/bin/sh\nif [ -x \"/etc/init.d/a\" ]; then\n  update-rc.d a defaults >/dev/null\nfi\n";
    let left = |init_only: &[String]| {
        let kind = ScriptKind::Postinst;
        analyse(&Script {
            package: "p",
            architecture: Architecture::X86_64,
            kind,
            bytes,
            init_only,
        })
        .residue
    };
    assert_eq!(left(&[]), None);
    assert_eq!(left(&["b".into()]), None);
    assert_eq!(left(&["a".into()]).unwrap().lines.len(), 3);
}
