//! The list's members and the rules by which they change. No HTTP here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use md5::{Digest, Md5};

use super::error::{FieldError, Problem};
use super::journal::{Journal, Kind, Source};
use super::member::{Hash, Member, MemberStatus, hash_of, is_address, looks_fake};
use super::merge::{self, MergeChanges, MergeField};
use super::quirks::{Compliance, MailchimpQuirks};
use super::webhooks::Webhook;
use crate::clock::Seconds;

/// Who asks for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The API.
    Api,
    /// The person, a user of Mailchimp, or Mailchimp itself.
    Outside,
}

/// When, by whom and under which rules a change happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Seconds,
    pub(crate) actor: Actor,
    /// Whose act it is to webhooks; `None`: nobody is told.
    pub(crate) source: Option<Source>,
    pub(crate) quirks: &'a MailchimpQuirks,
    /// `skip_merge_validation`: required merge fields may be empty (V).
    pub(crate) skip_merge_validation: bool,
}

/// What a write wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) email: Option<String>,
    pub(crate) status: Option<MemberStatus>,
    pub(crate) merge: MergeChanges,
    pub(crate) language: Option<String>,
    pub(crate) vip: Option<bool>,
    pub(crate) tags: Vec<String>,
    pub(crate) opted_in: Option<Seconds>,
    pub(crate) signed_up: Option<Seconds>,
}

/// Members in two orders.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    by_id: BTreeMap<u64, Arc<Member>>,
    by_change: BTreeMap<(Seconds, u64), Arc<Member>>,
}

impl Shelf {
    /// In the order in which they joined.
    pub(crate) fn by_id(&self) -> &BTreeMap<u64, Arc<Member>> {
        &self.by_id
    }

    /// In the order of their last change.
    pub(crate) fn by_change(&self) -> &BTreeMap<(Seconds, u64), Arc<Member>> {
        &self.by_change
    }

    fn insert(&mut self, member: Arc<Member>) {
        self.by_change
            .insert((member.changed, member.web_id), Arc::clone(&member));
        self.by_id.insert(member.web_id, member);
    }

    fn remove(&mut self, web_id: u64) -> Option<Arc<Member>> {
        let member = self.by_id.remove(&web_id)?;
        self.by_change.remove(&(member.changed, web_id));
        Some(member)
    }
}

/// How many members are in which status.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) subscribed: usize,
    pub(crate) unsubscribed: usize,
    pub(crate) cleaned: usize,
}

/// Everything the list holds.
#[derive(Debug)]
pub(crate) struct Store {
    fields: Arc<Vec<MergeField>>,
    present: Shelf,
    archived: Shelf,
    by_hash: HashMap<Hash, u64>,
    by_contact: HashMap<Hash, u64>,
    /// Deleted for good.
    forgotten: HashSet<Hash>,
    counts: Counts,
    /// What webhooks are to tell.
    pub(crate) journal: Journal,
    pub(crate) webhooks: Vec<Webhook>,
    next_id: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            fields: Arc::new(merge::standard()),
            present: Shelf::default(),
            archived: Shelf::default(),
            by_hash: HashMap::new(),
            by_contact: HashMap::new(),
            forgotten: HashSet::new(),
            counts: Counts::default(),
            journal: Journal::default(),
            webhooks: Vec::new(),
            next_id: 500_001,
        }
    }

    pub(crate) fn fields(&self) -> Arc<Vec<MergeField>> {
        Arc::clone(&self.fields)
    }

    /// Adds a merge field and answers its position.
    pub(crate) fn add_field(&mut self, field: MergeField) -> Result<usize, Problem> {
        if self
            .fields
            .iter()
            .any(|known| known.tag.eq_ignore_ascii_case(&field.tag))
        {
            let message = format!(
                "A Merge Field with the tag \"{}\" already exists for this list.",
                field.tag
            );
            return Err(Problem::BadRequest(message));
        }
        if field.tag.is_empty() || field.tag.len() > 10 || self.fields.len() >= usize::from(u8::MAX)
        {
            return Err(Problem::Invalid(vec![FieldError::new(
                "tag",
                "a tag has 1 to 10 characters",
            )]));
        }
        Arc::make_mut(&mut self.fields).push(field);
        Ok(self.fields.len() - 1)
    }

    /// The id of a new webhook.
    pub(crate) fn webhook_id(&mut self) -> String {
        self.next_id += 1;
        hex::encode(&Md5::digest(self.next_id.to_be_bytes())[..5])
    }

    /// Members that are not archived.
    pub(crate) fn present(&self) -> &Shelf {
        &self.present
    }

    pub(crate) fn archived(&self) -> &Shelf {
        &self.archived
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn get(&self, web_id: u64) -> Option<&Arc<Member>> {
        self.present
            .by_id
            .get(&web_id)
            .or_else(|| self.archived.by_id.get(&web_id))
    }

    /// The member, archived or not, that this path names: MD5 of the address, the address itself, or the contact id
    /// (V).
    pub(crate) fn find(&self, key: &str) -> Option<&Arc<Member>> {
        let id = if key.contains('@') {
            self.by_hash.get(&hash_of(key))
        } else {
            let mut hash = Hash::default();
            hex::decode_to_slice(key.to_ascii_lowercase(), &mut hash).ok()?;
            self.by_hash
                .get(&hash)
                .or_else(|| self.by_contact.get(&hash))
        };
        self.get(*id?)
    }

    /// Checks an address that is new to the list.
    fn check_address(
        &self,
        email: &str,
        own: Option<u64>,
        context: Context<'_>,
    ) -> Result<Hash, Problem> {
        let invalid = |fake| Problem::Email {
            email: email.to_owned(),
            fake,
        };
        if !is_address(email) {
            return Err(invalid(false));
        }
        if context.quirks.refuse_fake && context.actor == Actor::Api && looks_fake(email) {
            return Err(invalid(true));
        }
        let hash = hash_of(email);
        if self
            .by_hash
            .get(&hash)
            .is_some_and(|holder| Some(*holder) != own)
        {
            return Err(Problem::Exists {
                email: email.to_owned(),
            });
        }
        if self.forgotten.contains(&hash) && context.actor == Actor::Api {
            return Err(Problem::Forgotten {
                email: email.to_owned(),
            });
        }
        Ok(hash)
    }

    /// Adds a member under an address that nobody on the list has.
    pub(crate) fn create(
        &mut self,
        email: &str,
        status: MemberStatus,
        wanted: Wanted,
        context: Context<'_>,
    ) -> Result<Arc<Member>, Problem> {
        let email = email.trim();
        let hash = self.check_address(email, None, context)?;
        let web_id = self.next_id;
        let mut member = Member {
            web_id,
            hash,
            contact_id: Md5::digest(web_id.to_be_bytes()).into(),
            email: email.into(),
            status,
            archived: false,
            own_wish: false,
            reason: None,
            merge: Vec::new(),
            tags: Vec::new(),
            language: "".into(),
            vip: false,
            source: if context.actor == Actor::Api {
                "API - Generic"
            } else {
                "Admin Add"
            },
            signed_up: None,
            opted_in: None,
            unsubscribed: None,
            changed: context.now,
        };
        enter(&mut member, status, context);
        fill(&mut member, wanted);
        self.check_required(&member, context)?;
        self.next_id += 1;
        self.forgotten.remove(&hash);
        let member = self.put(member);
        if status == MemberStatus::Subscribed {
            self.journal.add(Kind::Subscribe, &member, context);
        }
        Ok(member)
    }

    /// Changes a member and answers it and whether anything changed. An archived member that is given a status is back.
    pub(crate) fn update(
        &mut self,
        web_id: u64,
        wanted: Wanted,
        context: Context<'_>,
    ) -> Result<(Arc<Member>, bool), Problem> {
        let current = Arc::clone(self.get(web_id).ok_or(Problem::NotFound)?);
        let mut member = Member::clone(&current);
        if let Some(status) = wanted.status {
            check_status(&member, status, context)?;
            member.archived = false;
            if status != member.status {
                enter(&mut member, status, context);
            }
        }
        if let Some(email) = wanted.email.as_deref().map(str::trim)
            && email != &*member.email
        {
            let hash = self.check_address(email, Some(web_id), context)?;
            let moves = hash != member.hash;
            if moves
                && context.quirks.email_change_needs_subscribed
                && context.actor == Actor::Api
                && member.status != MemberStatus::Subscribed
            {
                return Err(Problem::Compliance {
                    email: member.email.to_string(),
                });
            }
            member.hash = hash;
            member.email = email.into();
        }
        let touches_merge = !wanted.merge.is_empty();
        fill(&mut member, wanted);
        if touches_merge {
            self.check_required(&member, context)?;
        }
        let changed = member != *current;
        if !changed && !context.quirks.noop_moves_last_changed {
            return Ok((current, false));
        }
        member.changed = context.now;
        self.take(web_id);
        let member = self.put(member);
        self.journal.changed(&current, &member, context);
        Ok((member, changed))
    }

    /// Changes tags; answers whether anything changed.
    pub(crate) fn tag(
        &mut self,
        web_id: u64,
        changes: &[(String, bool)],
        context: Context<'_>,
    ) -> Result<bool, Problem> {
        let current = self.get(web_id).ok_or(Problem::NotFound)?;
        let mut member = Member::clone(current);
        for (name, active) in changes {
            let known = member.tags.iter().position(|tag| **tag == **name);
            match (known, active) {
                (Some(at), false) => {
                    member.tags.remove(at);
                }
                (None, true) => member.tags.push(name.as_str().into()),
                _ => {}
            }
        }
        if member.tags == current.tags {
            return Ok(false);
        }
        if context.quirks.tags_move_last_changed {
            member.changed = context.now;
        }
        self.take(web_id);
        self.put(member);
        Ok(true)
    }

    /// Takes a member off the list, so that it is shown only when archived members are asked for.
    pub(crate) fn archive(&mut self, web_id: u64, context: Context<'_>) -> Result<(), Problem> {
        let member = self.get(web_id).ok_or(Problem::NotFound)?;
        if member.archived {
            return Err(Problem::CannotRemove);
        }
        let mut member = Member::clone(member);
        member.archived = true;
        member.changed = context.now;
        self.take(web_id);
        let member = self.put(member);
        self.journal.left(&member, "archive", context);
        Ok(())
    }

    /// Deletes a member for good; the API cannot add the address again.
    pub(crate) fn forget(&mut self, web_id: u64, context: Context<'_>) -> Result<(), Problem> {
        let member = self.take(web_id).ok_or(Problem::NotFound)?;
        self.forgotten.insert(member.hash);
        self.journal.left(&member, "delete", context);
        Ok(())
    }

    /// Puts a member as it is; used when seeding.
    pub(crate) fn adopt(&mut self, member: impl FnOnce(u64, Hash) -> Member) {
        let web_id = self.next_id;
        self.next_id += 1;
        self.put(member(web_id, Md5::digest(web_id.to_be_bytes()).into()));
    }

    fn check_required(&self, member: &Member, context: Context<'_>) -> Result<(), Problem> {
        if context.skip_merge_validation || context.actor == Actor::Outside {
            return Ok(());
        }
        let missing = merge::missing(&self.fields, &member.merge);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Problem::MergeFields(missing))
        }
    }

    fn take(&mut self, web_id: u64) -> Option<Arc<Member>> {
        let member = self
            .present
            .remove(web_id)
            .or_else(|| self.archived.remove(web_id))?;
        self.by_hash.remove(&member.hash);
        self.by_contact.remove(&member.contact_id);
        self.count(&member, |n| n.saturating_sub(1));
        Some(member)
    }

    fn put(&mut self, member: Member) -> Arc<Member> {
        let member = Arc::new(member);
        self.by_hash.insert(member.hash, member.web_id);
        self.by_contact.insert(member.contact_id, member.web_id);
        self.count(&member, |n| n + 1);
        if member.archived {
            &mut self.archived
        } else {
            &mut self.present
        }
        .insert(Arc::clone(&member));
        member
    }

    fn count(&mut self, member: &Member, change: impl FnOnce(usize) -> usize) {
        let slot = match member.status {
            _ if member.archived => return,
            MemberStatus::Subscribed => &mut self.counts.subscribed,
            MemberStatus::Unsubscribed => &mut self.counts.unsubscribed,
            MemberStatus::Cleaned => &mut self.counts.cleaned,
            MemberStatus::Pending | MemberStatus::Transactional => return,
        };
        *slot = change(*slot);
    }
}

/// May this member be given this status? Archiving does not make anyone forget an opt-out.
fn check_status(
    member: &Member,
    status: MemberStatus,
    context: Context<'_>,
) -> Result<(), Problem> {
    if status != MemberStatus::Subscribed || context.actor == Actor::Outside {
        return Ok(());
    }
    let barred = match (member.status, context.quirks.compliance) {
        (MemberStatus::Cleaned, _) | (MemberStatus::Unsubscribed, Compliance::Strict) => true,
        (MemberStatus::Unsubscribed, Compliance::OwnWish) => member.own_wish,
        _ => false,
    };
    if barred {
        Err(Problem::Compliance {
            email: member.email.to_string(),
        })
    } else {
        Ok(())
    }
}

/// What comes with a new status.
fn enter(member: &mut Member, status: MemberStatus, context: Context<'_>) {
    member.status = status;
    member.reason = None;
    member.own_wish = false;
    member.unsubscribed = None;
    match status {
        MemberStatus::Subscribed => member.opted_in = Some(context.now),
        MemberStatus::Unsubscribed => {
            member.unsubscribed = Some(context.now);
            member.own_wish = context.actor == Actor::Outside;
            member.reason = Some(
                if member.own_wish {
                    "N/A (No reason given)"
                } else {
                    "N/A (Unsubscribed by admin)"
                }
                .into(),
            );
        }
        MemberStatus::Cleaned | MemberStatus::Pending | MemberStatus::Transactional => {}
    }
}

fn fill(member: &mut Member, wanted: Wanted) {
    for (position, value) in wanted.merge {
        member.set_merge(position, value);
    }
    if let Some(language) = wanted.language {
        member.language = language.into();
    }
    if let Some(vip) = wanted.vip {
        member.vip = vip;
    }
    for tag in wanted.tags {
        if !member.tags.iter().any(|known| **known == *tag) {
            member.tags.push(tag.into());
        }
    }
    member.opted_in = wanted.opted_in.or(member.opted_in);
    member.signed_up = wanted.signed_up.or(member.signed_up);
}
