//! A recipe as TOML says it: values with their places, before anything is known about their meaning.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::source::{Location, SourceFile};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Location,
}

/// A TOML value, as far as recipes use them.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
    /// A type that no key has, by its name; or an integer of more than 64 bits.
    Foreign(&'static str),
    /// Reported already: present, but of no use.
    Bad,
}

/// A table: members by key.
pub(super) type Table = BTreeMap<String, Member>;

/// One key and its value.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Where the key stands.
    pub(super) key: Location,
    pub(super) node: Node,
}

impl Value {
    /// What the user would call the value's type.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Foreign(name) => name,
            Self::Bad => "a bad value",
        }
    }
}

/// Parses `file` as TOML 1.1, or gives every syntax error with its place.
pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Table, Vec<(String, Option<Location>)>> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    if errors.is_empty() {
        return Ok(table_of(file, table.get_ref()));
    }
    let place = |span: Range<usize>| Location::new(Arc::clone(file), span);
    Err(errors
        .iter()
        .map(|error| (error.message().to_owned(), error.span().map(place)))
        .collect())
}

fn table_of(file: &Arc<SourceFile>, table: &DeTable<'_>) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let member = Member {
                key: Location::new(Arc::clone(file), key.span()),
                node: node_of(file, value),
            };
            (key.get_ref().to_string(), member)
        })
        .collect()
}

fn node_of(file: &Arc<SourceFile>, value: &Spanned<DeValue<'_>>) -> Node {
    let place = Location::new(Arc::clone(file), value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Foreign("a number of more than 64 bits"), Value::Integer),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node_of(file, item)).collect()),
        DeValue::Table(table) => Value::Table(table_of(file, table)),
        DeValue::Float(_) => Value::Foreign("a fraction"),
        DeValue::Datetime(_) => Value::Foreign("a date"),
    };
    Node { value, place }
}
