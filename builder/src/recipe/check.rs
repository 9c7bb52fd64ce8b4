//! Compares one recipe file with the known keys: nothing unknown, every value of its key's type.

use super::{
    keys::{self, Key, Shape},
    node::{Member, Node, Table, Value},
    problem::Problem,
};

/// Reports what `table` has beside `known` keys and values of another type, and takes that out: unknown keys
/// altogether, values by [`Value::Bad`], so that nothing is reported twice.
pub(super) fn check(table: &mut Table, known: &[Key], problems: &mut Vec<Problem>) {
    table.retain(|name, member| match known.iter().find(|key| key.name == name) {
        Some(key) => {
            check_value(&mut member.node, &format!("`{name}`"), key.shape, problems);
            true
        }
        None => {
            problems.push(unknown_key(name, member, known));
            false
        }
    });
}

fn check_value(node: &mut Node, what: &str, shape: Shape, problems: &mut Vec<Problem>) {
    match (&mut node.value, shape) {
        (Value::Text(_), Shape::Text(_))
        | (Value::Integer(_), Shape::Integer)
        | (Value::Flag(_), Shape::Flag) => {}
        (Value::List(items), Shape::Append(of) | Shape::Replace(of)) => {
            for item in items {
                check_value(item, &format!("an item of {what}"), Shape::Text(of), problems);
            }
        }
        (Value::Table(table), Shape::Table(keys)) => check(table, keys, problems),
        (Value::Table(table), Shape::Map { value, .. }) => {
            for (name, member) in table {
                check_value(&mut member.node, &format!("`{name}`"), *value, problems);
            }
        }
        (Value::List(items), Shape::Tables(keys)) => {
            for item in items {
                check_value(item, &format!("an entry of {what}"), Shape::Table(keys), problems);
            }
        }
        (value, _) => {
            problems.push(wrong_type(&node.place, value, what, shape));
            *value = Value::Bad;
        }
    }
}

fn wrong_type(place: &super::source::Location, value: &Value, what: &str, shape: Shape) -> Problem {
    let problem = Problem::new(format!(
        "{what} must be {}, not {}",
        shape.type_name(),
        value.type_name()
    ))
    .at(place.clone())
    .label(format!("{} here", shape.type_name()));
    match (value, shape) {
        (Value::Text(text), Shape::Append(_) | Shape::Replace(_)) => {
            problem.help(format!("write [{text:?}]"))
        }
        (Value::Integer(number), Shape::Text(_)) => problem.help(format!("write \"{number}\" in quotes")),
        (Value::Text(text), Shape::Flag) if matches!(text.as_str(), "true" | "false") => {
            problem.help(format!("write {text} without quotes"))
        }
        (Value::Table(_), Shape::Tables(_)) => problem.help("write [[files]], with two brackets"),
        _ => problem,
    }
}

fn unknown_key(name: &str, member: &Member, known: &[Key]) -> Problem {
    let names: Vec<&str> = known.iter().map(|key| key.name).collect();
    let help = nearest(name, &names).map_or_else(
        || elsewhere(name).unwrap_or_else(|| format!("known here: {}", names.join(", "))),
        |near| format!("did you mean `{near}`?"),
    );
    Problem::new(format!("unknown key `{name}`"))
        .at(member.key.clone())
        .label("no such key here")
        .help(help)
}

/// The name most like `name`, if any is like it at all.
pub(super) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = name.to_lowercase().replace('_', "-");
    let limit = 1 + plain.chars().count() / 4;
    names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&plain, known), *known))
        .filter(|(distance, known)| *distance <= limit && *distance < known.len())
        .min()
        .map(|(_, known)| known)
}

/// Where a key belongs that stands in the wrong section.
fn elsewhere(name: &str) -> Option<String> {
    if keys::RECIPE.iter().any(|key| key.name == name) {
        return Some(format!(
            "`{name}` belongs to the top of the file, before the first [section]"
        ));
    }
    keys::RECIPE.iter().find_map(|section| match section.shape {
        Shape::Table(keys) if keys.iter().any(|key| key.name == name) => {
            Some(format!("`{name}` belongs to [{}]", section.name))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_hand_finds_the_key_and_another_word_finds_none() {
        let names = ["install", "remove", "accept-scripts"];
        assert_eq!(nearest("instal", &names), Some("install"));
        assert_eq!(nearest("accept_scripts", &names), Some("accept-scripts"));
        assert_eq!(nearest("Remvoe", &names), Some("remove"));
        assert_eq!(nearest("hostname", &names), None);
        assert_eq!(nearest("", &names), None);
    }
}
