//! Reading: the feeds of changes, listings, members by id and by address.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use samspel_connector::cursor::{decode, encode};
use samspel_connector::fields::Selection;
use samspel_connector::http::{Request, send_all};
use samspel_connector::{
    Absence, ChangesRequest, Entity, Failure, Fetched, Page, ReadMode, RecordId, Result, time,
};

use crate::api::{Api, Events, Member, Members, NewsletterEvent, PAGE, any_of, read};
use crate::consent::{History, Scope};
use crate::cursor::{Cursor, Feed, ListingToken, Reading, Suppressed, VERSION, beyond};
use crate::record;

/// Most members of a page of the host.
pub const MAX_PAGE: u32 = 500;

/// Members whose newsletter events are asked for in one request: most have a few, and a page holds 100.
const MEMBERS_PER_HISTORY: usize = 40;

/// Addresses in one filter; the URL must stay below Node's 16 KiB.
const ADDRESSES_PER_FILTER: usize = 40;

/// What one request of an incremental reading asks for.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// Members by `updated_at`.
    Changed,
    /// Newsletter events.
    Events,
    /// The number of suppressed members.
    Count,
    /// Suppressed members.
    Suppressed,
}

/// Reads members.
#[derive(Debug)]
pub struct Reader<'a> {
    api: &'a Api,
    scope: &'a Scope,
}

impl<'a> Reader<'a> {
    /// Reads through the API, with consent about these newsletters.
    pub fn new(api: &'a Api, scope: &'a Scope) -> Self {
        Self { api, scope }
    }

    /// One page of changes or of a listing.
    pub fn changes(&self, request: ChangesRequest) -> Result<Page> {
        let selection = Selection::new(request.fields);
        let limit = request.limit.clamp(1, MAX_PAGE) as usize;
        match request.mode {
            ReadMode::Incremental(cursor) => {
                self.incremental(&decode(VERSION, &cursor)?, &selection, limit)
            }
            ReadMode::Snapshot(None) => self.listing(None, &selection, limit),
            ReadMode::Snapshot(Some(token)) => {
                self.listing(Some(decode(VERSION, &token)?), &selection, limit)
            }
        }
    }

    fn incremental(&self, before: &Cursor, selection: &Selection, limit: usize) -> Result<Page> {
        let mut reading = before.reading();
        let mut members: BTreeMap<String, Member> = BTreeMap::new();
        let mut hinted: BTreeSet<String> = BTreeSet::new();
        while !reading.is_done() && members.len() + hinted.len() < limit {
            self.advance(&mut reading, before, &mut members, &mut hinted)?;
        }
        hinted.retain(|id| !members.contains_key(id));
        // A member that an event speaks of and that is gone is found missing by a listing.
        for member in self.by_ids(hinted.iter().map(String::as_str))? {
            members.insert(member.id.clone(), member);
        }
        let cursor = reading.into_cursor(before);
        Ok(Page {
            records: self.entities(members.into_values().collect(), selection)?,
            more: cursor.reading.is_some(),
            next: Some(encode(VERSION, &cursor)?),
            ..empty()
        })
    }

    /// Reads the next page of each feed that is not at its end, all at once.
    fn advance(
        &self,
        reading: &mut Reading,
        before: &Cursor,
        members: &mut BTreeMap<String, Member>,
        hinted: &mut BTreeSet<String>,
    ) -> Result<()> {
        let mut asked: Vec<(Source, Request)> = Vec::new();
        if let Some(filter) = reading.members_filter() {
            let request = self
                .api
                .members(Some(&filter), "updated_at asc,id asc", PAGE);
            asked.push((Source::Changed, request));
        }
        if let Some(filter) = reading.events_filter() {
            asked.push((Source::Events, self.api.newsletter_events(&filter)));
        }
        if let Some(filter) = reading.suppressed_filter() {
            asked.push(match reading.suppressed {
                Suppressed::Count => (
                    Source::Count,
                    self.api.member_ids(Some(&filter), "id asc", 1),
                ),
                _ => (
                    Source::Suppressed,
                    self.api.members(Some(&filter), "id asc", PAGE),
                ),
            });
        }
        let (sources, requests): (Vec<Source>, Vec<Request>) = asked.into_iter().unzip();
        for (source, answer) in sources.into_iter().zip(send_all(requests)) {
            let response = read(answer)?;
            reading.began.get_or_insert(response.server_time());
            if let Source::Events = source {
                let page: Events = response.json()?;
                let last = page
                    .events
                    .last()
                    .map(|event| event_place(&event.data))
                    .transpose()?;
                reading.events = Feed::after(last, page.events.len() >= PAGE);
                hinted.extend(page.events.into_iter().map(|event| event.data.member_id));
                continue;
            }
            let page: Members = response.json()?;
            let full = page.members.len() >= PAGE;
            match source {
                Source::Count => {
                    reading.counted(page.meta.pagination.total, before.suppressed);
                    continue;
                }
                Source::Suppressed => {
                    let last = page.members.last().filter(|_| full);
                    reading.suppressed = last.map_or(Suppressed::Done, |last| {
                        Suppressed::After(Some(last.id.clone()))
                    });
                }
                Source::Changed | Source::Events => {
                    let last = page.members.last().map(member_place).transpose()?;
                    reading.members = Feed::after(last, full);
                }
            }
            members.extend(
                page.members
                    .into_iter()
                    .map(|member| (member.id.clone(), member)),
            );
        }
        Ok(())
    }

    /// By id, because ids do not change while the listing goes on.
    fn listing(
        &self,
        token: Option<ListingToken>,
        selection: &Selection,
        limit: usize,
    ) -> Result<Page> {
        let bare = is_bare(selection);
        let mut resume = None;
        let mut after = token.map(|token| token.after);
        let first = after.is_none();
        let mut members: Vec<Member> = Vec::new();
        let mut complete = false;
        while !complete && members.len() < limit {
            let filter = after
                .as_ref()
                .map(|id| format!("id:>{}", crate::api::quoted(id)));
            let request = if bare { Api::member_ids } else { Api::members };
            let response = read(request(self.api, filter.as_deref(), "id asc", PAGE).send())?;
            if first && resume.is_none() {
                resume = Some(encode(VERSION, &Cursor::at(response.server_time()))?);
            }
            let page: Members = response.json()?;
            complete = page.members.len() < PAGE;
            after = page
                .members
                .last()
                .map(|member| member.id.clone())
                .or(after);
            members.extend(page.members);
        }
        let next = match after {
            Some(after) if !complete => Some(encode(VERSION, &ListingToken { after })?),
            _ => None,
        };
        Ok(Page {
            records: self.entities(members, selection)?,
            more: !complete,
            next,
            resume_cursor: resume,
            complete,
            ..empty()
        })
    }

    /// One answer per id.
    pub fn fetch(&self, ids: &[RecordId], selection: &Selection) -> Result<Vec<Fetched>> {
        let members = self.by_ids(ids.iter().map(String::as_str))?;
        let found: BTreeMap<String, Entity> = self
            .entities(members, selection)?
            .into_iter()
            .map(|entity| (entity.id.clone(), entity))
            .collect();
        Ok(ids
            .iter()
            .map(|id| {
                found
                    .get(id)
                    .cloned()
                    .map_or(Fetched::Absent(Absence::Deleted), Fetched::Found)
            })
            .collect())
    }

    /// Per address the members who have it. Ghost on SQLite tells letter cases apart, on MySQL it does not.
    pub fn find(&self, addresses: &[String]) -> Result<Vec<Vec<Entity>>> {
        let asked: BTreeSet<&str> = addresses
            .iter()
            .map(String::as_str)
            .filter(|address| !address.is_empty())
            .collect();
        let asked: Vec<&str> = asked.into_iter().collect();
        let requests = asked.chunks(ADDRESSES_PER_FILTER).map(|chunk| {
            let filter = format!("email:{}", any_of(chunk.iter().copied()));
            self.api.members(Some(&filter), "id asc", PAGE)
        });
        let entities = self.entities(pages(requests)?, &Selection::All)?;
        Ok(assign(addresses, entities))
    }

    /// The members among these that exist.
    pub fn by_ids<'b>(&self, ids: impl Iterator<Item = &'b str>) -> Result<Vec<Member>> {
        let ids: Vec<&str> = ids.collect();
        pages(ids.chunks(PAGE).map(|chunk| {
            let filter = format!("id:{}", any_of(chunk.iter().copied()));
            self.api.members(Some(&filter), "id asc", PAGE)
        }))
    }

    /// The members as the host sees them, with what the list does not tell.
    pub fn entities(&self, mut members: Vec<Member>, selection: &Selection) -> Result<Vec<Entity>> {
        if is_bare(selection) {
            return Ok(members.iter().map(record::bare).collect());
        }
        self.look_again(&mut members)?;
        let history = self.history(&members)?;
        Ok(members
            .iter()
            .map(|member| record::entity(member, self.scope, &history, selection))
            .collect())
    }

    /// Asks for each member by itself whose suppression the list did not explain.
    fn look_again(&self, members: &mut [Member]) -> Result<()> {
        let unclear: Vec<&mut Member> = members
            .iter_mut()
            .filter(|member| record::needs_second_look(member))
            .collect();
        let requests: Vec<Request> = unclear
            .iter()
            .map(|member| self.api.member(&member.id))
            .collect();
        for (member, answer) in unclear.into_iter().zip(send_all(requests)) {
            let response = answer?;
            if response.status() == 404 {
                // Gone since the list was made: the next listing tells.
                continue;
            }
            let page: Members = read(Ok(response))?.json()?;
            if let Some(found) = page.members.into_iter().next() {
                *member = found;
            }
        }
        Ok(())
    }

    /// The newsletter events of the members.
    fn history(&self, members: &[Member]) -> Result<History> {
        let mut history = History::new();
        if self.scope.about.is_empty() {
            return Ok(history);
        }
        let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        let mut open: Vec<(String, Feed)> = ids
            .chunks(MEMBERS_PER_HISTORY)
            .map(|chunk| {
                (
                    format!("data.member_id:{}", any_of(chunk.iter().copied())),
                    Feed::Start,
                )
            })
            .collect();
        while !open.is_empty() {
            let requests: Vec<Request> = open
                .iter()
                .map(|(whose, feed)| match feed {
                    Feed::At(time, id) => self.api.newsletter_events(&format!(
                        "{whose}+{}",
                        beyond("data.created_at", "<", *time, id)
                    )),
                    Feed::Start | Feed::Done => self.api.newsletter_events(whose),
                })
                .collect();
            for ((_, feed), answer) in open.iter_mut().zip(send_all(requests)) {
                let page: Events = read(answer)?.json()?;
                let last = page
                    .events
                    .last()
                    .map(|event| event_place(&event.data))
                    .transpose()?;
                *feed = Feed::after(last, page.events.len() >= PAGE);
                for event in page.events {
                    history
                        .entry(event.data.member_id.clone())
                        .or_default()
                        .push(event.data);
                }
            }
            open.retain(|(_, feed)| *feed != Feed::Done);
        }
        Ok(history)
    }
}

fn is_bare(selection: &Selection) -> bool {
    matches!(selection, Selection::Only(names) if names.is_empty())
}

fn pages(requests: impl IntoIterator<Item = Request>) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for answer in send_all(requests) {
        members.extend(read(answer)?.json::<Members>()?.members);
    }
    Ok(members)
}

fn member_place(member: &Member) -> Result<(Timestamp, String)> {
    place(member.updated_at.as_deref(), &member.id)
}

fn event_place(event: &NewsletterEvent) -> Result<(Timestamp, String)> {
    place(Some(&event.created_at), &event.id)
}

fn place(time: Option<&str>, id: &str) -> Result<(Timestamp, String)> {
    let time = time.and_then(time::rfc3339).ok_or_else(|| {
        Failure::Bug(format!(
            "Ghost returned `{id}` without the time that it was asked to sort by"
        ))
    })?;
    Ok((time, id.to_owned()))
}

/// Each member to the addresses that are equal to its own, or else to those that differ in letter case only.
fn assign(addresses: &[String], entities: Vec<Entity>) -> Vec<Vec<Entity>> {
    let mut found: Vec<Vec<Entity>> = addresses.iter().map(|_| Vec::new()).collect();
    for entity in entities {
        let fields = samspel_connector::fields::Fields::parse(&entity.fields).unwrap_or_default();
        let Some(email) = fields.text("email") else {
            continue;
        };
        let exact = addresses.iter().any(|address| address == email);
        for (address, found) in addresses.iter().zip(&mut found) {
            if address == email || (!exact && address.to_lowercase() == email.to_lowercase()) {
                found.push(entity.clone());
            }
        }
    }
    found
}

fn empty() -> Page {
    Page {
        records: Vec::new(),
        tombstones: Vec::new(),
        next: None,
        more: false,
        resume_cursor: None,
        complete: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samspel_connector::fields::Fields;
    use samspel_connector::json;

    #[test]
    fn letter_case_decides_where_ghost_lets_it() {
        let member =
            |id: &str, email: &str| Entity::new(id, Fields::new().with("email", json!(email)));
        let addresses: Vec<String> = ["trap@x.test", "TRAP@x.test", "Other@x.test"]
            .map(String::from)
            .into();
        let found = assign(
            &addresses,
            vec![
                member("1", "trap@x.test"),
                member("2", "TRAP@x.test"),
                member("3", "other@x.test"),
            ],
        );
        let ids: Vec<Vec<&str>> = found
            .iter()
            .map(|found| found.iter().map(|entity| entity.id.as_str()).collect())
            .collect();
        assert_eq!(ids, [vec!["1"], vec!["2"], vec!["3"]]);
    }
}
