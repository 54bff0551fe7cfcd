//! Reading a simulated system: its feed, its listing, its search, and a record by its id.

use std::collections::BTreeSet;
use std::sync::Arc;

use samspel_model::{
    Absence, Entity, Failure, Fetched, Page, ReadMode, ReadRequest, RecordId, Tombstone,
};
use serde_json::Value;

use crate::field::{Field, same};
use crate::quirk::Quirk;
use crate::systems::{Record, Standing, System, Version};
use crate::time::Millis;

/// What an answer shows: records, and the places of their versions.
pub(crate) type Shows = Vec<(RecordId, u64)>;

impl System {
    /// What a listing or a search shows is as old as this.
    fn horizon(&self, now: Millis) -> Millis {
        if self.has(Quirk::IndexLag) {
            now - self.config.lag
        } else {
            now
        }
    }

    /// The place of the newest change that the feed shows.
    fn head(&self, horizon: Millis) -> u64 {
        self.feed
            .partition_point(|(_, version)| version.at <= horizon) as u64
    }

    /// Where the feed is to be continued so that nothing is missed: places may share a second.
    fn overlapped(&self, seq: u64) -> u64 {
        if !self.has(Quirk::WholeSeconds) || seq == 0 {
            return seq;
        }
        let second = |seq: u64| {
            self.feed
                .get((seq - 1) as usize)
                .map_or(0, |(_, version)| version.at.div_euclid(1000))
        };
        let last = second(seq);
        let mut start = seq;
        while start > 0 && second(start) == last {
            start -= 1;
        }
        start
    }

    /// What its quirks keep from the host, or tell it.
    fn tells(&mut self) {
        if self.records.is_empty() {
            return;
        }
        for quirk in [
            Quirk::NoRevisions,
            Quirk::OpaqueRevisions,
            Quirk::OrderedRevisions,
        ] {
            if self.has(quirk) {
                self.hit.with(quirk);
            }
        }
        let dated = self
            .records
            .values()
            .any(|record| record.now().said.at.is_some());
        if self.has(Quirk::NoConsentDate) && dated {
            self.hit.with(Quirk::NoConsentDate);
        }
        if self.has(Quirk::DuplicatesAllowed) && !self.hit.has(Quirk::DuplicatesAllowed) {
            let addresses: Vec<String> = self
                .records
                .values()
                .filter(|record| record.now().is_live())
                .filter_map(|record| record.now().address())
                .collect();
            let distinct: BTreeSet<&String> = addresses.iter().collect();
            if distinct.len() < addresses.len() {
                self.hit.with(Quirk::DuplicatesAllowed);
            }
        }
    }

    fn cursor(&self, layout: u32, seq: u64) -> String {
        format!("{layout}:{seq}")
    }

    /// The place that a cursor of one of these layouts means.
    pub fn place(layouts: &[u32], cursor: &str) -> Option<u64> {
        let (layout, seq) = cursor.split_once(':')?;
        let layout: u32 = layout.parse().ok()?;
        layouts.contains(&layout).then(|| seq.parse().ok())?
    }

    /// One page. `layouts`: what the connector reads; it writes the first.
    pub fn page(
        &mut self,
        request: &ReadRequest,
        layouts: &[u32],
        now: Millis,
    ) -> Result<(Page, Shows), Failure> {
        let horizon = self.horizon(now);
        let head = self.head(horizon);
        if head < self.feed.len() as u64 {
            self.hit.with(Quirk::IndexLag);
        }
        self.tells();
        let limit = request.limit.clamp(1, self.config.page) as usize;
        let wanted = request.fields.as_deref();
        match &request.mode {
            ReadMode::Incremental(cursor) => {
                let Some(seq) = Self::place(layouts, cursor) else {
                    return Err(Failure::ExpiredCursor);
                };
                Ok(self.feed_page(seq, head, limit, wanted, layouts[0]))
            }
            ReadMode::Snapshot(token) => {
                let resume = token
                    .is_none()
                    .then(|| self.cursor(layouts[0], self.overlapped(head)));
                let mut answer = self.snapshot_page(token.as_deref(), horizon, limit, wanted)?;
                answer.0.resume_cursor = resume;
                Ok(answer)
            }
        }
    }

    fn feed_page(
        &mut self,
        after: u64,
        head: u64,
        limit: usize,
        wanted: Option<&[String]>,
        layout: u32,
    ) -> (Page, Shows) {
        let mut page = empty();
        let mut shows = Shows::new();
        let mut told = BTreeSet::new();
        let mut seq = after;
        while seq < head && told.len() < limit {
            let (id, version) = &self.feed[seq as usize];
            seq += 1;
            if !version.told || !told.insert(id.clone()) {
                continue;
            }
            // The record is shown as the index has it, whatever the change was.
            let Some(listed) = self.records.get(id).and_then(|record| {
                record
                    .versions
                    .iter()
                    .rev()
                    .find(|version| version.seq <= head)
            }) else {
                continue;
            };
            match listed.standing.absence() {
                None => page.records.push(self.entity(id, listed, wanted)),
                Some(_) if self.has(Quirk::DeletesByListing) => continue,
                Some(why) => page.tombstones.push(Tombstone {
                    id: id.clone(),
                    why,
                    revision: None,
                }),
            }
            shows.push((id.clone(), listed.seq));
        }
        if !page.tombstones.is_empty() {
            self.hit.with(Quirk::DeletesReported);
        }
        page.more = seq < head;
        let mut next = if page.more { seq } else { self.overlapped(seq) };
        if page.more && self.has(Quirk::PageOverlap) && seq > after + 1 {
            self.hit.with(Quirk::PageOverlap);
            next = seq - 1;
        }
        if !page.more && next < seq {
            self.hit.with(Quirk::WholeSeconds);
        }
        page.next = Some(self.cursor(layout, next.max(after.min(head))));
        (page, shows)
    }

    fn snapshot_page(
        &mut self,
        token: Option<&str>,
        horizon: Millis,
        limit: usize,
        wanted: Option<&[String]>,
    ) -> Result<(Page, Shows), Failure> {
        let moving = self.has(Quirk::MovingPages);
        // By id, or by the time of the last change, in which case a record that changes is listed once more.
        let place = |id: &RecordId, version: &Version| {
            let time = if moving { version.seq } else { 0 };
            format!("{time:08}/{id}")
        };
        let mut listed: Vec<(String, &RecordId, &Arc<Version>)> = self
            .records
            .iter()
            .filter_map(|(id, record)| {
                let version = record.at(horizon)?;
                version.is_live().then(|| (place(id, version), id, version))
            })
            .filter(|(place, ..)| token.is_none_or(|token| place.as_str() > token))
            .collect();
        listed.sort_by(|x, y| x.0.cmp(&y.0));
        let more = listed.len() > limit;
        listed.truncate(limit);
        let mut page = empty();
        page.more = more;
        page.complete = !more;
        page.next = more
            .then(|| listed.last().map(|(place, ..)| place.clone()))
            .flatten();
        let shows = listed
            .iter()
            .map(|(_, id, version)| ((*id).clone(), version.seq))
            .collect();
        page.records = listed
            .iter()
            .map(|(_, id, version)| self.entity(id, version, wanted))
            .collect();
        let moved =
            moving && token.is_some() && listed.iter().any(|(_, _, version)| version.rev > 1);
        if moved {
            self.hit.with(Quirk::MovingPages);
        }
        Ok((page, shows))
    }

    /// A record by its id: as it is.
    pub fn fetched(&mut self, id: &RecordId) -> (Fetched, Option<(RecordId, u64)>) {
        let Some(now) = self.now(id).cloned() else {
            return (Fetched::Absent(Absence::Deleted), None);
        };
        match &now.standing {
            Standing::Live => (
                Fetched::Found(self.entity(id, &now, None)),
                Some((id.clone(), now.seq)),
            ),
            Standing::Merged(_) if self.has(Quirk::MergedAnswersSurvivor) => {
                let survivor = self.survivor(id).clone();
                match self.now(&survivor).cloned() {
                    Some(version) if version.is_live() => {
                        self.hit.with(Quirk::MergedAnswersSurvivor);
                        (
                            Fetched::Found(self.entity(&survivor, &version, None)),
                            Some((survivor, version.seq)),
                        )
                    }
                    _ => (
                        Fetched::Absent(Absence::Deleted),
                        Some((id.clone(), now.seq)),
                    ),
                }
            }
            standing => {
                if matches!(standing, Standing::Merged(_)) {
                    self.hit.with(Quirk::MergedIsGone);
                }
                if self.has(Quirk::DeletesByListing) {
                    self.hit.with(Quirk::DeletesByListing);
                }
                let why = standing.absence().unwrap_or(Absence::Deleted);
                (Fetched::Absent(why), Some((id.clone(), now.seq)))
            }
        }
    }

    /// Records with a value, by the index.
    pub fn found(&mut self, field: Field, value: &str, now: Millis) -> (Vec<Entity>, Shows) {
        // A remote that neither refuses a second record with the same address nor knows a create again lets its
        // connector find what it made: the contract makes that the connector's duty (a marker, and a search that
        // tolerates the lag).
        let exact = !self.has(Quirk::UniqueAddress) && !self.has(Quirk::IdempotentCreate);
        let horizon = if exact { now } else { self.horizon(now) };
        let asked = Value::String(value.to_owned());
        let found: Shows = self
            .records
            .iter()
            .filter_map(|(id, record): (&RecordId, &Record)| {
                let version = record.at(horizon)?;
                let matches =
                    version.is_live() && same(field, &version.values[field.index()], &asked);
                matches.then(|| (id.clone(), version.seq))
            })
            .collect();
        let entities = found
            .iter()
            .filter_map(|(id, seq)| {
                let version = self.records.get(id)?.version(*seq)?;
                Some(self.entity(id, version, None))
            })
            .collect();
        (entities, found)
    }
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
