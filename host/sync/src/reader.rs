//! Reading one side: what changed since the cursor, or everything, page by page.
//!
//! A page is stored together with the position behind it, so that nothing at or below a stored position is unstored.

use std::sync::Arc;

use jiff::SignedDuration;
use samspel_model::store::{
    Change, Cursor, Observed, Receipt, Sequence, SnapshotProgress, Source, Step,
};
use samspel_model::{
    Absence, DeleteVisibility, Extent, Failure, Fetched, Guard, Page, ReadMode, ReadRequest,
    RecordId, Side, Tombstone,
};

use crate::context::Context;
use crate::error::SyncError;
use crate::losers::LookedAt;
use crate::retry::retry;

/// How often a page is asked for anew with half as many records, where the sandbox ended the call.
const HALVINGS: u32 = 3;

/// How a side is read in this run, and how far.
#[derive(Debug, Clone)]
pub struct Reader {
    side: Side,
    cursor: Cursor,
    stage: Stage,
    /// Take a complete listing after the incremental changes.
    then_list_ids: bool,
    /// How many records a page may hold.
    limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Incremental,
    /// Every record, with its fields.
    Full,
    /// Every id: a remote that reports everything but deletes.
    Ids,
    /// Records that the listing did not show are asked for by their ids.
    Missing {
        after: Option<RecordId>,
    },
    Done,
}

/// A page that was read and is not stored yet.
pub struct ReadPage {
    page: Page,
    sent: Sequence,
    /// How many records it was allowed to hold: fewer, where the sandbox ended a call for more.
    limit: u32,
}

/// What storing a page did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    /// Records in the page.
    pub read: u64,
    /// Records that said something new.
    pub changed: u64,
    /// There is something to plan, or to ask again.
    pub news: bool,
}

impl Stored {
    fn new(read: u64, receipt: Receipt) -> Self {
        Self {
            read,
            changed: receipt.changed,
            news: receipt.changed + receipt.refetch > 0,
        }
    }
}

impl Reader {
    /// Decides how a side is read. `full`: everything, whatever the cursor says.
    pub async fn open(context: &Context, side: Side, full: bool) -> Result<Self, SyncError> {
        let party = context.party(side);
        let capabilities = &context.collection(side).capabilities;
        let mut cursor = match context.store().cursor(context.name(), side).await? {
            Some(stored) => position(context, side, stored),
            None => unread(context, side),
        };
        // Another scope: what was read before says nothing about what is listed now.
        let new_scope = cursor.scope != party.scope;
        if new_scope {
            cursor.scope.clone_from(&party.scope);
            cursor.incremental = None;
            cursor.snapshot = None;
        }
        let interval = full_comparison(context);
        let due = cursor
            .compared
            .is_none_or(|at| context.now().duration_since(at) >= interval);
        let hidden = capabilities.hidden_changes;
        let unlisted = capabilities.deletes == DeleteVisibility::ByListing;
        let incremental = capabilities.incremental && cursor.incremental.is_some();
        let stage = if !incremental
            || full
            || (due && (hidden || cursor.incomplete))
            || cursor.snapshot.is_some()
        {
            Stage::Full
        } else {
            Stage::Incremental
        };
        let mut reader = Self {
            side,
            cursor,
            then_list_ids: stage == Stage::Incremental && due && unlisted,
            stage,
            limit: capabilities.max_page.max(1),
        };
        // One that has to begin anew must not take what an earlier attempt saw for what is there now.
        let at_its_start = reader
            .cursor
            .snapshot
            .as_ref()
            .is_none_or(|snapshot| snapshot.token.is_none());
        if reader.stage == Stage::Full && at_its_start {
            let new_scope = new_scope
                || reader
                    .cursor
                    .snapshot
                    .as_ref()
                    .is_some_and(|snapshot| snapshot.new_scope);
            reader.begin_snapshot(context);
            if let Some(snapshot) = &mut reader.cursor.snapshot {
                snapshot.new_scope = new_scope;
            }
        }
        Ok(reader)
    }

    /// Reads nothing.
    pub fn idle(context: &Context, side: Side) -> Self {
        Self {
            side,
            cursor: unread(context, side),
            then_list_ids: false,
            stage: Stage::Done,
            limit: context.collection(side).capabilities.max_page.max(1),
        }
    }

    /// Whether everything is read.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether it is looking for records that are no longer listed.
    pub fn is_comparing(&self) -> bool {
        matches!(self.stage, Stage::Ids | Stage::Missing { .. })
    }

    fn begin_snapshot(&mut self, context: &Context) {
        self.cursor.snapshot = Some(SnapshotProgress {
            number: context.store().sequence() + 1,
            token: None,
            resume: None,
            new_scope: false,
            shown: 0,
        });
    }

    /// Reads the next page. [`Stage::Missing`] has no pages: see [`Self::store_missing`].
    pub async fn read(&self, context: &Arc<Context>) -> Result<ReadPage, SyncError> {
        let collection = context.collection(self.side);
        let mode = match self.stage {
            Stage::Incremental => {
                ReadMode::Incremental(self.cursor.incremental.clone().unwrap_or_default())
            }
            _ => ReadMode::Snapshot(
                self.cursor
                    .snapshot
                    .as_ref()
                    .and_then(|snapshot| snapshot.token.clone()),
            ),
        };
        let fields = match self.stage {
            Stage::Ids => Some(Vec::new()),
            _ => needed(context, self.side),
        };
        let mut request = ReadRequest {
            collection: collection.name.clone(),
            mode,
            fields,
            limit: self.limit,
        };
        let smallest = (self.limit >> HALVINGS).max(1);
        let (sent, page) = loop {
            // While a remote is away, other syncs may store what they see of it: only what is asked after that is
            // newer.
            let mut sent = context.store().sequence();
            let page = retry(context.clock(), context.ids(), "changes", || {
                sent = context.store().sequence();
                context.connector(self.side).changes(request.clone())
            })
            .await;
            match page {
                Err(Failure::Stopped(why)) if request.limit > smallest => {
                    request.limit /= 2;
                    tracing::warn!(
                        side = %self.side, why, limit = request.limit,
                        "reading a page was stopped; a smaller one is asked for"
                    );
                }
                page => break (sent, page),
            }
        };
        let limit = request.limit;
        match page {
            Ok(page) => Ok(ReadPage { page, sent, limit }),
            Err(Failure::ExpiredCursor) if self.stage == Stage::Incremental => {
                // An empty page that says nothing more is to be read; `advance` turns to a snapshot.
                Ok(ReadPage {
                    page: Page {
                        records: Vec::new(),
                        tombstones: Vec::new(),
                        next: None,
                        more: false,
                        resume_cursor: None,
                        complete: false,
                    },
                    sent,
                    limit,
                })
            }
            Err(failure) => Err(context.account(self.side, failure)),
        }
    }

    /// The position behind a page. The page after it can be read while this one is stored.
    pub fn successor(&self, context: &Context, page: &ReadPage) -> Result<Self, SyncError> {
        let mut next = self.clone();
        next.limit = page.limit;
        let number = self.number(page);
        if let Some((snapshot, number)) = next.cursor.snapshot.as_mut().zip(number) {
            snapshot.number = number;
        }
        next.advance(context, &page.page)?;
        Ok(next)
    }

    /// The number of the snapshot that a page belongs to. It begins when its first page is asked for: what another sync
    /// saw before that may be gone since, and would be missing unnoticed.
    fn number(&self, page: &ReadPage) -> Option<Sequence> {
        let snapshot = self.cursor.snapshot.as_ref()?;
        let begins = snapshot.token.is_none();
        Some(if begins {
            snapshot.number.max(page.sent + 1)
        } else {
            snapshot.number
        })
    }

    /// Moves the position behind a page.
    fn advance(&mut self, context: &Context, page: &Page) -> Result<(), SyncError> {
        let bug = |why: &str| Err(context.account(self.side, Failure::Bug(why.to_owned())));
        match self.stage {
            Stage::Incremental => match &page.next {
                Some(cursor) => {
                    if page.more
                        && self.cursor.incremental.as_ref() == Some(cursor)
                        && page.records.is_empty()
                        && page.tombstones.is_empty()
                    {
                        return bug("an empty page says that more follows at the same cursor");
                    }
                    self.cursor.incremental = Some(cursor.clone());
                    if !page.more {
                        if self.then_list_ids {
                            self.stage = Stage::Ids;
                            self.begin_snapshot(context);
                        } else {
                            self.stage = Stage::Done;
                        }
                    }
                }
                // The cursor has expired.
                None => {
                    tracing::warn!(side = %self.side, "the cursor has expired; everything is read again");
                    self.cursor.incremental = None;
                    self.stage = Stage::Full;
                    self.begin_snapshot(context);
                }
            },
            Stage::Full | Stage::Ids => {
                let Some(snapshot) = &mut self.cursor.snapshot else {
                    return bug("a snapshot lost its position");
                };
                // A listing of ids tells nothing of what the records hold: changes are read on from where they were.
                if snapshot.token.is_none() && self.stage == Stage::Full {
                    snapshot.resume.clone_from(&page.resume_cursor);
                }
                snapshot.shown += page.records.len() as u64;
                // An empty listing of what was full, and the first one of another account or filter, tell of a change
                // of what is listed, and of no deletes.
                let trusted = page.complete && snapshot.shown > 0 && !snapshot.new_scope;
                match (&page.next, page.more) {
                    (Some(token), true) => {
                        if snapshot.token.as_ref() == Some(token) {
                            return bug("a page names itself as the next page");
                        }
                        snapshot.token = Some(token.clone());
                    }
                    (None, true) => return bug("a page says that more follows and not where"),
                    (_, false) if trusted => self.stage = Stage::Missing { after: None },
                    (_, false) => {
                        // What was full is empty: only the feed from before can tell of deletes.
                        let complete = page.complete && snapshot.shown > 0;
                        let known = self.cursor.incremental.clone();
                        self.end_snapshot(context, complete);
                        let goes_on = known.is_some()
                            && known == self.cursor.incremental
                            && context.collection(self.side).capabilities.incremental;
                        self.then_list_ids = false;
                        self.stage = if goes_on {
                            Stage::Incremental
                        } else {
                            Stage::Done
                        };
                    }
                }
            }
            Stage::Missing { .. } | Stage::Done => {}
        }
        Ok(())
    }

    /// The snapshot is read: incremental reading continues where it began. After one that was not complete it continues
    /// where it was before, because the feed alone tells of deletes between the two.
    fn end_snapshot(&mut self, context: &Context, complete: bool) {
        if let Some(snapshot) = self.cursor.snapshot.take()
            && snapshot.resume.is_some()
            && (complete || self.cursor.incremental.is_none())
        {
            self.cursor.incomplete = !complete;
            self.cursor.incremental = snapshot.resume;
        }
        self.cursor.compared = Some(context.now());
    }

    /// Stores a page that was read at this position, with the position behind it.
    pub async fn store(
        &self,
        context: &Arc<Context>,
        read: ReadPage,
        behind: &Self,
    ) -> Result<Stored, SyncError> {
        let number = self.number(&read);
        let ReadPage { page, sent, .. } = read;
        let endpoint = context.endpoint(self.side).clone();
        let ids_only = self.stage == Stage::Ids;
        let in_snapshot = ids_only || self.stage == Stage::Full;
        let count = (page.records.len() + page.tombstones.len()) as u64;
        let mut changes = Vec::with_capacity(3);
        let mut looked_at = None;
        let alone = context.observing(self.side).await;
        if ids_only && let Some(snapshot) = number {
            changes.push(Change::Seen {
                endpoint,
                snapshot,
                ids: page.records.into_iter().map(|record| record.id).collect(),
            });
        } else if count > 0 {
            let records: Vec<Observed> = page
                .records
                .into_iter()
                .map(|entity| context.observed(self.side, entity))
                .collect();
            let (losers, looked) = context.losers(self.side, &records).await?;
            changes.push(losers);
            looked_at = Some(looked);
            let seen: Vec<&Observed> = records.iter().collect();
            let opt_outs = context
                .opt_outs(self.side, &seen, &page.tombstones, &[])
                .await?;
            changes.push(opt_outs);
            changes.push(Change::Observe {
                endpoint,
                source: Source::Listing,
                sent,
                snapshot: if in_snapshot { number } else { None },
                records,
                tombstones: page.tombstones,
            });
            changes.retain(|change| !change.is_empty());
        }
        let cursor = Change::PutCursor {
            side: self.side,
            cursor: behind.cursor.clone(),
        };
        if Guard::CursorWithItsPage.stands() {
            changes.push(cursor);
        } else {
            context.commit(Step::Page, vec![cursor]).await?;
        }
        let receipt = context.commit(Step::Page, changes).await?;
        drop(alone);
        if let Some(looked_at) = looked_at {
            context.losers_meanwhile(Step::Page, looked_at).await?;
        }
        Ok(Stored::new(count, receipt))
    }

    /// Whether the next step is [`Self::store_missing`].
    pub fn asks_for_missing(&self) -> bool {
        matches!(self.stage, Stage::Missing { .. })
    }

    /// Asks for some of the records that the complete listing did not show: absence from a listing is a hint, and
    /// only an answer to the id itself is evidence.
    pub async fn store_missing(&mut self, context: &Arc<Context>) -> Result<Stored, SyncError> {
        let Stage::Missing { after } = &self.stage else {
            return Ok(Stored::default());
        };
        let endpoint = context.endpoint(self.side).clone();
        let collection = context.collection(self.side);
        let number = self
            .cursor
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.number);
        let limit = collection.capabilities.max_fetch.clamp(1, 200);
        let ids = context
            .store()
            .unseen(&endpoint, number, after.as_ref(), limit)
            .await?;
        let Some(last) = ids.last().cloned() else {
            self.end_snapshot(context, true);
            self.stage = Stage::Done;
            context
                .commit(
                    Step::Compared,
                    vec![Change::PutCursor {
                        side: self.side,
                        cursor: self.cursor.clone(),
                    }],
                )
                .await?;
            return Ok(Stored::default());
        };
        let fetched = if Guard::DeleteNeedsEvidence.stands() {
            fetch(context, self.side, &ids, Extent::Whole).await?
        } else {
            FetchedRecords {
                extent: Extent::Whole,
                sent: context.store().sequence(),
                answers: ids
                    .iter()
                    .map(|id| (id.clone(), Fetched::Absent(Absence::Deleted)))
                    .collect(),
            }
        };
        // What could not be read is asked for again by the planner, and in the queue until then.
        let unread = fetched
            .answers
            .iter()
            .filter(|(_, answer)| matches!(answer, Fetched::Failed(_)))
            .map(|(id, _)| id.clone())
            .collect();
        let _alone = context.observing(self.side).await;
        let (mut changes, looked_at) =
            observe_fetched(context, self.side, fetched, Some(number)).await?;
        changes.push(Change::MarkDirty {
            side: self.side,
            ids: unread,
            refetch: Some(Extent::Whole),
        });
        changes.retain(|change| !change.is_empty());
        let receipt = context.commit(Step::Missing, changes).await?;
        context.losers_meanwhile(Step::Missing, looked_at).await?;
        self.stage = Stage::Missing { after: Some(last) };
        Ok(Stored::new(0, receipt))
    }
}

/// What was asked for by id, and when.
pub struct FetchedRecords {
    extent: Extent,
    sent: Sequence,
    /// One answer per id that was asked for.
    pub answers: Vec<(RecordId, Fetched)>,
}

/// Asks for records by their ids, in calls of the size that the collection allows.
pub async fn fetch(
    context: &Context,
    side: Side,
    ids: &[RecordId],
    extent: Extent,
) -> Result<FetchedRecords, SyncError> {
    let collection = context.collection(side);
    let fields = needed(context, side);
    let sent = context.store().sequence();
    let mut answers = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(collection.capabilities.max_fetch.max(1) as usize) {
        let fetched = retry(context.clock(), context.ids(), "fetch", || {
            let connector = context.connector(side);
            connector.fetch(&collection.name, chunk, fields.as_deref(), extent)
        })
        .await
        .map_err(|failure| context.account(side, failure))?;
        answers.extend(chunk.iter().cloned().zip(fetched));
    }
    Ok(FetchedRecords {
        extent,
        sent,
        answers,
    })
}

/// What was fetched, to be stored while nobody else stores what the side holds. Answers that failed say nothing. Once
/// it is stored, [`Context::losers_meanwhile`] looks again.
pub async fn observe_fetched(
    context: &Context,
    side: Side,
    fetched: FetchedRecords,
    snapshot: Option<Sequence>,
) -> Result<(Vec<Change>, LookedAt), SyncError> {
    let mut records = Vec::new();
    let mut tombstones = Vec::new();
    for (id, answer) in fetched.answers {
        match answer {
            Fetched::Found(entity) => {
                if entity.id != id {
                    // The remote answered with the record that this one was merged into.
                    tombstones.push(Tombstone {
                        id,
                        why: Absence::MergedInto(entity.id.clone()),
                        revision: None,
                    });
                }
                let observed = context.observed(side, entity);
                records.push(Observed {
                    extent: fetched.extent,
                    ..observed
                });
            }
            Fetched::Absent(why) => tombstones.push(Tombstone {
                id,
                why,
                revision: None,
            }),
            Fetched::Failed(why) => {
                tracing::warn!(%side, record = %id, why, "a record could not be read");
            }
        }
    }
    let seen: Vec<&Observed> = records.iter().collect();
    let opt_outs = context.opt_outs(side, &seen, &tombstones, &[]).await?;
    let (losers, looked_at) = context.losers(side, &records).await?;
    let observe = Change::Observe {
        endpoint: context.endpoint(side).clone(),
        source: Source::Fetch,
        sent: fetched.sent,
        snapshot,
        records,
        tombstones,
    };
    Ok((vec![losers, opt_outs, observe], looked_at))
}

/// The fields of a side that the sync needs; `None`: all of them.
fn needed(context: &Context, side: Side) -> Option<Vec<String>> {
    let policy = context.policy();
    (!policy.reads_whole_records()).then(|| policy.needed(side))
}

/// The position of a side of which nothing was read.
fn unread(context: &Context, side: Side) -> Cursor {
    let party = context.party(side);
    Cursor {
        incremental: None,
        snapshot: None,
        compared: None,
        version: party.cursor_version,
        scope: party.scope.clone(),
        incomplete: false,
        former: None,
    }
}

/// Where the version of the connector that is used now goes on: at the stored position if it reads that, or else at the
/// one that it had stored itself before another version came. What that one stored is kept for the way to it.
fn position(context: &Context, side: Side, mut stored: Cursor) -> Cursor {
    let party = context.party(side);
    if stored.version == party.cursor_version {
        return stored;
    }
    let before = stored.former.take();
    let mut cursor = if party.reads(&stored) {
        stored.clone()
    } else {
        let before = before
            .map(|before| *before)
            .filter(|before| party.reads(before));
        before.map_or_else(
            || unread(context, side),
            |before| Cursor {
                // What it showed so far is long ago.
                snapshot: None,
                ..before
            },
        )
    };
    cursor.version = party.cursor_version;
    cursor.former = Some(Box::new(stored));
    cursor
}

/// How often both sides are read completely. The configuration was checked; a day where it cannot be read.
fn full_comparison(context: &Context) -> SignedDuration {
    context
        .parts
        .spec
        .full_comparison
        .parse()
        .unwrap_or(SignedDuration::from_hours(24))
}
