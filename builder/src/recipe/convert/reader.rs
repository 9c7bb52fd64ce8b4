//! Takes values out of tables and collects what is wrong with them.

use std::sync::Arc;

use super::super::{
    located::{Item, Locations},
    node::{Member, Node, Table, Value},
    problem::Problem,
    source::{Location, SourceFile},
};

/// One table of the merged recipe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    /// As the user writes it: `[image]`; empty for the top.
    pub(super) name: &'static str,
    /// Its members; none when the recipe doesn't have the section.
    pub(super) table: Option<&'a Table>,
    /// Where it begins.
    pub(super) place: Option<&'a Location>,
}

impl<'a> Section<'a> {
    /// The whole recipe.
    pub(super) const fn top(table: &'a Table) -> Self {
        Self {
            name: "",
            table: Some(table),
            place: None,
        }
    }

    /// The member called `key`.
    pub(super) fn get(self, key: &str) -> Option<&'a Member> {
        self.table?.get(key)
    }

    /// The text of `key`, when it has one.
    pub(super) fn text(self, key: &str) -> Option<(&'a str, &'a Location)> {
        let node = &self.get(key)?.node;
        text_of(node).map(|text| (text, &node.place))
    }
}

/// What reading collects.
#[derive(Debug)]
pub(super) struct Reader<'f> {
    files: &'f [Arc<SourceFile>],
    problems: Vec<Problem>,
    locations: Locations,
}

impl<'f> Reader<'f> {
    pub(super) fn new(files: &'f [Arc<SourceFile>]) -> Self {
        Self {
            files,
            problems: Vec::new(),
            locations: Locations::default(),
        }
    }

    pub(super) fn finish(self) -> (Vec<Problem>, Locations) {
        (self.problems, self.locations)
    }

    /// Reports a problem.
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Remembers where the recipe says `item`.
    pub(super) fn locate(&mut self, item: Item, place: &Location) {
        self.locations.insert(item, place.clone());
    }

    /// Where the including order puts `place`: a later file decides.
    pub(super) fn rank(&self, place: &Location) -> usize {
        self.files
            .iter()
            .position(|file| std::ptr::eq(file.as_ref(), place.file()))
            .unwrap_or_default()
    }

    /// The section `name` of the top level.
    pub(super) fn section<'a>(&self, top: Section<'a>, name: &'static str) -> Section<'a> {
        let member = top.get(name);
        Section {
            name,
            table: member.and_then(|member| match &member.node.value {
                Value::Table(table) => Some(table),
                _ => None,
            }),
            place: member.map(|member| &member.key),
        }
    }

    /// The value of `key`; when it is missing, that is reported.
    pub(super) fn required<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if section.get(key).is_none() {
            let problem = Problem::new(format!("[{}] needs `{key}`", section.name))
                .help("docs/recipe.md lists all keys; `outcrop new NAME` writes a recipe to start from");
            self.report(match section.place {
                Some(place) => problem.at(place.clone()).label("missing in this section"),
                None => problem,
            });
        }
        self.optional(section, key, parse)
    }

    /// The value of `key`, if it has one; when `parse` refuses it, that is reported.
    pub(super) fn optional<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, place) = section.text(key)?;
        self.parse(text, place, parse)
    }

    /// The items of the list `key` that `parse` accepts, each with its place; the others are reported.
    pub(super) fn list<'a, T>(
        &mut self,
        section: Section<'a>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<(T, &'a Location)> {
        let Some(Value::List(items)) = section.get(key).map(|member| &member.node.value) else {
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|node| {
                let value = self.parse(text_of(node)?, &node.place, &parse)?;
                Some((value, &node.place))
            })
            .collect()
    }

    /// The flag `key`; false when it is missing.
    pub(super) fn flag(&self, section: Section<'_>, key: &str) -> bool {
        matches!(
            section.get(key).map(|member| &member.node.value),
            Some(Value::Flag(true))
        )
    }

    fn parse<T>(
        &mut self,
        text: &str,
        place: &Location,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text)
            .map_err(|message| self.report(Problem::new(message).at(place.clone())))
            .ok()
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
