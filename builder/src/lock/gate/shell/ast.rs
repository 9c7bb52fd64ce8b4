//! The parts of a script.

/// Statements in order.
pub(in super::super) type List = Vec<Statement>;

/// One statement and the lines that it covers (from 1, both included; here-documents count).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Statement {
    pub(in super::super) first: usize,
    pub(in super::super) last: usize,
    pub(in super::super) node: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Node {
    Simple(Simple),
    /// `a && b || c`: the first, then each with its operator.
    AndOr(Box<Statement>, Vec<(Joint, Statement)>),
    Pipe(List),
    Not(Box<Statement>),
    /// `if … elif …` as pairs of condition and body, then `else`.
    If(Vec<(List, List)>, List),
    Case(Word, Vec<(Vec<Word>, List)>),
    /// `for`, `while`, `until`: the condition of the latter two, and the body. `for`'s variable and words.
    Loop {
        variable: Option<String>,
        words: Vec<Word>,
        condition: List,
        body: List,
    },
    Function(String, List),
    /// `{ … }`
    Group(List),
    /// `( … )`
    Subshell(List),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Joint {
    And,
    Or,
}

/// A simple command: assignments, words, redirections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct Simple {
    pub(in super::super) assignments: Vec<(String, Word)>,
    pub(in super::super) words: Vec<Word>,
    pub(in super::super) redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Redirect {
    /// `>`, `>>`, `<`, `>&`, `<&`, `<>`, `>|`, `<<`.
    pub(in super::super) operator: &'static str,
    /// The file, or the here-document's text.
    pub(in super::super) target: Word,
}

/// A word before expansion.
pub(in super::super) type Word = Vec<Part>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// Text as it is, and whether it was quoted.
    Text(String, bool),
    /// `$name`, `${name}`, `${name:-word}`, `${name:+word}`, and whether it stands in double quotes.
    Parameter {
        name: String,
        substitute: Option<(Substitute, Word)>,
        quoted: bool,
    },
    /// `$(…)` or backquotes.
    Command(List),
    /// Anything else that is expanded: `${x#y}`, `$((1+1))`.
    Opaque,
    /// The same, where it may give variables a value: `${x:=y}`, `$((x=1))`.
    Sets(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Substitute {
    /// `:-`
    IfEmpty,
    /// `-`
    IfUnset,
    /// `:+`
    UnlessEmpty,
    /// `+`
    UnlessUnset,
}
