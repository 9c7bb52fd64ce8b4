//! Simple commands: assignments, builtins, functions, and the commands that `commands` knows.

use super::{
    CALLS, DONE, Doubt, Flow, List, Outcome, Part, Redirect, Reducer, Simple, Statement, UNKNOWN, Word,
};
use crate::lock::gate::{
    commands::{self, Verdict},
    shell::assignment,
    walk::{GETOPTS, set_inside, sets_positional, words},
};

/// How many positional parameters have values of their own.
const POSITIONAL: usize = 9;

const UNKNOWN_ARGUMENTS: [Option<String>; POSITIONAL] = [const { None }; POSITIONAL];

impl Reducer {
    pub(super) fn simple(&mut self, statement: &Statement, simple: &Simple) -> Outcome {
        let mut set = Vec::new();
        words(simple).for_each(|word| set_inside(word, &mut set));
        self.variables.forget(set);
        if !words(simple).all(|word| self.commands_are_quiet(word))
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
        let name = commands::base_name(name);
        match name {
            "exit" => return self.exit(),
            "return" => {
                return Outcome {
                    status: None,
                    flow: Flow::Return,
                };
            }
            "local" | "export" | "readonly" => {
                self.declare(simple, name == "local");
                return DONE;
            }
            "read" | "unset" => self.variables.forget(rest.iter().flatten().cloned()),
            "getopts" => {
                let set = GETOPTS.map(str::to_owned);
                self.variables.forget(rest.iter().flatten().cloned().chain(set));
            }
            "shift" => self.positional(&UNKNOWN_ARGUMENTS),
            "set" if sets_positional(rest.iter().map(Option::as_deref)) => {
                self.positional(&UNKNOWN_ARGUMENTS);
            }
            "update-rc.d" if !self.has_unit(rest) => return self.give_up(statement),
            // debconf's answers; also what the commands of `commands::known` leave there.
            name if name.starts_with("db_") => self.variables.forget(["RET".to_owned()]),
            _ => {}
        }
        let before = (self.doubt != Doubt::default()).then(|| self.out.actions.clone());
        match commands::judge(name, rest, &self.context, &mut self.out.actions) {
            Verdict::Unknown => self.give_up(statement),
            Verdict::Handled(status) => match before {
                Some(before) if before != self.out.actions => {
                    self.out.actions = before;
                    self.give_up(statement)
                }
                _ => Outcome {
                    status,
                    flow: Flow::On,
                },
            },
        }
    }

    /// Ends the script, unless the function that stands here may have been left before: then what follows it may happen.
    fn exit(&mut self) -> Outcome {
        if self.doubt.returned {
            self.doubt.exited = true;
            return UNKNOWN;
        }
        Outcome {
            status: None,
            flow: Flow::Exit,
        }
    }

    fn declare(&mut self, simple: &Simple, local: bool) {
        for word in simple.words.iter().skip(1) {
            let assigned = assignment(word);
            let plain = || self.variables.value(word);
            let name = assigned.as_ref().map(|(name, _)| name.clone()).or_else(plain);
            if let Some(name) = name.filter(|_| local && self.calls > 0) {
                let before = self.variables.get(&name);
                self.locals.push((name, before));
            }
            if let Some((name, value)) = assigned {
                let value = self.variables.value(&value);
                self.variables.set(&name, value);
            }
        }
    }

    /// Whether an init script has a unit, which systemd starts in its place.
    fn has_unit(&self, arguments: &[Option<String>]) -> bool {
        let named = |word: &Option<String>| word.as_ref().is_none_or(|word| self.init_only.contains(word));
        self.init_only.is_empty() || !arguments.iter().any(named)
    }

    fn positional(&mut self, arguments: &[Option<String>]) {
        for at in 1..=POSITIONAL {
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
        let saved: Vec<_> = (1..=POSITIONAL)
            .map(|at| (at.to_string(), self.variables.get(&at.to_string())))
            .collect();
        self.positional(arguments);
        self.calls += 1;
        let locals = self.locals.len();
        let returned = self.doubt.returned;
        let before = self.out.residue.len();
        let outcome = self.list(body);
        if self.out.residue.len() > before {
            self.out.residue.push((statement.first, statement.last)); // its arguments are part of what is not handled
        }
        self.doubt.returned = returned;
        self.calls -= 1;
        for (name, value) in self.locals.split_off(locals).into_iter().rev().chain(saved) {
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
    pub(super) fn commands_are_quiet(&mut self, word: &Word) -> bool {
        word.iter().all(|part| match part {
            Part::Command(list) => {
                // A subshell: what it sets and defines stays there.
                let (variables, functions) = (self.variables.clone(), self.functions.clone());
                let quiet = self.without_effect(|reducer| Outcome {
                    flow: Flow::On,
                    ..reducer.list(list)
                });
                (self.variables, self.functions) = (variables, functions);
                quiet
            }
            Part::Parameter {
                substitute: Some((_, inner)),
                ..
            } => self.commands_are_quiet(inner),
            _ => true,
        })
    }
}
