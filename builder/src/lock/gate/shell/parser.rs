//! Tokens to statements.

use super::{
    ShellError,
    ast::{Joint, List, Node, Part, Redirect, Simple, Statement, Word},
    lexer::{Placed, Token, tokens},
};

/// Statements inside statements, at most.
const DEPTH: usize = 40;

/// Words that open, divide or close a compound command when they stand where a command begins.
const RESERVED: [&str; 16] = [
    "if", "then", "elif", "else", "fi", "case", "esac", "for", "while", "until", "do", "done", "{", "}", "!",
    "function",
];

/// Reads a script.
pub(in super::super) fn parse(text: &str) -> Result<List, ShellError> {
    parse_inner(text, 1, 0)
}

/// Reads the text of a substitution at `depth`.
pub(super) fn parse_inner(text: &str, line: usize, depth: usize) -> Result<List, ShellError> {
    let mut parser = Parser {
        tokens: tokens(text, line, depth)?,
        at: 0,
        depth: 0,
    };
    let list = parser.list()?;
    if parser.at < parser.tokens.len() {
        return Err(parser.error("unexpected word or sign"));
    }
    Ok(list)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, ShellError>;

impl Parser {
    fn error(&self, what: &'static str) -> ShellError {
        let placed = self.tokens.get(self.at).or(self.tokens.last());
        ShellError {
            line: placed.map_or(1, |placed| placed.line),
            what,
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |placed| placed.line)
    }

    /// Last line of the token just read.
    fn last(&self) -> usize {
        self.tokens
            .get(self.at.saturating_sub(1))
            .map_or(1, |placed| placed.last)
    }

    fn operator(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Operator(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    /// The next token, when it is a word of unquoted plain text.
    fn plain(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => match word.as_slice() {
                [Part::Text(text, false)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.plain() == Some(keyword);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, keyword: &'static str) -> Parsed<()> {
        if self.keyword(keyword) {
            Ok(())
        } else {
            Err(self.error("a keyword is missing"))
        }
    }

    fn newlines(&mut self) {
        while matches!(self.peek(), Some(Token::Newline)) {
            self.at += 1;
        }
    }

    /// Statements up to a closing keyword, `)`, `;;` or the end.
    fn list(&mut self) -> Parsed<List> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error("nested too deeply"));
        }
        let mut list = List::new();
        loop {
            while self.operator(";") || matches!(self.peek(), Some(Token::Newline)) {
                self.newlines();
            }
            let ends = match self.peek() {
                None | Some(Token::Operator(")" | ";;")) => true,
                _ => matches!(
                    self.plain(),
                    Some("then" | "elif" | "else" | "fi" | "esac" | "do" | "done" | "}")
                ),
            };
            if ends {
                break;
            }
            list.push(self.and_or()?);
            if !matches!(
                self.peek(),
                None | Some(Token::Newline | Token::Operator(";" | ")" | ";;"))
            ) {
                return Err(self.error("unexpected word or sign"));
            }
        }
        self.depth -= 1;
        Ok(list)
    }

    fn placed(&self, first: usize, node: Node) -> Statement {
        Statement {
            first,
            last: self.last().max(first),
            node,
        }
    }

    fn and_or(&mut self) -> Parsed<Statement> {
        let first_line = self.line();
        let first = self.pipe()?;
        let mut rest = Vec::new();
        loop {
            let joint = if self.operator("&&") {
                Joint::And
            } else if self.operator("||") {
                Joint::Or
            } else {
                break;
            };
            self.newlines();
            rest.push((joint, self.pipe()?));
        }
        let background = self.operator("&");
        if rest.is_empty() && !background {
            return Ok(first);
        }
        if background {
            return Err(self.error("a command in the background"));
        }
        Ok(self.placed(first_line, Node::AndOr(Box::new(first), rest)))
    }

    fn pipe(&mut self) -> Parsed<Statement> {
        let line = self.line();
        if self.keyword("!") {
            let inner = self.pipe()?;
            return Ok(self.placed(line, Node::Not(Box::new(inner))));
        }
        let mut parts = vec![self.command()?];
        while self.operator("|") {
            self.newlines();
            parts.push(self.command()?);
        }
        if parts.len() == 1 {
            return parts.pop().ok_or_else(|| self.error("no command"));
        }
        Ok(self.placed(line, Node::Pipe(parts)))
    }

    fn command(&mut self) -> Parsed<Statement> {
        let line = self.line();
        let node = self.compound()?;
        let node = match node {
            Some(node) => node,
            None => return self.simple(),
        };
        let mut redirects = Vec::new();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        let statement = self.placed(line, node);
        if redirects.is_empty() {
            return Ok(statement);
        }
        // A redirected compound command is a simple one that writes, preceded by what it runs.
        let simple = Simple {
            redirects,
            ..Simple::default()
        };
        let write = Statement {
            first: statement.first,
            last: statement.last,
            node: Node::Simple(simple),
        };
        Ok(self.placed(line, Node::Group(vec![write, statement])))
    }

    fn compound(&mut self) -> Parsed<Option<Node>> {
        if self.operator("(") {
            let list = self.list()?;
            return if self.operator(")") {
                Ok(Some(Node::Subshell(list)))
            } else {
                Err(self.error("( without )"))
            };
        }
        let node = match self.plain() {
            Some("if") => self.if_()?,
            Some("case") => self.case()?,
            Some("for") => self.for_()?,
            Some("while" | "until") => self.while_()?,
            Some("{") => {
                self.at += 1;
                let list = self.list()?;
                self.expect("}")?;
                Node::Group(list)
            }
            Some(word) if RESERVED.contains(&word) => return Err(self.error("a keyword in the wrong place")),
            _ => return self.function(),
        };
        Ok(Some(node))
    }

    /// `name() { … }`
    fn function(&mut self) -> Parsed<Option<Node>> {
        let Some(name) = self.plain().map(str::to_owned) else {
            return Ok(None);
        };
        let signs = (self.tokens.get(self.at + 1), self.tokens.get(self.at + 2));
        let is = |placed: Option<&Placed>, sign| {
            placed.is_some_and(|placed| placed.token == Token::Operator(sign))
        };
        if !is(signs.0, "(") || !is(signs.1, ")") {
            return Ok(None);
        }
        self.at += 3;
        self.newlines();
        self.expect("{")?;
        let body = self.list()?;
        self.expect("}")?;
        Ok(Some(Node::Function(name, body)))
    }

    fn if_(&mut self) -> Parsed<Node> {
        let mut branches = Vec::new();
        let mut otherwise = List::new();
        while branches.is_empty() && self.keyword("if") || self.keyword("elif") {
            let condition = self.list()?;
            self.expect("then")?;
            branches.push((condition, self.list()?));
        }
        if self.keyword("else") {
            otherwise = self.list()?;
        }
        self.expect("fi")?;
        Ok(Node::If(branches, otherwise))
    }

    fn any_word(&mut self) -> Parsed<Word> {
        let word = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.error("a word is missing")),
        };
        self.at += 1;
        Ok(word)
    }

    fn case(&mut self) -> Parsed<Node> {
        self.expect("case")?;
        let subject = self.any_word()?;
        self.newlines();
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines();
            if self.keyword("esac") {
                return Ok(Node::Case(subject, arms));
            }
            self.operator("(");
            let mut patterns = vec![self.any_word()?];
            while self.operator("|") {
                patterns.push(self.any_word()?);
            }
            if !self.operator(")") {
                return Err(self.error("a case pattern without )"));
            }
            arms.push((patterns, self.list()?));
            self.operator(";;");
        }
    }

    fn for_(&mut self) -> Parsed<Node> {
        self.expect("for")?;
        let variable = self
            .plain()
            .map(str::to_owned)
            .ok_or_else(|| self.error("for without a variable"))?;
        self.at += 1;
        self.newlines();
        let mut words = Vec::new();
        if self.keyword("in") {
            while matches!(self.peek(), Some(Token::Word(_))) {
                words.push(self.any_word()?);
            }
        } else {
            words.push(vec![Part::Opaque]); // "$@"
        }
        self.operator(";");
        self.newlines();
        self.loop_body(Some(variable), words, List::new())
    }

    fn while_(&mut self) -> Parsed<Node> {
        self.at += 1;
        let condition = self.list()?;
        self.loop_body(None, Vec::new(), condition)
    }

    fn loop_body(&mut self, variable: Option<String>, words: Vec<Word>, condition: List) -> Parsed<Node> {
        self.expect("do")?;
        let body = self.list()?;
        self.expect("done")?;
        Ok(Node::Loop {
            variable,
            words,
            condition,
            body,
        })
    }

    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let operator = match self.peek() {
            Some(Token::Operator(sign)) if sign.starts_with(['<', '>']) => *sign,
            _ => return Ok(None),
        };
        self.at += 1;
        let target = self.any_word()?;
        Ok(Some(Redirect { operator, target }))
    }

    fn simple(&mut self) -> Parsed<Statement> {
        let line = self.line();
        let mut simple = Simple::default();
        let begin = self.at;
        let mut last = line;
        loop {
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
            } else if matches!(self.peek(), Some(Token::Word(_))) {
                let word = self.any_word()?;
                match assignment(&word) {
                    Some(assignment) if simple.words.is_empty() => simple.assignments.push(assignment),
                    _ => simple.words.push(word),
                }
            } else {
                break;
            }
            last = last.max(self.last());
        }
        if self.at == begin {
            return Err(self.error("a command is missing"));
        }
        Ok(Statement {
            first: line,
            last,
            node: Node::Simple(simple),
        })
    }
}

/// `name=value`
pub(in super::super) fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Text(text, false)) = word.first() else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    let head = name.chars().next()?;
    if !(head.is_ascii_alphabetic() || head == '_')
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return None;
    }
    let mut rest = Word::new();
    if !value.is_empty() {
        rest.push(Part::Text(value.to_owned(), false));
    }
    rest.extend(word.iter().skip(1).cloned());
    Some((name.to_owned(), rest))
}
