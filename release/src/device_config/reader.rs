//! Takes values out of TOML's tables, and collects what is wrong with them.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{MOST, Problem};

/// One table of the file.
#[derive(Debug, Clone)]
pub(super) struct Section<'t> {
    /// As the user writes it: `[network]`; empty for the top.
    name: String,
    table: &'t DeTable<'t>,
    /// Where it stands.
    place: Range<usize>,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) const fn top(table: &'t DeTable<'t>) -> Self {
        Self {
            name: String::new(),
            table,
            place: 0..0,
        }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// Its members' names and places.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'t str, Range<usize>)> + use<'t> {
        self.table
            .iter()
            .map(|(key, _)| (key.get_ref().as_ref(), key.span()))
    }

    /// Where the value of `key` stands, when there is one.
    pub(super) fn place_of(&self, key: &str) -> Option<Range<usize>> {
        self.table.get(key).map(Spanned::span)
    }

    fn child(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }
}

/// What reading collects.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
    unknown: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Problems, and keys that this program doesn't know.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.unknown)
    }

    pub(super) fn report(&mut self, place: Range<usize>, message: impl Into<String>) {
        if self.problems.len() >= MOST {
            return;
        }
        self.problems.push(Problem::new(self.text, place, message));
    }

    /// Reports the keys of `section` that aren't `known`.
    pub(super) fn known(&mut self, section: &Section<'t>, known: &[&str]) {
        let room = MOST.saturating_sub(self.unknown.len());
        let unknown = section.keys().filter(|(key, _)| !known.contains(key));
        for (key, place) in unknown.take(room) {
            let of = match section.name.as_str() {
                "" => "the file".to_owned(),
                name => format!("[{name}]"),
            };
            let message = format!(
                "{} is no key of {of}, which has {}",
                quoted(key),
                known.join(", ")
            );
            self.unknown.push(Problem::new(self.text, place, message));
        }
    }

    /// The table `key`.
    pub(super) fn section(&mut self, parent: &Section<'t>, key: &str) -> Option<Section<'t>> {
        let value = parent.table.get(key)?;
        self.table(value, parent.child(key))
    }

    /// The tables of the list `key`.
    pub(super) fn sections(&mut self, parent: &Section<'t>, key: &str) -> Vec<Section<'t>> {
        let Some(value) = parent.table.get(key) else {
            return Vec::new();
        };
        let name = parent.child(key);
        let DeValue::Array(items) = value.get_ref() else {
            self.report(
                value.span(),
                format!("{name} is a list of tables: write [[{name}]]"),
            );
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| self.table(item, name.clone()))
            .collect()
    }

    /// Every member of `parent` as a table, by its name.
    pub(super) fn named_sections(
        &mut self,
        parent: &Section<'t>,
    ) -> Vec<(&'t str, Range<usize>, Section<'t>)> {
        parent
            .table
            .iter()
            .filter_map(|(key, value)| {
                let name: &'t str = key.get_ref();
                Some((name, key.span(), self.table(value, parent.child("NAME"))?))
            })
            .collect()
    }

    /// Every member of `parent` as a text, by its name.
    pub(super) fn named_texts(
        &mut self,
        parent: &Section<'t>,
    ) -> Vec<(&'t str, Range<usize>, &'t str, Range<usize>)> {
        parent
            .table
            .iter()
            .filter_map(|(key, value)| {
                let name: &'t str = key.get_ref();
                Some((name, key.span(), self.text_of(value)?, value.span()))
            })
            .collect()
    }

    /// The text `key`, when `parse` takes it.
    pub(super) fn text<T>(
        &mut self,
        section: &Section<'t>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = section.table.get(key)?;
        let text = self.text_of(value)?;
        self.parse(text, value.span(), parse)
    }

    /// Those items of the list of texts `key` that `parse` takes, each with its place.
    pub(super) fn texts<T>(
        &mut self,
        section: &Section<'t>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<(T, Range<usize>)> {
        let Some(value) = section.table.get(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.report(
                value.span(),
                format!("{key} is a list of texts: write {key} = [\"...\"]"),
            );
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            let parsed = self
                .text_of(item)
                .and_then(|text| self.parse(text, item.span(), &parse));
            texts.extend(parsed.map(|value| (value, item.span())));
        }
        texts
    }

    /// The flag `key`.
    pub(super) fn flag(&mut self, section: &Section<'t>, key: &str) -> Option<bool> {
        let value = section.table.get(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.report(value.span(), format!("{key} takes true or false"));
        None
    }

    /// The number `key`, when it is one from `range`.
    pub(super) fn number(
        &mut self,
        section: &Section<'t>,
        key: &str,
        range: std::ops::RangeInclusive<u16>,
    ) -> Option<u16> {
        let value = section.table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("{key} is a number from {} to {}", range.start(), range.end());
            self.report(value.span(), message);
        }
        number
    }

    fn table(&mut self, value: &'t Spanned<DeValue<'t>>, name: String) -> Option<Section<'t>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.report(value.span(), format!("{name} is a table: write [{name}]"));
            return None;
        };
        let place = value.span();
        Some(Section { name, table, place })
    }

    /// What isn't text isn't quoted: it may be a secret without its quotes.
    fn text_of(&mut self, value: &'t Spanned<DeValue<'t>>) -> Option<&'t str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text);
        }
        self.report(
            value.span(),
            "this takes a text: write it between quotation marks",
        );
        None
    }

    fn parse<T>(
        &mut self,
        text: &str,
        place: Range<usize>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|message| self.report(place, message)).ok()
    }
}

/// A value in a message: short, on one line, without control characters.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
