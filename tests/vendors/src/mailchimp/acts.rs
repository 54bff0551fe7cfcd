//! What members do, what users do in Mailchimp itself, and what happens there without anybody's doing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::Problem;
use super::journal::Source;
use super::mask::{Mask, MemberMask};
use super::member::{Frame, Member, MemberStatus, View};
use super::merge::{self, MergeField};
use super::store::{Actor, Context, Store, Wanted};
use super::{LIST_ID, Mailchimp};
use crate::vendor::ActError;

/// Something that happens in Mailchimp outside its API. `member` is an address, its MD5 or a contact id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum MailchimpAct {
    /// Someone signs up, or a user adds someone.
    Create {
        /// The address.
        email: String,
        /// Absent means subscribed.
        #[serde(default)]
        status: Option<MemberStatus>,
        /// Values by tag.
        #[serde(default)]
        merge_fields: Map<String, Value>,
    },
    /// A user edits a member.
    Edit {
        /// Which one.
        member: String,
        /// New values by tag.
        merge_fields: Map<String, Value>,
    },
    /// A member changes its address.
    ChangeEmail {
        /// Which one.
        member: String,
        /// The new address.
        email: String,
    },
    /// A member leaves.
    Unsubscribe {
        /// Which one.
        member: String,
    },
    /// A member that has left signs up again by itself, which the API may not do for it.
    Resubscribe {
        /// Which one.
        member: String,
    },
    /// A campaign to this member bounces for good: its status becomes `cleaned`.
    HardBounce {
        /// Which one.
        member: String,
    },
    /// A user archives a member.
    Archive {
        /// Which one.
        member: String,
    },
    /// A user deletes a member for good.
    Delete {
        /// Which one.
        member: String,
    },
    /// A user adds or removes a tag.
    Tag {
        /// Which member.
        member: String,
        /// The tag.
        name: String,
        /// Added or removed.
        active: bool,
    },
    /// A user adds a merge field.
    AddMergeField {
        /// Its definition.
        field: MergeField,
    },
}

pub(super) fn perform(mailchimp: &Mailchimp, act: MailchimpAct) -> Result<Value, ActError> {
    mailchimp
        .change_from(
            Actor::Outside,
            Some(source(&act)),
            true,
            |store, context| apply(store, context, act),
        )
        .map_err(|(problem, who)| match ActError::from(problem) {
            ActError::NotFound(_) => ActError::NotFound(who),
            refused @ ActError::Refused(_) => refused,
        })
}

/// Whose act it is to webhooks. Which of them Mailchimp's own acts, such as bounces, count as is (M).
fn source(act: &MailchimpAct) -> Source {
    match act {
        MailchimpAct::Create { .. }
        | MailchimpAct::ChangeEmail { .. }
        | MailchimpAct::Unsubscribe { .. }
        | MailchimpAct::Resubscribe { .. } => Source::User,
        MailchimpAct::Edit { .. }
        | MailchimpAct::HardBounce { .. }
        | MailchimpAct::Archive { .. }
        | MailchimpAct::Delete { .. }
        | MailchimpAct::Tag { .. }
        | MailchimpAct::AddMergeField { .. } => Source::Admin,
    }
}

fn apply(
    store: &mut Store,
    context: Context<'_>,
    act: MailchimpAct,
) -> Result<Value, (Problem, String)> {
    let (who, wanted) = match act {
        MailchimpAct::Create {
            email,
            status,
            merge_fields,
        } => {
            let mut created = || {
                let merge = merge::accept(&store.fields(), &merge_fields, context.quirks)?;
                let wanted = Wanted {
                    merge,
                    signed_up: Some(context.now),
                    ..Wanted::default()
                };
                store.create(
                    &email,
                    status.unwrap_or(MemberStatus::Subscribed),
                    wanted,
                    context,
                )
            };
            return match created() {
                Ok(member) => Ok(whole(store, &member)),
                Err(problem) => Err((problem, email)),
            };
        }
        MailchimpAct::AddMergeField { field } => {
            let tag = field.tag.clone();
            return match store.add_field(field.clone()) {
                Ok(at) => Ok(field.view(at + 1, LIST_ID)),
                Err(problem) => Err((problem, tag)),
            };
        }
        MailchimpAct::Archive { member } => {
            let web_id = which(store, &member)?;
            store
                .archive(web_id, context)
                .map_err(|problem| (problem, member.clone()))?;
            return shown(store, web_id, member);
        }
        MailchimpAct::Delete { member } => {
            let web_id = which(store, &member)?;
            let before = shown(store, web_id, member.clone());
            store
                .forget(web_id, context)
                .map_err(|problem| (problem, member))?;
            return before;
        }
        MailchimpAct::Tag {
            member,
            name,
            active,
        } => {
            let web_id = which(store, &member)?;
            store
                .tag(web_id, &[(name, active)], context)
                .map_err(|problem| (problem, member.clone()))?;
            return shown(store, web_id, member);
        }
        MailchimpAct::Edit {
            member,
            merge_fields,
        } => match merge::accept(&store.fields(), &merge_fields, context.quirks) {
            Ok(merge) => (
                member,
                Wanted {
                    merge,
                    ..Wanted::default()
                },
            ),
            Err(problem) => return Err((problem, member)),
        },
        MailchimpAct::ChangeEmail { member, email } => (
            member,
            Wanted {
                email: Some(email),
                ..Wanted::default()
            },
        ),
        MailchimpAct::Unsubscribe { member } => (member, becomes(MemberStatus::Unsubscribed)),
        MailchimpAct::Resubscribe { member } => (member, becomes(MemberStatus::Subscribed)),
        MailchimpAct::HardBounce { member } => (member, becomes(MemberStatus::Cleaned)),
    };
    let web_id = which(store, &who)?;
    match store.update(web_id, wanted, context) {
        Ok((member, _)) => Ok(whole(store, &member)),
        Err(problem) => Err((problem, who)),
    }
}

fn becomes(status: MemberStatus) -> Wanted {
    Wanted {
        status: Some(status),
        ..Wanted::default()
    }
}

fn which(store: &Store, member: &str) -> Result<u64, (Problem, String)> {
    store
        .find(member)
        .map(|found| found.web_id)
        .ok_or_else(|| (Problem::NotFound, member.to_owned()))
}

fn shown(store: &Store, web_id: u64, who: String) -> Result<Value, (Problem, String)> {
    store
        .get(web_id)
        .map(|member| whole(store, member))
        .ok_or((Problem::NotFound, who))
}

/// A member with everything.
fn whole(store: &Store, member: &Member) -> Value {
    let fields = store.fields();
    let mask = MemberMask::new(&Mask::default(), "", &fields);
    let frame = Frame {
        list_id: LIST_ID,
        fields: &fields,
        mask: &mask,
    };
    serde_json::to_value(View { member, frame }).unwrap_or_default()
}
