//! The fields of a member: its own and the audience's merge fields, which stand beside them under their tags.

use samspel_connector::fields::Selection;
use samspel_connector::{Access, Field, Result, Role, Value, schema};
use serde::Deserialize;

use crate::api::Api;
use crate::settings::Settings;

/// The address.
pub const EMAIL: &str = "email_address";
/// The tags, where the setting offers them.
pub const TAGS: &str = "tags";

/// Own fields that can be written.
pub const WRITABLE: [&str; 4] = [EMAIL, "email_type", "language", "vip"];

/// Own fields that Mailchimp sets.
const READABLE: [&str; 2] = ["source", "timestamp_signup"];

/// Whether the field is the member's own, and not a merge field.
pub fn is_own(name: &str) -> bool {
    WRITABLE.contains(&name) || READABLE.contains(&name) || name == TAGS
}

#[derive(Deserialize)]
struct MergeFields {
    merge_fields: Vec<MergeField>,
}

#[derive(Deserialize)]
struct MergeField {
    tag: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    options: Options,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    choices: Option<Vec<String>>,
}

impl MergeField {
    fn schema(&self) -> Value {
        match self.kind.as_str() {
            "number" => schema::number(),
            // Street, city and so on are one whole.
            "address" => schema::object(),
            "url" | "imageurl" => schema::format("uri"),
            "date" => schema::format("date"),
            "dropdown" | "radio" => match &self.options.choices {
                Some(choices) if !choices.is_empty() => schema::choice(choices),
                _ => schema::text(),
            },
            _ => schema::text(),
        }
    }

    fn field(&self, settings: &Settings) -> Field {
        let title = if self.name.is_empty() {
            &self.tag
        } else {
            &self.name
        };
        let mut field = Field::new(&self.tag, title, self.schema());
        if self.kind == "phone" {
            field = field.role(Role::Phone);
        }
        if matches!(self.tag.as_str(), "FNAME" | "LNAME") {
            field = field.role(Role::DisplayName);
        }
        if self.required && !settings.skip_merge_validation {
            field = field.required();
        }
        field
    }
}

/// All fields of the audience.
pub fn all(settings: &Settings) -> Result<Vec<Field>> {
    let api = Api::new(settings);
    let answer: MergeFields = api.read(api.merge_fields().send())?.json()?;
    let mut fields = vec![
        Field::new(EMAIL, "E-mail address", schema::format("email"))
            .role(Role::UniqueKey)
            .role(Role::Email)
            .required(),
        Field::new(
            "email_type",
            "Preferred type of e-mail",
            schema::choice(["html", "text"]),
        ),
        Field::new("language", "Language", schema::text()),
        Field::new("vip", "VIP", schema::boolean()),
        Field::new("source", "Where the member came from", schema::text()).access(Access::ReadOnly),
        Field::new("timestamp_signup", "Signed up", schema::format("date-time"))
            .access(Access::ReadOnly),
    ];
    if settings.tags {
        fields.push(
            Field::new(
                TAGS,
                "Tags",
                schema::set(serde_json::json!({ "type": "string" })),
            )
            .access(Access::CreateOnly),
        );
    }
    fields.extend(
        answer
            .merge_fields
            .iter()
            .map(|field| field.field(settings)),
    );
    Ok(fields)
}

/// The `fields` parameter that asks for these and for what every answer needs; `prefix` is `members.` for listings.
pub fn projection(selection: &Selection, settings: &Settings, prefix: &str) -> String {
    let mut names = vec!["contact_id", "status", "last_changed"];
    let merge: Vec<String>;
    match selection {
        Selection::Only(wanted) if wanted.is_empty() => {}
        Selection::Only(wanted) => {
            names.extend([EMAIL, "timestamp_opt", "unsubscribe_reason", "source"]);
            names.extend(
                wanted
                    .iter()
                    .map(String::as_str)
                    .filter(|name| is_own(name)),
            );
            merge = wanted
                .iter()
                .filter(|name| !is_own(name))
                .map(|tag| format!("merge_fields.{tag}"))
                .collect();
            names.extend(merge.iter().map(String::as_str));
        }
        Selection::All => {
            names.extend(["timestamp_opt", "unsubscribe_reason", "merge_fields"]);
            names.extend(WRITABLE);
            names.extend(READABLE);
            if settings.tags {
                names.push(TAGS);
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    let listed = names.iter().map(|name| format!("{prefix}{name}"));
    let total = (!prefix.is_empty()).then(|| "total_items".to_owned());
    listed.chain(total).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use samspel_connector::testing::{Remote, Reply};
    use serde_json::json;

    fn settings() -> Settings {
        serde_json::from_value(json!({
            "dc": "us1", "list_id": "abc", "tags": true, "skip_merge_validation": false,
        }))
        .unwrap()
    }

    #[test]
    fn merge_fields_are_fields_under_their_tags() {
        let remote = Remote::new(|_| {
            Reply::json(
                200,
                json!({ "merge_fields": [
                    { "tag": "FNAME", "name": "First name", "type": "text", "required": true },
                    { "tag": "MOBILE", "type": "phone" },
                    { "tag": "HOME", "type": "address" },
                    { "tag": "TIER", "type": "radio", "options": { "choices": ["a", "b"] } },
                ] }),
            )
        });
        let fields = remote.run(|| all(&settings())).unwrap_or_default();
        let of = |name: &str| fields.iter().find(|field| field.name == name);
        assert!(of("FNAME").is_some_and(|field| field.required));
        assert!(of("MOBILE").is_some_and(|field| field.roles == [Role::Phone]));
        assert!(of("HOME").is_some_and(|field| field.schema.contains("object")));
        assert!(of("TIER").is_some_and(|field| field.schema == r#"{"enum":["a","b",null]}"#));
        assert!(of("email_address").is_some_and(|field| field.roles.contains(&Role::UniqueKey)));
    }

    #[test]
    fn only_what_is_needed_is_asked_for() {
        let only = Selection::new(Some(vec!["FNAME".into(), "vip".into()]));
        assert_eq!(
            projection(&only, &settings(), "members."),
            "members.contact_id,members.email_address,members.last_changed,members.merge_fields.FNAME,members.source,\
             members.status,members.timestamp_opt,members.unsubscribe_reason,members.vip,total_items"
        );
        let nothing = Selection::new(Some(vec![]));
        assert_eq!(
            projection(&nothing, &settings(), ""),
            "contact_id,last_changed,status"
        );
    }
}
