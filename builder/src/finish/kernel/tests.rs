//! The kernel step on modules assembled by the test, checked against kmod's own depmod and modprobe.

use std::{fs, path::Path, process::Command};

use super::*;
use crate::{finish::testing, recipe::schema::Recipe};

const VERSION: &str = "6.12.0-test";

/// A module's assembly text: what it says, exports and uses.
fn source(info: &[&str], exports: &[&str], uses: &[&str]) -> String {
    let mut text = ".section .modinfo,\"a\"\n".to_owned();
    for line in info {
        text.push_str(&format!(".asciz \"{line}\"\n"));
    }
    text.push_str(".section __ksymtab_strings,\"aMS\",@progbits,1\n");
    for symbol in exports {
        text.push_str(&format!(".asciz \"{symbol}\"\n"));
    }
    text.push_str(".section __ksymtab,\"a\"\n");
    for symbol in exports {
        text.push_str(&format!("__ksymtab_{symbol}: .long 0\n"));
    }
    text.push_str(".data\n");
    for symbol in uses {
        text.push_str(&format!(".quad {symbol}\n"));
    }
    text
}

fn assemble(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.s"), text).unwrap();
    let run = Command::new("as")
        .args(["-o", "x.ko", "x.s"])
        .current_dir(folder.path())
        .output();
    let output = run.expect("run as (Debian package `binutils`)");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(folder.path().join("x.ko")).unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    std::io::copy(&mut liblzma::read::XzEncoder::new(bytes, 1), &mut packed).unwrap();
    packed
}

/// A kernel with a chain of modules (top needs middle needs base), a driver and an excluded sound card that uses base.
fn kernel() -> Tree {
    let mut tree = testing::tree(&[
        ("boot/vmlinuz-6.12.0-test", "MZ"),
        ("boot/System.map-6.12.0-test", "x"),
        (
            "usr/lib/modules/6.12.0-test/modules.order",
            "kernel/net/top.ko\nkernel/drivers/virtio-x.ko\nkernel/lib/base.ko\n",
        ),
        (
            "usr/lib/modules/6.12.0-test/modules.builtin",
            "kernel/fs/ext-x.ko\n",
        ),
        (
            "usr/lib/modules/6.12.0-test/modules.builtin.modinfo",
            "ext_x.alias=fs-ext-x\0ext_x.license=GPL\0",
        ),
    ]);
    let modules = [
        (
            "net/top",
            source(
                &[
                    "alias=net-pf-1",
                    "softdep=pre: crypto-x post: nothing",
                    "depends=middle",
                ],
                &[],
                &["middle_do"],
            ),
        ),
        (
            "lib/middle",
            source(&["depends=base"], &["middle_do"], &["base_do"]),
        ),
        (
            "lib/base",
            source(&["alias=crypto-x", "depends="], &["base_do"], &[]),
        ),
        (
            "drivers/virtio-x",
            source(
                &[
                    "alias=virtio:d00000001v*",
                    "alias=usb:v[0-9]-x",
                    "alias=devname:net/x",
                    "alias=char-major-10-200",
                ],
                &[],
                &[],
            ),
        ),
        ("sound/card", source(&["depends=middle"], &[], &["middle_do"])),
    ];
    for (name, text) in modules {
        let path = format!("usr/lib/modules/{VERSION}/kernel/{name}.ko.xz");
        edit::put(&mut tree, &path, Entry::file(0o644, xz(&assemble(&text)))).unwrap();
    }
    tree
}

fn recipe(exclude: &[&str]) -> Recipe {
    let mut recipe = testing::recipe();
    recipe.kernel.exclude_modules = exclude.iter().map(|glob| (*glob).to_owned()).collect();
    recipe
}

fn finished(exclude: &[&str]) -> (Tree, KernelFiles) {
    let recipe = recipe(exclude);
    let mut tree = kernel();
    let files = run(&mut tree, &testing::inputs(&recipe)).unwrap();
    (tree, files)
}

fn text(tree: &Tree, name: &str) -> String {
    testing::text(tree, &format!("usr/lib/modules/{VERSION}/{name}"))
}

fn bytes(tree: &Tree, name: &str) -> Vec<u8> {
    let path = format!("usr/lib/modules/{VERSION}/{name}");
    match &tree.get(&path).unwrap().node {
        Node::File(content, _) => content.read().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Writes the modules folder of `tree` below `folder`.
fn write_out(tree: &Tree, folder: &Path) {
    for (path, entry) in tree.below(&MODULES.parse().unwrap()) {
        let target = folder.join(path.as_str());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if let Node::File(content, _) = &entry.node {
            fs::write(target, content.read().unwrap()).unwrap();
        }
    }
    std::os::unix::fs::symlink("usr/lib", folder.join("lib")).unwrap();
}

fn kmod(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(format!("/usr/sbin/{program}"))
        .args(arguments)
        .output();
    let output = output.unwrap_or_else(|error| panic!("run {program} (Debian package `kmod`): {error}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_image_leaves_the_tree_and_nothing_stays_in_boot() {
    let (tree, files) = finished(&[]);
    assert_eq!(
        (files.version.as_str(), files.image.read().unwrap()),
        (VERSION, b"MZ".to_vec())
    );
    assert_eq!(tree.below(&"boot".parse().unwrap()).count(), 0);
}

#[test]
fn modules_are_unpacked_and_excluded_ones_stay_only_when_needed() {
    let (tree, _) = finished(&["sound/**", "lib/**", "drivers/virtio-x"]);
    let names: Vec<String> = edit_names(&tree);
    assert_eq!(
        names,
        ["kernel/lib/base.ko", "kernel/lib/middle.ko", "kernel/net/top.ko"]
    );
    assert!(bytes(&tree, "kernel/lib/base.ko").starts_with(b"\x7fELF"));
}

#[test]
fn a_module_that_the_recipe_keeps_stays_with_what_it_needs_though_another_recipe_excludes_it() {
    let mut recipe = recipe(&["sound/**", "lib/**", "drivers/**", "net/**"]);
    recipe.kernel.keep_modules = vec!["sound/card".to_owned()];
    let mut tree = kernel();
    run(&mut tree, &testing::inputs(&recipe)).unwrap();
    let names = edit_names(&tree);
    assert!(names.contains(&"kernel/sound/card.ko".to_owned()), "{names:?}");
    assert!(names.contains(&"kernel/lib/middle.ko".to_owned()), "{names:?}");
    assert!(!names.contains(&"kernel/net/top.ko".to_owned()), "{names:?}");
}

fn edit_names(tree: &Tree) -> Vec<String> {
    let folder = format!("usr/lib/modules/{VERSION}/");
    let paths = tree
        .iter()
        .filter_map(|(path, _)| path.as_str().strip_prefix(&folder));
    paths
        .filter(|path| path.contains(".ko"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_say_what_depmod_says() {
    let (tree, _) = finished(&[]);
    let folder = tempfile::tempdir().unwrap();
    write_out(&tree, folder.path());
    let root = folder.path().to_str().unwrap();
    let ours: Vec<(String, Vec<u8>)> = [
        "modules.dep.bin",
        "modules.alias.bin",
        "modules.symbols.bin",
        "modules.builtin.bin",
        "modules.builtin.alias.bin",
        "modules.dep",
        "modules.devname",
    ]
    .map(|name| (name.to_owned(), bytes(&tree, name)))
    .into();
    kmod("depmod", &["-b", root, VERSION]);
    for (name, ours) in ours {
        let theirs = fs::read(folder.path().join(MODULES).join(VERSION).join(&name)).unwrap();
        if name.ends_with(".bin") {
            assert_eq!(
                index::reading::entries(&ours),
                index::reading::entries(&theirs),
                "{name}"
            );
        } else {
            assert_eq!(
                String::from_utf8(ours).unwrap(),
                String::from_utf8(theirs).unwrap(),
                "{name}"
            );
        }
    }
}

#[test]
fn modprobe_finds_modules_by_name_by_device_and_by_symbol() {
    let (tree, _) = finished(&[]);
    let folder = tempfile::tempdir().unwrap();
    write_out(&tree, folder.path());
    let root = folder.path().to_str().unwrap();
    let shown = |what: &str| {
        let text = kmod("modprobe", &["-d", root, "-S", VERSION, "--show-depends", what]);
        text.lines()
            .map(|line| module::name_of(line.trim()))
            .collect::<Vec<_>>()
    };
    // Once for the soft dependency crypto-x, once for middle.
    assert_eq!(shown("top"), ["base", "middle", "base", "top"]);
    assert_eq!(shown("virtio:d00000001v00001AF4"), ["virtio_x"]);
    assert_eq!(shown("symbol:base_do"), ["base"]);
    assert_eq!(shown("fs-ext-x").len(), 1);
}

#[test]
fn the_initramfs_gets_dependencies_soft_dependencies_and_tables_of_its_own() {
    let (tree, _) = finished(&[]);
    let names = ["top".to_owned(), "ext-x".to_owned()];
    let files = initramfs_modules(&tree, VERSION, &names).unwrap();
    let paths: Vec<&str> = files
        .iter()
        .filter_map(|(path, _)| path.as_str().strip_prefix("usr/lib/modules/6.12.0-test/"))
        .collect();
    assert_eq!(
        paths,
        [
            "kernel/lib/base.ko",
            "kernel/lib/middle.ko",
            "kernel/net/top.ko",
            "modules.alias",
            "modules.builtin",
            "modules.dep",
            "modules.softdep"
        ]
    );
    let dep = String::from_utf8(files[5].1.read().unwrap()).unwrap();
    assert!(
        !dep.contains("virtio")
            && dep.contains("kernel/net/top.ko: kernel/lib/middle.ko kernel/lib/base.ko\n")
    );
    assert_eq!(
        text(&tree, "modules.devname").lines().last(),
        Some("virtio_x net/x c10:200")
    );
}

#[test]
fn an_unknown_module_for_the_initramfs_is_refused_with_its_neighbours() {
    let (tree, _) = finished(&[]);
    let error = initramfs_modules(&tree, VERSION, &["virtio_y".to_owned()]).unwrap_err();
    let FinishError::Kernel(KernelError::NoModule { nearest, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(nearest, ["virtio_x"]);
}

#[test]
fn modules_that_the_initramfs_needs_are_never_excluded() {
    let recipe = recipe(&["**"]);
    let mut tree = kernel();
    let names = ["middle".to_owned()];
    run(
        &mut tree,
        &Inputs {
            initramfs_modules: &names,
            ..testing::inputs(&recipe)
        },
    )
    .unwrap();
    assert_eq!(edit_names(&tree), ["kernel/lib/base.ko", "kernel/lib/middle.ko"]);
}

#[test]
fn no_kernel_two_kernels_and_a_broken_module_are_refused() {
    let recipe = testing::recipe();
    let failed = |tree: &mut Tree| run(tree, &testing::inputs(&recipe)).unwrap_err().to_string();
    assert!(failed(&mut Tree::new()).starts_with("the image has no kernel"));
    let mut two = kernel();
    edit::ensure_directory(&mut two, "usr/lib/modules/7.0", 0o755).unwrap();
    assert_eq!(failed(&mut two), "the image has 2 kernels: 6.12.0-test, 7.0");
    let mut broken = kernel();
    edit::write_text(&mut broken, "usr/lib/modules/6.12.0-test/kernel/x.ko", "no").unwrap();
    assert!(failed(&mut broken).starts_with("/usr/lib/modules/6.12.0-test/kernel/x.ko is no kernel module"));
    let mut broken = kernel();
    edit::write_text(&mut broken, "usr/lib/modules/6.12.0-test/kernel/x.ko.xz", "no").unwrap();
    assert_eq!(
        failed(&mut broken),
        "unpack the kernel module /usr/lib/modules/6.12.0-test/kernel/x.ko.xz"
    );
}

#[test]
fn lists_of_names_have_comments_and_architectures() {
    let list = "# x\nnvme  # y\n\nvmd@x86_64\nahci-platform@aarch64\n";
    assert_eq!(
        names_in_list(list, outcrop_release::arch::Architecture::X86_64),
        ["nvme", "vmd"]
    );
}
