//! What is known about people: opt-outs in force, what is left of the erased, who accounts are.

use samspel_model::link::Restriction;
use samspel_model::store::{RecordRestriction, Suppression};

use super::*;

/// An opt-out of a record of [`crm`] from e-mail marketing.
pub(super) fn restriction(record: &str, second: i64) -> RecordRestriction {
    RecordRestriction {
        endpoint: crm(),
        record: id(record),
        channel: "email".to_owned(),
        purpose: "marketing".to_owned(),
        restriction: Restriction {
            account: "crm".to_owned(),
            at: at(second),
            evidence: Some(format!("a form at {second}")),
        },
    }
}

fn of_purpose(purpose: &str, one: RecordRestriction) -> RecordRestriction {
    RecordRestriction {
        purpose: purpose.to_owned(),
        ..one
    }
}

async fn in_force(world: &World, names: &[&str]) -> Vec<RecordRestriction> {
    let records: Vec<_> = names.iter().map(|name| id(name)).collect();
    world.store.restrictions(&crm(), &records).await.unwrap()
}

pub async fn an_opt_out_is_kept_with_the_record(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let mut by_phone = restriction("1", 2);
    by_phone.channel = "sms".to_owned();
    by_phone.restriction.evidence = None;
    by_phone.restriction.at = "2024-02-29T12:00:00.123456789Z".parse().unwrap();
    let news = of_purpose("news", restriction("1", 3));
    let elsewhere = RecordRestriction {
        endpoint: endpoint("mail"),
        ..restriction("1", 9)
    };
    let expected = [
        restriction("1", 1),
        news.clone(),
        by_phone.clone(),
        restriction("2", 1),
    ];
    world
        .commit(vec![Change::Restrict(vec![
            restriction("2", 1),
            by_phone,
            news,
            elsewhere.clone(),
            restriction("1", 1),
            restriction("3", 1),
        ])])
        .await;
    assert_eq!(in_force(&world, &["2", "9", "1"]).await, expected);
    let found = world
        .store
        .restrictions(&endpoint("mail"), &[id("1")])
        .await;
    assert_eq!(found.unwrap(), [elsewhere]);
}

pub async fn a_newer_opt_out_replaces_an_older_one(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let put = async |seconds: &[i64]| {
        let opt_outs = seconds.iter().map(|second| restriction("1", *second));
        world
            .commit(vec![Change::Restrict(opt_outs.collect())])
            .await;
        in_force(&world, &["1"]).await
    };
    assert_eq!(put(&[5]).await, [restriction("1", 5)]);
    assert_eq!(put(&[4]).await, [restriction("1", 5)]);
    assert_eq!(put(&[6]).await, [restriction("1", 6)]);
    assert_eq!(put(&[7, 9, 8]).await, [restriction("1", 9)]);
    let mut reworded = restriction("1", 9);
    reworded.restriction.evidence = None;
    world.commit(vec![Change::Restrict(vec![reworded])]).await;
    assert_eq!(in_force(&world, &["1"]).await, [restriction("1", 9)]);
}

pub async fn an_opt_out_must_be_planned_by_the_other_syncs_of_the_record(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "shop", "crm").await;
    let unrelated = World::of(store, "unrelated", "shop", "mail").await;
    let receipt = world
        .commit(vec![Change::Restrict(vec![
            restriction("1", 1),
            of_purpose("news", restriction("1", 1)),
        ])])
        .await;
    assert_eq!(receipt.queued, 0);
    assert!(world.queue().await.is_empty());
    assert!(unrelated.queue().await.is_empty());
    let queue = other.queue().await;
    assert_eq!(queue.len(), 1);
    assert_eq!((queue[0].side, &queue[0].id), (Side::B, &id("1")));
    assert_eq!(queue[0].refetch, None);
    // A fetch that is owed stays owed.
    other.drain().await;
    let owed = Change::MarkDirty {
        side: Side::B,
        ids: vec![id("1")],
        refetch: Some(Extent::Whole),
    };
    other.commit(vec![owed]).await;
    world
        .commit(vec![Change::Restrict(vec![restriction("1", 2)])])
        .await;
    assert_eq!(other.drain().await, [("1".to_owned(), true)]);
}

pub async fn an_opt_out_that_says_nothing_new_marks_nothing(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(store, OTHER, "crm", "shop").await;
    world
        .commit(vec![Change::Restrict(vec![
            restriction("1", 5),
            restriction("2", 5),
        ])])
        .await;
    other.drain().await;
    world
        .commit(vec![Change::Restrict(vec![
            restriction("1", 5),
            restriction("1", 4),
            restriction("2", 6),
        ])])
        .await;
    assert_eq!(other.drain().await, [("2".to_owned(), false)]);
}

pub async fn a_lifted_opt_out_is_over(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(store, OTHER, "crm", "shop").await;
    let news = of_purpose("news", restriction("1", 3));
    let opt_outs = vec![restriction("1", 1), news.clone(), restriction("2", 1)];
    world.commit(vec![Change::Restrict(opt_outs)]).await;
    other.drain().await;
    let lift = |endpoint| Change::Lift {
        endpoint,
        restrictions: vec![
            (id("1"), "email".to_owned(), "marketing".to_owned()),
            (id("2"), "sms".to_owned(), "marketing".to_owned()),
        ],
    };
    world.commit(vec![lift(endpoint("mail"))]).await;
    assert_eq!(in_force(&world, &["1", "2"]).await.len(), 3);
    world.commit(vec![lift(crm())]).await;
    assert_eq!(
        in_force(&world, &["1", "2"]).await,
        [news, restriction("2", 1)]
    );
    // The same one, seen again, stays lifted; a newer one is in force.
    world
        .commit(vec![Change::Restrict(vec![restriction("1", 1)])])
        .await;
    assert_eq!(in_force(&world, &["1"]).await.len(), 1);
    assert!(other.drain().await.is_empty());
    world
        .commit(vec![Change::Restrict(vec![restriction("1", 2)])])
        .await;
    assert_eq!(in_force(&world, &["1"]).await[0], restriction("1", 2));
    assert_eq!(other.drain().await, [("1".to_owned(), false)]);
}

pub async fn of_two_suppressions_the_later_stays(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let of = |pseudonym: &str, channel: &str, second| Suppression {
        pseudonym: pseudonym.to_owned(),
        channel: channel.to_owned(),
        at: at(second),
    };
    world
        .commit(vec![Change::Suppress(vec![
            of("p2", "email", 1),
            of("p1", "sms", 5),
            of("p1", "email", 2),
            of("p1", "email", 1),
            of("p3", "email", 1),
        ])])
        .await;
    world
        .commit(vec![Change::Suppress(vec![
            of("p1", "sms", 4),
            of("p2", "email", 7),
        ])])
        .await;
    let asked = ["p2", "p9", "p1"].map(str::to_owned);
    assert_eq!(
        world.store.suppressions(&asked).await.unwrap(),
        [
            of("p1", "email", 2),
            of("p1", "sms", 5),
            of("p2", "email", 7)
        ]
    );
}

pub async fn accounts_are_replaced(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let put = |account: &str, identity: &str| Change::PutAccount {
        account: account.to_owned(),
        identity: identity.to_owned(),
    };
    assert_eq!(world.store.account("crm").await.unwrap(), None);
    world
        .commit(vec![put("crm", "portal 1"), put("mail", "list 7")])
        .await;
    world.commit(vec![put("crm", "portal 2")]).await;
    let identity = async |account| world.store.account(account).await.unwrap();
    assert_eq!(identity("crm").await.as_deref(), Some("portal 2"));
    assert_eq!(identity("mail").await.as_deref(), Some("list 7"));
    assert_eq!(identity("shop").await, None);
}
