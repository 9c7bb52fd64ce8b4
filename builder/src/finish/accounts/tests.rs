//! The accounts step on small trees.

use super::*;
use crate::{
    finish::testing,
    recipe::schema::{Recipe, User as Person},
};

fn base(files: &[(&str, &str)]) -> Tree {
    let mut tree = testing::tree(&[
        ("usr/lib/os-release", "ID=debian\n"),
        (
            "usr/share/base-passwd/passwd.master",
            "root:*:0:0:root:/root:/bin/bash\n",
        ),
        (
            "usr/share/base-passwd/group.master",
            "root:*:0:\nshadow:*:42:\nnogroup:*:65534:\nsudo:*:27:\n",
        ),
    ]);
    for (path, text) in files {
        edit::write_text(&mut tree, path, text).unwrap();
    }
    tree
}

fn finished(files: &[(&str, &str)], recipe: &Recipe, actions: Vec<Action>) -> Result<Tree, FinishError> {
    let mut tree = base(files);
    let packages = [testing::package("x", actions)];
    let inputs = Inputs {
        packages: &packages,
        ..testing::inputs(recipe)
    };
    run(&mut tree, &inputs)?;
    Ok(tree)
}

#[test]
fn sysusers_lines_become_accounts_whatever_the_order_of_files() {
    let files = [
        (
            "usr/lib/sysusers.d/a.conf",
            "u! messagebus - \"System Bus\"\nm messagebus late\nu sshd -:nogroup \"\" /run/sshd\n",
        ),
        ("usr/lib/sysusers.d/z.conf", "g late 777\nu root 0 - /elsewhere\n"),
    ];
    let tree = finished(&files, &testing::recipe(), Vec::new()).unwrap();
    assert_eq!(
        testing::text(&tree, "etc/passwd"),
        "root:x:0:0:root:/root:/bin/bash\nmessagebus:x:110:110:System Bus:/:/usr/sbin/nologin\n\
         sshd:x:120:65534::/run/sshd:/usr/sbin/nologin\n"
    );
    assert!(
        testing::text(&tree, "etc/group").ends_with("sudo:x:27:\nlate:x:777:messagebus\nmessagebus:x:110:\n")
    );
    assert!(testing::text(&tree, "etc/shadow").contains("messagebus:!*::::::1:\n"));
    let shadow = &tree.get("etc/shadow").unwrap().metadata;
    assert_eq!((shadow.mode, shadow.uid, shadow.gid), (0o640, 0, 42));
}

#[test]
fn a_file_in_etc_hides_its_namesake_and_dev_null_switches_it_off() {
    let mut tree = base(&[
        ("usr/lib/sysusers.d/a.conf", "g a 500\n"),
        ("etc/sysusers.d/a.conf", "g a 501\n"),
        ("usr/lib/sysusers.d/b.conf", "g b -\n"),
    ]);
    edit::link(&mut tree, "etc/sysusers.d/b.conf", "/dev/null").unwrap();
    let recipe = testing::recipe();
    let accounts = run(&mut tree, &testing::inputs(&recipe)).unwrap();
    assert_eq!(
        (accounts.group("a").unwrap().gid, accounts.group("b")),
        (501, None)
    );
}

#[test]
fn numbers_do_not_depend_on_who_else_is_there() {
    let recipe = testing::recipe();
    let user = |name: &str| Action::SystemUser {
        name: name.to_owned(),
        group: None,
        home: None,
        shell: None,
    };
    let alone = finished(&[], &recipe, vec![user("my-daemon")]).unwrap();
    let other = finished(&[], &recipe, vec![user("another"), user("my-daemon")]).unwrap();
    let line = |tree: &Tree| {
        let text = testing::text(tree, "etc/passwd");
        text.lines()
            .find(|line| line.starts_with("my-daemon:"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(line(&alone), line(&other));
}

#[test]
fn two_accounts_with_one_number_are_refused_by_name() {
    let files = [("usr/lib/sysusers.d/a.conf", "u one 700\nu two 700:nogroup\n")];
    let error = finished(&files, &testing::recipe(), Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "accounts two and one both have the number 700");
}

fn person() -> Person {
    Person {
        groups: vec!["sudo".to_owned()],
        ssh_keys: vec!["ssh-ed25519 AAAA me".to_owned()],
        ..Person::default()
    }
}

#[test]
fn people_get_a_home_in_var_keys_in_etc_and_no_password() {
    let mut recipe = testing::recipe();
    recipe.users.insert(
        "alice".to_owned(),
        Person {
            uid: Some(1000),
            ..person()
        },
    );
    let tree = finished(&[("usr/sbin/sshd", "x")], &recipe, Vec::new()).unwrap();
    assert!(testing::text(&tree, "etc/passwd").ends_with("alice:x:1000:1000::/home/alice:/bin/bash\n"));
    assert!(testing::text(&tree, "etc/shadow").ends_with("alice:*:::::::\n"));
    assert!(testing::text(&tree, "etc/group").contains("sudo:x:27:alice\n"));
    assert_eq!(
        testing::text(&tree, "etc/ssh/authorized_keys.d/alice"),
        "ssh-ed25519 AAAA me\n"
    );
    assert_eq!(
        testing::text(&tree, "usr/lib/tmpfiles.d/outcrop-homes.conf"),
        "d /var/home/alice 0700 alice alice -\n"
    );
    assert!(tree.contains("etc/ssh/sshd_config.d/10-outcrop-keys.conf"));
}

#[test]
fn root_may_log_in_with_keys_when_the_recipe_gives_it_some_and_nobody_has_further_numbers() {
    let mut recipe = testing::recipe();
    let config = "etc/ssh/sshd_config.d/05-outcrop-root.conf";
    let tree = finished(&[("usr/sbin/sshd", "x")], &recipe, Vec::new()).unwrap();
    assert!(!tree.contains(config));
    assert_eq!(
        testing::text(&tree, "etc/subuid") + &testing::text(&tree, "etc/subgid"),
        ""
    );
    let root = Person {
        ssh_keys: person().ssh_keys,
        ..Person::default()
    };
    recipe.users.insert("root".to_owned(), root);
    let tree = finished(&[("usr/sbin/sshd", "x")], &recipe, Vec::new()).unwrap();
    assert_eq!(
        testing::text(&tree, config),
        "PermitRootLogin prohibit-password\n"
    );
}

#[test]
fn an_unknown_group_or_shell_of_a_person_is_refused() {
    let mut recipe = testing::recipe();
    recipe.users.insert(
        "bob".to_owned(),
        Person {
            groups: vec!["sudoo".to_owned()],
            ..Person::default()
        },
    );
    let error = finished(&[], &recipe, Vec::new()).unwrap_err();
    let FinishError::Accounts(AccountError::UnknownGroup { nearest, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(nearest, ["sudo"]);
    recipe.users.insert(
        "bob".to_owned(),
        Person {
            shell: Some("/bin/zsh".to_owned()),
            ..Person::default()
        },
    );
    let error = finished(&[], &recipe, Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "user bob: the shell /bin/zsh isn't in the image"
    );
}

#[test]
fn without_base_passwd_the_error_names_the_package() {
    let recipe = testing::recipe();
    let error = run(&mut Tree::new(), &testing::inputs(&recipe)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/usr/share/base-passwd/passwd.master is missing: the image has no base-passwd"
    );
}
