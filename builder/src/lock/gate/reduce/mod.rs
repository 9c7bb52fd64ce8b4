//! Follows a script as far as what is known about a first installation decides, and sorts what it would do into actions
//! and residue: lines that nobody handles.
//!
//! What hangs on something unknown is either without effect in every case, or it is residue as a whole.

mod compound;
mod simple;

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use super::{
    Script,
    commands::{Account, Context},
    expand::Variables,
    shell::ast::{Joint, List, Node, Part, Redirect, Simple, Statement, Word},
    walk,
};
use crate::{action::Action, lock::format::ScriptKind};

/// Functions calling functions, at most.
const CALLS: usize = 12;

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
    /// What `local` has to give back when the function that is followed ends.
    locals: Vec<(String, Option<String>)>,
    steps: Rc<Cell<usize>>,
    /// Inside something that may or may not happen.
    uncertain: bool,
    /// A line that nobody handles may have left the function, or the script: what follows may not happen.
    doubt: Doubt,
    context: Context,
    /// See [`super::Script::init_only`].
    init_only: Rc<[String]>,
    out: Reduced,
}

/// Reduces a whole script.
///
/// A script may ask for an account before it makes it. That the account isn't there is only taken for certain when the
/// script itself makes it: so the script is followed again until what was assumed is what it makes.
pub(super) fn reduce(list: &List, script: &Script<'_>) -> Reduced {
    let mut context = Context::new(script.package, script.kind);
    let mut reduced = follow(list, script, context.clone());
    loop {
        let made = Account::made_by(&reduced.actions);
        let assumed: BTreeSet<_> = match &context.absent {
            None => made,
            Some(absent) => absent.intersection(&made).cloned().collect(),
        };
        if context.absent.as_ref() == Some(&assumed) {
            return reduced;
        }
        context.absent = Some(assumed);
        reduced = follow(list, script, context.clone());
    }
}

fn follow(list: &List, script: &Script<'_>, context: Context) -> Reduced {
    let argument = match script.kind {
        ScriptKind::Preinst => "install",
        ScriptKind::Postinst => "configure",
    };
    let mut variables = Variables::default();
    for name in ["2", "3", "4", "DPKG_ROOT"] {
        variables.set(name, Some(String::new()));
    }
    variables.set("1", Some(argument.to_owned()));
    let mut reducer = Reducer {
        variables,
        functions: HashMap::new(),
        calls: 0,
        locals: Vec::new(),
        steps: Rc::default(),
        uncertain: false,
        doubt: Doubt::default(),
        context,
        init_only: script.init_only.into(),
        out: Reduced::default(),
    };
    reducer.list(list);
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
                let mut set: Vec<_> = variable.iter().cloned().collect();
                words.iter().for_each(|word| walk::set_inside(word, &mut set));
                self.variables.forget(set);
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

    /// Makes the whole statement residue.
    fn give_up(&mut self, statement: &Statement) -> Outcome {
        self.out.residue.push((statement.first, statement.last));
        self.forget_statement(statement);
        self.doubt.returned |= walk::contains(statement, &["return"]);
        let mut exits = false;
        self.each_reached(statement, &mut |inside| {
            exits |= walk::may_exit(inside) || self.runs_unseen(inside);
        });
        self.doubt.exited |= exits;
        UNKNOWN
    }

    /// Whether `run` would do nothing at all, were it to happen. Variables that it sets are unknown afterwards.
    fn without_effect(&mut self, run: impl FnOnce(&mut Self) -> Outcome) -> bool {
        let mut trial = self.clone();
        trial.uncertain = true;
        trial.context.made.extend(Account::made_by(&self.out.actions));
        trial.out = Reduced::default();
        let outcome = run(&mut trial);
        self.variables.doubt(trial.variables);
        for (name, body) in trial.functions {
            if self.functions.get(&name) != Some(&body) {
                self.functions.insert(name, None);
            }
        }
        trial.out == Reduced::default() && outcome.flow == Flow::On && trial.doubt == self.doubt
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

    /// Every variable that `list` may set is unknown from here on.
    fn forget(&mut self, list: &List) {
        for statement in list {
            self.forget_statement(statement);
        }
    }

    fn forget_statement(&mut self, statement: &Statement) {
        let (mut names, mut defined, mut unseen) = (Vec::new(), Vec::new(), false);
        self.each_reached(statement, &mut |inside| {
            unseen |= self.runs_unseen(inside);
            walk::assigned(inside, &mut names);
            if let Node::Function(name, _) = &inside.node {
                defined.push((name.clone(), None));
            }
        });
        self.variables.forget(names);
        self.functions.extend(defined);
        if unseen {
            self.variables.forget_all();
            self.functions.values_mut().for_each(|body| *body = None);
        }
    }

    /// Whether a statement runs text that nobody sees here, or a function whose body is unknown: it may set any variable
    /// and define any function anew.
    fn runs_unseen(&self, statement: &Statement) -> bool {
        let Node::Simple(simple) = &statement.node else {
            return false;
        };
        let body = walk::command(statement).and_then(|name| self.functions.get(name));
        walk::runs_unseen(simple) || body.is_some_and(Option::is_none)
    }

    /// Visits what may run with `statement`: all inside it, and the functions that it calls, each once.
    fn each_reached(&self, statement: &Statement, visit: &mut impl FnMut(&Statement)) {
        let mut todo: Vec<Rc<List>> = Vec::new();
        let mut seen = HashSet::new();
        let mut enter = |inside: &Statement, todo: &mut Vec<Rc<List>>| {
            visit(inside);
            if let Some(name) = walk::command(inside)
                && let Some(Some(body)) = self.functions.get(name)
                && seen.insert(name.to_owned())
            {
                todo.push(Rc::clone(body));
            }
        };
        walk::each_inside(statement, &mut |inside| enter(inside, &mut todo));
        while let Some(body) = todo.pop() {
            for statement in body.iter() {
                walk::each_inside(statement, &mut |inside| enter(inside, &mut todo));
            }
        }
    }
}
