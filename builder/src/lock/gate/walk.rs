//! Looks through statements at any depth.

use super::shell::{
    assignment,
    ast::{List, Node, Part, Statement},
};

/// Names that a statement assigns to, at any depth.
pub(super) fn assigned(statement: &Statement, names: &mut Vec<String>) {
    each_inside(statement, &mut |inside| match &inside.node {
        Node::Simple(simple) => {
            names.extend(simple.assignments.iter().map(|(name, _)| name.clone()));
            names.extend(simple.words.iter().filter_map(|word| Some(assignment(word)?.0)));
        }
        Node::Loop { variable, .. } => names.extend(variable.clone()),
        _ => {}
    });
}

/// Whether a statement has one of `commands` in it, at any depth.
pub(super) fn contains(statement: &Statement, commands: &[&str]) -> bool {
    let mut found = false;
    each_inside(statement, &mut |inside| {
        if let Node::Simple(simple) = &inside.node
            && let Some([Part::Text(name, _)]) = simple.words.first().map(Vec::as_slice)
        {
            found |= commands.contains(&name.as_str());
        }
    });
    found
}

/// Visits a statement and all inside it; not those in command substitutions, which can't leave the script.
pub(super) fn each_inside(statement: &Statement, visit: &mut impl FnMut(&Statement)) {
    visit(statement);
    let mut lists: Vec<&List> = Vec::new();
    match &statement.node {
        Node::Simple(_) => {}
        Node::Not(inner) => each_inside(inner, visit),
        Node::AndOr(first, rest) => {
            each_inside(first, visit);
            rest.iter()
                .for_each(|(_, statement)| each_inside(statement, visit));
        }
        Node::Pipe(list) | Node::Group(list) | Node::Subshell(list) | Node::Function(_, list) => {
            lists.push(list);
        }
        Node::If(branches, otherwise) => {
            lists.extend(branches.iter().flat_map(|(condition, body)| [condition, body]));
            lists.push(otherwise);
        }
        Node::Case(_, arms) => lists.extend(arms.iter().map(|(_, body)| body)),
        Node::Loop { condition, body, .. } => lists.extend([condition, body]),
    }
    for statement in lists.into_iter().flatten() {
        each_inside(statement, visit);
    }
}

/// The names that the script assigns to, each with the lines of the assignment.
pub(super) fn assignments(script: &List) -> Vec<(String, (usize, usize))> {
    let mut found = Vec::new();
    for statement in script {
        each_inside(statement, &mut |inside| {
            if let Node::Simple(simple) = &inside.node {
                let plain = simple.assignments.iter().map(|(name, _)| name.clone());
                let declared = simple.words.iter().filter_map(|word| Some(assignment(word)?.0));
                found.extend(
                    plain
                        .chain(declared)
                        .map(|name| (name, (inside.first, inside.last))),
                );
            }
        });
    }
    found
}
