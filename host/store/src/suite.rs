//! Facts that hold of every store. Each takes a new, empty one and panics if it is not true of it.
//!
//! [`for_each_fact`] lists them, so that a store's tests are one line and no fact is forgotten.

#![allow(missing_docs, reason = "the name of a fact says what it is")]
#![allow(clippy::unwrap_used, reason = "facts are tests")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Change, Commit, Dirty, Endpoint, JournalOf, Lease, Observation, Observed, Receipt, Sequence,
    Source, Step, StoreError,
};
use samspel_model::{
    Absence, Consent, ConsentState, Entity, Extent, Fields, Presence, RecordId, Revision, Side,
    Store, Tombstone,
};
use serde_json::{Value, json};

mod access;
mod erasing;
mod hooks;
mod journal;
mod observing;
mod people;
mod queue;
mod records;
mod registry;
mod syncs;

pub use access::*;
pub use erasing::*;
pub use hooks::*;
pub use journal::*;
pub use observing::*;
pub use people::*;
pub use queue::*;
pub use records::*;
pub use registry::*;
pub use syncs::*;

/// Calls a macro with the names of all facts.
#[macro_export]
macro_rules! for_each_fact {
    ($then:ident) => {
        $then! {
            // observing
            a_new_record_is_kept_and_must_be_planned,
            a_field_that_was_not_read_keeps_its_value,
            what_says_nothing_new_changes_nothing,
            a_changed_record_must_be_planned_by_every_sync_on_the_endpoint,
            our_own_write_is_no_news_to_its_sync,
            a_listing_with_a_lower_order_is_asked_again,
            a_listing_from_before_our_write_is_asked_again,
            a_listing_from_before_our_write_that_agrees_is_no_news,
            a_fetch_is_believed,
            a_new_revision_without_new_content_is_kept,
            a_new_alias_is_news,
            tombstones_change_the_presence,
            the_last_words_of_a_merged_record_are_no_newer_when_they_are_told_again,
            a_tombstone_from_before_our_write_is_asked_again,
            what_we_removed_does_not_come_back_from_an_old_listing,
            a_record_that_returns_must_be_planned,
            match_keys_follow_the_record,
            a_reader_that_does_not_know_a_key_leaves_it,
            the_last_of_two_versions_in_a_page_stays,
            what_a_snapshot_did_not_see_is_found,
            seen_ids_mark_known_records_and_fetch_unknown_ones,
            another_endpoint_is_another_record,
            // queue
            a_record_marked_again_moves_to_the_end,
            cleaning_leaves_what_was_marked_since,
            an_owed_fetch_stays_owed_until_it_is_made,
            a_fetch_that_another_sync_owes_stays_owed,
            what_is_known_of_consents_stays_where_values_are_read,
            a_position_is_never_given_twice,
            a_sync_that_registers_late_plans_what_is_known,
            registering_again_changes_nothing,
            registering_other_endpoints_is_refused,
            a_record_waits_since_it_became_dirty,
            a_record_that_another_record_of_the_page_repeats_is_queued_once,
            what_enters_the_queue_is_counted,
            what_another_sync_has_to_plan_is_not_counted,
            what_leaves_the_queue_is_counted,
            // records
            links_are_found_by_both_sides,
            a_record_cannot_be_linked_twice,
            a_link_can_move_in_one_commit,
            intents_come_and_go,
            updates_of_other_syncs_are_found_by_their_record,
            conflicts_are_replaced_and_removed_by_subject,
            parked_records_come_and_go,
            conflicts_and_parked_records_are_paged,
            what_a_valve_holds_is_told_from_what_is_undecided,
            decisions_stay_until_they_are_carried_out,
            cursors_runs_and_state_are_replaced,
            only_the_newest_runs_are_kept,
            odd_text_survives,
            // journal
            the_journal_is_newest_first,
            the_journal_is_read_by_link_and_by_run,
            the_journal_is_read_on_from_a_number,
            // people
            an_opt_out_is_kept_with_the_record,
            a_newer_opt_out_replaces_an_older_one,
            an_opt_out_must_be_planned_by_the_other_syncs_of_the_record,
            an_opt_out_that_says_nothing_new_marks_nothing,
            a_lifted_opt_out_is_over,
            of_two_suppressions_the_later_stays,
            accounts_are_replaced,
            // erasing
            an_erased_record_is_known_nowhere,
            erasing_reaches_every_sync_of_the_record,
            erasing_leaves_other_records,
            erasing_takes_writes_and_questions_of_the_link,
            the_journal_of_an_erased_record_is_without_values,
            // syncs
            a_lease_is_exclusive_until_it_ends,
            a_lost_lease_stores_nothing,
            a_released_lease_is_free,
            sequence_grows_with_every_commit,
            a_failed_change_undoes_the_commit,
            concurrent_commits_all_succeed_or_fail_alone,
            a_reset_forgets_the_sync_and_not_the_records,
            syncs_do_not_see_each_other,
        }
    };
}

/// What facts say about a store, in their own words.
struct World {
    store: Arc<dyn Store>,
    lease: Lease,
}

/// The sync of most facts.
const SYNC: &str = "people";
/// Another one.
const OTHER: &str = "newsletter";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn endpoint(account: &str) -> Endpoint {
    Endpoint {
        account: account.to_owned(),
        collection: "contacts".to_owned(),
    }
}

fn commit(changes: Vec<Change>) -> Commit {
    Commit {
        step: Step::Operate,
        at: at(0),
        changes,
    }
}

/// Side A of [`SYNC`].
fn crm() -> Endpoint {
    endpoint("crm")
}

fn id(text: &str) -> RecordId {
    RecordId::from(text)
}

fn fields(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

/// A record whose e-mail address, if it has one, is a match key.
fn person(name: &str, values: Value) -> Observed {
    let fields = fields(values);
    let keys = fields
        .get("email")
        .and_then(Value::as_str)
        .map(|email| ("email".to_owned(), email.to_lowercase()));
    Observed {
        extent: Extent::Whole,
        keys: keys.into_iter().collect(),
        entity: Entity {
            id: id(name),
            revision: None,
            fields,
            consents: Vec::new(),
            deliverability: None,
            aliases: Vec::new(),
            modified: None,
        },
    }
}

/// The same as a version of the record.
fn version(order: u64, mut observed: Observed) -> Observed {
    observed.entity.revision = Some(Revision {
        token: format!("v{order}"),
        order: Some(order),
    });
    observed
}

fn tombstone(name: &str, why: Absence) -> Tombstone {
    Tombstone {
        id: id(name),
        why,
        revision: None,
    }
}

fn names(ids: &[RecordId]) -> Vec<&str> {
    ids.iter().map(RecordId::as_str).collect()
}

impl World {
    /// A store with [`SYNC`] registered between `crm` and `mail`, and leased.
    async fn new(store: Arc<dyn Store>) -> Self {
        Self::of(store, SYNC, "crm", "mail").await
    }

    async fn of(store: Arc<dyn Store>, sync: &str, a: &str, b: &str) -> Self {
        store
            .register(sync, &[endpoint(a), endpoint(b)])
            .await
            .unwrap();
        let lease = store
            .acquire_lease(sync, "a test", at(0), Duration::from_secs(60))
            .await
            .unwrap();
        Self { store, lease }
    }

    async fn commit(&self, changes: Vec<Change>) -> Receipt {
        self.commit_at(0, changes).await
    }

    async fn commit_at(&self, second: i64, changes: Vec<Change>) -> Receipt {
        let commit = Commit {
            at: at(second),
            ..commit(changes)
        };
        self.store.commit(&self.lease, commit).await.unwrap()
    }

    async fn observe(&self, source: Source, records: Vec<Observed>) -> Receipt {
        self.observe_sent(source, self.store.sequence(), records)
            .await
    }

    async fn observe_sent(
        &self,
        source: Source,
        sent: Sequence,
        records: Vec<Observed>,
    ) -> Receipt {
        self.commit(vec![Change::Observe {
            endpoint: crm(),
            source,
            sent,
            snapshot: None,
            records,
            tombstones: Vec::new(),
        }])
        .await
    }

    async fn bury(&self, source: Source, sent: Sequence, tombstones: Vec<Tombstone>) -> Receipt {
        self.commit(vec![Change::Observe {
            endpoint: crm(),
            source,
            sent,
            snapshot: None,
            records: Vec::new(),
            tombstones,
        }])
        .await
    }

    async fn record(&self, name: &str) -> Observation {
        let found = self.store.observations(&crm(), &[id(name)]).await.unwrap();
        assert_eq!(found.len(), 1, "record {name}");
        found.into_iter().next().unwrap()
    }

    async fn by_email(&self, email: &str) -> Vec<String> {
        self.store
            .records_by_key(&crm(), "email", &[email.to_owned()], 10)
            .await
            .unwrap()
            .into_iter()
            .map(|(_, id)| id.as_str().to_owned())
            .collect()
    }

    async fn journal(&self, of: JournalOf<'_>) -> Vec<JournalEntry> {
        let entries = self.store.journal(&self.lease.sync, of, None, 100).await;
        entries
            .unwrap()
            .into_iter()
            .map(|(_, entry)| entry)
            .collect()
    }

    async fn queue(&self) -> Vec<Dirty> {
        self.store.dirty(&self.lease.sync, 0, 1000).await.unwrap()
    }

    /// Takes what is queued out of it: (record, must be fetched).
    async fn drain(&self) -> Vec<(String, bool)> {
        let rows = self.queue().await;
        let what = rows
            .iter()
            .map(|row| (row.id.as_str().to_owned(), row.refetch.is_some()))
            .collect();
        self.commit(vec![Change::Clean(rows)]).await;
        what
    }
}
