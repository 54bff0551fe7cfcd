//! Creates, updates, archives and consents, in batches.
//!
//! HubSpot ties an opt-out to the address [V]. So where a write changes the address, and where it creates the contact,
//! the contact comes first and the consent follows for the address that the contact then has; everything else goes out
//! side by side. A consent by itself is written for the address that the contact has now: the host's knowledge of it
//! may be old, and an opt-out of an address that the person left protects nobody.

use std::collections::{BTreeMap, BTreeSet};

use samspel_connector::answers::{self, Attempt};
use samspel_connector::batch::{self, Job};
use samspel_connector::fields::{Fields, Selection};
use samspel_connector::http::{Request, Response};
use samspel_connector::outcomes::{self, Outcomes};
use samspel_connector::{
    Absence, Consent, Deliverability, Entity, Fetched, Outcome, Removal, Result, Value, WriteOp,
    log, time,
};
use serde::Deserialize;
use serde_json::Map;

use crate::api::{self, Errors, Input};
use crate::consent::Wish;
use crate::contact::Contact;
use crate::settings::Settings;
use crate::{lookup, property};

/// One write, understood.
struct Plan {
    step: Step,
    /// Returned with this write's results and errors.
    trace: String,
    /// What is written to the contact itself; empty: nothing.
    properties: Map<String, Value>,
    /// The names of the fields that were written, which the outcome tells.
    written: Selection,
    /// The address that holds the consent, once the contact is written.
    email: Option<String>,
    changes_email: bool,
    wish: Option<Wish>,
    deliverability: Option<Deliverability>,
}

enum Step {
    Create,
    Update(String),
    Archive(String),
}

impl Plan {
    fn id(&self) -> Option<&str> {
        match &self.step {
            Step::Create => None,
            Step::Update(id) | Step::Archive(id) => Some(id),
        }
    }

    fn writes_contact(&self) -> bool {
        match self.step {
            Step::Create => true,
            Step::Update(_) => !self.properties.is_empty(),
            Step::Archive(_) => false,
        }
    }

    /// The consent must wait until the contact is written.
    fn consent_follows(&self) -> bool {
        self.writes_contact() && (matches!(self.step, Step::Create) || self.changes_email)
    }

    /// The contact of an answer as the outcome tells it: what was written, as HubSpot now holds it.
    fn entity(&self, contact: &Contact) -> Entity {
        let fields: Fields = contact
            .properties
            .iter()
            .filter(|(name, _)| self.written.wants(name))
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let mut entity = contact.bare(fields);
        entity.deliverability = self.deliverability.clone();
        entity
    }
}

/// One outcome per write.
pub fn write(settings: &Settings, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
    let mut outcomes = Outcomes::new(writes.len());
    let mut plans = BTreeMap::new();
    for (index, write) in writes.into_iter().enumerate() {
        match plan(index, write, settings)? {
            Ok(plan) => {
                plans.insert(index, plan);
            }
            Err(outcome) => outcomes.set(index, Ok(outcome)),
        }
    }
    for wave in batch::waves(plans.iter().map(|(&index, plan)| (index, plan.id()))) {
        address(&mut plans, &wave, &mut outcomes);
        let open: Vec<usize> = wave
            .into_iter()
            .filter(|&index| outcomes.get(index).is_none())
            .collect();
        send(settings, &plans, &open, &mut outcomes);
    }
    outcomes.finish()
}

/// What a write comes down to, or its outcome where HubSpot need not be asked.
fn plan(index: usize, write: WriteOp, settings: &Settings) -> Result<Result<Plan, Outcome>> {
    let (step, trace, fields, consents, deliverability) = match write {
        WriteOp::Create(create) => {
            // `unspecified` and `pending` are what a new contact starts with.
            let consents = create
                .consents
                .into_iter()
                .filter(|consent| !is_initial(consent))
                .collect();
            (
                Step::Create,
                create.idempotency_key,
                Fields::parse(&create.fields)?,
                consents,
                create.deliverability,
            )
        }
        WriteOp::Update(update) => (
            Step::Update(update.id),
            format!("update-{index}"),
            Fields::parse(&update.patch)?,
            update.consents,
            update.deliverability,
        ),
        WriteOp::Remove(remove) if remove.how == Removal::Archive => (
            Step::Archive(remove.id),
            String::new(),
            Fields::new(),
            Vec::new(),
            None,
        ),
        WriteOp::Remove(_) => {
            return Ok(Err(Outcome::rejected(
                "this connector archives contacts and does not delete them for good",
                None,
            )));
        }
    };
    let mut properties = property::to_properties(
        fields
            .iter()
            // A new contact is empty already.
            .filter(|(_, value)| !(matches!(step, Step::Create) && value.is_null())),
    );
    if let Some(deliverability) = &deliverability {
        match bounce(deliverability, settings) {
            Ok((name, value)) => {
                properties.insert(name, value.into());
            }
            // A new contact is not refused for what nobody can record.
            Err(_) if matches!(step, Step::Create) => {}
            Err(reason) => return Ok(Err(Outcome::rejected(reason, None))),
        }
    }
    let wish = match consent(&consents, settings) {
        Ok(wish) => wish,
        Err(reason) => return Ok(Err(Outcome::rejected(reason, None))),
    };
    let changes_email = fields.get(property::EMAIL).is_some();
    let email = fields.text(property::EMAIL).map(str::to_owned);
    // An update that leaves the address alone finds out later which one the contact has.
    let is_told = changes_email || matches!(step, Step::Create);
    if wish.is_some() && is_told && email.is_none() {
        return Ok(Err(no_address()));
    }
    Ok(Ok(Plan {
        step,
        trace,
        properties,
        written: Selection::Only(fields.iter().map(|(name, _)| name.to_owned()).collect()),
        email,
        changes_email,
        wish,
        deliverability: deliverability.filter(|_| settings.bounce_property.is_some()),
    }))
}

fn no_address() -> Outcome {
    Outcome::rejected(
        "HubSpot holds consent by e-mail address, and the contact has none",
        Some(property::EMAIL),
    )
}

fn is_initial(consent: &Consent) -> bool {
    use samspel_connector::ConsentState::{Pending, Unspecified};
    matches!(consent.state, Pending | Unspecified)
}

/// The one consent that HubSpot holds; of several the last counts.
fn consent(consents: &[Consent], settings: &Settings) -> Result<Option<Wish>, String> {
    consents
        .iter()
        .map(|consent| Wish::new(consent, settings))
        .next_back()
        .transpose()
}

fn bounce(
    deliverability: &Deliverability,
    settings: &Settings,
) -> Result<(String, String), String> {
    let Some(name) = &settings.bounce_property else {
        return Err(
            "deliverability can be written only with the setting `bounce_property`".to_owned(),
        );
    };
    settings
        .bounce_values
        .value(&deliverability.state)
        .map(|value| (name.clone(), value.to_owned()))
        .ok_or_else(|| {
            "this state of deliverability has no value in the setting `bounce_values`".to_owned()
        })
}

/// Finds out which address a contact has whose consent is written and whose address is not.
fn address(plans: &mut Plans, wave: &[usize], outcomes: &mut Outcomes) {
    let asked: Vec<(usize, String)> = wave
        .iter()
        .filter_map(|&index| {
            let plan = plans.get(&index)?;
            let by_itself = plan.wish.is_some() && !plan.changes_email;
            Some((index, plan.id().filter(|_| by_itself)?.to_owned()))
        })
        .collect();
    if asked.is_empty() {
        return;
    }
    let ids: Vec<String> = asked.iter().map(|(_, id)| id.clone()).collect();
    let found = match lookup::addresses(&ids) {
        Ok(found) => found,
        Err(failure) => {
            outcomes.set_all(
                asked.iter().map(|(index, _)| *index),
                &answers::not_attempted(failure),
            );
            return;
        }
    };
    for ((index, _), found) in asked.into_iter().zip(found) {
        let outcome = match found {
            Fetched::Found(entity) => match Fields::parse(&entity.fields) {
                Ok(fields) if fields.text(property::EMAIL).is_some() => {
                    if let Some(plan) = plans.get_mut(&index) {
                        plan.email = fields.text(property::EMAIL).map(str::to_owned);
                    }
                    continue;
                }
                _ => no_address(),
            },
            Fetched::Absent(Absence::MergedInto(id)) => Outcome::Moved(id),
            Fetched::Absent(_) => Outcome::Gone,
            Fetched::Failed(why) | Fetched::Other(why) => Outcome::deferred(why),
        };
        outcomes.set(index, Ok(outcome));
    }
}

/// Sends one wave and notes what became of its writes.
fn send(
    settings: &Settings,
    plans: &BTreeMap<usize, Plan>,
    wave: &[usize],
    outcomes: &mut Outcomes,
) {
    let of = |wanted: &dyn Fn(&Plan) -> bool| -> Vec<usize> {
        wave.iter()
            .copied()
            .filter(|index| plans.get(index).is_some_and(wanted))
            .collect()
    };
    let create = Create(plans);
    let update = Update(plans);
    let archive = Archive(plans);
    let unsubscribe = Unsubscribe(plans);
    let status = WriteStatus(plans);
    let out = |plan: &Plan| plan.wish == Some(Wish::OutOfAll);
    let other = |plan: &Plan| matches!(plan.wish, Some(Wish::Status { .. }));

    let mut contacts: BTreeMap<usize, Attempt> = BTreeMap::new();
    let mut consents: BTreeMap<usize, Attempt> = BTreeMap::new();
    let first: [(&dyn Job, Vec<usize>); 5] = [
        // Restrictions stand first in line.
        (
            &unsubscribe,
            of(&|plan| out(plan) && !plan.consent_follows()),
        ),
        (&status, of(&|plan| other(plan) && !plan.consent_follows())),
        (&create, of(&|plan| matches!(plan.step, Step::Create))),
        (
            &update,
            of(&|plan| matches!(plan.step, Step::Update(_)) && plan.writes_contact()),
        ),
        (&archive, of(&|plan| matches!(plan.step, Step::Archive(_)))),
    ];
    batch::run(&first, |job, index, attempt| {
        let part = if job < 2 {
            &mut consents
        } else {
            &mut contacts
        };
        part.insert(index, attempt);
    });
    let follows = |wanted: &dyn Fn(&Plan) -> bool| -> Vec<usize> {
        of(&|plan| wanted(plan) && plan.consent_follows())
            .into_iter()
            .filter(|index| matches!(contacts.get(index), Some(Ok(Outcome::Written(_)))))
            .collect()
    };
    let later: [(&dyn Job, Vec<usize>); 2] =
        [(&unsubscribe, follows(&out)), (&status, follows(&other))];
    batch::run(&later, |_, index, attempt| {
        consents.insert(index, attempt);
    });
    let moved = of(&|plan| plan.changes_email && matches!(plan.step, Step::Update(_)));
    reread(settings, plans, &moved, &mut contacts);
    for &index in wave {
        if let Some(plan) = plans.get(&index) {
            outcomes.set(
                index,
                combine(plan, contacts.remove(&index), consents.remove(&index)),
            );
        }
    }
}

/// A contact that got another address has that address's consent and deliverability: the outcome tells them. Where they
/// cannot be read the outcome leaves them out, which says nothing about them.
fn reread(
    settings: &Settings,
    plans: &BTreeMap<usize, Plan>,
    moved: &[usize],
    contacts: &mut BTreeMap<usize, Attempt>,
) {
    let ids: Vec<String> = moved
        .iter()
        .filter(|index| matches!(contacts.get(index), Some(Ok(Outcome::Written(_)))))
        .filter_map(|index| plans.get(index)?.id().map(str::to_owned))
        .collect();
    if ids.is_empty() {
        return;
    }
    match lookup::states(settings, &ids) {
        Ok(states) => {
            for index in moved {
                if let Some(Ok(Outcome::Written(entity))) = contacts.get_mut(index)
                    && let Some(state) = states.iter().find(|state| state.id == entity.id)
                {
                    entity.consents.clone_from(&state.consents);
                    entity.deliverability.clone_from(&state.deliverability);
                }
            }
        }
        Err(failure) => log::warn(format!(
            "the consents of {} contacts with a new address were not read: {}",
            ids.len(),
            outcomes::explain(failure)
        )),
    }
}

/// The outcome of a write of which one part concerns the contact and one the consent.
fn combine(plan: &Plan, contact: Option<Attempt>, consent: Option<Attempt>) -> Attempt {
    match (contact, consent) {
        (Some(Ok(Outcome::Written(mut entity))), Some(Ok(Outcome::Written(told)))) => {
            entity.consents = told.consents;
            Ok(Outcome::Written(entity))
        }
        (Some(Ok(Outcome::Written(_))), Some(consent)) => Ok(Outcome::Unknown(format!(
            "the contact was written and the consent was not: {}",
            reason(consent)
        ))),
        (Some(contact), None) => contact,
        (Some(contact), Some(Ok(Outcome::Written(_)))) => match contact {
            Ok(Outcome::Unknown(_) | Outcome::Gone | Outcome::Moved(_) | Outcome::Duplicate(_)) => {
                contact
            }
            contact => Ok(Outcome::Unknown(format!(
                "the consent was written and the contact was not: {}",
                reason(contact)
            ))),
        },
        (Some(contact), Some(_)) => contact,
        (None, Some(consent)) => consent,
        // An update that changes nothing.
        (None, None) => Ok(Outcome::Written(Entity::new(
            plan.id().unwrap_or_default(),
            Fields::new(),
        ))),
    }
}

fn reason(attempt: Attempt) -> String {
    match attempt {
        Ok(Outcome::Rejected(rejection)) => rejection.reason,
        Ok(Outcome::Deferred(deferral)) => deferral.reason,
        Ok(Outcome::Unknown(reason) | Outcome::Suppressed(reason)) => reason,
        Ok(other) => format!("{other:?}"),
        Err(failure) => outcomes::explain(failure),
    }
}

type Plans = BTreeMap<usize, Plan>;

fn get<'a>(plans: &'a Plans, items: &'a [usize]) -> impl Iterator<Item = (usize, &'a Plan)> {
    items
        .iter()
        .filter_map(|&index| Some((index, plans.get(&index)?)))
}

fn input(plan: &Plan) -> Input<'_> {
    Input {
        id: plan.id(),
        properties: &plan.properties,
        object_write_trace_id: &plan.trace,
    }
}

/// Results and errors of a batch of contacts.
#[derive(Deserialize)]
struct ContactAnswer {
    #[serde(default)]
    results: Vec<Contact>,
    #[serde(flatten)]
    errors: Errors,
}

/// `batch/create`. Results carry no input: they are told apart by the trace where it comes back, and by the address.
struct Create<'a>(&'a Plans);

impl Job for Create<'_> {
    fn size(&self) -> usize {
        api::BATCH
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }

    fn request(&self, items: &[usize]) -> Request {
        let inputs: Vec<_> = get(self.0, items).map(|(_, plan)| input(plan)).collect();
        api::batch_create(&inputs)
    }

    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        let answer: ContactAnswer = answer.json()?;
        let alone = items.len() == 1;
        let of = |contact: &Contact| {
            get(self.0, items).find(|(_, plan)| {
                let by_trace = contact.object_write_trace_id.as_deref() == Some(&*plan.trace);
                let by_email = match (contact.email(), plan.email.as_deref()) {
                    (Some(own), Some(sent)) => own.eq_ignore_ascii_case(sent.trim()),
                    _ => false,
                };
                by_trace || by_email || alone
            })
        };
        let written = answer.results.iter().filter_map(|contact| {
            let (index, plan) = of(contact)?;
            Some((index, Ok(Outcome::Written(plan.entity(contact)))))
        });
        let refused = refusals(self.0, items, &answer.errors);
        let mut known: Vec<_> = written.chain(refused).collect();
        let named: BTreeSet<usize> = known.iter().map(|(index, _)| *index).collect();
        let is_full = answer.results.len() + answer.errors.errors.len() >= items.len();
        let lost = get(self.0, items).filter(|(index, plan)| {
            // Everything was answered and not everything can be told apart; or there is no address, by which HubSpot
            // would refuse to create the contact a second time.
            !named.contains(index) && (is_full || plan.email.is_none())
        });
        known.extend(lost.map(|(index, _)| {
            let reason = "the answer does not tell which contact was created";
            (index, Ok(Outcome::Unknown(reason.to_owned())))
        }));
        Ok(known)
    }
}

/// Errors that name the item that they are about.
fn refusals(plans: &Plans, items: &[usize], errors: &Errors) -> Vec<(usize, Attempt)> {
    if let ([item], [error, ..]) = (items, errors.errors.as_slice()) {
        // In the answer to a batch of one there is nothing else that it could be about.
        return vec![(*item, Ok(error.outcome()))];
    }
    let mut refused = Vec::new();
    for error in &errors.errors {
        let traces = error.context("objectWriteTraceId");
        let ids: Vec<&str> = ["ids", "id"]
            .into_iter()
            .flat_map(|name| error.context(name))
            .collect();
        refused.extend(
            get(plans, items)
                .filter(|(_, plan)| {
                    traces.contains(&plan.trace.as_str())
                        || plan.id().is_some_and(|id| ids.contains(&id))
                })
                .map(|(index, _)| (index, Ok(error.outcome()))),
        );
    }
    refused
}

/// `batch/update`, told apart by the trace where it comes back, and by id.
struct Update<'a>(&'a Plans);

impl Job for Update<'_> {
    fn size(&self) -> usize {
        api::BATCH
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }

    fn request(&self, items: &[usize]) -> Request {
        let inputs: Vec<_> = get(self.0, items).map(|(_, plan)| input(plan)).collect();
        api::batch_update(&inputs)
    }

    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        let answer: ContactAnswer = answer.json()?;
        let mut known = Vec::new();
        for (index, plan) in get(self.0, items) {
            // A trace tells for sure. By the id alone an answer about a merged contact would be taken for one about the
            // contact that it lives on in.
            let of_trace =
                |contact: &&Contact| contact.object_write_trace_id.as_deref() == Some(&*plan.trace);
            let of_id = |contact: &&Contact| {
                contact.object_write_trace_id.is_none() && plan.id() == Some(&contact.id)
            };
            let results = || answer.results.iter();
            let Some(contact) = results().find(of_trace).or_else(|| results().find(of_id)) else {
                continue;
            };
            let outcome = if plan.id() == Some(&contact.id) {
                Outcome::Written(plan.entity(contact))
            } else {
                // Merged: the contact lives on under the id of the answer.
                Outcome::Moved(contact.id.clone())
            };
            known.push((index, Ok(outcome)));
        }
        known.extend(refusals(self.0, items, &answer.errors));
        Ok(known)
    }
}

/// `batch/archive`: 204 for all, also for those that were archived before.
struct Archive<'a>(&'a Plans);

impl Job for Archive<'_> {
    fn size(&self) -> usize {
        api::BATCH
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }

    fn request(&self, items: &[usize]) -> Request {
        let ids: Vec<_> = get(self.0, items)
            .filter_map(|(_, plan)| plan.id())
            .collect();
        api::batch_archive(&ids)
    }

    fn accept(&self, items: &[usize], _answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        Ok(items
            .iter()
            .map(|&index| (index, Ok(Outcome::Gone)))
            .collect())
    }
}

/// A consent that was written, as an outcome of the contact's id; a create's id is known from its other part.
fn told(plan: &Plan, at: Option<samspel_connector::jiff::Timestamp>) -> Option<Attempt> {
    let mut entity = Entity::new(plan.id().unwrap_or_default(), Fields::new());
    entity.consents.push(plan.wish.as_ref()?.consent(at));
    Some(Ok(Outcome::Written(entity)))
}

/// `statuses/batch/unsubscribe-all`. Its short answer names no address, so that errors are found one by one.
struct Unsubscribe<'a>(&'a Plans);

impl Job for Unsubscribe<'_> {
    fn size(&self) -> usize {
        api::BATCH
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }

    fn request(&self, items: &[usize]) -> Request {
        let emails: Vec<_> = get(self.0, items)
            .filter_map(|(_, plan)| plan.email.as_deref())
            .collect();
        api::unsubscribe_all(&emails)
    }

    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        let at = answer.date();
        let errors: Errors = if answer.bytes().is_empty() {
            Errors::default()
        } else {
            answer.json()?
        };
        if !errors.errors.is_empty() {
            return Ok(refusals(self.0, items, &errors));
        }
        Ok(get(self.0, items)
            .filter_map(|(index, plan)| Some((index, told(plan, at)?)))
            .collect())
    }
}

/// `statuses/batch/write`, told apart by address.
struct WriteStatus<'a>(&'a Plans);

#[derive(Deserialize)]
struct StatusAnswer {
    #[serde(default)]
    results: Vec<StatusResult>,
    #[serde(flatten)]
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusResult {
    subscriber_id_string: String,
    #[serde(default)]
    timestamp: Option<Value>,
}

impl Job for WriteStatus<'_> {
    fn size(&self) -> usize {
        api::BATCH
    }

    fn refuse(&self, answer: &Response) -> Attempt {
        api::refusal(answer)
    }

    fn request(&self, items: &[usize]) -> Request {
        let inputs: Vec<Value> = get(self.0, items)
            .filter_map(|(_, plan)| Some(plan.wish.as_ref()?.input(plan.email.as_deref()?)))
            .collect();
        api::write_statuses(&inputs)
    }

    fn accept(&self, items: &[usize], answer: &Response) -> Result<Vec<(usize, Attempt)>> {
        let date = answer.date();
        let answer: StatusAnswer = answer.json()?;
        let refused = refusals(self.0, items, &answer.errors);
        Ok(get(self.0, items)
            .filter_map(|(index, plan)| {
                let email = plan.email.as_deref()?;
                let result = answer
                    .results
                    .iter()
                    .find(|result| result.subscriber_id_string.eq_ignore_ascii_case(email))?;
                let at = match &result.timestamp {
                    Some(Value::String(text)) => time::rfc3339(text),
                    Some(Value::Number(ms)) => ms.as_i64().and_then(time::millis),
                    _ => None,
                };
                Some((index, told(plan, at.or(date))?))
            })
            .chain(refused)
            .collect())
    }
}
