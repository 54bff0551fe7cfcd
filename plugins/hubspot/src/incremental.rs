//! What changed since a cursor: a search in the order of modification, and the recycle bin.
//!
//! A search sees changes late [T], ends after 10,000 results [T], and its `after` is an offset into a set that moves
//! while it is read. So no offset is used: each page asks for what was modified at or after the last contact of the
//! page before. Only where one instant fills a whole page is that instant read by id.
//!
//! Searches never show archived contacts, and the list of archived contacts can be asked for neither by time nor in its
//! order. It is read round and round, some pages a poll, and the cursor remembers the place; an archived contact is
//! reported within one round.

use samspel_connector::{
    Absence, Failure, Page, Result, Tombstone, cursor, http, incremental,
    jiff::{SignedDuration, Timestamp},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contact::Contact;
use crate::reader::{ContactPage, Pages, Reader};
use crate::{CURSOR_VERSION, api, property};

/// How far each read goes back unless the operator says otherwise: how late a search may show a change.
const OVERLAP: SignedDuration = SignedDuration::from_secs(60);

/// `lastmodifieddate` counts milliseconds.
const RESOLUTION: SignedDuration = SignedDuration::from_millis(1);

/// Pages of archived contacts that one poll reads: 1,000 contacts.
const BIN_PAGES: usize = 10;

/// The position between two polls, or within one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    position: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walk: Option<Walk>,
    bin: Bin,
}

/// A poll that was not read to its end yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    from: From,
    /// The server's time when the poll began.
    start: Option<Timestamp>,
    /// The newest modification seen.
    seen: Option<Timestamp>,
}

/// Where the next page of a walk starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum From {
    /// At or after this instant.
    Time(Timestamp),
    /// Within an instant that fills pages, after this id.
    Id { at: Timestamp, after: String },
}

/// The place in the recycle bin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// When this round began.
    began: Timestamp,
    /// When the round before began. What was archived earlier has been reported.
    before: Timestamp,
}

impl Cursor {
    /// Everything after an instant of the server's clock.
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            position: start,
            walk: None,
            bin: Bin {
                after: None,
                began: start,
                before: start,
            },
        }
    }

    /// As the host keeps it.
    pub fn encode(&self) -> Result<String> {
        cursor::encode(CURSOR_VERSION, self)
    }
}

/// The pages of a walk.
struct Search<'a> {
    walk: Walk,
    finished: bool,
    page: u32,
    properties: &'a [String],
}

impl Search<'_> {
    fn body(&self) -> Value {
        let (filters, sort) = match &self.walk.from {
            From::Time(from) => (
                vec![filter(property::MODIFIED, "GTE", from.as_millisecond())],
                property::MODIFIED,
            ),
            From::Id { at, after } => (
                vec![
                    filter(property::MODIFIED, "EQ", at.as_millisecond()),
                    filter(property::ID, "GT", after),
                ],
                property::ID,
            ),
        };
        json!({
            "filterGroups": [{ "filters": filters }],
            "sorts": [{ "propertyName": sort, "direction": "ASCENDING" }],
            "properties": self.properties,
            "limit": self.page.clamp(1, api::SEARCH_PAGE),
        })
    }
}

fn filter(property: &str, operator: &str, value: impl ToString) -> Value {
    json!({ "propertyName": property, "operator": operator, "value": value.to_string() })
}

impl Pages for Search<'_> {
    fn request(&self) -> Option<http::Request> {
        (!self.finished).then(|| api::search(&self.body()))
    }

    fn accept(&mut self, answer: &http::Response) -> Result<Vec<Contact>> {
        self.walk.start = self.walk.start.or_else(|| answer.date());
        let page: ContactPage = answer.json()?;
        let last = page.results.iter().filter_map(Contact::modified).max();
        self.walk.seen = self.walk.seen.max(last);
        let last_id = page.results.last().map(|contact| contact.id.clone());
        let before = self.walk.from.clone();
        match (page.after().is_some(), &self.walk.from, last, last_id) {
            (true, From::Time(from), Some(last), Some(_)) if last > *from => {
                self.walk.from = From::Time(last);
            }
            // The whole page is of one instant.
            (true, From::Time(from), Some(_), Some(_)) => {
                self.walk.from = From::Id {
                    at: *from,
                    after: "0".to_owned(),
                };
            }
            (true, From::Id { at, .. }, _, Some(after)) => {
                self.walk.from = From::Id { at: *at, after };
            }
            (_, From::Id { at, .. }, _, _) => {
                self.walk.from = From::Time(at.saturating_add(RESOLUTION).unwrap_or(*at));
            }
            (false, From::Time(_), _, _) => self.finished = true,
            (true, From::Time(_), _, _) => {
                return Err(Failure::Bug(
                    "a page of a search says neither when its contacts changed nor that it is the last"
                        .to_owned(),
                ));
            }
        }
        if !self.finished && self.walk.from == before {
            return Err(Failure::Bug(
                "a search answers with the page before once more".to_owned(),
            ));
        }
        Ok(page.results)
    }
}

/// One page of what changed, of up to about `limit` contacts.
pub fn read(reader: &Reader<'_>, limit: u32, text: &str) -> Result<Page> {
    let mut cursor: Cursor = cursor::decode(CURSOR_VERSION, text)?;
    let properties = reader.properties()?;
    let overlap = reader
        .settings
        .overlap_seconds
        .map_or(OVERLAP, |seconds| SignedDuration::from_secs(seconds.into()));
    let walk = cursor.walk.take().unwrap_or_else(|| Walk {
        from: From::Time(incremental::since(cursor.position, overlap, RESOLUTION)),
        start: None,
        seen: None,
    });
    let mut search = Search {
        walk,
        finished: false,
        page: limit,
        properties: &properties,
    };
    let records = reader.read(limit, &mut search)?;
    let mut tombstones = Vec::new();
    if search.finished {
        let mut progress = incremental::Progress::new(cursor.position, search.walk.start);
        if let Some(seen) = search.walk.seen {
            progress.saw(seen);
        }
        cursor.position = progress.next();
        tombstones = empty_bin(&mut cursor.bin, overlap)?;
    } else {
        cursor.walk = Some(search.walk);
    }
    Ok(Page {
        records,
        tombstones,
        more: cursor.walk.is_some(),
        next: Some(cursor.encode()?),
        resume_cursor: None,
        complete: false,
    })
}

/// Reads on in the recycle bin and reports what was archived since the round before began.
fn empty_bin(bin: &mut Bin, overlap: SignedDuration) -> Result<Vec<Tombstone>> {
    let mut tombstones = Vec::new();
    for _ in 0..BIN_PAGES {
        let answer = api::read(api::list(bin.after.as_deref(), api::LIST_PAGE, &[], true))?;
        if bin.after.is_none() {
            bin.before = bin.began;
            bin.began = answer.server_time();
        }
        let since = incremental::since(bin.before, overlap, RESOLUTION);
        let page: ContactPage = answer.json()?;
        bin.after = page.after().map(str::to_owned);
        tombstones.extend(
            page.results
                .into_iter()
                .filter(|contact| contact.archived_at().is_none_or(|at| at >= since))
                // Without a revision: a restored contact may keep the modification time from before.
                .map(|contact| Tombstone::new(contact.id, Absence::Archived)),
        );
        if bin.after.is_none() {
            break;
        }
    }
    Ok(tombstones)
}
