//! Lays one recipe file over the ones that it includes.

use super::{
    keys::{Key, Shape},
    node::{Table, Value},
};

/// Puts `over` on top of `base`, both checked against `known`. Tables merge key by key; lists of shape `Append` and
/// `Tables` continue the included ones; everything else takes the included value's place.
pub(super) fn merge(base: &mut Table, over: Table, known: &[Key]) {
    for (name, member) in over {
        let shape = known.iter().find(|key| key.name == name).map(|key| key.shape);
        match (base.get_mut(&name), shape) {
            (Some(below), Some(shape)) => {
                below.key = member.key;
                below.node.place = member.node.place;
                merge_value(&mut below.node.value, member.node.value, shape);
            }
            _ => {
                base.insert(name, member);
            }
        }
    }
}

fn merge_value(below: &mut Value, above: Value, shape: Shape) {
    match (below, above, shape) {
        (Value::Table(below), Value::Table(above), Shape::Table(keys)) => merge(below, above, keys),
        (Value::Table(below), Value::Table(above), Shape::Map { value, .. }) => {
            for (name, member) in above {
                match below.get_mut(&name) {
                    Some(old) => {
                        old.key = member.key;
                        old.node.place = member.node.place;
                        merge_value(&mut old.node.value, member.node.value, *value);
                    }
                    None => {
                        below.insert(name, member);
                    }
                }
            }
        }
        (Value::List(below), Value::List(above), Shape::Append(_) | Shape::Tables(_)) => below.extend(above),
        (below, above, _) => *below = above,
    }
}
