//! The same as one static page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use super::{
    Lagging, Named, Summary,
    shown::shown,
    summary::{RejectedFile, ReleaseCount, WaitCount},
};

/// Rows of a table that are there at once; the others unfold.
const ROWS: usize = 50;
/// Most rows of a table: a browser shows a page of a hundred thousand, but nobody reads it.
const MOST_ROWS: usize = 1000;

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
        releases.map(|count| (release(count), count.devices)),
    );
    let agents = summary.agents.iter();
    counts(
        &mut page,
        "agent",
        agents.map(|WaitCount { waits, devices }| (waits.clone(), *devices)),
    );
    if let Some(remembered) = summary.remembered {
        let _infallible = writeln!(page, "<p>{remembered} devices were remembered.</p>");
    }
    for Lagging { reason, devices } in &summary.lagging {
        section(&mut page, &format!("Lagging: {reason}"), devices);
    }
    rejected(&mut page, &summary.rejected);
    section(&mut page, "Histories that lost events", &summary.histories);
    section(&mut page, "Degraded", &summary.degraded);
    section(&mut page, "Snowflakes", &summary.snowflakes);
    section(&mut page, "Silent", &summary.silent);
    waiting(&mut page, &summary.waiting);
    page += "</body></html>\n";
    page
}

fn release(count: &ReleaseCount) -> String {
    let mut text = count.release.clone();
    if let Some(channel) = &count.channel {
        let _infallible = write!(text, " ({channel})");
    }
    let only = count.only.iter();
    let only: Vec<String> = only
        .map(|named| format!("{} ({})", named.name, named.device))
        .collect();
    if !only.is_empty() {
        let _infallible = write!(text, ", only {}", only.join(", "));
    }
    text
}

fn counts(page: &mut String, title: &str, counts: impl ExactSizeIterator<Item = (String, usize)>) {
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
            escaped(&what)
        );
    }
    *page += "</tbody></table>\n";
}

fn section(page: &mut String, title: &str, named: &[Named]) {
    if named.is_empty() {
        return;
    }
    let _infallible = writeln!(page, "<h2>{} ({})</h2>", escaped(title), named.len());
    table(page, named.iter().map(device));
}

/// Who waits as planned is counted, and named for who asks.
fn waiting(page: &mut String, groups: &[Lagging]) {
    let all: usize = groups.iter().map(|group| group.devices.len()).sum();
    if all > 0 {
        let _infallible = writeln!(page, "<h2>Behind the newest, as planned ({all})</h2>");
    }
    for Lagging { reason, devices } in groups {
        let _infallible = writeln!(
            page,
            "<details><summary>{} ({})</summary>",
            escaped(reason),
            devices.len()
        );
        table(page, devices.iter().map(device));
        *page += "</details>\n";
    }
}

fn rejected(page: &mut String, files: &[RejectedFile]) {
    if files.is_empty() {
        return;
    }
    let _infallible = writeln!(page, "<h2>Not believed ({})</h2>", files.len());
    table(
        page,
        files
            .iter()
            .map(|RejectedFile { file, why }| row(&format!("<code>{}</code>", escaped(file)), &escaped(why))),
    );
}

fn device(named: &Named) -> String {
    let Named { name, device, detail } = named;
    row(
        &format!("{}<br><code>{}</code>", escaped(name), escaped(device)),
        &escaped(detail),
    )
}

fn row(what: &str, detail: &str) -> String {
    format!("<tr><td>{what}</td><td>{detail}</td></tr>\n")
}

/// Its first rows; the others unfold.
fn table(page: &mut String, mut rows: impl ExactSizeIterator<Item = String>) {
    let mut part = |page: &mut String, most: usize| {
        *page += "<table class=\"d\"><tbody>\n";
        page.extend(rows.by_ref().take(most));
        *page += "</tbody></table>\n";
        rows.len()
    };
    let more = part(page, ROWS);
    if more == 0 {
        return;
    }
    let _infallible = writeln!(page, "<details><summary>and {more} more</summary>");
    let left = part(page, MOST_ROWS - ROWS);
    if left > 0 {
        let _infallible = writeln!(page, "<p>and {left} more: --json has all</p>");
    }
    *page += "</details>\n";
}

/// Nothing that a device says is markup, or turns what stands beside it.
fn escaped(text: &str) -> String {
    let text = shown(text);
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
