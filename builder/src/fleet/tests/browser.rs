//! The page in a real browser.

use super::*;

/// What a browser makes of a page, after it has run whatever is in it.
fn shown(page: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let run = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("chromium isn't there: `cargo xtask soak` installs it");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
#[ignore = "the soak's: it takes a browser"]
fn the_page_says_the_same_in_a_real_browser_and_runs_nothing_that_a_device_has_written() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "good", 1, |_| {});
    let evil =
        "<script>document.title='taken over'</script><img src=x onerror=\"document.title='taken over'\">";
    put(folder.path(), "evil", 2, |report| {
        failed(Reason::CheckFailed, evil)(report);
        report.hostname = Some(evil.to_owned());
        report.drift = Some(drift(7));
    });
    let summary = told(folder.path());
    let page = folder.path().join("fleet.html");
    fs::write(&page, html(&summary)).unwrap();
    let dom = shown(&page);
    assert!(dom.contains("<title>Fleet</title>"), "{dom}");
    for told in [
        "<h1>2 devices</h1>",
        "Lagging: check failed (1)",
        "Snowflakes (1)",
        "7 paths differ",
        "&lt;script&gt;document.title=",
    ] {
        assert!(dom.contains(told), "{told}: {dom}");
    }
    assert!(!dom.contains("<img") && !dom.contains("<script"), "{dom}");
}

#[test]
#[ignore = "the soak's: it takes a browser"]
fn of_five_hundred_devices_a_real_browser_shows_those_that_need_somebody_and_why() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..500 {
        let name = number.to_string();
        let _ = match number {
            17 => put(
                folder.path(),
                &name,
                number,
                failed(Reason::Network, "connection refused"),
            ),
            99 => put(
                folder.path(),
                &name,
                number,
                failed(Reason::Kubernetes, "the node isn't ready"),
            ),
            200 => put(folder.path(), &name, number, |report| {
                report.drift = Some(drift(3));
            }),
            300 => put(folder.path(), &name, number, |report| {
                report.at = now().checked_sub(SignedDuration::from_hours(24 * 20)).unwrap();
            }),
            400 => put(folder.path(), &name, number, |report| {
                report.at = now().checked_add(SignedDuration::from_hours(24 * 20)).unwrap();
            }),
            _ => put(folder.path(), &name, number, |_| {}),
        };
    }
    fs::write(
        folder.path().join("forged.report"),
        signed_by(2, &report(1, |_| {})),
    )
    .unwrap();
    let page = folder.path().join("fleet.html");
    fs::write(&page, html(&told(folder.path()))).unwrap();
    let dom = shown(&page);
    for told in [
        "<h1>499 devices</h1>",
        "edge-1.2.0-x86_64-efi",
        "Lagging: network (1)",
        "shop-17<",
        "connection refused",
        "Lagging: Kubernetes (1)",
        "shop-99<",
        "Snowflakes (1)",
        "shop-200<",
        "Silent (1)",
        "shop-300<",
        "400.report",
        "forged.report",
    ] {
        assert!(dom.contains(told), "{told}: {dom}");
    }
    // Who is well isn't listed one by one.
    assert!(!dom.contains("shop-1<") && dom.len() < 20_000, "{}", dom.len());
}
