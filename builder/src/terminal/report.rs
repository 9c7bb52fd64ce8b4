//! Errors as people and machines read them.

use std::iter;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, ThemeCharacters, ThemeStyles};
use serde::Serialize;

use super::Abilities;
use crate::failure::FailureClass;

/// Widest error text, in columns.
const WIDTH: usize = 110;

/// The error as text: what was being done, why it failed, the marked lines of files, what to do.
#[must_use]
pub fn text(error: &dyn Diagnostic, abilities: Abilities) -> String {
    let theme = GraphicalTheme {
        characters: if abilities.unicode {
            ThemeCharacters::unicode()
        } else {
            ThemeCharacters::ascii()
        },
        styles: if abilities.color {
            ThemeStyles::ansi()
        } else {
            ThemeStyles::none()
        },
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_links(false)
        .without_syntax_highlighting();
    let mut text = String::new();
    if handler.render_report(&mut text, error).is_err() {
        // A marked place that isn't in its text. The message still is worth telling.
        text = format!("Error: {error}\n");
    }
    // miette puts a heading of its own before each related error; the errors speak for themselves.
    text.trim_start_matches('\n').replace("\n\nError: \n", "\n\n")
}

/// The error as one line of JSON: see docs/exit-codes.md.
#[must_use]
pub fn json(error: &dyn Diagnostic, class: FailureClass) -> String {
    let related = error.related().into_iter().flatten();
    let object = Failure {
        error: Body {
            class: class.name(),
            exit_code: class.exit_code(),
            message: error.to_string(),
            causes: causes(error),
            help: error.help().map(|help| help.to_string()),
            problems: related.map(Problem::of).collect(),
        },
    };
    serde_json::to_string(&object).unwrap_or_else(|_| "{\"error\":{}}".to_owned())
}

#[derive(Serialize)]
struct Failure {
    error: Body,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Body {
    class: &'static str,
    exit_code: u8,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    message: String,
    #[serde(flatten)]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Serialize)]
struct Place {
    file: String,
    line: usize,
    column: usize,
}

impl Problem {
    fn of(diagnostic: &dyn Diagnostic) -> Self {
        Self {
            message: diagnostic.to_string(),
            place: place(diagnostic),
            help: diagnostic.help().map(|help| help.to_string()),
        }
    }
}

/// File, line and column of the first label, the latter two from 1.
fn place(diagnostic: &dyn Diagnostic) -> Option<Place> {
    let label = diagnostic.labels()?.next()?;
    let contents = diagnostic.source_code()?.read_span(label.inner(), 0, 0).ok()?;
    Some(Place {
        file: contents.name().unwrap_or_default().to_owned(),
        line: contents.line() + 1,
        column: contents.column() + 1,
    })
}

fn causes(error: &dyn Diagnostic) -> Vec<String> {
    iter::successors(error.source(), |cause| cause.source())
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recipe;

    const BAD: &str =
        "[image]\nname = \"edge\"\nvresion = \"1.0\"\nversion = \"1.0\"\n[base]\nsuite = \"trixie\"\n";

    fn plain() -> Abilities {
        Abilities {
            terminal: false,
            color: false,
            unicode: true,
        }
    }

    #[test]
    fn a_bad_recipe_shows_its_lines_and_what_to_do() {
        let error = recipe::parse(Path::new("edge.toml"), BAD).unwrap_err();
        insta::assert_snapshot!(text(&error, plain()));
        let escape = |color| text(&error, Abilities { color, ..plain() }).contains('\u{1b}');
        assert!(escape(true) && !escape(false));
    }

    #[test]
    fn each_kind_of_bad_recipe_is_told_with_its_line_and_a_way_out() {
        let least = "[image]\nname = \"edge\"\nversion = \"0.1.0\"\n[base]\nsuite = \"trixie\"\n";
        let file = "[[files]]\npath = \"/etc/motd\"\ncontent = \"\"\n";
        let cases = [
            ("not TOML", "[image\nname = \"edge\"\n".to_owned()),
            ("wrong type", format!("{least}[packages]\ninstall = \"htop\"\n")),
            ("unknown key", format!("{least}[packages]\ninstal = [\"htop\"]\n")),
            ("key of another section", format!("{least}install = [\"htop\"]\n")),
            ("two files with one path", format!("{least}{file}{file}")),
            (
                "slot too small",
                format!("{least}[disk]\nroot-slot = \"32MiB\"\n"),
            ),
            ("version not semver", least.replace("0.1.0", "0.1")),
            (
                "missing include",
                format!("include = [\"/nonexistent/base.toml\"]\n{least}"),
            ),
        ];
        let report = cases.map(|(what, recipe)| {
            let error = recipe::parse(Path::new("edge.toml"), &recipe).unwrap_err();
            format!("--- {what}\n{}", text(&error, plain()))
        });
        insta::assert_snapshot!(report.join("\n"));
    }

    #[test]
    fn a_cause_is_shown_below_what_was_being_done() {
        let error = recipe::load(Path::new("/nonexistent/edge.toml")).unwrap_err();
        let ascii = Abilities {
            unicode: false,
            ..plain()
        };
        insta::assert_snapshot!(text(&error, ascii));
        assert!(text(&error, ascii).is_ascii());
    }

    #[test]
    fn machines_get_one_line_with_class_causes_help_and_places() {
        let error = recipe::parse(Path::new("edge.toml"), BAD).unwrap_err();
        let line = json(&error, error.class());
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let problem = &value["error"]["problems"][0];
        assert_eq!(
            (value["error"]["class"].as_str(), problem["line"].as_u64()),
            (Some("input"), Some(3))
        );
        assert_eq!(
            (problem["file"].as_str(), problem["column"].as_u64()),
            (Some("edge.toml"), Some(1))
        );
        assert_eq!(problem["help"], "did you mean `version`?");
        let error = recipe::load(Path::new("/nonexistent/edge.toml")).unwrap_err();
        let value: serde_json::Value = serde_json::from_str(&json(&error, error.class())).unwrap();
        assert_eq!(
            value["error"]["causes"][0],
            "No such file or directory (os error 2)"
        );
        assert!(value["error"]["help"].as_str().unwrap().contains("outcrop new"));
    }
}
