//! `[health]`, `[update]` and `[device]`.

use std::fs::Metadata;

use outcrop_release::{
    agent::{AgentDefinition, BadAgentValue, Window, Windows, inhibitor},
    channel::{BadChannelName, tree_url},
    device_config::{DeviceDefinition, Import},
    manifest::RollbackIndex,
    trust::Trust,
};

use super::{
    super::{
        node::Value,
        problem::Problem,
        schema::{Health, Update},
        value::deadline,
    },
    files::existing,
    reader::{Reader, Section},
};
use crate::keys::read_text;

pub(super) fn health(reader: &mut Reader<'_>, top: Section<'_>) -> Health {
    let section = reader.section(top, "health");
    let given = reader.optional(section, "deadline", deadline);
    given.map_or_else(Health::default, |deadline| Health { deadline })
}

pub(super) fn update(reader: &mut Reader<'_>, top: Section<'_>) -> Update {
    let section = reader.section(top, "update");
    let trust = trust(reader, section);
    let channel = reader.optional(section, "channel", |text| {
        text.parse().map_err(|error: BadChannelName| error.to_string())
    });
    let has_keys = trust.as_ref().is_some_and(|trust| trust.channel().is_some());
    if let Some((_, place)) = section.text("channel").filter(|_| channel.is_some() && !has_keys) {
        reader.report(
            Problem::new(
                "devices couldn't follow the channel: the trust file has no channel keys".to_owned(),
            )
            .at(place.clone())
            .help("`outcrop keys trust KEY.pub... --threshold N --channel-key KEY.pub` prints one that has"),
        );
    }
    Update {
        trust,
        channel,
        url: reader.optional(section, "url", tree_url),
        agent: agent(reader, section, has_keys),
        rollback_index: rollback_index(reader, section),
    }
}

/// How devices look after their updates. What only an agent needs is refused where none can run.
fn agent(reader: &mut Reader<'_>, section: Section<'_>, has_keys: bool) -> AgentDefinition {
    let needs_keys = [
        "mode",
        "poll",
        "windows",
        "download-windows",
        "daily-limit",
        "inhibitors",
        "report-url",
        "sticks",
    ];
    let given = needs_keys.iter().find_map(|key| Some((*key, section.get(key)?)));
    if let Some((key, member)) = given.filter(|_| !has_keys) {
        let problem = format!("`{key}` is about following a channel, and the trust file has no channel keys");
        reader.report(
            Problem::new(problem).at(member.node.place.clone()).help(
                "`outcrop keys trust KEY.pub... --threshold N --channel-key KEY.pub` prints one that has",
            ),
        );
    }
    let in_words = |error: BadAgentValue| error.to_string();
    let usual = AgentDefinition::default();
    let inhibitors = reader.list(section, "inhibitors", inhibitor);
    AgentDefinition {
        mode: reader
            .optional(section, "mode", |text| text.parse().map_err(in_words))
            .unwrap_or(usual.mode),
        poll: reader
            .optional(section, "poll", |text| text.parse().map_err(in_words))
            .unwrap_or(usual.poll),
        windows: windows(reader, section, "windows"),
        download_windows: windows(reader, section, "download-windows"),
        daily_limit: reader.optional(section, "daily-limit", str::parse),
        inhibitors: inhibitors.into_iter().map(|(words, _)| words).collect(),
        report_url: reader.optional(section, "report-url", tree_url),
        sticks: reader.flag(section, "sticks"),
    }
}

fn windows(reader: &mut Reader<'_>, section: Section<'_>, key: &str) -> Windows {
    let parse = |text: &str| text.parse::<Window>().map_err(|error| error.to_string());
    let windows = reader.list(section, key, parse);
    let place = windows.first().map(|(_, place)| (*place).clone());
    match (
        Windows::new(windows.into_iter().map(|(window, _)| window).collect()),
        place,
    ) {
        (Err(error), Some(place)) => {
            reader.report(Problem::new(error.to_string()).at(place));
            Windows::default()
        }
        (windows, _) => windows.unwrap_or_default(),
    }
}

pub(super) fn device(reader: &mut Reader<'_>, top: Section<'_>) -> DeviceDefinition {
    let section = reader.section(top, "device");
    let import = reader.optional(section, "import", |text| match text {
        "always" => Ok(Import::Always),
        "once" => Ok(Import::Once),
        _ => Err(format!("{text:?} is neither \"always\" nor \"once\"")),
    });
    DeviceDefinition {
        import: import.unwrap_or_default(),
    }
}

fn trust(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Trust> {
    let (name, place) = section.text("trust")?;
    let path = existing(reader, name, place, Metadata::is_file, "file")?;
    let why = match read_text(&path) {
        Ok(text) => match Trust::parse(&text) {
            Ok(trust) => return Some(trust),
            Err(error) => causes(&error),
        },
        Err(error) => error.to_string(),
    };
    reader.report(
        Problem::new(format!("{} is no trust file: {why}", path.display()))
            .at(place.clone())
            .help("`outcrop keys trust KEY.pub... --threshold N` prints one"),
    );
    None
}

/// An error and what it came from, in one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = chain
        .map(|error| error.to_string().trim().replace('\n', " "))
        .collect();
    words.join(": ")
}

fn rollback_index(reader: &mut Reader<'_>, section: Section<'_>) -> RollbackIndex {
    let Some(member) = section.get("rollback-index") else {
        return RollbackIndex::default();
    };
    let Value::Integer(number) = member.node.value else {
        return RollbackIndex::default();
    };
    if let Ok(index) = u32::try_from(number) {
        return RollbackIndex(index);
    }
    let problem = format!("{number} can't be a rollback index: it is from 0 to {}", u32::MAX);
    reader.report(Problem::new(problem).at(member.node.place.clone()));
    RollbackIndex::default()
}
