//! Follows a script as far as what is known about a first installation decides, and sorts what it would do into actions
//! and residue: lines that nobody handles.
//!
//! What hangs on something unknown is either without effect in every case, or it is residue as a whole.

use std::{cell::Cell, collections::HashMap, rc::Rc};

use super::{
    commands::{self, Verdict},
    expand::{Variables, matches},
    shell::{
        assignment,
        ast::{Joint, List, Node, Part, Redirect, Simple, Statement, Word},
    },
    walk::{assigned, contains},
};
use crate::{action::Action, lock::format::ScriptKind};

/// Functions calling functions, at most.
const CALLS: usize = 12;

/// Rounds of a `for` loop that are followed one by one, at most.
const UNROLLED: usize = 40;

/// Statements that are followed in one script, at most; after that every statement is residue.
const STEPS: usize = 100_000;

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
    variables: Variables,
    /// None for a function whose definition hangs on something unknown.
    functions: HashMap<String, Option<Rc<List>>>,
    calls: usize,
    steps: Rc<Cell<usize>>,
    /// Inside something that may or may not happen.
    uncertain: bool,
    /// A line that nobody handles may have left the function, or the script: what follows may not happen.
    doubt: Doubt,
    kind: ScriptKind,
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
    let mut variables = Variables::default();
    for name in ["2", "3", "4", "DPKG_ROOT"] {
        variables.set(name, Some(String::new()));
    }
    variables.set("1", Some(argument.to_owned()));
    let functions = HashMap::new();
    let (doubt, out) = (Doubt::default(), Reduced::default());
    let mut reducer = Reducer {
        variables,
        functions,
        calls: 0,
        steps: Rc::default(),
        uncertain: false,
        doubt,
        kind,
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
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > STEPS {
            return self.give_up(statement);
        }
        match &statement.node {
            Node::Simple(simple) => self.simple(statement, simple),
            Node::Not(inner) => {
                let outcome = self.statement(inner);
                Outcome {
                    status: outcome.status.map(|status| !status),
                    ..outcome
                }
            }
            Node::Pipe(parts) => self.pipe(statement, parts),
            Node::AndOr(first, rest) => self.and_or(statement, first, rest),
            Node::If(branches, otherwise) => self.if_(statement, branches, otherwise),
            Node::Case(subject, arms) => self.case(statement, subject, arms),
            Node::Loop {
                variable: Some(variable),
                words,
                condition,
                body,
            } if condition.is_empty() && self.unrolls(words, body) => self.unroll(variable, words, body),
            Node::Loop {
                variable,
                words,
                condition,
                body,
            } => {
                self.variables.forget(variable.clone());
                self.loop_(statement, words, [condition, body])
            }
            Node::Function(name, body) => {
                let body = (!self.uncertain).then(|| Rc::new(body.clone()));
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

    /// A pipe's parts run in subshells, at once: only one without effect is understood.
    fn pipe(&mut self, statement: &Statement, parts: &[Statement]) -> Outcome {
        let quiet = parts
            .iter()
            .all(|part| self.without_effect(|reducer| reducer.statement(part)));
        if quiet { UNKNOWN } else { self.give_up(statement) }
    }

    fn unroll(&mut self, variable: &str, words: &[Word], body: &List) -> Outcome {
        for word in words {
            let value = self.variables.value(word);
            self.variables.set(variable, value);
            let outcome = self.list(body);
            if outcome.flow != Flow::On {
                return outcome;
            }
        }
        UNKNOWN
    }

    /// A loop of unknown length, `lists` being its condition and body: only one without effect is understood.
    fn loop_(&mut self, statement: &Statement, words: &[Word], lists: [&List; 2]) -> Outcome {
        let commands_quiet = words.iter().all(|word| self.commands_are_quiet(word));
        for list in lists.iter().rev() {
            self.forget(list);
        }
        let quiet = lists
            .iter()
            .all(|list| self.without_effect(|reducer| reducer.list(list)));
        if quiet && commands_quiet {
            UNKNOWN
        } else {
            self.give_up(statement)
        }
    }

    /// Whether a `for` loop goes through known words, each once and to the body's end.
    fn unrolls(&self, words: &[Word], body: &List) -> bool {
        let leaves = |statement| contains(statement, &["break", "continue"]);
        words.len() <= UNROLLED
            && self.variables.arguments(words).len() == words.len()
            && self.variables.arguments(words).iter().all(Option::is_some)
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
        self.variables.doubt(trial.variables);
        for (name, body) in trial.functions {
            if self.functions.get(&name) != Some(&body) {
                self.functions.insert(name, None);
            }
        }
        trial.out == Reduced::default() && outcome.flow == Flow::On
    }

    /// The status of a statement that may or may not run; none when it would do something.
    fn status_without_effect(&mut self, statement: &Statement) -> Option<Option<bool>> {
        let mut status = None;
        let quiet = self.without_effect(|reducer| {
            let outcome = reducer.statement(statement);
            status = outcome.status;
            outcome
        });
        quiet.then_some(status)
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
                (joint, None) => match self.status_without_effect(statement) {
                    // Unknown and false is false; unknown or true is true.
                    Some(right) => outcome.status = right.filter(|right| *right == (*joint == Joint::Or)),
                    None => {
                        self.out = before;
                        return self.give_up(whole);
                    }
                },
            }
        }
        outcome
    }

    fn if_(&mut self, whole: &Statement, branches: &[(List, List)], otherwise: &List) -> Outcome {
        for (at, (condition, body)) in branches.iter().enumerate() {
            let before = self.out.clone();
            let outcome = self.list(condition);
            let acts = self.out != before;
            let certain = outcome.status.is_some() && self.out.residue == before.residue;
            if (acts && !certain) || outcome.flow != Flow::On {
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
        if let Some(value) = self.variables.value(subject) {
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
                let value = self.variables.value(word);
                self.variables.set(name, value);
            }
            let runs = simple
                .assignments
                .iter()
                .any(|(_, word)| word.iter().any(|part| matches!(part, Part::Command(_))));
            return if runs { UNKNOWN } else { DONE };
        }
        let arguments = self.variables.arguments(&simple.words);
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
                        let value = self.variables.value(&value);
                        self.variables.set(&name, value);
                    }
                }
                return DONE;
            }
            "read" | "unset" => self.variables.forget(rest.iter().flatten().cloned()),
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
        match commands::judge(name, rest, self.kind, &mut self.out.actions) {
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
            self.variables.set(&at.to_string(), value);
        }
    }

    fn call(&mut self, statement: &Statement, body: &List, arguments: &[Option<String>]) -> Outcome {
        if self.calls >= CALLS {
            return self.give_up(statement);
        }
        let saved: Vec<_> = (1..=9usize)
            .map(|at| (at.to_string(), self.variables.get(&at.to_string())))
            .collect();
        self.positional(arguments);
        self.calls += 1;
        let returned = self.doubt.returned;
        let before = self.out.residue.len();
        let outcome = self.list(body);
        if self.out.residue.len() > before {
            self.out.residue.push((statement.first, statement.last)); // its arguments are part of what is not handled
        }
        self.doubt.returned = returned;
        self.calls -= 1;
        for (name, value) in saved {
            self.variables.set(&name, value);
        }
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
                .variables
                .value(&redirect.target)
                .is_some_and(|to| to == "-" || to.bytes().all(|b| b.is_ascii_digit())),
            ">" | ">>" | ">|" => self.variables.value(&redirect.target).as_deref() == Some("/dev/null"),
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

    /// Every variable that `list` may set is unknown from here on.
    fn forget(&mut self, list: &List) {
        for statement in list {
            self.forget_statement(statement);
        }
    }

    fn forget_statement(&mut self, statement: &Statement) {
        let mut names = Vec::new();
        assigned(statement, &mut names);
        self.variables.forget(names);
    }
}
