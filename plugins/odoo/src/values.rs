//! Odoo's values and the contract's values, in both directions and for each kind of field.
//!
//! Odoo says `false` for "empty" in every field that is not a boolean; the contract says `null`. Dates and times are
//! text in UTC without a zone, a many-to-one is `[id, display name]`, and both sides of a decimal are a JSON number.

use jiff::Timestamp;
use samspel_connector::serde_json::Number;
use samspel_connector::{Value, json, schema, time};

/// The kinds of fields that are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `char`, `text`, `html`
    Text,
    /// `integer` (32 bits in Odoo)
    Integer,
    /// `float` without a fixed precision
    Float,
    /// `monetary`, and `float` with a fixed precision: text in the contract
    Decimal,
    /// `boolean`; has no "empty"
    Boolean,
    /// `date`
    Date,
    /// `datetime`, UTC, resolution of a second
    DateTime,
    /// `selection`, by key
    Selection(Vec<String>),
    /// `many2one`: the other record's id
    Many2one(String),
    /// `many2many`: a set of ids
    Many2many(String),
}

/// The value that Odoo holds is not one of the field's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexpected(pub String);

/// A value that was given to the connector and that the field cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unacceptable(pub String);

impl Kind {
    /// From what Odoo's `read` returns to the contract's value.
    pub fn reading(&self, raw: &Value) -> Result<Value, Unexpected> {
        let unexpected = || Unexpected(format!("{raw} is no value of a field of kind {self:?}"));
        match (self, raw) {
            (Self::Boolean, Value::Bool(_)) => Ok(raw.clone()),
            (Self::Many2many(_), Value::Bool(false) | Value::Null) => Ok(json!([])),
            (_, Value::Bool(false) | Value::Null) => Ok(Value::Null),
            (Self::Text | Self::Date, Value::String(text)) => Ok(empty_is_null(text)),
            (Self::Integer | Self::Float, Value::Number(_)) => Ok(raw.clone()),
            (Self::Decimal, Value::Number(number)) => Ok(Value::String(decimal(number))),
            (Self::DateTime, Value::String(text)) => time::database(text)
                .map(|time| Value::String(time.to_string()))
                .ok_or_else(unexpected),
            (Self::Selection(_), Value::String(key)) => Ok(empty_is_null(key)),
            // Some selections have numbers for keys.
            (Self::Selection(_), Value::Number(key)) => Ok(Value::String(key.to_string())),
            (Self::Many2one(_), Value::Array(pair)) => pair
                .first()
                .and_then(Value::as_i64)
                .map(|id| Value::String(id.to_string()))
                .ok_or_else(unexpected),
            (Self::Many2one(_), Value::Number(id)) => Ok(Value::String(id.to_string())),
            (Self::Many2many(_), Value::Array(ids)) => {
                let mut ids: Vec<i64> = ids
                    .iter()
                    .map(|id| id.as_i64().ok_or_else(unexpected))
                    .collect::<Result<_, _>>()?;
                ids.sort_unstable();
                Ok(ids.iter().map(|id| Value::String(id.to_string())).collect())
            }
            _ => Err(unexpected()),
        }
    }

    /// From the contract's value to what Odoo's `write` takes.
    pub fn writing(&self, value: &Value) -> Result<Value, Unacceptable> {
        match (self, value) {
            (Self::Many2many(_), Value::Null) => Ok(json!([[6, 0, []]])),
            (_, Value::Null) => Ok(Value::Bool(false)),
            (Self::Many2many(_), Value::Array(_)) => Ok(json!([[6, 0, self.id_list(value)?]])),
            (Self::Many2one(_), Value::String(_)) => Ok(json!(self.id(value)?)),
            (Self::Boolean, Value::Bool(_)) | (Self::Integer | Self::Float, Value::Number(_)) => {
                Ok(value.clone())
            }
            (Self::Decimal, Value::Number(_)) => Ok(value.clone()),
            (Self::Decimal, Value::String(text)) => text
                .parse::<Number>()
                .map(Value::Number)
                .map_err(|_| Unacceptable(format!("`{text}` is not a decimal number"))),
            (Self::Selection(_) | Self::Text | Self::Date | Self::DateTime, Value::String(_)) => {
                self.text(value).map(Value::String)
            }
            _ => Err(self.unacceptable(value)),
        }
    }

    /// From the contract's value to a cell of Odoo's `load` (its import), whose cells are all text. `None`: the cell
    /// cannot say it, and leaving the column out says the same.
    pub fn cell(&self, value: &Value) -> Result<Option<String>, Unacceptable> {
        match (self, value) {
            // Leaving it out gives what Odoo's own form would give: the default.
            (_, Value::Null) => Ok(None),
            (Self::Boolean, Value::Bool(yes)) => Ok(Some(if *yes { "1" } else { "0" }.to_owned())),
            (Self::Integer | Self::Float | Self::Decimal, Value::Number(number)) => {
                Ok(Some(number.to_string()))
            }
            (Self::Decimal, Value::String(_)) => {
                self.writing(value).map(|number| Some(number.to_string()))
            }
            (Self::Many2one(_), Value::String(_)) => Ok(Some(self.id(value)?.to_string())),
            (Self::Many2many(_), Value::Array(_)) => {
                let ids = self.id_list(value)?;
                let text: Vec<String> = ids.iter().map(i64::to_string).collect();
                Ok(Some(text.join(",")).filter(|text| !text.is_empty()))
            }
            (Self::Selection(_) | Self::Text | Self::Date | Self::DateTime, Value::String(_)) => {
                self.text(value).map(Some)
            }
            _ => Err(self.unacceptable(value)),
        }
    }

    /// The name of the column of `load` that takes the cells of a field.
    pub fn column(&self, field: &str) -> String {
        match self {
            Self::Many2one(_) | Self::Many2many(_) => format!("{field}/.id"),
            _ => field.to_owned(),
        }
    }

    /// The JSON Schema of the contract's value.
    pub fn schema(&self) -> Value {
        match self {
            Self::Text => schema::text(),
            Self::Integer => {
                json!({"type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX})
            }
            Self::Float => schema::number(),
            Self::Decimal => schema::format("decimal"),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Date => schema::format("date"),
            Self::DateTime => schema::format("date-time"),
            Self::Selection(keys) => schema::choice(keys),
            Self::Many2one(model) => {
                json!({"type": ["string", "null"], "description": format!("id of a record of {model}")})
            }
            Self::Many2many(model) => json!({
                "type": "array", "uniqueItems": true,
                "items": {"type": "string", "description": format!("id of a record of {model}")},
            }),
        }
    }

    fn text(&self, value: &Value) -> Result<String, Unacceptable> {
        let text = value.as_str().ok_or_else(|| self.unacceptable(value))?;
        match self {
            Self::DateTime => text
                .parse::<Timestamp>()
                .map(time::to_database)
                .map_err(|_| Unacceptable(format!("`{text}` is not a time in RFC 3339"))),
            Self::Selection(keys) if !keys.iter().any(|key| key == text) => Err(Unacceptable(
                format!("`{text}` is none of {}", keys.join(", ")),
            )),
            _ => Ok(text.to_owned()),
        }
    }

    fn id(&self, value: &Value) -> Result<i64, Unacceptable> {
        value
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| self.unacceptable(value))
    }

    fn id_list(&self, value: &Value) -> Result<Vec<i64>, Unacceptable> {
        let ids = value.as_array().ok_or_else(|| self.unacceptable(value))?;
        ids.iter().map(|id| self.id(id)).collect()
    }

    fn unacceptable(&self, value: &Value) -> Unacceptable {
        Unacceptable(format!("{value} is no value for a field of kind {self:?}"))
    }
}

fn empty_is_null(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        Value::String(text.to_owned())
    }
}

/// `10.0` and `10` are one value; the shorter text stands for both.
fn decimal(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn false_is_empty_except_for_booleans() {
        assert_eq!(Kind::Text.reading(&json!(false)), Ok(Value::Null));
        assert_eq!(Kind::Integer.reading(&json!(0)), Ok(json!(0)));
        assert_eq!(
            Kind::Many2one("m".into()).reading(&json!(false)),
            Ok(Value::Null)
        );
        assert_eq!(
            Kind::Many2many("m".into()).reading(&json!([])),
            Ok(json!([]))
        );
        assert_eq!(Kind::Boolean.reading(&json!(false)), Ok(json!(false)));
        assert!(Kind::Text.reading(&json!(true)).is_err());
        assert!(Kind::Text.reading(&json!(["x"])).is_err());
    }

    #[test]
    fn each_kind_comes_back_as_it_was_written() {
        let cases = [
            (Kind::Text, json!("Zoë"), json!("Zoë")),
            (Kind::Integer, json!(-3), json!(-3)),
            (Kind::Decimal, json!("10.5"), json!(10.5)),
            (Kind::Boolean, json!(true), json!(true)),
            (Kind::Date, json!("2020-01-02"), json!("2020-01-02")),
            (
                Kind::DateTime,
                json!("2020-01-02T10:00:00Z"),
                json!("2020-01-02 10:00:00"),
            ),
            (Kind::Selection(vec!["a".into()]), json!("a"), json!("a")),
            (Kind::Many2one("m".into()), json!("75"), json!(75)),
        ];
        for (kind, ours, theirs) in cases {
            assert_eq!(kind.writing(&ours).unwrap(), theirs, "{kind:?}");
            assert_eq!(kind.reading(&theirs).unwrap(), ours, "{kind:?}");
        }
        let tags = Kind::Many2many("m".into());
        assert_eq!(
            tags.writing(&json!(["2", "1"])).unwrap(),
            json!([[6, 0, [2, 1]]])
        );
        assert_eq!(tags.reading(&json!([2, 1])).unwrap(), json!(["1", "2"]));
        assert_eq!(
            Kind::Many2one("m".into())
                .reading(&json!([75, "France"]))
                .unwrap(),
            json!("75")
        );
    }

    #[test]
    fn a_time_with_an_offset_is_written_in_utc() {
        assert_eq!(
            Kind::DateTime
                .writing(&json!("2020-01-02T12:00:00.9+02:00"))
                .unwrap(),
            json!("2020-01-02 10:00:00")
        );
        assert!(Kind::DateTime.writing(&json!("yesterday")).is_err());
    }

    #[test]
    fn a_whole_decimal_has_one_spelling() {
        assert_eq!(Kind::Decimal.reading(&json!(10.0)), Ok(json!("10")));
        assert_eq!(Kind::Decimal.reading(&json!(10)), Ok(json!("10")));
        assert!(Kind::Decimal.writing(&json!("ten")).is_err());
    }

    #[test]
    fn cells_of_an_import_are_text_and_null_is_left_out() {
        assert_eq!(Kind::Boolean.cell(&json!(false)), Ok(Some("0".into())));
        assert_eq!(Kind::Integer.cell(&json!(3)), Ok(Some("3".into())));
        assert_eq!(Kind::Decimal.cell(&json!("1.5")), Ok(Some("1.5".into())));
        assert_eq!(Kind::Text.cell(&Value::Null), Ok(None));
        assert_eq!(Kind::Many2many("m".into()).cell(&json!([])), Ok(None));
        assert_eq!(
            Kind::Many2many("m".into()).cell(&json!(["3", "4"])),
            Ok(Some("3,4".into()))
        );
        assert_eq!(
            Kind::Many2one("m".into()).column("country_id"),
            "country_id/.id"
        );
        assert!(Kind::Selection(vec!["a".into()]).cell(&json!("b")).is_err());
        assert!(Kind::Integer.cell(&json!("3")).is_err());
    }
}
