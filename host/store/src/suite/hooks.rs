//! Notifications between being received and being understood.

use samspel_model::hook::{Hook, HookRequest, HookStore, HookSubscription};

use super::*;

/// Calls a macro with the names of all facts about notifications.
#[macro_export]
macro_rules! for_each_hook_fact {
    ($then:ident) => {
        $then! {
            a_notification_is_kept_until_it_is_understood,
            what_a_notification_is_about_is_fetched_and_planned_by_every_sync,
            a_notification_that_is_not_understood_waits_for_a_decision,
            what_a_notification_leaves_unchanged_is_not_owed,
            notifications_are_read_by_endpoint_in_order,
            a_subscription_is_replaced_and_forgotten,
        }
    };
}

fn hook(endpoint: &str, at: i64) -> Hook {
    Hook {
        position: 0,
        endpoint: endpoint.to_owned(),
        received: Timestamp::from_second(at).unwrap(),
        request: HookRequest {
            method: "POST".to_owned(),
            path: "/x?y=1".to_owned(),
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: vec![0, 255, 7],
        },
        attempts: 0,
        error: None,
        due: None,
    }
}

fn contacts() -> Endpoint {
    Endpoint {
        account: "crm".to_owned(),
        collection: "contacts".to_owned(),
    }
}

fn members() -> Endpoint {
    Endpoint {
        account: "news".to_owned(),
        collection: "members".to_owned(),
    }
}

pub async fn a_notification_is_kept_until_it_is_understood(store: Arc<impl Store + HookStore>) {
    let one = store.keep_hook(&hook("crm", 1)).await.unwrap();
    let two = store.keep_hook(&hook("crm", 2)).await.unwrap();
    assert!(two > one);
    let kept = store.hooks(None, 0, false, 10).await.unwrap();
    let expected = Hook {
        position: one,
        due: Some(Timestamp::from_second(1).unwrap()),
        ..hook("crm", 1)
    };
    assert_eq!(kept[0], expected);
    let syncs = store
        .hooks_understood(&[one], &[], Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(syncs, Vec::<String>::new());
    let kept = store.hooks(None, 0, true, 10).await.unwrap();
    assert_eq!(
        kept.iter().map(|hook| hook.position).collect::<Vec<_>>(),
        [two]
    );
    assert_eq!(store.hook_counts().await.unwrap(), (1, 0));
}

pub async fn what_a_notification_is_about_is_fetched_and_planned_by_every_sync(
    store: Arc<impl Store + HookStore>,
) {
    store
        .register("one", &[contacts(), members()])
        .await
        .unwrap();
    store
        .register("two", &[members(), contacts()])
        .await
        .unwrap();
    let at = Timestamp::from_second(7).unwrap();
    let kept = store.keep_hook(&hook("crm", 1)).await.unwrap();
    let ids = ["5", "5", "6"].map(|id| (RecordId::new(id), Extent::Whole));
    let syncs = store
        .hooks_understood(&[kept], &[(contacts(), ids.to_vec())], at)
        .await
        .unwrap();
    assert_eq!(syncs, ["one", "two"]);
    let owed = Some(Extent::Whole);
    for (sync, side) in [("one", Side::A), ("two", Side::B)] {
        let dirty = store.dirty(sync, 0, 10).await.unwrap();
        let rows: Vec<_> = dirty
            .iter()
            .map(|row| (row.side, row.id.as_str(), row.refetch, row.since))
            .collect();
        assert_eq!(
            rows,
            [(side, "5", owed, at), (side, "6", owed, at)],
            "{sync}"
        );
    }
    // Told again, it waits since the first time.
    let later = Timestamp::from_second(9).unwrap();
    let hinted = [(contacts(), vec![(RecordId::new("5"), Extent::Whole)])];
    store.hooks_understood(&[], &hinted, later).await.unwrap();
    let dirty = store.dirty("one", 0, 10).await.unwrap();
    assert_eq!(dirty.len(), 2);
    assert!(dirty.iter().all(|row| row.since == at));
}

pub async fn a_notification_that_is_not_understood_waits_for_a_decision(
    store: Arc<impl Store + HookStore>,
) {
    let kept = store.keep_hook(&hook("crm", 1)).await.unwrap();
    let due = Timestamp::from_second(60).unwrap();
    store.hook_failed(kept, "down", Some(due)).await.unwrap();
    let found = store.hooks(Some("crm"), 0, false, 10).await.unwrap();
    assert_eq!((found[0].attempts, found[0].due), (1, Some(due)));
    assert!(!store.drop_hook(kept).await.unwrap(), "it is tried again");
    store.hook_failed(kept, "a bug", None).await.unwrap();
    assert_eq!(store.hooks(None, 0, false, 10).await.unwrap(), []);
    assert_eq!(store.hook_counts().await.unwrap(), (0, 1));
    let found = store.hooks(None, 0, true, 10).await.unwrap();
    assert_eq!(found[0].error.as_deref(), Some("a bug"));
    assert_eq!(store.retry_hooks(Some(kept + 1), due).await.unwrap(), 0);
    assert_eq!(store.retry_hooks(Some(kept), due).await.unwrap(), 1);
    assert_eq!(store.hook_counts().await.unwrap(), (1, 0));
    store.hook_failed(kept, "a bug", None).await.unwrap();
    assert!(store.drop_hook(kept).await.unwrap());
    assert!(!store.drop_hook(kept).await.unwrap());
}

pub async fn what_a_notification_leaves_unchanged_is_not_owed(store: Arc<impl Store + HookStore>) {
    store
        .register("one", &[contacts(), members()])
        .await
        .unwrap();
    let owed = async |told: &[(&str, Extent)]| {
        let told = told
            .iter()
            .map(|(id, extent)| (RecordId::new(*id), *extent));
        let hinted = [(contacts(), told.collect())];
        store
            .hooks_understood(&[], &hinted, Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        let rows = store.dirty("one", 0, 10).await.unwrap();
        let of = |id| rows.iter().find(|row| row.id.as_str() == id);
        ["5", "6"].map(|id| of(id).and_then(|row| row.refetch))
    };
    let (values, whole) = (Some(Extent::Values), Some(Extent::Whole));
    assert_eq!(
        owed(&[("5", Extent::Values), ("6", Extent::Whole)]).await,
        [values, whole]
    );
    // Told again, the most that was said counts.
    let again = [
        ("5", Extent::Values),
        ("5", Extent::Whole),
        ("6", Extent::Values),
    ];
    assert_eq!(owed(&again).await, [whole, whole]);
}

pub async fn notifications_are_read_by_endpoint_in_order(store: Arc<impl Store + HookStore>) {
    for (endpoint, at) in [("a", 1), ("b", 2), ("a", 3), ("a", 4)] {
        store.keep_hook(&hook(endpoint, at)).await.unwrap();
    }
    assert_eq!(store.hook_endpoints().await.unwrap(), ["a", "b"]);
    let seconds = |hooks: &[Hook]| -> Vec<i64> {
        hooks.iter().map(|hook| hook.received.as_second()).collect()
    };
    let page = store.hooks(Some("a"), 0, false, 2).await.unwrap();
    assert_eq!(seconds(&page), [1, 3]);
    let rest = store
        .hooks(Some("a"), page[1].position, false, 2)
        .await
        .unwrap();
    assert_eq!(seconds(&rest), [4]);
}

pub async fn a_subscription_is_replaced_and_forgotten(store: Arc<impl Store + HookStore>) {
    let subscription = |id: &str| HookSubscription {
        id: id.to_owned(),
        expires: Some(Timestamp::from_second(5).unwrap()),
    };
    let endpoint = contacts();
    store
        .put_subscription(&endpoint, "one", &subscription("1"))
        .await
        .unwrap();
    store
        .put_subscription(&endpoint, "two", &subscription("2"))
        .await
        .unwrap();
    let known = store.subscriptions().await.unwrap();
    assert_eq!(
        known,
        [(endpoint.clone(), "two".to_owned(), subscription("2"))]
    );
    store.remove_subscription(&endpoint).await.unwrap();
    assert_eq!(store.subscriptions().await.unwrap(), []);
}
