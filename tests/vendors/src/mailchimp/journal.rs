//! What happened to members, in order, for webhooks to tell.

use std::sync::Arc;

use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::LIST_ID;
use super::member::{Member, MemberStatus};
use super::merge::MergeField;
use super::store::Context;
use crate::clock::Seconds;

/// Whose act something is (V).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    User,
    Admin,
    Api,
}

/// What a webhook tells (V).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Subscribe,
    /// With `data[action]`.
    Unsubscribe(&'static str),
    Profile,
    Cleaned,
    /// With the address from before.
    Upemail(Box<str>),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Profile => "profile",
            Self::Cleaned => "cleaned",
            Self::Upemail(_) => "upemail",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    at: Seconds,
    member: Arc<Member>,
}

/// Happenings since it was last read.
#[derive(Debug, Default)]
pub(crate) struct Journal(Vec<Entry>);

impl Journal {
    /// All of it, and it is empty again.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn add(&mut self, kind: Kind, member: &Arc<Member>, context: Context<'_>) {
        if let Some(source) = context.source {
            self.0.push(Entry {
                kind,
                source,
                at: context.now,
                member: Arc::clone(member),
            });
        }
    }

    /// A change of one member may be several happenings.
    pub(crate) fn changed(&mut self, before: &Member, after: &Arc<Member>, context: Context<'_>) {
        if before.email != after.email {
            self.add(Kind::Upemail(before.email.clone()), after, context);
        }
        if before.status != after.status || before.archived != after.archived {
            match after.status {
                MemberStatus::Subscribed => self.add(Kind::Subscribe, after, context),
                MemberStatus::Unsubscribed => {
                    self.add(Kind::Unsubscribe("unsub"), after, context);
                }
                MemberStatus::Cleaned => self.add(Kind::Cleaned, after, context),
                MemberStatus::Pending | MemberStatus::Transactional => {}
            }
        }
        // A changed address is a change of the profile too (M).
        if before.email != after.email
            || before.merge != after.merge
            || before.language != after.language
        {
            self.add(Kind::Profile, after, context);
        }
    }

    /// A member went away. Only of those that were subscribed is it told (M).
    pub(crate) fn left(&mut self, member: &Arc<Member>, how: &'static str, context: Context<'_>) {
        if member.status == MemberStatus::Subscribed {
            self.add(Kind::Unsubscribe(how), member, context);
        }
    }
}

impl Entry {
    /// As a form. The member's id is that of the address, not the contact id (T).
    pub(crate) fn form(&self, fields: &[MergeField]) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("type", self.kind.name());
        let at = self.at.to_string();
        let at = at.trim_end_matches("+00:00").replace('T', " ");
        form.append_pair("fired_at", &at);
        form.append_pair("data[list_id]", LIST_ID);
        let member = &self.member;
        match &self.kind {
            Kind::Upemail(old) => {
                form.append_pair("data[new_id]", &member.unique_id());
                form.append_pair("data[new_email]", &member.email);
                form.append_pair("data[old_email]", old);
                return form.finish();
            }
            Kind::Cleaned => {
                form.append_pair("data[campaign_id]", "4fjk2ma9xd");
                form.append_pair("data[reason]", "hard");
                form.append_pair("data[email]", &member.email);
                return form.finish();
            }
            Kind::Unsubscribe(action) => {
                form.append_pair("data[action]", action);
                form.append_pair("data[reason]", "manual");
            }
            Kind::Subscribe | Kind::Profile => {}
        }
        form.append_pair("data[id]", &member.unique_id());
        form.append_pair("data[email]", &member.email);
        form.append_pair("data[email_type]", "html");
        form.append_pair("data[web_id]", &member.web_id.to_string());
        form.append_pair("data[merges][EMAIL]", &member.email);
        for (position, field) in (0_u8..).zip(fields) {
            let value = member
                .merge_value(position)
                .and_then(|value| serde_json::to_value(value).ok())
                .unwrap_or_default();
            append(&mut form, &format!("data[merges][{}]", field.tag), &value);
        }
        form.finish()
    }
}

/// A value under its name; the parts of an address have names of their own.
fn append(form: &mut Serializer<'_, String>, name: &str, value: &Value) {
    match value {
        Value::Object(parts) => parts
            .iter()
            .for_each(|(part, value)| append(form, &format!("{name}[{part}]"), value)),
        Value::String(text) => {
            form.append_pair(name, text);
        }
        Value::Null => {
            form.append_pair(name, "");
        }
        other => {
            form.append_pair(name, &other.to_string());
        }
    }
}
