//! Whatever is committed, the store in memory and the one on SQLite answer the same.
//!
//! The two share no code. What the suite says of a store is what its author thought of; this compares the rest.

#![allow(clippy::unwrap_used, reason = "a failure is the result")]

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::link::Restriction;
use samspel_model::store::{
    Change, Commit, Conflict, Decision, Dirty, Endpoint, JournalOf, Lease, Observed, Parked,
    RecordRestriction, RunRecord, Source, Step, Store, StoreError, Suppression, Verdict, Waiting,
};
use samspel_model::write::Removal;
use samspel_model::{
    Absence, Base, Consent, ConsentState, Entity, Extent, Fields, Link, LinkId, RecordId, Revision,
    Side, Tombstone,
};
use samspel_simulation::memory::MemoryFile;
use samspel_store::SqliteStore;
use serde_json::json;

/// Two syncs that share a collection, on different sides, and one with the same collection on both.
const SYNCS: [(&str, [&str; 2]); 3] = [
    ("people", ["crm", "mail"]),
    ("news", ["mail", "shop"]),
    ("twins", ["crm", "crm"]),
];
const ACCOUNTS: [&str; 3] = ["crm", "mail", "shop"];
const RECORDS: [&str; 3] = ["1", "2", "3"];
const LINKS: [&str; 3] = ["l1", "l2", "l3"];
const SUBJECTS: [&str; 3] = ["email", "hold:delete", "identity"];
const RUNS: [&str; 2] = ["r1", "r2"];

#[derive(Debug, Clone)]
enum Doing {
    Change(Change),
    /// So many of the first rows of the queue.
    Clean(usize),
}

#[derive(Debug, Clone)]
enum Action {
    Commit(usize, Timestamp, Vec<Doing>),
    /// Forgets a sync and registers it anew.
    Reset(usize),
}

fn endpoint(account: &str) -> Endpoint {
    Endpoint {
        account: account.to_owned(),
        collection: "contacts".to_owned(),
    }
}

fn ids() -> Vec<RecordId> {
    RECORDS.iter().map(|id| RecordId::from(*id)).collect()
}

fn place() -> impl Strategy<Value = Endpoint> {
    select(&ACCOUNTS[..]).prop_map(endpoint)
}

fn record() -> impl Strategy<Value = RecordId> {
    select(&RECORDS[..]).prop_map(RecordId::from)
}

fn records() -> impl Strategy<Value = Vec<RecordId>> {
    vec(record(), 0..4)
}

fn side() -> impl Strategy<Value = Side> {
    select(&Side::BOTH[..])
}

fn about() -> impl Strategy<Value = String> {
    select(&SUBJECTS[..]).prop_map(str::to_owned)
}

fn link_id() -> impl Strategy<Value = LinkId> {
    select(&LINKS[..]).prop_map(|id| LinkId(id.to_owned()))
}

/// A few times.
fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..5).prop_map(|second| Timestamp::from_second(1_700_000_000 + second).unwrap())
}

fn revision() -> impl Strategy<Value = Option<Revision>> {
    proptest::option::of((0_u64..4).prop_map(|order| Revision {
        token: format!("v{order}"),
        order: Some(order),
    }))
}

fn opt_out() -> Consent {
    Consent {
        channel: "email".to_owned(),
        purpose: "marketing".to_owned(),
        state: ConsentState::Unsubscribed,
        at: None,
        evidence: None,
    }
}

fn observed() -> impl Strategy<Value = Observed> {
    let email = proptest::option::of(proptest::option::of(0_u8..3));
    let age = proptest::option::of(0_u8..2);
    let aliases = vec(record(), 0..2);
    let extent = prop_oneof![3 => Just(Extent::Whole), 1 => Just(Extent::Values)];
    let said = (extent, any::<bool>());
    (
        record(),
        email,
        age,
        revision(),
        aliases,
        any::<bool>(),
        said,
    )
        .prop_map(
            |(id, email, age, revision, aliases, keyed, (extent, out))| {
                let mut fields = Fields::new();
                let mut keys = Vec::new();
                if let Some(email) = email {
                    fields.insert("email".to_owned(), json!(email));
                    if keyed {
                        keys.extend(email.map(|email| ("email".to_owned(), email.to_string())));
                    }
                }
                fields.extend(age.map(|age| ("age".to_owned(), json!(age))));
                let entity = Entity {
                    id,
                    revision,
                    fields,
                    consents: out.then(opt_out).into_iter().collect(),
                    deliverability: None,
                    aliases,
                    modified: None,
                };
                Observed {
                    entity,
                    keys,
                    extent,
                }
            },
        )
}

fn tombstone() -> impl Strategy<Value = Tombstone> {
    let why = prop_oneof![
        Just(Absence::Deleted),
        Just(Absence::Archived),
        Just(Absence::OutOfScope)
    ];
    (record(), why, revision()).prop_map(|(id, why, revision)| Tombstone { id, why, revision })
}

fn observe() -> impl Strategy<Value = Change> {
    let source = select(
        &[
            Source::Listing,
            Source::Listing,
            Source::Fetch,
            Source::Write,
        ][..],
    );
    let snapshot = proptest::option::of(0_u64..12);
    let records = vec(observed(), 0..4);
    let tombstones = vec(tombstone(), 0..2);
    (place(), source, 0_u64..12, snapshot, records, tombstones).prop_map(
        |(endpoint, source, sent, snapshot, records, tombstones)| Change::Observe {
            endpoint,
            source,
            sent,
            snapshot,
            records,
            tombstones,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (link_id(), record(), record()).prop_map(|(id, a, b)| Link {
        id,
        a,
        b,
        base: Base::default(),
    })
}

fn intent() -> impl Strategy<Value = Intent> {
    let effect = prop_oneof![
        Just(Effect::Create),
        record().prop_map(Effect::Update),
        record().prop_map(|id| Effect::Remove(id, Removal::Archive)),
    ];
    let link = proptest::option::of(link_id());
    (0_u8..3, side(), record(), link, effect).prop_map(
        |(number, target, source_record, link, effect)| Intent {
            id: format!("i{number}"),
            run: "r1".to_owned(),
            target,
            source_record,
            link,
            effect,
            patch: Fields::new(),
            before: Fields::new(),
            consents: Vec::new(),
            deliverability: None,
            precondition: None,
            base: Base::default(),
            shared: Vec::new(),
            restricts: false,
            and_more: false,
            overrules: None,
            told: vec![],
            lost: None,
        },
    )
}

fn conflict() -> impl Strategy<Value = Conflict> {
    let link = proptest::option::of(link_id());
    (side(), record(), about(), link, time()).prop_map(|(side, record, about, link, at)| Conflict {
        // A conflict of a link is about A's record.
        link: link.filter(|_| side == Side::A),
        side,
        record,
        about,
        at,
        why: String::new(),
        detail: json!({}),
    })
}

fn entry() -> impl Strategy<Value = JournalEntry> {
    let run = proptest::option::of(select(&RUNS[..]));
    let of = proptest::option::of((side(), record()));
    let link = proptest::option::of(link_id());
    (time(), run, of, link).prop_map(|(at, run, of, link)| JournalEntry {
        at,
        run: run.map(str::to_owned),
        kind: JournalKind::Lost,
        link,
        side: of.as_ref().map(|(side, _)| *side),
        record: of.map(|(_, record)| record),
        detail: json!({"value": "of a person"}),
    })
}

fn decision() -> impl Strategy<Value = Decision> {
    let verdict = prop_oneof![Just(Verdict::Approve), record().prop_map(Verdict::Link)];
    (side(), record(), about(), verdict, time()).prop_map(|(side, record, about, verdict, at)| {
        Decision {
            side,
            record,
            about,
            verdict,
            at,
            by: "an operator".to_owned(),
            of: None,
        }
    })
}

fn purpose() -> impl Strategy<Value = String> {
    select(&["marketing", "news"][..]).prop_map(str::to_owned)
}

fn restriction() -> impl Strategy<Value = RecordRestriction> {
    (place(), record(), purpose(), time()).prop_map(|(endpoint, record, purpose, at)| {
        RecordRestriction {
            restriction: Restriction {
                account: endpoint.account.clone(),
                at,
                evidence: None,
            },
            endpoint,
            record,
            channel: "email".to_owned(),
            purpose,
        }
    })
}

fn suppression() -> impl Strategy<Value = Suppression> {
    let channel = select(&["email", "sms"][..]);
    (0_u8..2, channel, time()).prop_map(|(number, channel, at)| Suppression {
        pseudonym: format!("p{number}"),
        channel: channel.to_owned(),
        at,
    })
}

fn parked() -> impl Strategy<Value = Parked> {
    (side(), record(), time()).prop_map(|(side, record, at)| Parked {
        side,
        record,
        at,
        cause: String::new(),
    })
}

fn run() -> impl Strategy<Value = RunRecord> {
    (select(&RUNS[..]), time()).prop_map(|(id, started)| RunRecord {
        id: id.to_owned(),
        started,
        ended: None,
        error: None,
        report: json!({}),
    })
}

fn owed() -> impl Strategy<Value = Option<Extent>> {
    select(&[None, Some(Extent::Values), Some(Extent::Whole)][..])
}

/// A record that was asked for, as it stood in the queue at some time.
fn asked() -> impl Strategy<Value = Dirty> {
    (0_u64..40, side(), record(), owed(), time()).prop_map(
        |(position, side, id, refetch, since)| Dirty {
            position,
            side,
            id,
            refetch,
            since,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let records_kept = vec((record(), vec(about(), 0..2)), 0..3);
    let lifted = vec((record(), Just("email".to_owned()), purpose()), 0..3);
    let intents = vec((0_u8..3).prop_map(|number| format!("i{number}")), 0..3);
    prop_oneof![
        8 => observe(),
        2 => (place(), 0_u64..12, records()).prop_map(|(endpoint, snapshot, ids)| Change::Seen {
            endpoint, snapshot, ids
        }),
        3 => (side(), records(), owed())
            .prop_map(|(side, ids, refetch)| Change::MarkDirty { side, ids, refetch }),
        2 => vec(asked(), 0..3).prop_map(Change::Fetched),
        // It makes whole commits fail.
        2 => vec(link(), 0..2).prop_map(Change::PutLinks),
        2 => vec(link_id(), 0..3).prop_map(Change::RemoveLinks),
        2 => vec(intent(), 0..3).prop_map(Change::PutIntents),
        1 => intents.prop_map(Change::RemoveIntents),
        2 => vec(conflict(), 0..3).prop_map(Change::PutConflicts),
        1 => (side(), records_kept)
            .prop_map(|(side, records)| Change::RemoveConflicts { side, records }),
        1 => vec(parked(), 0..3).prop_map(Change::Park),
        1 => (side(), records()).prop_map(|(side, ids)| Change::Unpark { side, ids }),
        2 => vec(entry(), 0..3).prop_map(Change::Journal),
        1 => run().prop_map(Change::PutRun),
        1 => (1_u32..4).prop_map(Change::KeepRuns),
        2 => vec(decision(), 0..3).prop_map(Change::PutDecisions),
        1 => vec((side(), record(), about()), 0..3).prop_map(Change::RemoveDecisions),
        3 => vec(restriction(), 0..3).prop_map(Change::Restrict),
        1 => (place(), lifted)
            .prop_map(|(endpoint, restrictions)| Change::Lift { endpoint, restrictions }),
        1 => vec(suppression(), 0..3).prop_map(Change::Suppress),
        1 => (place(), records()).prop_map(|(endpoint, records)| Change::Erase { endpoint, records }),
        1 => (select(&ACCOUNTS[..]), 0_u8..2).prop_map(|(account, number)| Change::PutAccount {
            account: account.to_owned(), identity: number.to_string()
        }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let doing = prop_oneof![
        6 => change().prop_map(Doing::Change),
        1 => (0_usize..6).prop_map(Doing::Clean),
    ];
    prop_oneof![
        15 => (0..SYNCS.len(), time(), vec(doing, 0..12))
            .prop_map(|(sync, at, doing)| Action::Commit(sync, at, doing)),
        1 => (0..SYNCS.len()).prop_map(Action::Reset),
    ]
}

/// What both say, without the words of a failure.
fn same<T: PartialEq + Debug>(one: Result<T, StoreError>, other: Result<T, StoreError>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(StoreError::Damaged { .. }), Err(StoreError::Damaged { .. })) => {}
        (one, other) => panic!("{one:?} is not {other:?}"),
    }
}

/// In an order of their own, where the port promises none.
fn sorted<T, K: Ord>(
    rows: Result<Vec<T>, StoreError>,
    key: impl FnMut(&T) -> K,
) -> Result<Vec<T>, StoreError> {
    rows.map(|mut rows| {
        rows.sort_by_key(key);
        rows
    })
}

async fn compare(one: &dyn Store, other: &dyn Store) {
    let (all, some) = (ids(), [RecordId::from("2"), RecordId::from("1")]);
    let values: Vec<_> = ["2", "0", "1"].map(str::to_owned).to_vec();
    for account in ACCOUNTS {
        let place = &endpoint(account);
        same(
            sorted(one.observations(place, &some).await, |row| row.id.clone()),
            sorted(other.observations(place, &some).await, |row| row.id.clone()),
        );
        for (after, limit) in [(None, 9), (None, 2), (Some(&all[1]), 9)] {
            same(
                one.records(place, after, limit).await,
                other.records(place, after, limit).await,
            );
            same(
                one.unseen(place, 6, after, limit).await,
                other.unseen(place, 6, after, limit).await,
            );
        }
        for limit in [1, 9] {
            same(
                one.records_by_key(place, "email", &values, limit).await,
                other.records_by_key(place, "email", &values, limit).await,
            );
        }
        same(
            one.restrictions(place, &some).await,
            other.restrictions(place, &some).await,
        );
        same(one.account(account).await, other.account(account).await);
    }
    let pseudonyms = ["p1", "p0"].map(str::to_owned);
    same(
        one.suppressions(&pseudonyms).await,
        other.suppressions(&pseudonyms).await,
    );
    for (sync, _) in SYNCS {
        same(one.dirty(sync, 0, 99).await, other.dirty(sync, 0, 99).await);
        same(one.dirty(sync, 5, 2).await, other.dirty(sync, 5, 2).await);
        let after = LinkId("l1".to_owned());
        same(
            one.links(sync, None, 9).await,
            other.links(sync, None, 9).await,
        );
        same(
            one.links(sync, Some(&after), 1).await,
            other.links(sync, Some(&after), 1).await,
        );
        same(
            one.intents(sync, Some("i0"), 9).await,
            other.intents(sync, Some("i0"), 9).await,
        );
        for side in Side::BOTH {
            same(
                sorted(one.links_by_record(sync, side, &some).await, |link| {
                    link.id.clone()
                }),
                sorted(other.links_by_record(sync, side, &some).await, |link| {
                    link.id.clone()
                }),
            );
            same(
                one.decisions(sync, side, &some).await,
                other.decisions(sync, side, &some).await,
            );
        }
        for which in [Waiting::All, Waiting::Conflicts, Waiting::Holds] {
            for (offset, limit) in [(0, 99), (1, 2)] {
                same(
                    one.conflicts(sync, which, offset, limit).await,
                    other.conflicts(sync, which, offset, limit).await,
                );
            }
        }
        same(one.parked(sync, 1, 9).await, other.parked(sync, 1, 9).await);
        let link = LinkId("l2".to_owned());
        for of in [
            JournalOf::Sync,
            JournalOf::Record(Side::B, &some[0]),
            JournalOf::Link(&link),
            JournalOf::Run("r1"),
        ] {
            for (before, limit) in [(None, 99), (Some(4), 2)] {
                same(
                    one.journal(sync, of, before, limit).await,
                    other.journal(sync, of, before, limit).await,
                );
            }
        }
        same(one.runs(sync, 9).await, other.runs(sync, 9).await);
        same(one.counts(sync).await, other.counts(sync).await);
    }
    assert_eq!(one.sequence(), other.sequence());
}

/// Registers and leases all syncs.
async fn begin(store: &dyn Store) -> Vec<Lease> {
    let mut leases = Vec::new();
    for (sync, accounts) in SYNCS {
        store.register(sync, &accounts.map(endpoint)).await.unwrap();
        let lease = store
            .acquire_lease(
                sync,
                "a test",
                Timestamp::UNIX_EPOCH,
                Duration::from_secs(60),
            )
            .await
            .unwrap();
        leases.push(lease);
    }
    leases
}

async fn check(actions: Vec<Action>) {
    let directory = tempfile::tempdir().unwrap();
    let one = SqliteStore::open(&directory.path().join("samspel.db"), "main")
        .await
        .unwrap();
    let other = MemoryFile::default().open();
    let leases = begin(&one).await;
    assert_eq!(begin(&other).await, leases);
    let count = actions.len();
    for (number, action) in actions.into_iter().enumerate() {
        match action {
            Action::Commit(index, at, doings) => {
                let mut changes = Vec::new();
                for doing in doings {
                    changes.push(match doing {
                        Doing::Change(change) => change,
                        Doing::Clean(count) => {
                            let rows = one.dirty(SYNCS[index].0, 0, 99).await.unwrap();
                            Change::Clean(rows.into_iter().take(count).collect())
                        }
                    });
                }
                let commit = Commit {
                    step: Step::Page,
                    at,
                    changes,
                };
                same(
                    one.commit(&leases[index], commit.clone()).await,
                    other.commit(&leases[index], commit).await,
                );
            }
            Action::Reset(index) => {
                let endpoints = SYNCS[index].1.map(endpoint);
                for store in [&one as &dyn Store, &other] {
                    store.reset(&leases[index]).await.unwrap();
                    store.register(SYNCS[index].0, &endpoints).await.unwrap();
                }
            }
        }
        // Asking everything takes longer than storing it.
        if number % 3 == 2 || number + 1 == count {
            compare(&one, &other).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_two_stores_answer_the_same(actions in vec(action(), 1..40)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(check(actions));
    }
}
