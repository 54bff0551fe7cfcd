//! Merge fields: the list's own columns, their types and the checks a value passes.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::error::{FieldError, Problem};
use super::quirks::MailchimpQuirks;

/// Type of a merge field (V).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(
    missing_docs,
    reason = "the vendor's own names, which say all there is to say"
)]
pub enum MergeType {
    Text,
    Number,
    Address,
    Phone,
    Date,
    Url,
    ImageUrl,
    Radio,
    Dropdown,
    Birthday,
    Zip,
}

/// A merge field of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeField {
    /// The key it has in `merge_fields`, at most ten characters.
    pub tag: String,
    /// What users see.
    pub name: String,
    /// Type of its values.
    #[serde(rename = "type")]
    pub kind: MergeType,
    /// Every member must have one.
    #[serde(default)]
    pub required: bool,
    /// Allowed values of a choice.
    #[serde(default)]
    pub choices: Vec<String>,
}

impl MergeField {
    fn new(tag: &str, name: &str, kind: MergeType) -> Self {
        Self {
            tag: tag.to_owned(),
            name: name.to_owned(),
            kind,
            required: false,
            choices: Vec::new(),
        }
    }

    /// As `GET /3.0/lists/{id}/merge-fields` shows it (V).
    pub(crate) fn view(&self, merge_id: usize, list_id: &str) -> Value {
        let mut options = Map::new();
        if !self.choices.is_empty() {
            options.insert("choices".to_owned(), json!(self.choices));
        }
        if self.kind == MergeType::Text {
            options.insert("size".to_owned(), json!(25));
        }
        json!({
            "merge_id": merge_id,
            "tag": self.tag,
            "name": self.name,
            "type": self.kind,
            "required": self.required,
            "default_value": "",
            "public": false,
            "display_order": merge_id + 1,
            "options": options,
            "help_text": "",
            "list_id": list_id,
        })
    }
}

/// The merge fields of a new list, and two that its owner added.
pub(crate) fn standard() -> Vec<MergeField> {
    let mut level = MergeField::new("LEVEL", "Membership level", MergeType::Dropdown);
    level.choices = vec!["basic".to_owned(), "plus".to_owned(), "guld".to_owned()];
    vec![
        MergeField::new("FNAME", "First Name", MergeType::Text),
        MergeField::new("LNAME", "Last Name", MergeType::Text),
        MergeField::new("ADDRESS", "Address", MergeType::Address),
        MergeField::new("PHONE", "Phone Number", MergeType::Phone),
        MergeField::new("BIRTHDAY", "Birthday", MergeType::Birthday),
        MergeField::new("COMPANY", "Company", MergeType::Text),
        MergeField::new("CUSTNO", "Customer number", MergeType::Text),
        MergeField::new("POINTS", "Loyalty points", MergeType::Number),
        level,
    ]
}

/// Positions of the fields that test people fill.
pub(crate) mod position {
    pub(crate) const FNAME: u8 = 0;
    pub(crate) const LNAME: u8 = 1;
    pub(crate) const PHONE: u8 = 3;
    pub(crate) const COMPANY: u8 = 5;
    pub(crate) const CUSTNO: u8 = 6;
}

/// A stored value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MergeValue {
    Text(Box<str>),
    Number(f64),
    Address(Box<Address>),
}

impl Serialize for MergeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            // Whole numbers are shown without a fraction.
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                serializer.serialize_i64(*number as i64)
            }
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Address(address) => address.serialize(serializer),
        }
    }
}

/// An address value (V).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Address {
    addr1: String,
    addr2: String,
    city: String,
    state: String,
    zip: String,
    country: String,
}

/// Values of one member, sorted by the field's position.
pub(crate) type MergeValues = Vec<(u8, MergeValue)>;

/// New values; `None` clears.
pub(crate) type MergeChanges = Vec<(u8, Option<MergeValue>)>;

/// Reads what a request wants to store. Tags that the list does not have are passed over (M).
pub(crate) fn accept(
    fields: &[MergeField],
    wanted: &Map<String, Value>,
    quirks: &MailchimpQuirks,
) -> Result<MergeChanges, Problem> {
    let mut changes = MergeChanges::with_capacity(wanted.len());
    let mut errors = Vec::new();
    for (tag, value) in wanted {
        let Some((at, field)) = (0_u8..)
            .zip(fields)
            .find(|(_, field)| field.tag.eq_ignore_ascii_case(tag))
        else {
            continue;
        };
        match accept_one(field, value, quirks) {
            Ok(value) => changes.push((at, value)),
            Err(message) => errors.push(FieldError::new(&field.tag, message)),
        }
    }
    if errors.is_empty() {
        Ok(changes)
    } else {
        Err(Problem::MergeFields(errors))
    }
}

fn accept_one(
    field: &MergeField,
    value: &Value,
    quirks: &MailchimpQuirks,
) -> Result<Option<MergeValue>, String> {
    if field.kind == MergeType::Address
        && let Value::Object(_) = value
    {
        let address: Address = serde_json::from_value(value.clone())
            .map_err(|_| "Please enter a complete address.")?;
        if address == Address::default() {
            return Ok(None);
        }
        let complete = [&address.addr1, &address.city, &address.state, &address.zip]
            .iter()
            .all(|part| !part.is_empty());
        return if complete {
            Ok(Some(MergeValue::Address(address.into())))
        } else {
            Err("Please enter a complete address.".to_owned())
        };
    }
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Array(_) | Value::Object(_) => {
            return Err("Data did not match any of the schemas".to_owned());
        }
    };
    let text = if quirks.trim {
        text.trim()
    } else {
        text.as_str()
    };
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().count() > quirks.merge_limit {
        return Err(format!(
            "Please limit your entry to {} characters.",
            quirks.merge_limit
        ));
    }
    match field.kind {
        MergeType::Number => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(MergeValue::Number(number))),
            _ => Err("Please enter a number.".to_owned()),
        },
        MergeType::Date if text.parse::<jiff::civil::Date>().is_err() => {
            Err("Please enter the date".to_owned())
        }
        MergeType::Birthday if !is_birthday(text) => {
            Err("Please enter a birthday as MM/DD".to_owned())
        }
        MergeType::Dropdown | MergeType::Radio
            if !field.choices.iter().any(|choice| choice == text) =>
        {
            Err(format!("Please choose one of {:?}", field.choices))
        }
        _ => Ok(Some(MergeValue::Text(text.into()))),
    }
}

fn is_birthday(text: &str) -> bool {
    text.split_once('/').is_some_and(|(month, day)| {
        month.parse().is_ok_and(|m: u8| (1..=12).contains(&m))
            && day.parse().is_ok_and(|d: u8| (1..=31).contains(&d))
    })
}

/// The required fields that these values leave empty.
pub(crate) fn missing(fields: &[MergeField], values: &MergeValues) -> Vec<FieldError> {
    (0_u8..)
        .zip(fields)
        .filter(|(at, field)| field.required && !values.iter().any(|(position, _)| position == at))
        .map(|(_, field)| FieldError::new(&field.tag, "This value should not be blank."))
        .collect()
}
