//! Follows a script as far as what is known about a first installation decides, and sorts what it would do into actions
//! and residue: lines that nobody handles.
//!
//! What hangs on something unknown is either without effect in every case, or it is residue as a whole.

use std::collections::HashMap;

use super::{
    commands::{self, Verdict},
    shell::{
        assignment,
        ast::{Joint, List, Node, Part, Redirect, Simple, Statement, Substitute, Word},
    },
};
use crate::{action::Action, lock::format::ScriptKind};

/// Functions calling functions, at most.
const CALLS: usize = 12;

/// Rounds of a `for` loop that are followed one by one, at most.
const UNROLLED: usize = 40;

/// What a script comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reduced {
    /// What stands for the recognised lines, in order.
    pub(super) actions: Vec<Action>,
    /// Lines that nobody handles, as ranges (first, last), in the order in which they would run.
    pub(super) residue: Vec<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Return,
    Exit,
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// Whether it succeeds; none when unknown.
    status: Option<bool>,
    flow: Flow,
}

const UNKNOWN: Outcome = Outcome {
    status: None,
    flow: Flow::On,
};
const DONE: Outcome = Outcome {
    status: Some(true),
    flow: Flow::On,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Doubt {
    returned: bool,
    exited: bool,
}

#[derive(Clone)]
struct Reducer {
    /// Known values; none for a variable that holds something unknown.
    variables: HashMap<String, Option<String>>,
    /// None for a function whose definition hangs on something unknown.
    functions: HashMap<String, Option<List>>,
    calls: usize,
    /// Inside something that may or may not happen.
    uncertain: bool,
    /// A line that nobody handles may have left the function, or the script: what follows may not happen.
    doubt: Doubt,
    /// See [`super::Script::init_only`].
    init_only: Vec<String>,
    out: Reduced,
}

/// Reduces a whole script of `kind`.
pub(super) fn reduce(script: &List, kind: ScriptKind, init_only: &[String]) -> Reduced {
    let argument = match kind {
        ScriptKind::Preinst => "install",
        ScriptKind::Postinst => "configure",
    };
    let mut variables: HashMap<_, _> = ["2", "3", "4", "DPKG_ROOT"]
        .map(|name| (name.to_owned(), Some(String::new())))
        .into();
    variables.insert("1".to_owned(), Some(argument.to_owned()));
    let functions = HashMap::new();
    let (doubt, out) = (Doubt::default(), Reduced::default());
    let mut reducer = Reducer {
        variables,
        functions,
        calls: 0,
        uncertain: false,
        doubt,
        init_only: init_only.to_owned(),
        out,
    };
    reducer.list(script);
    reducer.out
}

impl Reducer {
    fn list(&mut self, list: &List) -> Outcome {
        let mut outcome = DONE;
        for statement in list {
            outcome = self.statement(statement);
            if outcome.flow != Flow::On {
                break;
            }
        }
        outcome
    }

    fn statement(&mut self, statement: &Statement) -> Outcome {
        match &statement.node {
            Node::Simple(simple) => self.simple(statement, simple),
            Node::Not(inner) => {
                let outcome = self.statement(inner);
                Outcome {
                    status: outcome.status.map(|status| !status),
                    ..outcome
                }
            }
            Node::Pipe(parts) => {
                let quiet = parts
                    .iter()
                    .all(|part| self.without_effect(|reducer| reducer.statement(part)));
                if quiet { UNKNOWN } else { self.give_up(statement) }
            }
            Node::AndOr(first, rest) => self.and_or(statement, first, rest),
            Node::If(branches, otherwise) => self.if_(statement, branches, otherwise),
            Node::Case(subject, arms) => self.case(statement, subject, arms),
            Node::Loop {
                variable: Some(variable),
                words,
                condition,
                body,
            } if condition.is_empty() && self.unrolls(words, body) => {
                for word in words {
                    let value = self.value(word);
                    self.variables.insert(variable.clone(), value);
                    let outcome = self.list(body);
                    if outcome.flow != Flow::On {
                        return outcome;
                    }
                }
                UNKNOWN
            }
            Node::Loop {
                variable,
                words,
                condition,
                body,
            } => {
                let commands_quiet = words.iter().all(|word| self.commands_are_quiet(word));
                self.variables
                    .extend(variable.iter().map(|name| (name.clone(), None)));
                self.forget(body);
                self.forget(condition);
                let quiet = [condition, body]
                    .iter()
                    .all(|list| self.without_effect(|reducer| reducer.list(list)));
                if quiet && commands_quiet {
                    UNKNOWN
                } else {
                    self.give_up(statement)
                }
            }
            Node::Function(name, body) => {
                let body = (!self.uncertain).then(|| body.clone());
                self.functions.insert(name.clone(), body);
                DONE
            }
            Node::Group(list) => self.list(list),
            Node::Subshell(list) => {
                let before = self.variables.clone();
                let outcome = self.list(list);
                self.variables = before;
                if outcome.flow == Flow::On {
                    outcome
                } else {
                    UNKNOWN
                }
            }
        }
    }

    /// Whether a `for` loop goes through known words, each once and to the body's end.
    fn unrolls(&self, words: &[Word], body: &List) -> bool {
        let leaves = |statement| contains(statement, &["break", "continue"]);
        words.len() <= UNROLLED
            && self.arguments(words).len() == words.len()
            && self.arguments(words).iter().all(Option::is_some)
            && !body.iter().any(leaves)
    }

    /// Makes the whole statement residue.
    fn give_up(&mut self, statement: &Statement) -> Outcome {
        self.out.residue.push((statement.first, statement.last));
        self.forget_statement(statement);
        self.doubt.returned |= contains(statement, &["return"]);
        self.doubt.exited |= contains(statement, &["exit", "exec"]);
        UNKNOWN
    }

    /// Whether `run` would do nothing at all, were it to happen. Variables that it sets are unknown afterwards.
    fn without_effect(&mut self, run: impl FnOnce(&mut Self) -> Outcome) -> bool {
        let mut trial = self.clone();
        trial.uncertain = true;
        trial.out = Reduced::default();
        let outcome = run(&mut trial);
        for (name, value) in trial.variables {
            if self.variables.get(&name) != Some(&value) {
                self.variables.insert(name, None);
            }
        }
        for (name, body) in trial.functions {
            if self.functions.get(&name) != Some(&body) {
                self.functions.insert(name, None);
            }
        }
        trial.out == Reduced::default() && outcome.flow == Flow::On
    }

    fn and_or(&mut self, whole: &Statement, first: &Statement, rest: &[(Joint, Statement)]) -> Outcome {
        let before = self.out.clone();
        let mut outcome = self.statement(first);
        for (joint, statement) in rest {
            if outcome.flow != Flow::On {
                break;
            }
            match (joint, outcome.status) {
                (Joint::And, Some(true)) | (Joint::Or, Some(false)) => outcome = self.statement(statement),
                (Joint::And, Some(false)) | (Joint::Or, Some(true)) => {}
                (_, None) if self.without_effect(|reducer| reducer.statement(statement)) => outcome = UNKNOWN,
                (_, None) => {
                    self.out = before;
                    return self.give_up(whole);
                }
            }
        }
        outcome
    }

    fn if_(&mut self, whole: &Statement, branches: &[(List, List)], otherwise: &List) -> Outcome {
        for (at, (condition, body)) in branches.iter().enumerate() {
            let before = self.out.clone();
            let outcome = self.list(condition);
            if self.out != before || outcome.flow != Flow::On {
                self.out = before;
                return self.give_up(whole);
            }
            match outcome.status {
                Some(true) => return self.list(body),
                Some(false) => {}
                None => {
                    let rest = branches[at + 1..]
                        .iter()
                        .flat_map(|(condition, body)| [condition, body]);
                    let mut lists = std::iter::once(body).chain(rest).chain([otherwise]);
                    let quiet = lists.all(|list| self.without_effect(|reducer| reducer.list(list)));
                    return if quiet { UNKNOWN } else { self.give_up(whole) };
                }
            }
        }
        self.list(otherwise)
    }

    fn case(&mut self, whole: &Statement, subject: &Word, arms: &[(Vec<Word>, List)]) -> Outcome {
        if !self.commands_are_quiet(subject) {
            return self.give_up(whole);
        }
        if let Some(value) = self.value(subject) {
            let matching = |patterns: &[Word]| {
                patterns
                    .iter()
                    .map(|pattern| matches(pattern, &value))
                    .try_fold(false, |any, one| Some(any || one?))
            };
            for (patterns, body) in arms {
                match matching(patterns) {
                    Some(true) => return self.list(body),
                    Some(false) => {}
                    None => return self.any_arm(whole, arms),
                }
            }
            return DONE;
        }
        self.any_arm(whole, arms)
    }

    fn any_arm(&mut self, whole: &Statement, arms: &[(Vec<Word>, List)]) -> Outcome {
        let quiet = arms
            .iter()
            .all(|(_, body)| self.without_effect(|reducer| reducer.list(body)));
        if quiet { UNKNOWN } else { self.give_up(whole) }
    }

    fn simple(&mut self, statement: &Statement, simple: &Simple) -> Outcome {
        let assigned = simple.assignments.iter().map(|(_, word)| word);
        let targets = simple.redirects.iter().map(|redirect| &redirect.target);
        let mut words = assigned.chain(&simple.words).chain(targets);
        if !words.all(|word| self.commands_are_quiet(word))
            || !simple.redirects.iter().all(|to| self.harmless(to))
        {
            return self.give_up(statement);
        }
        if simple.words.is_empty() {
            for (name, word) in &simple.assignments {
                let value = self.value(word);
                self.variables.insert(name.clone(), value);
            }
            let runs = simple
                .assignments
                .iter()
                .any(|(_, word)| word.iter().any(|part| matches!(part, Part::Command(_))));
            return if runs { UNKNOWN } else { DONE };
        }
        let arguments = self.arguments(&simple.words);
        let Some(Some(name)) = arguments.first().cloned() else {
            return self.give_up(statement);
        };
        if let Some(body) = self.functions.get(&name).cloned() {
            return match body {
                Some(body) => self.call(statement, &body, &arguments[1..]),
                None => self.give_up(statement),
            };
        }
        self.command(statement, simple, &name, &arguments[1..])
    }

    fn command(
        &mut self,
        statement: &Statement,
        simple: &Simple,
        name: &str,
        rest: &[Option<String>],
    ) -> Outcome {
        match name {
            "exit" => {
                return Outcome {
                    status: None,
                    flow: Flow::Exit,
                };
            }
            "return" => {
                return Outcome {
                    status: None,
                    flow: Flow::Return,
                };
            }
            "local" | "export" | "readonly" => {
                for word in simple.words.iter().skip(1) {
                    if let Some((name, value)) = assignment(word) {
                        let value = self.value(&value);
                        self.variables.insert(name, value);
                    }
                }
                return DONE;
            }
            "read" | "unset" => self
                .variables
                .extend(rest.iter().flatten().map(|name| (name.clone(), None))),
            "shift" => self.positional(&[None, None, None]),
            "set"
                if rest
                    .iter()
                    .any(|word| word.as_deref().is_none_or(|word| word == "--")) =>
            {
                self.positional(&[None, None, None]);
            }
            "update-rc.d" if !self.has_unit(rest) => return self.give_up(statement),
            _ => {}
        }
        let before = self.out.actions.len();
        match commands::judge(name, rest, &mut self.out.actions) {
            Verdict::Handled(_) if self.out.actions.len() > before && self.doubt != Doubt::default() => {
                self.out.actions.truncate(before);
                self.give_up(statement)
            }
            Verdict::Handled(status) => Outcome {
                status,
                flow: Flow::On,
            },
            Verdict::Unknown => self.give_up(statement),
        }
    }

    /// Whether an init script has a unit, which systemd starts in its place.
    fn has_unit(&self, arguments: &[Option<String>]) -> bool {
        let named = |word: &Option<String>| word.as_ref().is_none_or(|word| self.init_only.contains(word));
        self.init_only.is_empty() || !arguments.iter().any(named)
    }

    fn positional(&mut self, arguments: &[Option<String>]) {
        for at in 1..=9usize {
            let value = arguments
                .get(at - 1)
                .cloned()
                .unwrap_or_else(|| Some(String::new()));
            self.variables.insert(at.to_string(), value);
        }
    }

    fn call(&mut self, statement: &Statement, body: &List, arguments: &[Option<String>]) -> Outcome {
        if self.calls >= CALLS {
            return self.give_up(statement);
        }
        let saved: Vec<_> = (1..=9usize)
            .map(|at| {
                (
                    at.to_string(),
                    self.variables.get(&at.to_string()).cloned().flatten(),
                )
            })
            .collect();
        self.positional(arguments);
        self.calls += 1;
        let returned = self.doubt.returned;
        let outcome = self.list(body);
        self.doubt.returned = returned;
        self.calls -= 1;
        self.variables.extend(saved);
        match outcome.flow {
            Flow::Return => Outcome {
                flow: Flow::On,
                ..outcome
            },
            _ => outcome,
        }
    }

    /// Whether a redirection leaves every file alone.
    fn harmless(&self, redirect: &Redirect) -> bool {
        match redirect.operator {
            "<" | "<&" => true,
            "<<" => !redirect.target.contains(&Part::Opaque),
            ">&" => self
                .value(&redirect.target)
                .is_some_and(|to| to == "-" || to.bytes().all(|b| b.is_ascii_digit())),
            ">" | ">>" | ">|" => self.value(&redirect.target).as_deref() == Some("/dev/null"),
            _ => false,
        }
    }

    /// Whether the commands substituted in `word` do nothing.
    fn commands_are_quiet(&mut self, word: &Word) -> bool {
        word.iter().all(|part| match part {
            Part::Command(list) => self.without_effect(|reducer| {
                let outcome = reducer.list(list);
                Outcome {
                    flow: Flow::On,
                    ..outcome
                }
            }),
            Part::Parameter {
                substitute: Some((_, inner)),
                ..
            } => self.commands_are_quiet(inner),
            _ => true,
        })
    }

    /// The words after expansion. An unknown word is none; how many words it becomes is then unknown too.
    fn arguments(&self, words: &[Word]) -> Vec<Option<String>> {
        let vanishes = |word: &Word, value: &str| {
            value.is_empty()
                && !word
                    .iter()
                    .any(|part| matches!(part, Part::Text(_, true) | Part::Parameter { quoted: true, .. }))
        };
        let mut arguments = Vec::new();
        for word in words {
            let value = self.value(word).filter(|_| !has_glob(word));
            match value {
                Some(value) if vanishes(word, &value) => {}
                Some(value) if splits(word, &value) => arguments.push(None),
                value => arguments.push(value),
            }
        }
        arguments
    }

    /// The value of a word, when everything in it is known.
    fn value(&self, word: &Word) -> Option<String> {
        word.iter().map(|part| self.part(part)).collect()
    }

    fn part(&self, part: &Part) -> Option<String> {
        match part {
            Part::Text(text, _) => Some(text.clone()),
            Part::Parameter { name, substitute, .. } => {
                let value = self.variables.get(name).cloned().flatten()?;
                match (substitute, value.is_empty()) {
                    (Some((Substitute::WhenEmpty, word)), true)
                    | (Some((Substitute::WhenSet, word)), false) => self.value(word),
                    (Some((Substitute::WhenSet, _)), true) => Some(String::new()),
                    _ => Some(value),
                }
            }
            Part::Command(list) => self.output(list),
            Part::Opaque => None,
        }
    }

    /// What a command prints, for the few whose answer is certain.
    fn output(&self, list: &List) -> Option<String> {
        let [
            Statement {
                node: Node::Simple(simple),
                ..
            },
        ] = list.as_slice()
        else {
            return None;
        };
        let words: Option<Vec<_>> = self.arguments(&simple.words).into_iter().collect();
        match words?.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["dirname", path] => path
                .rsplit_once('/')
                .map(|(folder, _)| folder.to_owned())
                .filter(|folder| !folder.is_empty()),
            // On a first installation nobody diverts anything.
            ["dpkg-divert", "--truename", path] => Some((*path).to_owned()),
            ["dpkg-divert", "--listpackage", _] => Some(String::new()),
            _ => None,
        }
    }

    /// Every variable that `list` may set is unknown from here on.
    fn forget(&mut self, list: &List) {
        for statement in list {
            self.forget_statement(statement);
        }
    }

    fn forget_statement(&mut self, statement: &Statement) {
        let mut names = Vec::new();
        assigned(statement, &mut names);
        self.variables.extend(names.into_iter().map(|name| (name, None)));
    }
}

/// Names that a statement assigns to, at any depth.
fn assigned(statement: &Statement, names: &mut Vec<String>) {
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
fn contains(statement: &Statement, commands: &[&str]) -> bool {
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
fn each_inside(statement: &Statement, visit: &mut impl FnMut(&Statement)) {
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

/// Unquoted text that the shell would compare with file names.
fn has_glob(word: &Word) -> bool {
    let lone = word.len() == 1;
    word.iter().any(|part| match part {
        Part::Text(text, false) => {
            text.contains(['*', '?']) || (text.contains('[') && !(lone && text == "["))
        }
        _ => false,
    })
}

/// Whether an unquoted expansion becomes several words.
fn splits(word: &Word, value: &str) -> bool {
    value.contains([' ', '\t', '\n'])
        && word
            .iter()
            .any(|part| matches!(part, Part::Parameter { quoted: false, .. }))
}

/// Whether a `case` pattern matches; none when the pattern holds more than text and `*` alone.
fn matches(pattern: &Word, value: &str) -> Option<bool> {
    if let [Part::Text(text, false)] = pattern.as_slice()
        && text == "*"
    {
        return Some(true);
    }
    let mut text = String::new();
    for part in pattern {
        match part {
            Part::Text(_, false) if has_glob(pattern) => return None,
            Part::Text(part, _) => text.push_str(part),
            _ => return None,
        }
    }
    Some(text == value)
}
