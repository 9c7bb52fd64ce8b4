//! Text to tokens.

use super::{
    ShellError,
    ast::{List, Part, Substitute, Word},
    parser,
    parts::{here_document, is_quoted, opaque, plain, push_text, redirected_number},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `&&`, `||`, `;;`, `;`, `|`, `&`, `(`, `)`, or a redirection with its optional number left out.
    Operator(&'static str),
    Newline,
}

/// A token and the line it starts on; for a here-document's text, the line it ends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: usize,
    /// The last line: differs from `line` for words that span lines and for here-documents.
    pub(super) last: usize,
}

/// Longest first.
const OPERATORS: [&str; 17] = [
    "<<-", "&&", "||", ";;", "<<", ">>", ">&", "<&", "<>", ">|", ";", "|", "&", "(", ")", "<", ">",
];

/// Substitutions inside substitutions, at most.
const DEPTH: usize = 12;

pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
    tokens: Vec<Placed>,
    /// Here-documents whose text begins after the next line break: index of the delimiter's token, strip tabs.
    pending: Vec<(usize, bool)>,
}

/// Splits `text`, whose first line is number `line`, into tokens.
pub(super) fn tokens(text: &str, line: usize, depth: usize) -> Result<Vec<Placed>, ShellError> {
    let mut lexer = Lexer {
        rest: text,
        line,
        depth,
        tokens: Vec::new(),
        pending: Vec::new(),
    };
    if depth > DEPTH {
        return Err(lexer.error("substitutions nested too deeply"));
    }
    while lexer.token()? {}
    if lexer.pending.is_empty() {
        Ok(lexer.tokens)
    } else {
        Err(lexer.error("here-document without its text"))
    }
}

/// Whether bash would make several words of this one: `{a,b}`, `{1..3}`. To other shells that is plain text; nobody writes it there.
/// Source: Bash Reference Manual, "Brace Expansion".
fn has_brace_expansion(word: &Word) -> bool {
    let plain: String = word
        .iter()
        .map(|part| match part {
            Part::Text(text, false) => text.as_str(),
            _ => "x", // whatever it is, it is part of the word
        })
        .collect();
    plain.match_indices('{').any(|(open, _)| {
        let inside = plain[open..].find('}').map(|close| &plain[open..open + close]);
        inside.is_some_and(|inside| inside.contains(',') || inside.contains(".."))
    })
}

impl Lexer<'_> {
    fn error(&self, what: &'static str) -> ShellError {
        ShellError {
            line: self.line,
            what,
        }
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest.starts_with(prefix);
        for _ in 0..if found { prefix.chars().count() } else { 0 } {
            self.bump();
        }
        found
    }

    /// Reads one token; false at the end.
    fn token(&mut self) -> Result<bool, ShellError> {
        while self.eat(" ") || self.eat("\t") || self.eat("\\\n") {}
        if self.rest.starts_with('#') {
            while !self.rest.is_empty() && !self.rest.starts_with('\n') {
                self.bump();
            }
        }
        let line = self.line;
        if self.rest.is_empty() {
            return Ok(false);
        }
        if self.eat("\n") {
            self.tokens.push(Placed {
                token: Token::Newline,
                line,
                last: line,
            });
            return self.here_documents().map(|()| true);
        }
        if let Some(operator) = OPERATORS.into_iter().find(|operator| self.eat(operator)) {
            return self.operator(operator, line).map(|()| true);
        }
        let word = self.word()?;
        let token = match (redirected_number(&word), self.rest.starts_with(['<', '>'])) {
            (true, true) => return Ok(true), // `2` of `2>`: which stream it is does not matter here
            _ => Token::Word(word),
        };
        self.tokens.push(Placed {
            token,
            line,
            last: self.line,
        });
        if let Some((at, _)) = self.pending.last()
            && *at == usize::MAX
        {
            let index = self.tokens.len() - 1;
            if let Some(pending) = self.pending.last_mut() {
                pending.0 = index;
            }
        }
        Ok(true)
    }

    fn operator(&mut self, operator: &'static str, line: usize) -> Result<(), ShellError> {
        if operator.starts_with("<<") {
            if self.pending.last().is_some_and(|(at, _)| *at == usize::MAX) {
                return Err(self.error("here-document without a delimiter"));
            }
            self.pending.push((usize::MAX, operator == "<<-"));
        }
        let operator = if operator == "<<-" { "<<" } else { operator };
        self.tokens.push(Placed {
            token: Token::Operator(operator),
            line,
            last: line,
        });
        Ok(())
    }

    /// Reads the texts of the here-documents that the line just ended announced; each takes its delimiter's place.
    fn here_documents(&mut self) -> Result<(), ShellError> {
        for (at, strip) in std::mem::take(&mut self.pending) {
            let delimiter = self.tokens.get(at).and_then(|placed| plain(&placed.token));
            let quoted = self.tokens.get(at).is_some_and(|placed| is_quoted(&placed.token));
            let delimiter =
                delimiter.ok_or_else(|| self.error("here-document with an expanded delimiter"))?;
            let mut text = String::new();
            let mut last;
            loop {
                if self.rest.is_empty() {
                    return Err(self.error("here-document without an end"));
                }
                last = self.line;
                let line: String = std::iter::from_fn(|| self.bump().filter(|&c| c != '\n')).collect();
                let line = if strip {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if line == delimiter {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            if let Some(placed) = self.tokens.get_mut(at) {
                placed.last = last;
                placed.token = Token::Word(here_document(text, quoted));
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Word, ShellError> {
        let mut word = Word::new();
        while let Some(next) = self.rest.chars().next() {
            match next {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => {
                    self.bump();
                    let text = self.until('\'')?;
                    word.push(Part::Text(text, true));
                }
                '"' => {
                    self.bump();
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.bump();
                    match self.bump() {
                        Some('\n') => {}
                        Some(escaped) => word.push(Part::Text(escaped.to_string(), true)),
                        None => return Err(self.error("backslash at the end")),
                    }
                }
                '$' => self.dollar(&mut word, false)?,
                '`' => self.backquoted(&mut word)?,
                _ => {
                    self.bump();
                    push_text(&mut word, next, false);
                }
            }
        }
        if has_brace_expansion(&word) {
            return Err(self.error("braces that bash makes several words of"));
        }
        Ok(word)
    }

    fn until(&mut self, end: char) -> Result<String, ShellError> {
        let mut text = String::new();
        loop {
            match self.bump() {
                Some(next) if next == end => return Ok(text),
                Some(next) => text.push(next),
                None => return Err(self.error("quote without an end")),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), ShellError> {
        word.push(Part::Text(String::new(), true)); // "" is a word
        loop {
            match self.rest.chars().next() {
                Some('"') => {
                    self.bump();
                    return Ok(());
                }
                Some('\\') => {
                    self.bump();
                    match self.bump() {
                        Some('\n') => {}
                        Some(escaped @ ('$' | '`' | '"' | '\\')) => push_text(word, escaped, true),
                        Some(other) => {
                            push_text(word, '\\', true);
                            push_text(word, other, true);
                        }
                        None => return Err(self.error("quote without an end")),
                    }
                }
                Some('$') => self.dollar(word, true)?,
                Some('`') => self.backquoted(word)?,
                Some(next) => {
                    self.bump();
                    push_text(word, next, true);
                }
                None => return Err(self.error("quote without an end")),
            }
        }
    }

    fn backquoted(&mut self, word: &mut Word) -> Result<(), ShellError> {
        self.bump();
        let line = self.line;
        let text = self.until('`')?;
        if text.contains('\\') {
            return Err(self.error("backslash inside backquotes"));
        }
        word.push(Part::Command(self.inner(&text, line)?));
        Ok(())
    }

    fn inner(&self, text: &str, line: usize) -> Result<List, ShellError> {
        parser::parse_inner(text, line, self.depth + 1)
    }

    /// `$` and what follows it.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), ShellError> {
        self.bump();
        if self.rest.starts_with("((") {
            let text = self.balanced()?;
            self.arithmetic(&text, word)?;
        } else if self.rest.starts_with('(') {
            let line = self.line;
            let text = self.balanced()?;
            word.push(Part::Command(self.inner(&text, line)?));
        } else if self.eat("{") {
            let part = self.braced(quoted)?;
            word.push(part);
        } else {
            self.plain_parameter(word, quoted);
        }
        Ok(())
    }

    /// A lexer of text that stands inside an expansion.
    fn within<'t>(&self, text: &'t str) -> Lexer<'t> {
        Lexer {
            rest: text,
            line: self.line,
            depth: self.depth + 1,
            tokens: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// `$((…))`, of which `text` is what stands between the outer parentheses: commands that are substituted in it run, its
    /// value is unknown. `$((a); b)` would be commands altogether, and is refused.
    fn arithmetic(&self, text: &str, word: &mut Word) -> Result<(), ShellError> {
        let mut open = 0usize;
        let closes_early = text.char_indices().any(|(at, next)| {
            open += usize::from(next == '(');
            open = open.saturating_sub(usize::from(next == ')'));
            open == 0 && at + 1 < text.len()
        });
        if closes_early || self.depth >= DEPTH {
            return Err(self.error("commands that look like $(())"));
        }
        let mut inner = self.within(text);
        while let Some(next) = inner.rest.chars().next() {
            match next {
                '$' if inner.rest.starts_with("$(") => inner.dollar(word, true)?,
                '`' => inner.backquoted(word)?,
                _ => {
                    inner.bump();
                }
            }
        }
        word.push(opaque(text));
        Ok(())
    }

    fn plain_parameter(&mut self, word: &mut Word, quoted: bool) {
        let first = self.rest.chars().next();
        let name = match first {
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.bump();
                c.to_string()
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name(),
            _ => return push_text(word, '$', quoted),
        };
        word.push(Part::Parameter {
            name,
            substitute: None,
            quoted,
        });
    }

    fn name(&mut self) -> String {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let name = self.rest[..length].to_owned();
        self.eat(&name);
        name
    }

    /// After `${`.
    fn braced(&mut self, quoted: bool) -> Result<Part, ShellError> {
        let name = self.name();
        if !name.is_empty() && self.eat("}") {
            return Ok(Part::Parameter {
                name,
                substitute: None,
                quoted,
            });
        }
        let line = self.line;
        let text = self.braced_rest()?;
        let kinds = [
            (":-", Substitute::IfEmpty),
            ("-", Substitute::IfUnset),
            (":+", Substitute::UnlessEmpty),
            ("+", Substitute::UnlessUnset),
        ];
        let Some((kind, value)) = kinds
            .iter()
            .find_map(|(sign, kind)| Some((*kind, text.strip_prefix(sign)?)))
        else {
            return Ok(opaque(&format!("{name}{text}")));
        };
        let mut inner = self.within(value);
        inner.line = line;
        let substitute = inner.word()?;
        if name.is_empty() || !inner.rest.is_empty() || self.depth >= DEPTH {
            return Ok(opaque(&text));
        }
        Ok(Part::Parameter {
            name,
            substitute: Some((kind, substitute)),
            quoted,
        })
    }

    /// The text up to the `}` that closes; a command substitution inside is refused.
    fn braced_rest(&mut self) -> Result<String, ShellError> {
        let mut text = String::new();
        let mut open = 1usize;
        while let Some(next) = self.bump() {
            match next {
                '{' => open += 1,
                '}' => open -= 1,
                '`' => return Err(self.error("command substitution inside ${}")),
                '$' if self.rest.starts_with('(') => {
                    return Err(self.error("command substitution inside ${}"));
                }
                _ => {}
            }
            if open == 0 {
                return Ok(text);
            }
            text.push(next);
        }
        Err(self.error("${ without }"))
    }

    /// The text inside the parentheses that open here. Quotes are respected; `case` inside is refused, because its
    /// patterns hold lone parentheses.
    fn balanced(&mut self) -> Result<String, ShellError> {
        let mut text = String::new();
        let mut open = 0usize;
        loop {
            let Some(next) = self.bump() else {
                return Err(self.error("( without )"));
            };
            match next {
                '(' => open += 1,
                ')' => open -= 1,
                '\'' => {
                    text.push(next);
                    text.push_str(&self.until('\'')?);
                }
                '"' => {
                    text.push(next);
                    self.skip_double_quoted(&mut text)?;
                    continue;
                }
                '\\' => {
                    text.push(next);
                    text.extend(self.bump());
                    continue;
                }
                _ => {}
            }
            text.push(next);
            if open == 0 {
                break;
            }
        }
        if text
            .split_ascii_whitespace()
            .any(|word| word.ends_with("case") || word == "#")
        {
            return Err(self.error("case or a comment inside a substitution"));
        }
        Ok(text[1..text.len() - 1].to_owned())
    }

    fn skip_double_quoted(&mut self, text: &mut String) -> Result<(), ShellError> {
        loop {
            let Some(next) = self.bump() else {
                return Err(self.error("quote without an end"));
            };
            text.push(next);
            match next {
                '"' => return Ok(()),
                '\\' => text.extend(self.bump()),
                '$' if self.rest.starts_with('(') => {
                    let inner = self.balanced()?;
                    text.push('(');
                    text.push_str(&inner);
                    text.push(')');
                }
                _ => {}
            }
        }
    }
}
