//! Statements made of statements: pipes, loops, branches.

use super::{DONE, Flow, Joint, List, Outcome, Reducer, Statement, UNKNOWN, Word};
use crate::lock::gate::{
    expand::matches,
    walk::{contains, set_inside},
};

/// Rounds of a `for` loop that are followed one by one, at most.
const UNROLLED: usize = 40;

impl Reducer {
    /// A pipe's parts run in subshells, at once: only one without effect is understood.
    pub(super) fn pipe(&mut self, statement: &Statement, parts: &[Statement]) -> Outcome {
        let quiet = parts
            .iter()
            .all(|part| self.without_effect(|reducer| reducer.statement(part)));
        if quiet { UNKNOWN } else { self.give_up(statement) }
    }

    pub(super) fn unroll(&mut self, variable: &str, words: &[Word], body: &List) -> Outcome {
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
    pub(super) fn loop_(&mut self, statement: &Statement, words: &[Word], lists: [&List; 2]) -> Outcome {
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
    pub(super) fn unrolls(&self, words: &[Word], body: &List) -> bool {
        let leaves = |statement| contains(statement, &["break", "continue"]);
        words.len() <= UNROLLED
            && self.variables.arguments(words).len() == words.len()
            && self.variables.arguments(words).iter().all(Option::is_some)
            && !body.iter().any(leaves)
    }

    pub(super) fn and_or(
        &mut self,
        whole: &Statement,
        first: &Statement,
        rest: &[(Joint, Statement)],
    ) -> Outcome {
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

    pub(super) fn if_(&mut self, whole: &Statement, branches: &[(List, List)], otherwise: &List) -> Outcome {
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

    pub(super) fn case(&mut self, whole: &Statement, subject: &Word, arms: &[(Vec<Word>, List)]) -> Outcome {
        let mut set = Vec::new();
        set_inside(subject, &mut set);
        self.variables.forget(set);
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
}
