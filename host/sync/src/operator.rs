//! What an operator decides about a sync: under its lease, in one commit, and in the journal.

use std::sync::Arc;
use std::time::Duration;

use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{
    Change, Commit, Conflict, Decision, Endpoint, Lease, Parked, Step, StoreError, Verdict,
    Waiting, subject,
};
use samspel_model::{Clock, Extent, Presence, RecordId, Side, Store};
use serde_json::{Value, json};

use crate::error::SyncError;

/// Long enough for a few commits; a process that dies here blocks nobody for long.
const LEASE: Duration = Duration::from_secs(30);
/// How many entries of a queue are looked at together.
const PAGE: u32 = 500;

/// An operator at work on one sync. Needs neither connectors nor credentials.
#[derive(Clone)]
pub struct Operator {
    /// Where decisions are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who acts, for the lease and the journal.
    pub owner: String,
    /// The sync.
    pub sync: String,
    /// Its sides.
    pub endpoints: [Endpoint; 2],
}

/// Which entries of a queue an operator means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Those with these ids.
    Ids(Vec<String>),
    /// All of them.
    All,
}

impl Chosen {
    fn includes(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.iter().any(|wanted| wanted == id),
        }
    }
}

impl Operator {
    /// Refuses runs until resumed.
    ///
    /// # Errors
    /// [`SyncError::Store`], also if somebody else works on the sync.
    pub async fn pause(&self, reason: &str) -> Result<(), SyncError> {
        self.under_lease(async |lease| {
            let mut state = self.store.state(&self.sync).await?;
            state.paused = Some(reason.to_owned());
            let entry = self.entry("pause", json!({ "reason": reason }));
            self.commit(lease, vec![Change::PutState(state), entry])
                .await
        })
        .await
    }

    /// Allows runs again. Answers what they had been refused for.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<Option<String>, SyncError> {
        self.under_lease(async |lease| {
            let mut state = self.store.state(&self.sync).await?;
            let was = state.paused.take();
            let entry = self.entry("resume", json!({ "reason": was }));
            self.commit(lease, vec![Change::PutState(state), entry])
                .await?;
            Ok(was)
        })
        .await
    }

    /// Forgets links, bases, positions and queues: the next run is a first run. Opt-outs and the journal stay.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn reset(&self) -> Result<(), SyncError> {
        let lease = self.lease().await?;
        let done = async {
            self.store.reset(&lease).await?;
            self.store.register(&self.sync, &self.endpoints).await?;
            self.commit(&lease, vec![self.entry("reset", Value::Null)])
                .await
        };
        let done = done.await;
        self.finish(&lease, done).await
    }

    /// Says what is to become of conflicts or holds. The next run carries it out. Answers those that were decided.
    ///
    /// # Errors
    /// [`SyncError::Refused`] if an id is not in the queue or the verdict does not fit what it is about; then nothing
    /// was decided. Otherwise as [`pause`](Self::pause).
    pub async fn decide(
        &self,
        which: Waiting,
        chosen: &Chosen,
        verdict: &Verdict,
    ) -> Result<Vec<Conflict>, SyncError> {
        self.under_lease(async |lease| {
            let conflicts = self.chosen(which, chosen).await?;
            for conflict in &conflicts {
                self.fits(conflict, verdict)?;
                if let Verdict::Link(partner) = verdict {
                    self.can_be_linked(conflict, partner).await?;
                }
            }
            if let (Verdict::Link(_), [_, _, ..]) = (verdict, conflicts.as_slice()) {
                return Err(self.refused("a record can be linked with one other only".to_owned()));
            }
            for page in conflicts.chunks(PAGE as usize) {
                self.commit(lease, self.deciding(page, verdict)).await?;
            }
            Ok(conflicts)
        })
        .await
    }

    /// The entry of the queue with this id.
    ///
    /// # Errors
    /// [`SyncError::Refused`] if there is none.
    pub async fn conflict(&self, which: Waiting, id: &str) -> Result<Conflict, SyncError> {
        let chosen = Chosen::Ids(vec![id.to_owned()]);
        let mut found = self.chosen(which, &chosen).await?;
        found.pop().ok_or_else(|| self.unknown(id))
    }

    /// Parked records are tried again by the next run. Answers them.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub async fn retry_parked(&self, chosen: &Chosen) -> Result<Vec<Parked>, SyncError> {
        self.settle_parked(chosen, "retry", true).await
    }

    /// Parked records leave the queue, and are looked at again when they change. Answers them.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub async fn drop_parked(&self, chosen: &Chosen) -> Result<Vec<Parked>, SyncError> {
        self.settle_parked(chosen, "drop", false).await
    }

    async fn settle_parked(
        &self,
        chosen: &Chosen,
        act: &str,
        again: bool,
    ) -> Result<Vec<Parked>, SyncError> {
        self.under_lease(async |lease| {
            let parked = self.chosen_parked(chosen).await?;
            for page in parked.chunks(PAGE as usize) {
                let mut changes = Vec::new();
                for side in Side::BOTH {
                    let of_side = page.iter().filter(|one| one.side == side);
                    let ids: Vec<RecordId> = of_side.map(|one| one.record.clone()).collect();
                    if again {
                        let ids = ids.clone();
                        changes.push(Change::MarkDirty {
                            side,
                            ids,
                            refetch: Some(Extent::Whole),
                        });
                    }
                    changes.push(Change::Unpark { side, ids });
                }
                changes.push(Change::Journal(
                    page.iter()
                        .map(|one| {
                            self.about(act, one.side, &one.record, json!({ "cause": one.cause }))
                        })
                        .collect(),
                ));
                changes.retain(|change| !change.is_empty());
                self.commit(lease, changes).await?;
            }
            Ok(parked)
        })
        .await
    }

    async fn chosen(&self, which: Waiting, chosen: &Chosen) -> Result<Vec<Conflict>, SyncError> {
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let page = self
                .store
                .conflicts(&self.sync, which, offset, PAGE)
                .await?;
            if page.is_empty() {
                break;
            }
            offset += page.len() as u64;
            found.extend(page.into_iter().filter(|one| chosen.includes(&one.id())));
        }
        self.all_found(chosen, found.iter().map(Conflict::id).collect())?;
        Ok(found)
    }

    async fn chosen_parked(&self, chosen: &Chosen) -> Result<Vec<Parked>, SyncError> {
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let page = self.store.parked(&self.sync, offset, PAGE).await?;
            if page.is_empty() {
                break;
            }
            offset += page.len() as u64;
            found.extend(page.into_iter().filter(|one| chosen.includes(&one.id())));
        }
        self.all_found(chosen, found.iter().map(Parked::id).collect())?;
        Ok(found)
    }

    fn all_found(&self, chosen: &Chosen, found: Vec<String>) -> Result<(), SyncError> {
        let Chosen::Ids(wanted) = chosen else {
            return Ok(());
        };
        match wanted.iter().find(|id| !found.contains(id)) {
            Some(id) => Err(self.unknown(id)),
            None => Ok(()),
        }
    }

    fn unknown(&self, id: &str) -> SyncError {
        self.refused(format!(
            "there is no `{id}` in this queue; it may be over already: list the queue again"
        ))
    }

    fn refused(&self, why: String) -> SyncError {
        SyncError::Refused {
            sync: self.sync.clone(),
            why,
        }
    }

    /// What was said about queue entries and no run has carried out yet.
    ///
    /// # Errors
    /// [`SyncError::Store`].
    pub async fn told(&self, conflicts: &[Conflict]) -> Result<Vec<Decision>, SyncError> {
        let mut told = Vec::new();
        for side in Side::BOTH {
            let of_side = conflicts.iter().filter(|conflict| conflict.side == side);
            let mut ids: Vec<RecordId> = of_side.map(|conflict| conflict.record.clone()).collect();
            ids.sort();
            ids.dedup();
            if !ids.is_empty() {
                told.extend(self.store.decisions(&self.sync, side, &ids).await?);
            }
        }
        Ok(told)
    }

    /// Whether a verdict makes sense for what is undecided.
    fn fits(&self, conflict: &Conflict, verdict: &Verdict) -> Result<(), SyncError> {
        let about = conflict.about.as_str();
        let (fits, can) = if subject::is_hold(about) {
            let fits = matches!(verdict, Verdict::Approve | Verdict::Reject);
            (fits, "approve it or reject it")
        } else if about == subject::IDENTITY {
            let fits = matches!(verdict, Verdict::Link(_) | Verdict::Reject);
            (
                fits,
                "link it with a record of the other side, or leave it apart",
            )
        } else if about == subject::MERGE {
            let fits = matches!(verdict, Verdict::Reject);
            (fits, "merge the two at the remote, or leave them apart")
        } else {
            (matches!(verdict, Verdict::Take(_)), "take side a or side b")
        };
        if fits {
            return Ok(());
        }
        Err(self.refused(format!(
            "`{}` is about `{about}` of record `{}`: you can {can}",
            conflict.id(),
            conflict.record
        )))
    }

    /// Whether the record that was named is there and belongs to nobody else.
    async fn can_be_linked(
        &self,
        conflict: &Conflict,
        partner: &RecordId,
    ) -> Result<(), SyncError> {
        let side = conflict.side.other();
        let endpoint = &self.endpoints[side.index()];
        let ids = std::slice::from_ref(partner);
        let seen = self.store.observations(endpoint, ids).await?;
        if !seen.iter().any(|seen| seen.presence == Presence::Present) {
            return Err(self.refused(format!(
                "side {side} ({}/{}) has no record `{partner}`, as far as it was read",
                endpoint.account, endpoint.collection
            )));
        }
        let links = self.store.links_by_record(&self.sync, side, ids).await?;
        match links.first() {
            Some(link) => Err(self.refused(format!(
                "record `{partner}` of side {side} is linked with `{}`",
                link.record(conflict.side)
            ))),
            None => Ok(()),
        }
    }

    /// The decisions about some conflicts, and their records in the queue.
    fn deciding(&self, conflicts: &[Conflict], verdict: &Verdict) -> Vec<Change> {
        let at = self.clock.now();
        let mut changes = vec![Change::PutDecisions(
            conflicts
                .iter()
                .map(|conflict| Decision {
                    side: conflict.side,
                    record: conflict.record.clone(),
                    about: conflict.about.clone(),
                    verdict: verdict.clone(),
                    at,
                    by: self.owner.clone(),
                    of: None,
                })
                .collect(),
        )];
        for side in Side::BOTH {
            let of_side = conflicts.iter().filter(|conflict| conflict.side == side);
            changes.push(Change::MarkDirty {
                side,
                ids: of_side.map(|conflict| conflict.record.clone()).collect(),
                refetch: None,
            });
        }
        changes.push(Change::Journal(
            conflicts
                .iter()
                .map(|conflict| JournalEntry {
                    link: conflict.link.clone(),
                    ..self.about(
                        "decide",
                        conflict.side,
                        &conflict.record,
                        json!({ "about": conflict.about, "verdict": verdict }),
                    )
                })
                .collect(),
        ));
        changes.retain(|change| !change.is_empty());
        changes
    }

    // ---- the lease -----------------------------------------------------------------------------------------------

    async fn under_lease<T>(
        &self,
        act: impl AsyncFnOnce(&Lease) -> Result<T, SyncError>,
    ) -> Result<T, SyncError> {
        self.store.register(&self.sync, &self.endpoints).await?;
        let lease = self.lease().await?;
        let done = act(&lease).await;
        self.finish(&lease, done).await
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.store
            .acquire_lease(&self.sync, &self.owner, self.clock.now(), LEASE)
            .await
    }

    /// Gives the lease back, whatever happened; what happened matters more than whether that worked.
    async fn finish<T>(&self, lease: &Lease, done: Result<T, SyncError>) -> Result<T, SyncError> {
        let released = self.store.release_lease(lease).await;
        let done = done?;
        released?;
        Ok(done)
    }

    async fn commit(&self, lease: &Lease, changes: Vec<Change>) -> Result<(), SyncError> {
        let commit = Commit {
            step: Step::Operate,
            at: self.clock.now(),
            changes,
        };
        self.store.commit(lease, commit).await?;
        Ok(())
    }

    // ---- the journal ---------------------------------------------------------------------------------------------

    fn entry(&self, act: &str, detail: Value) -> Change {
        Change::Journal(vec![self.note(act, detail)])
    }

    fn about(&self, act: &str, side: Side, record: &RecordId, detail: Value) -> JournalEntry {
        JournalEntry {
            side: Some(side),
            record: Some(record.clone()),
            ..self.note(act, detail)
        }
    }

    fn note(&self, act: &str, detail: Value) -> JournalEntry {
        let mut said = json!({ "act": act, "by": self.owner });
        if let (Value::Object(said), Value::Object(detail)) = (&mut said, detail) {
            said.extend(detail);
        }
        JournalEntry {
            at: self.clock.now(),
            run: None,
            kind: JournalKind::Operator,
            link: None,
            side: None,
            record: None,
            detail: said,
        }
    }
}
