//! Parts of words: how text grows, and what can be told of a token without following the script.

use super::{
    ast::{Part, Word},
    lexer::Token,
};

pub(super) fn push_text(word: &mut Word, next: char, quoted: bool) {
    if let Some(Part::Text(text, same)) = word.last_mut()
        && *same == quoted
    {
        text.push(next);
    } else {
        word.push(Part::Text(next.to_string(), quoted));
    }
}

pub(super) fn redirected_number(word: &Word) -> bool {
    matches!(word.as_slice(), [Part::Text(text, false)] if text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit()))
}

/// The text of a word without expansions.
pub(super) fn plain(token: &Token) -> Option<String> {
    let Token::Word(word) = token else { return None };
    word.iter()
        .map(|part| {
            if let Part::Text(text, _) = part {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn is_quoted(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.iter().any(|part| matches!(part, Part::Text(_, true))))
}

/// An expansion whose value is unknown. Every name in it may get one when it assigns anything.
pub(super) fn opaque(text: &str) -> Part {
    if !["=", "++", "--"].iter().any(|sign| text.contains(sign)) {
        return Part::Opaque;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_name(c));
    let names = words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    Part::Sets(names.map(str::to_owned).collect())
}

/// Parameters in it are not told apart from text, but for those that are set; commands are: they would run.
pub(super) fn here_document(text: String, quoted: bool) -> Word {
    if !quoted && (text.contains("$(") || text.contains('`')) {
        return vec![Part::Opaque];
    }
    if !quoted && text.contains("${") && text.contains('=') {
        return vec![opaque(&text), Part::Text(text, true)];
    }
    vec![Part::Text(text, true)]
}
