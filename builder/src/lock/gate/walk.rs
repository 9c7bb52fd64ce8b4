//! Looks through statements at any depth.

use super::{
    commands,
    shell::{
        assignment,
        ast::{List, Node, Part, Simple, Statement, Word},
    },
};

/// The positional parameters, as text that expands them has them.
const POSITIONAL: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "@", "*", "#"];

/// What `getopts` sets beside the variable that it names.
pub(super) const GETOPTS: [&str; 2] = ["OPTARG", "OPTIND"];

/// Names that a statement itself gives a value; not those that statements inside it do.
pub(super) fn assigned(statement: &Statement, names: &mut Vec<String>) {
    match &statement.node {
        Node::Simple(simple) => {
            words(simple).for_each(|word| set_inside(word, names));
            names.extend(simple.assignments.iter().map(|(name, _)| name.clone()));
            names.extend(simple.words.iter().filter_map(|word| Some(assignment(word)?.0)));
            let plain = simple.words.iter().skip(1).filter_map(|word| text(word));
            match command(statement) {
                Some("read" | "unset" | "local") => names.extend(plain.map(str::to_owned)),
                Some("getopts") => names.extend(plain.chain(GETOPTS).map(str::to_owned)),
                Some("shift") => names.extend(POSITIONAL.map(str::to_owned)),
                Some("set") if sets_positional(simple.words.iter().skip(1).map(|word| text(word))) => {
                    names.extend(POSITIONAL.map(str::to_owned));
                }
                Some(name) if name.starts_with("db_") => names.push("RET".to_owned()),
                _ => {}
            }
        }
        Node::Loop { variable, words, .. } => {
            names.extend(variable.clone());
            words.iter().for_each(|word| set_inside(word, names));
        }
        Node::Case(subject, _) => set_inside(subject, names),
        _ => {}
    }
}

/// All words of a simple command.
pub(super) fn words(simple: &Simple) -> impl Iterator<Item = &Word> {
    let assigned = simple.assignments.iter().map(|(_, word)| word);
    let targets = simple.redirects.iter().map(|redirect| &redirect.target);
    assigned.chain(&simple.words).chain(targets)
}

/// Names that the expansion of `word` may give a value.
pub(super) fn set_inside(word: &Word, names: &mut Vec<String>) {
    for part in word {
        match part {
            Part::Sets(set) => names.extend(set.iter().cloned()),
            Part::Parameter {
                substitute: Some((_, inner)),
                ..
            } => set_inside(inner, names),
            _ => {}
        }
    }
}

/// Whether `set` may give the positional parameters new values: it has more than options.
pub(super) fn sets_positional<'a>(mut words: impl Iterator<Item = Option<&'a str>>) -> bool {
    !words.all(|word| word.is_some_and(|word| word != "--" && word.starts_with(['-', '+'])))
}

fn text(word: &[Part]) -> Option<&str> {
    match word {
        [Part::Text(text, _)] => Some(text),
        _ => None,
    }
}

/// The name of a simple command, when it is plain text.
pub(super) fn command(statement: &Statement) -> Option<&str> {
    match &statement.node {
        Node::Simple(simple) => text(simple.words.first()?),
        _ => None,
    }
}

/// Whether a statement has one of `commands` in it, at any depth.
pub(super) fn contains(statement: &Statement, commands: &[&str]) -> bool {
    let mut found = false;
    each_inside(statement, &mut |inside| {
        found |= command(inside).is_some_and(|name| commands.contains(&name));
    });
    found
}

/// Whether a simple command may end the script: it says so, or runs text that nobody sees here. `error` and `badusage`
/// are functions of dpkg's library for scripts.
pub(super) fn may_exit(statement: &Statement) -> bool {
    let Node::Simple(simple) = &statement.node else {
        return false;
    };
    let exits = |name| ["exit", "exec", "error", "badusage"].contains(&name);
    runs_unseen(simple) || command(statement).is_some_and(exits)
}

/// Whether a simple command runs text that nobody sees here, in the shell itself.
pub(super) fn runs_unseen(simple: &Simple) -> bool {
    let word = |at: usize| simple.words.get(at).and_then(|word| text(word));
    match word(0) {
        Some("." | "source") => !word(1).is_some_and(commands::is_library),
        Some("command" | "builtin") => !word(1).is_some_and(|option| ["-v", "-V"].contains(&option)),
        Some(name) => name == "eval",
        None => !simple.words.is_empty(),
    }
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

/// What gives a name its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    /// A variable's, or a function's.
    pub(super) name: String,
    pub(super) function: bool,
    /// Lines, first and last.
    pub(super) lines: (usize, usize),
}

/// Everything in the script that gives a variable its value or a function its body.
pub(super) fn definitions(script: &List) -> Vec<Definition> {
    let mut found = Vec::new();
    for statement in script {
        each_inside(statement, &mut |inside| {
            let mut names = Vec::new();
            assigned(inside, &mut names);
            let variable = |name| Definition {
                name,
                function: false,
                lines: defining_lines(inside),
            };
            found.extend(names.into_iter().map(variable));
            if let Node::Function(name, _) = &inside.node {
                found.push(Definition {
                    name: name.clone(),
                    function: true,
                    lines: (inside.first, inside.last),
                });
            }
        });
    }
    found
}

/// The lines of a definition: of a `for` loop only its head, which has the words.
fn defining_lines(statement: &Statement) -> (usize, usize) {
    match &statement.node {
        Node::Loop { body, .. } => {
            let last = body.first().map_or(statement.last, |first| first.first - 1);
            (statement.first, last.max(statement.first))
        }
        _ => (statement.first, statement.last),
    }
}
