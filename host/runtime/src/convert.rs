//! Between the contract's types and the host's. Everything a guest returns is checked here, before anything else sees
//! it: a connector is written by somebody else.

use std::collections::BTreeSet;

use jiff::Timestamp;
use samspel_model::consent::{
    Consent, ConsentSlot, ConsentState, Deliverability, DeliverabilityState,
};
use samspel_model::descriptor as model;
use samspel_model::schema::{self, Collection, DeleteVisibility, DeliverabilitySupport, Role};
use samspel_model::write::{Create, Removal, Remove, Update};
use samspel_model::{
    Absence, Access, Entity, Failure, Fetched, Fields, Identity, Outcome, Page, ReadMode,
    ReadRequest, RecordId, Revision, Tombstone, WriteOp,
};
use serde_json::Value;

use crate::bindings::exports::samspel::connector::remote as wit;
use crate::bindings::samspel::connector::types;
use crate::limits::Limits;

/// Something a guest returned that cannot be used; for the connector's author.
type Wrong = String;

/// Checks what one call returns.
pub struct Checker<'a> {
    limits: &'a Limits,
}

impl<'a> Checker<'a> {
    pub fn new(limits: &'a Limits) -> Self {
        Self { limits }
    }

    pub(crate) fn count(&self, what: &str, number: usize) -> Result<(), Wrong> {
        let limit = self.limits.items;
        if number > limit {
            return Err(format!(
                "it returned {number} {what}; at most {limit} are taken (items)"
            ));
        }
        Ok(())
    }

    pub(crate) fn id(&self, what: &str, id: String) -> Result<RecordId, Wrong> {
        if id.is_empty() {
            return Err(format!("it returned an empty {what}"));
        }
        if id.len() > self.limits.identifier_bytes {
            return Err(format!(
                "it returned a {what} of {} bytes; at most {} are taken (identifier-bytes)",
                id.len(),
                self.limits.identifier_bytes
            ));
        }
        Ok(RecordId::new(id))
    }

    /// An identifier that is no record's.
    pub(crate) fn name(&self, what: &str, name: String) -> Result<String, Wrong> {
        Ok(self.id(what, name)?.to_string())
    }

    fn object(&self, what: &str, json: &str) -> Result<Fields, Wrong> {
        // The parser refuses to nest deeper than 128 by itself; ours is the stricter limit.
        let value: Value =
            serde_json::from_str(json).map_err(|error| format!("{what} are not JSON: {error}"))?;
        match value {
            Value::Object(object) => {
                if object
                    .values()
                    .any(|v| deeper_than(v, self.limits.json_depth))
                {
                    return Err(format!(
                        "{what} nest deeper than {} (json-depth)",
                        self.limits.json_depth
                    ));
                }
                Ok(object)
            }
            _ => Err(format!("{what} are not a JSON object")),
        }
    }

    fn revision(&self, revision: types::Revision) -> Result<Revision, Wrong> {
        if revision.token.len() > self.limits.identifier_bytes {
            return Err("it returned a revision that is too long (identifier-bytes)".to_owned());
        }
        Ok(Revision {
            token: revision.token,
            order: revision.order,
        })
    }

    pub(crate) fn time(what: &str, text: Option<String>) -> Result<Option<Timestamp>, Wrong> {
        text.map(|text| {
            text.parse()
                .map_err(|_| format!("{what} `{}` is not RFC 3339", shorten(&text)))
        })
        .transpose()
    }

    pub fn entity(&self, entity: types::Entity) -> Result<Entity, Wrong> {
        let id = self.id("record id", entity.id)?;
        let about = |why: Wrong| format!("record `{id}`: {why}");
        self.count("consents of a record", entity.consents.len())?;
        self.count("aliases of a record", entity.aliases.len())?;
        let mut known = BTreeSet::new();
        let mut consents = Vec::with_capacity(entity.consents.len());
        for said in entity.consents {
            let said = self.consent(said).map_err(about)?;
            if !known.insert((said.channel.clone(), said.purpose.clone())) {
                return Err(about(format!(
                    "the consent `{}/{}` is there twice",
                    said.channel, said.purpose
                )));
            }
            consents.push(said);
        }
        Ok(Entity {
            fields: self.object("its fields", &entity.fields).map_err(about)?,
            revision: entity
                .revision
                .map(|revision| self.revision(revision))
                .transpose()
                .map_err(about)?,
            consents,
            deliverability: entity
                .deliverability
                .map(deliverability)
                .transpose()
                .map_err(about)?,
            aliases: entity
                .aliases
                .into_iter()
                .map(|alias| self.id("alias", alias))
                .collect::<Result<_, _>>()
                .map_err(about)?,
            modified: Self::time("its time", entity.modified).map_err(about)?,
            id,
        })
    }

    fn consent(&self, consent: types::Consent) -> Result<Consent, Wrong> {
        Ok(Consent {
            state: match consent.state {
                types::ConsentState::Subscribed => ConsentState::Subscribed,
                types::ConsentState::Unsubscribed => ConsentState::Unsubscribed,
                types::ConsentState::Pending => ConsentState::Pending,
                types::ConsentState::Unspecified => ConsentState::Unspecified,
                types::ConsentState::Other(name) => ConsentState::Other(shorten(&name)),
            },
            at: Self::time("the time of a consent", consent.at)?,
            evidence: consent.evidence.map(|text| shorten(&text)),
            channel: self.name("consent channel", consent.channel)?,
            purpose: self.name("consent purpose", consent.purpose)?,
        })
    }

    pub fn page(&self, page: wit::Page) -> Result<Page, Wrong> {
        self.count("records", page.records.len() + page.tombstones.len())?;
        let cursor = |cursor: Option<String>| match cursor {
            // A cursor may hold state; it is not an identifier, and still no place for a database.
            Some(cursor) if cursor.len() > 1 << 20 => {
                Err("it returned a cursor of more than 1 MiB".to_owned())
            }
            cursor => Ok(cursor),
        };
        Ok(Page {
            records: page
                .records
                .into_iter()
                .map(|entity| self.entity(entity))
                .collect::<Result<_, _>>()?,
            tombstones: page
                .tombstones
                .into_iter()
                .map(|tombstone| {
                    Ok(Tombstone {
                        id: self.id("record id", tombstone.id)?,
                        why: self.absence(tombstone.why)?,
                        revision: tombstone
                            .revision
                            .map(|revision| self.revision(revision))
                            .transpose()?,
                    })
                })
                .collect::<Result<_, Wrong>>()?,
            next: cursor(page.next)?,
            more: page.more,
            resume_cursor: cursor(page.resume_cursor)?,
            complete: page.complete,
        })
    }

    fn absence(&self, why: types::Absence) -> Result<Absence, Wrong> {
        Ok(match why {
            types::Absence::Deleted => Absence::Deleted,
            types::Absence::Archived => Absence::Archived,
            types::Absence::MergedInto(id) => Absence::MergedInto(self.id("record id", id)?),
            types::Absence::OutOfScope => Absence::OutOfScope,
            types::Absence::Other(why) => Absence::Other(shorten(&why)),
        })
    }

    pub fn fetched(&self, asked: usize, answers: Vec<wit::Fetched>) -> Result<Vec<Fetched>, Wrong> {
        same_count("fetch", asked, answers.len())?;
        answers
            .into_iter()
            .map(|answer| {
                Ok(match answer {
                    wit::Fetched::Found(entity) => Fetched::Found(self.entity(entity)?),
                    wit::Fetched::Absent(why) => Fetched::Absent(self.absence(why)?),
                    wit::Fetched::Failed(why) | wit::Fetched::Other(why) => {
                        Fetched::Failed(shorten(&why))
                    }
                })
            })
            .collect()
    }

    pub fn found(
        &self,
        asked: usize,
        answers: Vec<Vec<types::Entity>>,
    ) -> Result<Vec<Vec<Entity>>, Wrong> {
        same_count("find", asked, answers.len())?;
        self.count("records", answers.iter().map(Vec::len).sum())?;
        answers
            .into_iter()
            .map(|entities| {
                entities
                    .into_iter()
                    .map(|entity| self.entity(entity))
                    .collect()
            })
            .collect()
    }

    pub fn outcomes(
        &self,
        sent: usize,
        outcomes: Vec<wit::Outcome>,
    ) -> Result<Vec<Outcome>, Wrong> {
        same_count("write", sent, outcomes.len())?;
        outcomes
            .into_iter()
            .map(|outcome| {
                Ok(match outcome {
                    wit::Outcome::Written(entity) => Outcome::Written(self.entity(entity)?),
                    wit::Outcome::Stale(entity) => {
                        Outcome::Stale(entity.map(|entity| self.entity(entity)).transpose()?)
                    }
                    wit::Outcome::Gone => Outcome::Gone,
                    wit::Outcome::Moved(id) => Outcome::Moved(self.id("record id", id)?),
                    wit::Outcome::Duplicate(id) => {
                        Outcome::Duplicate(id.map(|id| self.id("record id", id)).transpose()?)
                    }
                    wit::Outcome::Suppressed(why) => Outcome::Suppressed(shorten(&why)),
                    wit::Outcome::Rejected(rejection) => Outcome::Rejected {
                        reason: shorten(&rejection.reason),
                        field: rejection.field.map(|field| shorten(&field)),
                    },
                    wit::Outcome::Deferred(deferral) => Outcome::Deferred {
                        reason: shorten(&deferral.reason),
                        retry_after: deferral.retry_after,
                    },
                    wit::Outcome::Unknown(why) => Outcome::Unknown(shorten(&why)),
                    // What a newer contract would say: nothing is known about it.
                    wit::Outcome::Other(why) => Outcome::Unknown(shorten(&why)),
                })
            })
            .collect()
    }

    pub fn collections(&self, collections: Vec<wit::Collection>) -> Result<Vec<Collection>, Wrong> {
        self.count("collections", collections.len())?;
        collections
            .into_iter()
            .map(|collection| self.collection(collection))
            .collect()
    }

    fn collection(&self, collection: wit::Collection) -> Result<Collection, Wrong> {
        let name = self.name("collection name", collection.name)?;
        self.count("fields", collection.fields.len())?;
        let mut names = BTreeSet::new();
        let mut fields = Vec::with_capacity(collection.fields.len());
        for field in collection.fields {
            let field_name = self.name("field name", field.name)?;
            if !names.insert(field_name.clone()) {
                return Err(format!(
                    "collection `{name}` has the field `{field_name}` twice"
                ));
            }
            let schema = self.object(
                &format!("the schema of `{name}.{field_name}`"),
                &field.schema,
            )?;
            fields.push(schema::Field {
                name: field_name,
                title: shorten(&field.title),
                schema: Value::Object(schema),
                roles: field.roles.into_iter().map(role).collect(),
                access: match field.access {
                    wit::Access::ReadWrite => Access::ReadWrite,
                    wit::Access::ReadOnly => Access::ReadOnly,
                    wit::Access::CreateOnly => Access::CreateOnly,
                },
                required: field.required,
            });
        }
        let c = collection.capabilities;
        // A connector may allow itself more than the host takes at once.
        let most = u32::try_from(self.limits.items).unwrap_or(u32::MAX);
        let at_once = |number: u32| number.clamp(1, most);
        Ok(Collection {
            title: shorten(&collection.title),
            fields,
            consent_slots: collection
                .consent_slots
                .into_iter()
                .map(|slot| {
                    Ok(ConsentSlot {
                        channel: self.name("consent channel", slot.channel)?,
                        purpose: self.name("consent purpose", slot.purpose)?,
                        can_restrict: slot.can_restrict,
                        can_grant: slot.can_grant,
                    })
                })
                .collect::<Result<_, Wrong>>()?,
            deliverability: match collection.deliverability {
                wit::DeliverabilitySupport::None => DeliverabilitySupport::None,
                wit::DeliverabilitySupport::Read => DeliverabilitySupport::Read,
                wit::DeliverabilitySupport::ReadWrite => DeliverabilitySupport::ReadWrite,
            },
            capabilities: schema::Capabilities {
                incremental: c.incremental,
                deletes: match c.deletes {
                    wit::DeleteVisibility::Reported => DeleteVisibility::Reported,
                    wit::DeleteVisibility::ByListing => DeleteVisibility::ByListing,
                },
                hidden_changes: c.hidden_changes,
                preconditions: c.preconditions,
                findable: c.findable,
                max_page: at_once(c.max_page),
                max_fetch: at_once(c.max_fetch),
                max_find: at_once(c.max_find),
                max_write: at_once(c.max_write),
                can_create: c.can_create,
                can_archive: c.can_archive,
                can_delete: c.can_delete,
            },
            name,
        })
    }
}

/// Whether a value nests deeper than so many levels.
fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|v| deeper_than(v, levels - 1)),
        Value::Object(members) => {
            levels == 0 || members.values().any(|v| deeper_than(v, levels - 1))
        }
        _ => false,
    }
}

fn same_count(call: &str, asked: usize, answered: usize) -> Result<(), Wrong> {
    if asked == answered {
        Ok(())
    } else {
        Err(format!(
            "`{call}` was asked about {asked} items and answered {answered}"
        ))
    }
}

/// A text for people, not longer than one reads.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(1_000) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

fn role(role: wit::Role) -> Role {
    match role {
        wit::Role::UniqueKey => Role::UniqueKey,
        wit::Role::Email => Role::Email,
        wit::Role::Phone => Role::Phone,
        wit::Role::DisplayName => Role::DisplayName,
        wit::Role::Other(name) => Role::Other(name),
    }
}

fn deliverability(known: types::Deliverability) -> Result<Deliverability, Wrong> {
    Ok(Deliverability {
        state: match known.state {
            types::DeliverabilityState::Deliverable => DeliverabilityState::Deliverable,
            types::DeliverabilityState::SoftBounced => DeliverabilityState::SoftBounced,
            types::DeliverabilityState::HardBounced => DeliverabilityState::HardBounced,
            types::DeliverabilityState::Complained => DeliverabilityState::Complained,
            types::DeliverabilityState::Other(name) => DeliverabilityState::Other(shorten(&name)),
        },
        at: Checker::time("the time of a bounce", known.at)?,
        reason: known.reason.map(|text| shorten(&text)),
    })
}

pub fn identity(identity: wit::Identity) -> Identity {
    Identity {
        id: shorten(&identity.id),
        label: shorten(&identity.label),
    }
}

pub fn failure(failure: types::Failure) -> Failure {
    match failure {
        types::Failure::Throttled(wait) => Failure::Throttled {
            retry_after: wait.map(std::time::Duration::from_millis),
        },
        types::Failure::Unauthorized(why) => Failure::Unauthorized(shorten(&why)),
        types::Failure::Forbidden(why) => Failure::Forbidden(shorten(&why)),
        types::Failure::ExpiredCursor => Failure::ExpiredCursor,
        types::Failure::Misconfigured(what) => Failure::Misconfigured {
            setting: shorten(&what.setting),
            why: shorten(&what.why),
        },
        types::Failure::Unavailable(why) => Failure::Unavailable(shorten(&why)),
        types::Failure::Bug(why) => Failure::Bug(shorten(&why)),
        types::Failure::Other(why) => Failure::Other(shorten(&why)),
    }
}

// ---- to the guest ------------------------------------------------------------------------------------------------

pub fn request(request: ReadRequest) -> wit::ChangesRequest {
    wit::ChangesRequest {
        collection: request.collection,
        mode: match request.mode {
            ReadMode::Incremental(cursor) => wit::ReadMode::Incremental(cursor),
            ReadMode::Snapshot(token) => wit::ReadMode::Snapshot(token),
        },
        fields: request.fields,
        limit: request.limit,
    }
}

pub fn write_op(op: WriteOp) -> wit::WriteOp {
    match op {
        WriteOp::Create(Create {
            idempotency_key,
            fields,
            consents,
            deliverability,
        }) => wit::WriteOp::Create(wit::Create {
            idempotency_key,
            fields: text(&fields),
            consents: consents.into_iter().map(consent_out).collect(),
            deliverability: deliverability.map(deliverability_out),
        }),
        WriteOp::Update(Update {
            id,
            precondition,
            patch,
            consents,
            deliverability,
            known,
        }) => wit::WriteOp::Update(wit::Update {
            id: id.to_string(),
            precondition: precondition.map(revision_out),
            patch: text(&patch),
            consents: consents.into_iter().map(consent_out).collect(),
            deliverability: deliverability.map(deliverability_out),
            known: text(&known),
        }),
        WriteOp::Remove(Remove {
            id,
            precondition,
            how,
            known,
        }) => wit::WriteOp::Remove(wit::Remove {
            id: id.to_string(),
            precondition: precondition.map(revision_out),
            how: match how {
                Removal::Archive => wit::Removal::Archive,
                Removal::Delete => wit::Removal::Delete,
            },
            known: text(&known),
        }),
    }
}

/// JSON of plain data, which always has one.
fn text(fields: &Fields) -> String {
    serde_json::to_string(fields).unwrap_or_else(|_| "{}".to_owned())
}

fn revision_out(revision: Revision) -> types::Revision {
    types::Revision {
        token: revision.token,
        order: revision.order,
    }
}

fn consent_out(consent: Consent) -> types::Consent {
    types::Consent {
        channel: consent.channel,
        purpose: consent.purpose,
        state: match consent.state {
            ConsentState::Subscribed => types::ConsentState::Subscribed,
            ConsentState::Unsubscribed => types::ConsentState::Unsubscribed,
            ConsentState::Pending => types::ConsentState::Pending,
            ConsentState::Unspecified => types::ConsentState::Unspecified,
            ConsentState::Other(name) => types::ConsentState::Other(name),
        },
        at: consent.at.map(|at| at.to_string()),
        evidence: consent.evidence,
    }
}

fn deliverability_out(known: Deliverability) -> types::Deliverability {
    types::Deliverability {
        state: match known.state {
            DeliverabilityState::Deliverable => types::DeliverabilityState::Deliverable,
            DeliverabilityState::SoftBounced => types::DeliverabilityState::SoftBounced,
            DeliverabilityState::HardBounced => types::DeliverabilityState::HardBounced,
            DeliverabilityState::Complained => types::DeliverabilityState::Complained,
            DeliverabilityState::Other(name) => types::DeliverabilityState::Other(name),
        },
        at: known.at.map(|at| at.to_string()),
        reason: known.reason,
    }
}

// ---- the description ---------------------------------------------------------------------------------------------

pub fn descriptor(d: wit::Descriptor) -> Result<model::Descriptor, Wrong> {
    if d.name.is_empty()
        || d.name.len() > 64
        || !d
            .name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    {
        return Err(format!(
            "its name `{}` is not 1 to 64 of a-z, 0-9 and -",
            shorten(&d.name)
        ));
    }
    let settings_schema: Value = serde_json::from_str(&d.settings_schema)
        .map_err(|error| format!("its settings schema is not JSON: {error}"))?;
    jsonschema::validator_for(&settings_schema)
        .map_err(|error| format!("its settings schema is not a JSON Schema: {error}"))?;
    if d.egress.is_empty() {
        return Err("it names no place to reach (egress)".to_owned());
    }
    Ok(model::Descriptor {
        name: d.name,
        version: d.version,
        title: shorten(&d.title),
        description: shorten(&d.description),
        collections: d.collections,
        settings_schema,
        authentication: d.authentication.into_iter().map(scheme).collect(),
        egress: d
            .egress
            .into_iter()
            .map(|rule| model::EgressRule {
                origin: rule.origin,
                methods: rule.methods,
                path_prefix: rule.path_prefix,
            })
            .collect(),
        rate_limits: d
            .rate_limits
            .into_iter()
            .map(|limit| model::RateLimit {
                requests: limit.requests,
                per_ms: limit.per_ms,
                concurrent: limit.concurrent,
            })
            .collect(),
        cursor_version: d.cursor_version,
        cursor_versions_read: d.cursor_versions_read,
    })
}

fn scheme(scheme: wit::AuthScheme) -> model::AuthScheme {
    model::AuthScheme {
        credential: scheme.credential,
        name: scheme.name,
        help: shorten(&scheme.help),
        kind: match scheme.kind {
            wit::AuthKind::Bearer => model::AuthKind::Bearer,
            wit::AuthKind::Basic(user) => model::AuthKind::Basic(user),
            wit::AuthKind::Header(name) => model::AuthKind::Header(name),
            wit::AuthKind::Query(name) => model::AuthKind::Query(name),
            wit::AuthKind::Oauth2(oauth) => model::AuthKind::Oauth2(model::Oauth2 {
                authorize_url: oauth.authorize_url,
                token_url: oauth.token_url,
                scopes: oauth.scopes,
            }),
            wit::AuthKind::Body(positions) => model::AuthKind::Body(
                positions
                    .into_iter()
                    .map(|position| model::BodyPosition {
                        method: position.method,
                        path: position.path,
                        pointer: position.pointer,
                        pinned: position.pinned,
                    })
                    .collect(),
            ),
            wit::AuthKind::Signing(signing) => model::AuthKind::Signing(model::Signing {
                algorithms: signing.algorithms,
                key_encoding: match signing.key_encoding {
                    wit::KeyEncoding::Utf8 => model::KeyEncoding::Utf8,
                    wit::KeyEncoding::Hex => model::KeyEncoding::Hex,
                    wit::KeyEncoding::Base64 => model::KeyEncoding::Base64,
                },
                key_id_separator: signing.key_id_separator,
            }),
            wit::AuthKind::Other(name) => model::AuthKind::Other(name),
        },
    }
}
