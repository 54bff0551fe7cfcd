//! Creates in batches; changes and archives one by one, side by side.
//!
//! A member that exists is never sent `status: subscribed`, unless the host grants an opt-in explicitly and the member
//! is not one who had opted out.

use std::collections::BTreeMap;

use samspel_connector::answers::{self, Attempt};
use samspel_connector::batch::{self, Job};
use samspel_connector::fields::{Fields, Selection};
use samspel_connector::http::{Request, Response};
use samspel_connector::outcomes::Outcomes;
use samspel_connector::{
    Consent, ConsentState, Create, Entity, Outcome, Removal, Remove, Result, Update, WriteOp, json,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{self, Api, Meaning};
use crate::member::{CHANNEL, Member, PURPOSE};
use crate::settings::{Resubscribe, Settings};
use crate::{archived, field, lookup};

/// One write, understood.
enum Plan {
    Add {
        email: String,
        body: Value,
    },
    Change {
        id: String,
        body: Map<String, Value>,
        /// The address that the member is to have, where it changes.
        new_email: Option<String>,
        wish: Option<Wish>,
    },
    Archive {
        id: String,
    },
}

/// A consent that an existing member is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Unsubscribed,
    Subscribed,
    Pending,
}

impl Wish {
    fn status(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Subscribed => "subscribed",
            Self::Pending => "pending",
        }
    }

    fn is_opt_in(self) -> bool {
        self != Self::Unsubscribed
    }
}

impl Plan {
    fn id(&self) -> Option<&str> {
        match self {
            Self::Add { .. } => None,
            Self::Change { id, .. } | Self::Archive { id } => Some(id),
        }
    }

    /// The address that must not be taken.
    fn address(&self) -> Option<&str> {
        match self {
            Self::Add { email, .. } => Some(email),
            Self::Change { new_email, .. } => new_email.as_deref(),
            Self::Archive { .. } => None,
        }
    }
}

type Plans = BTreeMap<usize, Plan>;

/// One outcome per write.
pub fn write(settings: &Settings, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
    let mut outcomes = Outcomes::new(writes.len());
    let mut plans = Plans::new();
    for (index, write) in writes.into_iter().enumerate() {
        let planned = match write {
            WriteOp::Create(create) => add(create)?,
            WriteOp::Update(update) => change(update)?,
            WriteOp::Remove(remove) => archive(remove),
        };
        match planned {
            Ok(plan) => {
                plans.insert(index, plan);
            }
            Err(outcome) => outcomes.set(index, Ok(*outcome)),
        }
    }
    for wave in batch::waves(plans.iter().map(|(&index, plan)| (index, plan.id()))) {
        guard_status(settings, &mut plans, &wave, &mut outcomes);
        keep_archived(settings, &plans, &wave, &mut outcomes);
        let open: Vec<usize> = wave
            .into_iter()
            .filter(|&index| outcomes.get(index).is_none())
            .collect();
        send(settings, &plans, &open, &mut outcomes);
        look_again(settings, &plans, &open, &mut outcomes);
    }
    outcomes.finish()
}

/// A plan, or the outcome of a write about which Mailchimp need not be asked.
type Planned = Result<Plan, Box<Outcome>>;

fn rejected(reason: &str, field: Option<&str>) -> Planned {
    Err(Box::new(Outcome::rejected(reason, field)))
}

/// Fields as the members of a request's body.
fn body(fields: Fields, creating: bool) -> Map<String, Value> {
    let mut body = Map::new();
    let mut merge = Map::new();
    for (name, value) in fields {
        if creating && value.is_null() {
            continue;
        }
        match (name.as_str(), value) {
            (field::TAGS, Value::Null) => {}
            ("vip", Value::Null) => {
                body.insert(name, false.into());
            }
            ("language" | field::EMAIL, Value::Null) => {
                body.insert(name, "".into());
            }
            ("email_type", Value::Null) => {
                body.insert(name, "html".into());
            }
            (own, value) if field::is_own(own) => {
                body.insert(name, value);
            }
            (_, Value::Null) => {
                merge.insert(name, "".into());
            }
            (_, value) => {
                merge.insert(name, value);
            }
        }
    }
    if !merge.is_empty() {
        body.insert("merge_fields".to_owned(), merge.into());
    }
    body
}

/// The consent of the one slot; of several the last counts.
fn of_slot(consents: &[Consent]) -> Result<Option<&Consent>, Box<Outcome>> {
    match consents.iter().next_back() {
        Some(consent) if consent.channel != CHANNEL || consent.purpose != PURPOSE => {
            Err(Box::new(Outcome::rejected(
                format!(
                    "Mailchimp has no consent to `{}` by `{}`",
                    consent.purpose, consent.channel
                ),
                None,
            )))
        }
        consent => Ok(consent),
    }
}

fn add(create: Create) -> Result<Planned> {
    let fields = Fields::parse(&create.fields)?;
    let Some(email) = fields.text(field::EMAIL).map(str::to_owned) else {
        return Ok(rejected(
            "a member needs an e-mail address",
            Some(field::EMAIL),
        ));
    };
    let consent = match of_slot(&create.consents) {
        Ok(consent) => consent,
        Err(outcome) => return Ok(Err(outcome)),
    };
    let mut body = body(fields, true);
    let status = match consent.map(|consent| &consent.state) {
        Some(ConsentState::Subscribed) => "subscribed",
        Some(ConsentState::Unsubscribed) => "unsubscribed",
        Some(ConsentState::Pending) => "pending",
        // Neither opted in nor out.
        _ => "transactional",
    };
    body.insert("status".to_owned(), status.into());
    if let Some(at) = consent
        .filter(|consent| consent.state == ConsentState::Subscribed)
        .and_then(|consent| consent.at.as_deref())
    {
        body.insert("timestamp_opt".to_owned(), at.into());
    }
    Ok(Ok(Plan::Add {
        email,
        body: body.into(),
    }))
}

fn change(update: Update) -> Result<Planned> {
    if update.deliverability.is_some() {
        return Ok(rejected(
            "Mailchimp decides by itself which addresses bounce",
            None,
        ));
    }
    let fields = Fields::parse(&update.patch)?;
    let wish = match of_slot(&update.consents) {
        Err(outcome) => return Ok(Err(outcome)),
        Ok(None) => None,
        Ok(Some(consent)) => match consent.state {
            ConsentState::Unsubscribed => Some(Wish::Unsubscribed),
            ConsentState::Subscribed => Some(Wish::Subscribed),
            ConsentState::Pending => Some(Wish::Pending),
            _ => return Ok(rejected("Mailchimp cannot forget what a member said", None)),
        },
    };
    let new_email = fields.text(field::EMAIL).map(str::to_owned);
    let mut body = body(fields, false);
    if let Some(wish) = wish {
        body.insert("status".to_owned(), wish.status().into());
    }
    Ok(Ok(Plan::Change {
        id: update.id,
        body,
        new_email,
        wish,
    }))
}

fn archive(remove: Remove) -> Planned {
    match remove.how {
        Removal::Archive => Ok(Plan::Archive { id: remove.id }),
        Removal::Delete => rejected(
            "this connector archives members: who is deleted for good can never be added again",
            None,
        ),
    }
}

/// Before a status is written, looks at who it is for: who has left comes back by their own act only, and who is
/// cleaned stays so, because another status would hide that their mail bounces. The rest of the change is written
/// still.
fn guard_status(settings: &Settings, plans: &mut Plans, wave: &[usize], outcomes: &mut Outcomes) {
    let asked: Vec<(usize, String)> = wave
        .iter()
        .filter_map(|&index| match plans.get(&index)? {
            Plan::Change {
                id, wish: Some(_), ..
            } => Some((index, id.clone())),
            _ => None,
        })
        .collect();
    let ids: Vec<String> = asked.iter().map(|(_, id)| id.clone()).collect();
    let members = lookup::members(settings, &Selection::All, &ids);
    for ((index, _), member) in asked.into_iter().zip(members) {
        let member = match member {
            Ok(Some(member)) if !member.is_archived() => member,
            Ok(_) => {
                outcomes.set(index, Ok(Outcome::Gone));
                continue;
            }
            Err(failure) => {
                outcomes.set(index, answers::not_attempted(failure));
                continue;
            }
        };
        let Some(Plan::Change {
            body,
            wish: Some(wish),
            ..
        }) = plans.get_mut(&index)
        else {
            continue;
        };
        if !wish.is_opt_in() {
            if member.status == "cleaned" {
                body.remove("status");
                if body.is_empty() {
                    // Nobody is mailed at a cleaned address: that is what was asked for.
                    let entity = member.entity(&Selection::All, settings);
                    outcomes.set(index, Ok(Outcome::Written(entity)));
                }
            }
            continue;
        }
        let has_left = matches!(member.status.as_str(), "unsubscribed" | "cleaned");
        if !has_left {
            continue;
        }
        if member.status == "unsubscribed" && settings.resubscribe == Resubscribe::Confirm {
            body.insert("status".to_owned(), Wish::Pending.status().into());
            continue;
        }
        body.remove("status");
        if body.is_empty() {
            let reason = format!(
                "the member is {} in Mailchimp and can come back by their own act only",
                member.status
            );
            outcomes.set(index, Ok(Outcome::Suppressed(reason)));
        }
    }
}

/// Leaves those alone whose address is archived: adding it would bring the member back under a new status, and what
/// they had said before would be gone.
fn keep_archived(settings: &Settings, plans: &Plans, wave: &[usize], outcomes: &mut Outcomes) {
    let adds: Vec<(usize, String)> = wave
        .iter()
        .filter_map(|&index| match plans.get(&index)? {
            Plan::Add { email, .. } => Some((index, api::key(email))),
            _ => None,
        })
        .collect();
    if adds.is_empty() {
        return;
    }
    let keys: Vec<String> = adds.iter().map(|(_, key)| key.clone()).collect();
    match archived::among(settings, &keys) {
        Ok(archived) => {
            for (index, _) in adds.iter().filter(|(_, key)| archived.contains(key)) {
                outcomes.set(*index, Ok(is_archived()));
            }
        }
        Err(failure) => {
            outcomes.set_all(
                adds.iter().map(|(index, _)| *index),
                &answers::not_attempted(failure),
            );
        }
    }
}

fn is_archived() -> Outcome {
    Outcome::Suppressed(
        "a member of this address is archived in Mailchimp; unarchive them there".to_owned(),
    )
}

fn send(settings: &Settings, plans: &Plans, open: &[usize], outcomes: &mut Outcomes) {
    let api = Api::new(settings);
    let of = |wanted: &dyn Fn(&Plan) -> bool| -> Vec<usize> {
        open.iter()
            .copied()
            .filter(|index| plans.get(index).is_some_and(wanted))
            .collect()
    };
    for index in of(&|plan| matches!(plan, Plan::Change { body, .. } if body.is_empty())) {
        let id = plans.get(&index).and_then(Plan::id).unwrap_or_default();
        outcomes.set(index, Ok(Outcome::Written(Entity::new(id, Fields::new()))));
    }
    let restricts = |plan: &Plan| {
        matches!(
            plan,
            Plan::Change {
                wish: Some(Wish::Unsubscribed),
                ..
            }
        )
    };
    let changes = |plan: &Plan| matches!(plan, Plan::Change { body, .. } if !body.is_empty());
    let add = AddJob {
        api: &api,
        settings,
        plans,
    };
    let change = ChangeJob {
        api: &api,
        settings,
        plans,
    };
    let archive = ArchiveJob { api: &api, plans };
    let jobs: [(&dyn Job, Vec<usize>); 4] = [
        // Restrictions stand first in line.
        (&change, of(&restricts)),
        (&change, of(&|plan| changes(plan) && !restricts(plan))),
        (&archive, of(&|plan| matches!(plan, Plan::Archive { .. }))),
        (&add, of(&|plan| matches!(plan, Plan::Add { .. }))),
    ];
    batch::run(&jobs, |_, index, attempt| outcomes.set(index, attempt));
}

/// Looks for the members that were in the way of an address, and at those that could not be archived.
fn look_again(settings: &Settings, plans: &Plans, open: &[usize], outcomes: &mut Outcomes) {
    let doubtful: Vec<(usize, String)> = open
        .iter()
        .filter_map(|&index| {
            let plan = plans.get(&index)?;
            let key = match (outcomes.get(index)?, plan) {
                (Ok(Outcome::Duplicate(None)), plan) => api::key(plan.address()?),
                (Ok(Outcome::Rejected(_)), Plan::Archive { id }) => id.clone(),
                _ => return None,
            };
            Some((index, key))
        })
        .collect();
    let keys: Vec<String> = doubtful.iter().map(|(_, key)| key.clone()).collect();
    let members = lookup::members(settings, &Selection::Only(Default::default()), &keys);
    for ((index, _), member) in doubtful.into_iter().zip(members) {
        // What cannot be looked up leaves the outcome as it is: a duplicate of somebody unknown, a refusal.
        let Ok(member) = member else { continue };
        let outcome = match (plans.get(&index), member) {
            (Some(Plan::Archive { .. }), None) => Outcome::Gone,
            (Some(Plan::Archive { .. }), Some(member)) if member.is_archived() => Outcome::Gone,
            (Some(Plan::Add { .. }), Some(member)) if member.is_archived() => is_archived(),
            (Some(Plan::Change { .. }), Some(member)) if member.is_archived() => Outcome::rejected(
                "an archived member has this address; delete or unarchive them in Mailchimp",
                Some(field::EMAIL),
            ),
            (Some(Plan::Add { .. } | Plan::Change { .. }), Some(member)) => {
                Outcome::Duplicate(Some(member.contact_id))
            }
            _ => continue,
        };
        outcomes.set(index, Ok(outcome));
    }
}

/// `POST /lists/{id}`: answered with 200 whatever became of the members.
struct AddJob<'a> {
    api: &'a Api<'a>,
    settings: &'a Settings,
    plans: &'a Plans,
}

#[derive(Deserialize)]
struct Added {
    #[serde(default)]
    new_members: Vec<Member>,
    #[serde(default)]
    errors: Vec<NotAdded>,
}

#[derive(Deserialize)]
struct NotAdded {
    #[serde(default)]
    email_address: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    field: String,
    #[serde(default)]
    field_message: String,
}

impl NotAdded {
    fn outcome(&self) -> Outcome {
        let text = if self.field_message.is_empty() {
            self.error.clone()
        } else {
            format!("{} {}: {}", self.error, self.field, self.field_message)
        };
        if self.error_code == "ERROR_CONTACT_EXISTS" {
            return Outcome::Duplicate(None);
        }
        match Meaning::of(&text, Some(&self.field)) {
            Some(meaning) => meaning.outcome(&text),
            None => Outcome::rejected(text, None),
        }
    }
}

impl Job for AddJob<'_> {
    fn size(&self) -> usize {
        api::BATCH
    }

    fn request(&self, items: &[usize]) -> Request {
        let members: Vec<Value> = items
            .iter()
            .filter_map(|index| match self.plans.get(index)? {
                Plan::Add { body, .. } => Some(body.clone()),
                _ => None,
            })
            .collect();
        self.api.add(&members)
    }

    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        let answer: Added = answer.json()?;
        // From the last to the first: of several with one address the first is meant.
        let sent: BTreeMap<String, usize> = items
            .iter()
            .rev()
            .filter_map(|&index| Some((api::key(self.plans.get(&index)?.address()?), index)))
            .collect();
        let of = |email: &str| sent.get(&api::key(email)).copied();
        let added = answer.new_members.iter().filter_map(|member| {
            let entity = member.entity(&Selection::All, self.settings);
            Some((of(member.email()?)?, Ok(Outcome::Written(entity))))
        });
        let refused = answer
            .errors
            .iter()
            .filter_map(|error| Some((of(&error.email_address)?, Ok(error.outcome()))));
        let mut known: Vec<_> = refused.chain(added).collect();
        if let ([item], [error], true) = (items, answer.errors.as_slice(), known.is_empty()) {
            known.push((*item, Ok(error.outcome())));
        }
        Ok(known)
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        of_audience(self.api, answer)
    }
}

/// A write that adds has no member that could be missing: 404 is about the audience.
fn of_audience(api: &Api<'_>, answer: &Response) -> Attempt {
    if answer.status() == 404 {
        Err(api.failure(answer))
    } else {
        api::refusal(answer)
    }
}

/// `PATCH /lists/{id}/members/{contact_id}`.
struct ChangeJob<'a> {
    api: &'a Api<'a>,
    settings: &'a Settings,
    plans: &'a Plans,
}

impl Job for ChangeJob<'_> {
    fn size(&self) -> usize {
        1
    }

    fn request(&self, items: &[usize]) -> Request {
        let plan = items.first().and_then(|index| self.plans.get(index));
        match plan {
            Some(Plan::Change { id, body, .. }) => {
                self.api.change(id, &Value::Object(body.clone()))
            }
            other => self
                .api
                .change(other.and_then(Plan::id).unwrap_or_default(), &json!({})),
        }
    }

    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        let member: Member = answer.json()?;
        let outcome = if member.is_archived() {
            Outcome::Gone
        } else {
            Outcome::Written(member.entity(&Selection::All, self.settings))
        };
        Ok(items
            .iter()
            .map(|&index| (index, Ok(outcome.clone())))
            .collect())
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }
}

/// `DELETE /lists/{id}/members/{contact_id}`.
struct ArchiveJob<'a> {
    api: &'a Api<'a>,
    plans: &'a Plans,
}

impl Job for ArchiveJob<'_> {
    fn size(&self) -> usize {
        1
    }

    fn request(&self, items: &[usize]) -> Request {
        let plan = items.first().and_then(|index| self.plans.get(index));
        self.api
            .archive(plan.and_then(Plan::id).unwrap_or_default())
    }

    fn accept(&self, items: &[usize], _answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        Ok(items
            .iter()
            .map(|&index| (index, Ok(Outcome::Gone)))
            .collect())
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }
}
