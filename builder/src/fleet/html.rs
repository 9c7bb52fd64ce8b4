//! The same as one static page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use super::{
    Summary,
    summary::{Named, RejectedFile, ReleaseCount, WaitCount},
};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%;margin:0 0 2rem}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums;width:6rem}\
table.d{table-layout:fixed}table.d td:first-child{width:20rem}td{overflow-wrap:anywhere}\
code{font-size:.85em}\
@media(max-width:40rem){table.d td{display:block;width:auto}table.d td:first-child{border:0;padding-bottom:0}}\
:root{color-scheme:light dark}";

/// The page.
#[must_use]
pub fn html(summary: &Summary) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Fleet</title><style>{STYLE}</style></head><body>\n<h1>{} devices</h1>\n<p>{}</p>\n",
        summary.devices,
        escaped(&summary.at)
    );
    let releases = summary.releases.iter();
    counts(
        &mut page,
        "release",
        releases.map(|ReleaseCount { release, devices }| (release, *devices)),
    );
    let agents = summary.agents.iter();
    counts(
        &mut page,
        "agent",
        agents.map(|WaitCount { waits, devices }| (waits, *devices)),
    );
    for group in &summary.lagging {
        section(&mut page, &format!("Lagging: {}", group.reason), &group.devices);
    }
    section(&mut page, "Snowflakes", &summary.snowflakes);
    section(&mut page, "Degraded", &summary.degraded);
    section(&mut page, "Silent", &summary.silent);
    section(&mut page, "Histories that lost events", &summary.histories);
    rejected(&mut page, &summary.rejected);
    page += "</body></html>\n";
    page
}

fn counts<'c>(page: &mut String, title: &str, counts: impl ExactSizeIterator<Item = (&'c String, usize)>) {
    if counts.len() == 0 {
        return;
    }
    let _infallible = writeln!(
        page,
        "<table><thead><tr><th>devices</th><th>{title}</th></tr></thead><tbody>"
    );
    for (what, devices) in counts {
        let _infallible = writeln!(
            page,
            "<tr><td class=\"n\">{devices}</td><td>{}</td></tr>",
            escaped(what)
        );
    }
    *page += "</tbody></table>\n";
}

fn section(page: &mut String, title: &str, named: &[Named]) {
    if named.is_empty() {
        return;
    }
    let _infallible = writeln!(
        page,
        "<h2>{} ({})</h2>\n<table class=\"d\"><tbody>",
        escaped(title),
        named.len()
    );
    for Named { name, device, detail } in named {
        let _infallible = writeln!(
            page,
            "<tr><td>{}<br><code>{}</code></td><td>{}</td></tr>",
            escaped(name),
            escaped(device),
            escaped(detail)
        );
    }
    *page += "</tbody></table>\n";
}

fn rejected(page: &mut String, files: &[RejectedFile]) {
    if files.is_empty() {
        return;
    }
    let _infallible = writeln!(
        page,
        "<h2>Not believed ({})</h2>\n<table class=\"d\"><tbody>",
        files.len()
    );
    for RejectedFile { file, why } in files {
        let _infallible = writeln!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            escaped(file),
            escaped(why)
        );
    }
    *page += "</tbody></table>\n";
}

/// Nothing that a device says is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}
