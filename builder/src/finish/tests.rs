//! All steps together on a small tree.

use super::*;
use crate::{
    action::Action,
    recipe::schema::{FileContent, FileSpec, Recipe},
    tree::{Entry, Node, Tree},
};

/// What compose hands over for a handful of pretended packages.
fn composed() -> Tree {
    let mut tree = testing::tree(&[
        ("boot/vmlinuz-6.12", "MZ"),
        ("usr/lib/modules/6.12/modules.order", ""),
        ("usr/lib/modules/6.12/modules.builtin", ""),
        ("usr/lib/os-release", "ID=debian\n"),
        (
            "usr/share/base-passwd/passwd.master",
            "root:*:0:0:root:/root:/bin/bash\n",
        ),
        ("usr/share/base-passwd/group.master", "root:*:0:\nshadow:*:42:\n"),
        ("usr/share/libc-bin/nsswitch.conf", "hosts: files dns\n"),
        ("usr/lib/systemd/systemd", ""),
        ("usr/lib/systemd/system/multi-user.target", "[Unit]"),
        (
            "usr/lib/systemd/system/x.service",
            "[Install]\nWantedBy=multi-user.target\n",
        ),
        ("usr/bin/udevadm", ""),
        ("usr/bin/x", "program"),
        ("usr/share/doc/x/README", ""),
        ("etc/x.conf", "shipped"),
        ("var/lib/x/state", "s"),
    ]);
    for link in ["bin", "lib", "lib64", "sbin"] {
        edit::link(&mut tree, link, &format!("usr/{link}")).unwrap();
    }
    tree
}

fn package() -> InstalledPackage {
    let own = Action::Own {
        path: "/bin/x".to_owned(),
        user: Some("root".to_owned()),
        group: Some("_x".to_owned()),
        mode: Some("2755".to_owned()),
    };
    let user = Action::SystemUser {
        name: "_x".to_owned(),
        group: None,
        home: None,
        shell: None,
    };
    InstalledPackage {
        name: "x".to_owned(),
        architecture: "amd64".to_owned(),
        control: "Package: x\nVersion: 1\n".to_owned(),
        conffiles: "/etc/x.conf\n".to_owned(),
        files: ["etc/x.conf", "usr/bin/x", "usr/share/doc/x/README"]
            .map(|path| path.parse().unwrap())
            .into(),
        actions: vec![
            own,
            user,
            Action::EnableUnit {
                unit: "x.service".to_owned(),
            },
        ],
        ..InstalledPackage::default()
    }
}

fn finished(recipe: &Recipe) -> Finished {
    let packages = [package()];
    finish(
        composed(),
        &Inputs {
            packages: &packages,
            ..testing::inputs(recipe)
        },
    )
    .unwrap()
}

#[test]
fn every_step_leaves_its_mark() {
    let Finished { tree, kernel, report } = finished(&testing::recipe());
    assert_eq!(kernel.version, "6.12");
    assert_eq!(report.enabled, ["multi-user.target/x.service"]);
    assert_eq!(report.package_bytes, [("x".to_owned(), 14)]);
    assert_eq!(report.privileged.len(), 1);
    let gid = report.accounts["_x"];
    assert_eq!(tree.get("usr/bin/x").unwrap().metadata.gid, gid);
    assert_eq!(testing::text(&tree, "usr/share/factory/var/lib/x/state"), "s");
    assert!(testing::text(&tree, "usr/lib/sysimage/dpkg/status").contains("install ok installed"));
    // A scanner that opens the image finds the database where dpkg has it.
    assert!(testing::text(&tree, "var/lib/dpkg/status").contains("Package: x"));
    assert!(!tree.contains("usr/share/doc/x"));
}

#[test]
fn the_recipes_files_win_over_packages_and_steps_and_the_database_keeps_the_packages_hash() {
    let mut recipe = testing::recipe();
    for (path, text) in [
        ("etc/x.conf", "mine"),
        ("etc/nsswitch.conf", "hosts: files\n"),
        ("etc/hostname", "box\n"),
    ] {
        let content = FileContent::Inline(text.to_owned());
        recipe.files.push(FileSpec {
            path: path.parse().unwrap(),
            content,
            mode: 0o600,
        });
    }
    let Finished { tree, .. } = finished(&recipe);
    assert_eq!(testing::text(&tree, "etc/x.conf"), "mine");
    assert_eq!(testing::text(&tree, "etc/nsswitch.conf"), "hosts: files\n");
    assert_eq!(testing::text(&tree, "etc/hostname"), "box\n");
    let shipped = "/etc/x.conf 8407efe4e76e884909955a5e7293661e";
    let status = testing::text(&tree, "usr/lib/sysimage/dpkg/status");
    assert!(status.contains(shipped), "{status}");
}

#[test]
fn the_same_input_gives_the_same_tree() {
    let listing = |tree: &Tree| -> Vec<String> {
        tree.iter()
            .map(|(path, Entry { metadata, node })| {
                let content = match node {
                    Node::Directory => String::new(),
                    Node::Symlink(target) => target.clone(),
                    Node::File(content, _) => hex::encode(content.read().unwrap()),
                };
                format!("{path} {metadata:?} {content}")
            })
            .collect()
    };
    let recipe = testing::recipe();
    assert_eq!(listing(&finished(&recipe).tree), listing(&finished(&recipe).tree));
}

#[test]
fn a_password_in_an_overlay_is_refused() {
    let mut recipe = testing::recipe();
    let content = FileContent::Inline("root:$y$hash:::::::\n".to_owned());
    recipe.files.push(FileSpec {
        path: "etc/shadow".parse().unwrap(),
        content,
        mode: 0o640,
    });
    let error = finish(composed(), &testing::inputs(&recipe)).unwrap_err();
    assert!(
        error.to_string().contains("account root has a password"),
        "{error}"
    );
}
