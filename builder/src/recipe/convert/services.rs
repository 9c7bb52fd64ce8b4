//! `[services]`

use std::collections::BTreeMap;

use super::{
    super::{located::Item, problem::Problem, schema::Services, source::Location, value::unit_name},
    reader::{Reader, Section},
};

const LISTS: [&str; 3] = ["enable", "disable", "mask"];

/// For each unit the last word: which list, and where.
type Decisions<'a> = BTreeMap<String, (&'static str, &'a Location)>;

pub(super) fn services(reader: &mut Reader<'_>, top: Section<'_>) -> Services {
    let section = reader.section(top, "services");
    let mut decisions = Decisions::new();
    for list in LISTS {
        for (unit, place) in reader.list(section, list, unit_name) {
            decide(reader, &mut decisions, unit, (list, place));
        }
    }
    let mut services = Services::default();
    for (unit, (list, place)) in decisions {
        reader.locate(Item::Service(unit.clone()), place);
        match list {
            "enable" => services.enable.push(unit),
            "disable" => services.disable.push(unit),
            _ => services.mask.push(unit),
        }
    }
    services
}

/// The including file decides; two lists of one file that disagree are a problem.
fn decide<'a>(
    reader: &mut Reader<'_>,
    decisions: &mut Decisions<'a>,
    unit: String,
    new: (&'static str, &'a Location),
) {
    if let Some((list, place)) = decisions.get(&unit) {
        let (old, rank) = (reader.rank(place), reader.rank(new.1));
        if old == rank && *list != new.0 {
            let message = format!("{unit} is in `{list}` ({place}) and in `{}`", new.0);
            reader.report(
                Problem::new(message)
                    .at(new.1.clone())
                    .help("take it out of one of the lists"),
            );
        }
        if old >= rank {
            return;
        }
    }
    decisions.insert(unit, new);
}
