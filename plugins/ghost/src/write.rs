//! Writing: one request per member, many at once.

use std::collections::BTreeMap;

use samspel_connector::answers::Attempt;
use samspel_connector::fields::{Fields, Selection};
use samspel_connector::http::{Request, send_all};
use samspel_connector::outcomes::Outcomes;
use samspel_connector::{
    Consent, ConsentState, Create, Outcome, Rejection, Removal, Remove, Result, Update, Value,
    WriteOp, json,
};

use crate::api::{Api, Member, Members, written};
use crate::consent::{SLOT, Scope};
use crate::read::Reader;
use crate::record;

/// Writes members.
#[derive(Debug)]
pub struct Writer<'a> {
    api: &'a Api,
    scope: &'a Scope,
}

/// A request that changes something, and how to read its answer.
#[derive(Debug)]
struct Pending {
    index: usize,
    request: Request,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// A create or change of a member with this address.
    Save {
        email: Option<String>,
    },
    Remove,
}

impl<'a> Writer<'a> {
    /// Writes through the API, with consent about these newsletters.
    pub fn new(api: &'a Api, scope: &'a Scope) -> Self {
        Self { api, scope }
    }

    /// One outcome per write.
    pub fn write(&self, writes: &[WriteOp]) -> Result<Vec<Outcome>> {
        let current = self.current(writes)?;
        let mut outcomes = Outcomes::new(writes.len());
        let mut pending = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let prepared = match write {
                WriteOp::Create(create) => self.create(create),
                WriteOp::Update(update) => self.update(update, &current),
                WriteOp::Remove(remove) => self.remove(remove),
            };
            match prepared {
                Ok((request, kind)) => pending.push(Pending {
                    index,
                    request,
                    kind,
                }),
                Err(rejection) => outcomes.set(index, Ok(Outcome::Rejected(rejection))),
            }
        }
        self.send(pending, &mut outcomes);
        outcomes.finish()
    }

    /// The members whose newsletters must be known before one of them can be started or ended: Ghost takes the whole
    /// list of a member's newsletters.
    fn current(&self, writes: &[WriteOp]) -> Result<BTreeMap<String, Member>> {
        let ids = writes.iter().filter_map(|write| match write {
            WriteOp::Update(update) if self.needs_current(&update.consents) => {
                Some(update.id.as_str())
            }
            _ => None,
        });
        let members = Reader::new(self.api, self.scope).by_ids(ids)?;
        Ok(members
            .into_iter()
            .map(|member| (member.id.clone(), member))
            .collect())
    }

    fn needs_current(&self, consents: &[Consent]) -> bool {
        consents.iter().any(|consent| match consent.state {
            ConsentState::Subscribed => true,
            // An opt-out of everything needs no knowledge, and must not wait for any.
            ConsentState::Unsubscribed => !self.scope.whole,
            _ => false,
        })
    }

    /// Without `newsletters` Ghost would subscribe the new member to its default newsletters, so they are always said.
    fn create(&self, create: &Create) -> Result<(Request, Kind), Rejection> {
        let fields = parse(&create.fields)?;
        let mut body = record::body(&fields)?;
        let email = fields.text("email").map(str::to_owned);
        if email.is_none() {
            return Err(record::rejection(
                "a member of Ghost needs an e-mail address",
                Some("email"),
            ));
        }
        let subscribed = self.wanted(&create.consents)?.unwrap_or(false);
        let newsletters = if subscribed {
            self.scope.after(true, [])
        } else {
            Vec::new()
        };
        body.insert("newsletters".to_owned(), references(&newsletters));
        Ok((self.api.create(&Value::Object(body)), Kind::Save { email }))
    }

    fn update(
        &self,
        update: &Update,
        current: &BTreeMap<String, Member>,
    ) -> Result<(Request, Kind), Rejection> {
        if update.deliverability.is_some() {
            return Err(record::rejection(
                "Ghost itself decides which addresses it does not send to",
                None,
            ));
        }
        let fields = parse(&update.patch)?;
        let mut body = record::body(&fields)?;
        if let Some(subscribed) = self.wanted(&update.consents)? {
            // A member that is gone has none, and the answer to the request will tell.
            let member = current.get(&update.id);
            let ids = member.into_iter().flat_map(|member| &member.newsletters);
            let ids = ids.map(|newsletter| newsletter.id.as_str());
            let newsletters = references(&self.scope.after(subscribed, ids));
            body.insert("newsletters".to_owned(), newsletters);
        }
        let kind = Kind::Save {
            email: fields.text("email").map(str::to_owned),
        };
        if body.is_empty() {
            // Nothing that Ghost could be told; the answer says what it holds.
            return Ok((self.api.member(&update.id), kind));
        }
        Ok((self.api.update(&update.id, &Value::Object(body)), kind))
    }

    fn remove(&self, remove: &Remove) -> Result<(Request, Kind), Rejection> {
        match remove.how {
            Removal::Delete => Ok((self.api.delete(&remove.id), Kind::Remove)),
            Removal::Archive => Err(record::rejection("Ghost cannot archive members", None)),
        }
    }

    /// Whether the member is to be subscribed; `None`: as it is.
    fn wanted(&self, consents: &[Consent]) -> Result<Option<bool>, Rejection> {
        let mut wanted = None;
        for consent in consents {
            if (consent.channel.as_str(), consent.purpose.as_str()) != SLOT {
                return Err(record::rejection(
                    format!(
                        "Ghost holds no consent for {} / {}",
                        consent.channel, consent.purpose
                    ),
                    None,
                ));
            }
            wanted = match consent.state {
                ConsentState::Subscribed if self.scope.start.is_empty() => {
                    return Err(record::rejection(
                        "this site has no newsletter to subscribe to",
                        None,
                    ));
                }
                ConsentState::Subscribed => Some(true),
                ConsentState::Unsubscribed => Some(false),
                // Nothing was said, or nothing yet; Ghost's API has no double opt-in.
                ConsentState::Unspecified | ConsentState::Pending | ConsentState::Other(_) => {
                    wanted
                }
            };
        }
        Ok(wanted)
    }

    fn send(&self, pending: Vec<Pending>, outcomes: &mut Outcomes) {
        let answers = send_all(pending.iter().map(|pending| pending.request.clone()));
        let mut saved = Vec::new();
        let mut duplicates = Vec::new();
        for (Pending { index, kind, .. }, answer) in pending.into_iter().zip(answers) {
            match (written(answer), kind) {
                (Ok(_), Kind::Remove) => outcomes.set(index, Ok(Outcome::Gone)),
                (Ok(response), Kind::Save { .. }) => match response.json::<Members>() {
                    Ok(page) => {
                        let member = page.members.into_iter().next();
                        saved.extend(member.map(|member| (index, member)));
                    }
                    Err(failure) => outcomes.set(index, Err(failure)),
                },
                (Err(attempt), kind) => match (*attempt, kind) {
                    (Ok(Outcome::Duplicate(None)), Kind::Save { email: Some(email) }) => {
                        duplicates.push((index, email));
                    }
                    (attempt, _) => outcomes.set(index, attempt),
                },
            }
        }
        self.settle(saved, outcomes);
        self.name_duplicates(duplicates, outcomes);
    }

    /// What was saved, with the consent as a reading tells it.
    fn settle(&self, saved: Vec<(usize, Member)>, outcomes: &mut Outcomes) {
        let (indices, members): (Vec<usize>, Vec<Member>) = saved.into_iter().unzip();
        match Reader::new(self.api, self.scope).entities(members, &Selection::All) {
            Ok(entities) => {
                for (index, entity) in indices.into_iter().zip(entities) {
                    outcomes.set(index, Ok(Outcome::Written(entity)));
                }
            }
            Err(failure) => {
                let attempt: Attempt = Ok(Outcome::Unknown(format!(
                    "saved, but not read back: {failure:?}"
                )));
                outcomes.set_all(indices, &attempt);
            }
        }
    }

    fn name_duplicates(&self, duplicates: Vec<(usize, String)>, outcomes: &mut Outcomes) {
        let (indices, addresses): (Vec<usize>, Vec<String>) = duplicates.into_iter().unzip();
        let found = Reader::new(self.api, self.scope)
            .find(&addresses)
            .unwrap_or_default();
        for (position, index) in indices.into_iter().enumerate() {
            let id = found
                .get(position)
                .and_then(|members| members.first())
                .map(|member| member.id.clone());
            outcomes.set(index, Ok(Outcome::Duplicate(id)));
        }
    }
}

fn references(newsletters: &[&str]) -> Value {
    newsletters.iter().map(|id| json!({"id": id})).collect()
}

fn parse(fields: &str) -> Result<Fields, Rejection> {
    Fields::parse(fields).map_err(|failure| record::rejection(format!("{failure:?}"), None))
}
