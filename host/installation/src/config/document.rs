//! A TOML text that remembers where each setting stands.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::{Position, Problem};

/// A parsed configuration file.
#[derive(Debug)]
pub struct Document<'a> {
    file: PathBuf,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Parses the text.
    ///
    /// # Errors
    /// Every place where the text is not TOML.
    pub fn parse(file: &Path, text: &'a str) -> Result<Self, Vec<Problem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self {
            file: file.to_owned(),
            text,
            root,
        };
        if errors.is_empty() {
            return Ok(document);
        }
        let mut problems: Vec<_> = errors
            .into_iter()
            .map(|error| {
                document.problem_at(
                    error.span(),
                    None,
                    format!("this is not TOML: {}", error.message()),
                    "correct the syntax; see https://toml.io",
                )
            })
            .collect();
        problems.sort_by_key(Problem::place);
        Err(problems)
    }

    /// The top-level table.
    pub fn root(&self) -> &DeTable<'a> {
        self.root.get_ref()
    }

    /// Reads the value of one setting; the problem names the innermost setting that is wrong.
    pub fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &Spanned<DeValue<'a>>,
    ) -> Result<T, Problem> {
        let deserializer = ValueDeserializer::from(value.clone());
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let setting = join(path, &error.path().to_string());
            let inner = error.into_inner();
            let span = inner.span().or_else(|| self.span(&setting));
            let message = inner.message().trim().to_owned();
            let remedy = remedy(&message);
            self.problem_at(span, Some(setting), message, remedy)
        })
    }

    /// A problem with the setting at this path, placed where the setting (or the nearest one around it) stands.
    pub fn problem(
        &self,
        setting: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        let setting = setting.into();
        self.problem_at(self.span(&setting), Some(setting), message, remedy)
    }

    /// A problem at a place that the caller knows better.
    pub fn problem_at(
        &self,
        span: Option<Range<usize>>,
        setting: Option<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        Problem {
            file: self.file.clone(),
            position: span.map(|span| position(self.text, span.start)),
            setting,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// Where the setting stands; where it is not set, the innermost table around it.
    fn span(&self, setting: &str) -> Option<Range<usize>> {
        let mut found = None;
        let mut segments = segments(setting).into_iter();
        let (key, value) = self.root().get_key_value(segments.next()?)?;
        found = Some(key.span()).or(found);
        let mut value = value;
        for segment in segments {
            let Some(next) = value.get_ref().as_table() else {
                let Some(item) = segment
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| value.get_ref().as_array()?.get(index))
                else {
                    break;
                };
                found = Some(item.span());
                value = item;
                continue;
            };
            let Some((key, inner)) = next.get_key_value(segment) else {
                break;
            };
            found = Some(key.span());
            value = inner;
        }
        found
    }
}

/// `syncs.contacts.fields[2].to-b` as its parts.
fn segments(setting: &str) -> Vec<&str> {
    setting
        .split(['.', '[', ']'])
        .filter(|segment| !segment.is_empty())
        .collect()
}

/// One path after the other; `.` is how the path of a whole value is printed.
fn join(outer: &str, inner: &str) -> String {
    match inner {
        "." | "" => outer.to_owned(),
        _ if inner.starts_with('[') => format!("{outer}{inner}"),
        _ => format!("{outer}.{inner}"),
    }
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// What to do about an error of serde's, recognised by how it begins.
fn remedy(message: &str) -> &'static str {
    if message.starts_with("unknown field") {
        "check the spelling or remove it; `samspel config schema` describes every setting"
    } else if message.starts_with("missing field") {
        "add the setting; `samspel config schema` describes it"
    } else if message.starts_with("unknown variant") {
        "choose one of the values that are named"
    } else {
        "correct the value; `samspel config schema` describes every setting"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const TEXT: &str =
        "[outer]\n\"å\" = 1\nlist = [\n  { x = 1 },\n  { y = \"é\", z = true },\n]\n";

    #[test]
    fn a_setting_is_found_where_it_stands() {
        let document = Document::parse(Path::new("t.toml"), TEXT).expect("valid");
        let at = |setting: &str| {
            let place = document.problem(setting, "", "").position.expect("a place");
            (place.line, place.column)
        };
        assert_eq!(at("outer"), (1, 2));
        assert_eq!(at("outer.å"), (2, 1));
        assert_eq!(at("outer.list[1]"), (5, 3));
        assert_eq!(at("outer.list[1].z"), (5, 14), "columns are characters");
        assert_eq!(at("outer.list[1].missing"), (5, 3), "the table around it");
        assert_eq!(at("outer.missing.deeper"), (1, 2));
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let problems =
            Document::parse(Path::new("t.toml"), "a = \nb = [1,\n\nc = = 2\n").unwrap_err();
        assert!(problems.len() >= 2, "{problems:?}");
        assert_eq!(problems[0].position.map(|p| p.line), Some(1));
    }
}
