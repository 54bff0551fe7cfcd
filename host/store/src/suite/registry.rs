use std::collections::BTreeSet;

use samspel_model::registry::{
    Canary, ConnectorRevision, InstalledConnector, Registry, RegistryAct, RegistryChange,
    RegistryEntry, Rights, Stage, Trial, TrustedKey,
};

use super::*;

/// Calls a macro with the names of all facts about installed connectors.
#[macro_export]
macro_rules! for_each_registry_fact {
    ($then:ident) => {
        $then! {
            a_revision_and_its_component_are_kept,
            a_pointer_is_moved_by_one_of_two,
            what_is_refused_stores_nothing,
            an_account_tries_or_goes_back,
            strikes_are_counted_by_account,
            keys_come_and_go,
            the_history_of_connectors_is_newest_first,
        }
    };
}

fn revision(number: u8, name: &str) -> ConnectorRevision {
    ConnectorRevision {
        sha256: format!("{number:02x}").repeat(32),
        name: name.to_owned(),
        version: format!("{number}.0.0"),
        bytes: 3,
        source: "a test".to_owned(),
        manifest: None,
        signer: None,
        rights: Rights::default(),
        cursor_version: 1,
        cursor_versions_read: vec![1],
        stage: Stage::Staged,
        why: None,
        staged: at(0),
        changed: at(0),
    }
}

fn entry(name: &str, second: i64) -> RegistryEntry {
    RegistryEntry {
        at: at(second),
        who: "a test".to_owned(),
        act: RegistryAct::Staged,
        name: name.to_owned(),
        sha256: None,
        account: None,
        detail: json!({ "second": second }),
    }
}

async fn staged(store: &dyn Registry, revision: &ConnectorRevision) {
    let change = RegistryChange::Stage(Box::new(revision.clone()), b"abc".to_vec());
    assert!(store.apply(vec![change]).await.unwrap());
}

pub async fn a_revision_and_its_component_are_kept(store: Arc<dyn Registry>) {
    let (one, two) = (revision(1, ""), revision(2, "other"));
    staged(&*store, &one).await;
    staged(&*store, &two).await;
    assert_eq!(
        store.revision(&one.sha256).await.unwrap(),
        Some(one.clone())
    );
    let bytes = store.component(&one.sha256).await.unwrap();
    assert_eq!(bytes.as_deref(), Some(&b"abc"[..]));
    assert_eq!(store.component("00").await.unwrap(), None);
    // It told its name and went on.
    let known = ConnectorRevision {
        name: "crm".to_owned(),
        stage: Stage::Compiled,
        ..one.clone()
    };
    let put = RegistryChange::Put(Box::new(known.clone()));
    assert!(store.apply(vec![put]).await.unwrap());
    let revisions = store.revisions(Some("crm")).await.unwrap();
    assert_eq!(revisions, std::slice::from_ref(&known));
    assert_eq!(store.revisions(None).await.unwrap(), [two, known.clone()]);
    // Its component is removed: what is known of it stays, and the component can be staged again.
    let drop = RegistryChange::DropComponent(one.sha256.clone());
    assert!(store.apply(vec![drop]).await.unwrap());
    assert_eq!(store.component(&one.sha256).await.unwrap(), None);
    assert_eq!(store.revision(&one.sha256).await.unwrap(), Some(known));
    staged(&*store, &one).await;
    let bytes = store.component(&one.sha256).await.unwrap();
    assert_eq!(bytes.as_deref(), Some(&b"abc"[..]));
}

pub async fn a_pointer_is_moved_by_one_of_two(store: Arc<dyn Registry>) {
    let mut pointer = InstalledConnector::new("crm");
    pointer.active = Some("a".to_owned());
    let moved = store
        .apply(vec![RegistryChange::Point(pointer.clone())])
        .await;
    assert!(moved.unwrap());
    // Decided from what was there before.
    pointer.active = Some("b".to_owned());
    let moved = store
        .apply(vec![RegistryChange::Point(pointer.clone())])
        .await;
    assert!(!moved.unwrap());
    let mut now = store.installed("crm").await.unwrap().unwrap();
    assert_eq!((now.generation, now.active.as_deref()), (1, Some("a")));
    now.active = Some("b".to_owned());
    assert!(store.apply(vec![RegistryChange::Point(now)]).await.unwrap());
    let now = store.all_installed().await.unwrap();
    assert_eq!(
        (now[0].generation, now[0].active.as_deref()),
        (2, Some("b"))
    );
    assert_eq!(store.installed("mail").await.unwrap(), None);
}

pub async fn what_is_refused_stores_nothing(store: Arc<dyn Registry>) {
    let stale = InstalledConnector {
        generation: 7,
        ..InstalledConnector::new("crm")
    };
    let changes = vec![
        RegistryChange::Stage(Box::new(revision(1, "crm")), b"abc".to_vec()),
        RegistryChange::Tell(entry("crm", 1)),
        RegistryChange::Point(stale),
    ];
    assert!(!store.apply(changes).await.unwrap());
    assert!(store.revisions(None).await.unwrap().is_empty());
    assert!(store.told(None, 9).await.unwrap().is_empty());
    // A revision without a component is no revision.
    let changes = vec![
        RegistryChange::Tell(entry("crm", 1)),
        RegistryChange::Put(Box::new(revision(9, "crm"))),
    ];
    store.apply(changes).await.unwrap_err();
    assert!(store.told(None, 9).await.unwrap().is_empty());
}

pub async fn an_account_tries_or_goes_back(store: Arc<dyn Registry>) {
    let pointer = InstalledConnector {
        active: Some("two".to_owned()),
        previous: Some("one".to_owned()),
        canary: Some(Canary {
            sha256: "three".to_owned(),
            accounts: BTreeSet::from(["trial".to_owned()]),
        }),
        kept: [("sore".to_owned(), "one".to_owned())].into(),
        ..InstalledConnector::new("crm")
    };
    assert!(
        store
            .apply(vec![RegistryChange::Point(pointer)])
            .await
            .unwrap()
    );
    let now = store.installed("crm").await.unwrap().unwrap();
    let of = |account| now.revision_of(account).unwrap();
    assert_eq!(
        (of("any"), of("trial"), of("sore")),
        ("two", "three", "one")
    );
    assert!(now.uses("one") && !now.uses("four"));
}

pub async fn strikes_are_counted_by_account(store: Arc<dyn Registry>) {
    assert_eq!(
        store.ran("a", "one", 2).await.unwrap(),
        Trial {
            runs: 1,
            strikes: 2
        }
    );
    assert_eq!(
        store.ran("a", "one", 0).await.unwrap(),
        Trial {
            runs: 2,
            strikes: 2
        }
    );
    assert_eq!(
        store.ran("a", "two", 1).await.unwrap(),
        Trial {
            runs: 1,
            strikes: 1
        }
    );
    assert_eq!(
        store.ran("b", "one", 1).await.unwrap(),
        Trial {
            runs: 1,
            strikes: 1
        }
    );
    let forget = RegistryChange::ForgetTrials("a".to_owned());
    assert!(store.apply(vec![forget]).await.unwrap());
    assert_eq!(
        store.ran("a", "one", 0).await.unwrap(),
        Trial {
            runs: 1,
            strikes: 0
        }
    );
    assert_eq!(
        store.ran("b", "one", 0).await.unwrap(),
        Trial {
            runs: 2,
            strikes: 1
        }
    );
}

pub async fn keys_come_and_go(store: Arc<dyn Registry>) {
    let key = |name: &str, key: &str| TrustedKey {
        name: name.to_owned(),
        key: key.to_owned(),
        added: at(0),
    };
    let trust = |key| RegistryChange::Trust(key);
    let changes = vec![trust(key("vendor", "x")), trust(key("ours", "y"))];
    assert!(store.apply(changes).await.unwrap());
    assert!(store.apply(vec![trust(key("vendor", "z"))]).await.unwrap());
    let trusted = store.trusted().await.unwrap();
    assert_eq!(trusted, [key("ours", "y"), key("vendor", "z")]);
    let changes = vec![RegistryChange::Distrust("ours".to_owned())];
    assert!(store.apply(changes).await.unwrap());
    assert_eq!(store.trusted().await.unwrap(), [key("vendor", "z")]);
}

pub async fn the_history_of_connectors_is_newest_first(store: Arc<dyn Registry>) {
    for (name, second) in [("crm", 1), ("mail", 2), ("crm", 3)] {
        let change = RegistryChange::Tell(entry(name, second));
        assert!(store.apply(vec![change]).await.unwrap());
    }
    let seconds = |told: Vec<(u64, RegistryEntry)>| -> Vec<Value> {
        told.into_iter()
            .map(|(_, entry)| entry.detail["second"].clone())
            .collect()
    };
    let all = store.told(None, 2).await.unwrap();
    assert!(all[0].0 > all[1].0);
    assert_eq!(seconds(all), [json!(3), json!(2)]);
    let crm = store.told(Some("crm"), 9).await.unwrap();
    assert_eq!(seconds(crm), [json!(3), json!(1)]);
}
