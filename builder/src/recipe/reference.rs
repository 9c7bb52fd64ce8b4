//! `docs/recipe.md`: the reference of all keys, from the table that recipes are checked against.

use std::fmt::Write as _;

use super::keys::{Key, Need, RECIPE, Shape};

/// What the reference says before the keys.
const INTRODUCTION: &str = include_str!("reference.md");

/// The whole text of `docs/recipe.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = format!(
        "<!-- Generated from builder/src/recipe/keys.rs and reference.md: `OUTCROP_WRITE_DOCS=1 cargo test -p \
         outcrop-builder --lib docs` writes it. -->\n\n{INTRODUCTION}\n## Keys\n\n### Top of the file\n\n"
    );
    let (sections, plain): (Vec<&Key>, Vec<&Key>) =
        RECIPE.iter().partition(|key| keys_of(key.shape).is_some());
    keys(&mut text, &plain);
    for section in sections {
        let heading = match section.shape {
            Shape::Tables(_) => format!("[[{}]]", section.name),
            Shape::Map { key, .. } => format!("[{}.{key}]", section.name),
            _ => format!("[{}]", section.name),
        };
        paragraph(&mut text, &format!("### `{heading}`"));
        paragraph(&mut text, section.text);
        keys(
            &mut text,
            &keys_of(section.shape)
                .unwrap_or_default()
                .iter()
                .collect::<Vec<_>>(),
        );
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The keys of a section; none for a plain value.
fn keys_of(shape: Shape) -> Option<&'static [Key]> {
    match shape {
        Shape::Table(keys) | Shape::Tables(keys) => Some(keys),
        Shape::Map { value, .. } => keys_of(*value),
        _ => None,
    }
}

fn paragraph(text: &mut String, words: &str) {
    text.push_str(words);
    text.push_str("\n\n");
}

fn keys(text: &mut String, keys: &[&Key]) {
    for key in keys {
        let need = match key.need {
            Need::Required => ", required".to_owned(),
            Need::Default("") => String::new(),
            Need::Default(default) => format!(", default: {default}"),
        };
        let _infallible = writeln!(text, "* **`{}`** ({}{need})  ", key.name, type_of(key.shape));
        let _infallible = writeln!(text, "  {}", key.text);
    }
    text.push('\n');
}

fn type_of(shape: Shape) -> String {
    match shape {
        Shape::Text("text") => "text".to_owned(),
        Shape::Text(of) => format!("text: {of}"),
        Shape::Integer => "number".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::Append(of) => format!("list of {of}; including files add to it"),
        Shape::Replace(of) => format!("list of {of}; an including file's list replaces it"),
        Shape::Map { key, value } => format!("table: {key} = {}", type_of(*value)),
        Shape::Table(_) | Shape::Tables(_) => shape.type_name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::generated_docs::assert_generated;

    #[test]
    fn docs_recipe_md_says_what_the_table_of_keys_says() {
        assert_generated("docs/recipe.md", &super::reference());
    }
}
