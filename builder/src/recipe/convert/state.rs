//! `[state]`

use std::time::Duration;

use outcrop_release::state::{Hook, MAX_HOOK_DEADLINE, MAX_KEEP, StateDefinition, StatePath};

use super::{
    super::{
        located::Item,
        node::Value,
        problem::Problem,
        schema::{Kubernetes, State},
        value::{deadline, unit_name},
    },
    reader::{Reader, Section},
};

/// Copies that are kept where the recipe doesn't say.
const KEEP: u32 = 3;

pub(super) fn state(
    reader: &mut Reader<'_>,
    top: Section<'_>,
    kubernetes: Option<&Kubernetes>,
) -> Option<State> {
    let section = reader.section(top, "state");
    let known = kubernetes
        .map(|kubernetes| kubernetes.distribution.state())
        .unwrap_or_default();
    if section.table.is_none() && known.is_empty() {
        return None;
    }
    let paths = paths(reader, section, known);
    let mut units: Vec<String> = kubernetes
        .map(|kubernetes| kubernetes.units.clone())
        .unwrap_or_default();
    for (unit, place) in reader.list(section, "units", unit_name) {
        reader.locate(Item::Service(unit.clone()), place);
        units.push(unit);
    }
    units.sort_unstable();
    units.dedup();
    if units.is_empty() {
        missing(
            reader,
            section,
            "units",
            "what reads and writes the state: it must not start before the state is in order",
        );
    }
    let definition = StateDefinition {
        paths,
        keep: keep(reader, section),
        pre_start: hook(reader, section, "pre-start"),
        post_rollback: hook(reader, section, "post-rollback"),
    };
    Some(State { definition, units })
}

fn missing(reader: &mut Reader<'_>, section: Section<'_>, key: &str, what: &str) {
    let problem = Problem::new(format!("[{}] needs `{key}`: {what}", section.name));
    reader.report(match section.place {
        Some(place) => problem.at(place.clone()),
        None => problem,
    });
}

/// What the recipe names, else what the distribution is known to have.
fn paths(reader: &mut Reader<'_>, section: Section<'_>, known: &[&str]) -> Vec<StatePath> {
    if section.get("paths").is_none() && !known.is_empty() {
        return known.iter().filter_map(|path| path.parse().ok()).collect();
    }
    let places = reader.list(section, "paths", |text| {
        text.parse::<StatePath>().map_err(|error| error.to_string())
    });
    if section
        .get("paths")
        .is_none_or(|member| matches!(&member.node.value, Value::List(items) if items.is_empty()))
    {
        missing(
            reader,
            section,
            "paths",
            "the files and folders that go with the release",
        );
    }
    let paths: Vec<StatePath> = places.iter().map(|(path, _)| path.clone()).collect();
    if let Some((outer, inner)) = StateDefinition::nested(&paths) {
        let place = places
            .iter()
            .rev()
            .find(|(path, _)| path == inner)
            .map(|(_, place)| (*place).clone());
        let problem = Problem::new(format!("{inner} lies in {outer}, which is named too"));
        reader.report(match place {
            Some(place) => problem.at(place).help("take one of them out"),
            None => problem,
        });
    }
    paths
}

fn keep(reader: &mut Reader<'_>, section: Section<'_>) -> u32 {
    let Some(member) = section.get("keep") else {
        return KEEP;
    };
    let Value::Integer(number) = member.node.value else {
        return KEEP;
    };
    match u32::try_from(number) {
        Ok(keep) if (1..=MAX_KEEP).contains(&keep) => keep,
        _ => {
            let problem = format!("{number} copies can't be kept: it is from 1 to {MAX_KEEP}");
            reader.report(Problem::new(problem).at(member.node.place.clone()));
            KEEP
        }
    }
}

fn hook(reader: &mut Reader<'_>, state: Section<'_>, name: &'static str) -> Option<Hook> {
    let member = state.get(name)?;
    let section = Section {
        name,
        table: match &member.node.value {
            Value::Table(table) => Some(table),
            _ => None,
        },
        place: Some(&member.key),
    };
    section.table?;
    let limited = |text: &str| -> Result<Duration, String> {
        let time = deadline(text)?;
        if time > MAX_HOOK_DEADLINE {
            return Err(format!("{text:?} is too long for a hook: a day at most"));
        }
        Ok(time)
    };
    let limit = reader.required(section, "deadline", limited);
    let words = reader.list(section, "command", |text| Ok(text.to_owned()));
    let command: Vec<String> = words.into_iter().map(|(word, _)| word).collect();
    if command.first().is_none_or(|program| !program.starts_with('/')) {
        missing(
            reader,
            section,
            "command",
            "a program's absolute path, then its arguments",
        );
        return None;
    }
    Some(Hook {
        command,
        deadline: limit?,
    })
}
