//! History.

use samspel_model::LinkId;
use samspel_model::journal::JournalKind;

use super::*;

pub(super) fn entry(record: Option<&str>, number: i64) -> JournalEntry {
    JournalEntry {
        at: at(number),
        run: None,
        kind: JournalKind::Lost,
        link: None,
        side: record.map(|_| Side::A),
        record: record.map(id),
        detail: json!({"number": number}),
    }
}

pub async fn the_journal_is_newest_first(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .commit(vec![Change::Journal(vec![
            entry(Some("1"), 1),
            entry(None, 2),
        ])])
        .await;
    world
        .commit(vec![Change::Journal(vec![
            entry(Some("1"), 3),
            entry(Some("2"), 4),
        ])])
        .await;
    let all = world.journal(JournalOf::Sync).await;
    assert_eq!(
        all,
        [
            entry(Some("2"), 4),
            entry(Some("1"), 3),
            entry(None, 2),
            entry(Some("1"), 1)
        ]
    );
    let newest = world
        .store
        .journal(SYNC, JournalOf::Sync, None, 1)
        .await
        .unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0].1, all[0]);
    let one = id("1");
    let of_one = world.journal(JournalOf::Record(Side::A, &one)).await;
    assert_eq!(of_one, [entry(Some("1"), 3), entry(Some("1"), 1)]);
    assert!(
        world
            .journal(JournalOf::Record(Side::B, &one))
            .await
            .is_empty()
    );
}

pub async fn the_journal_is_read_by_link_and_by_run(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let of = |record, number, link: &str, run: &str| JournalEntry {
        link: Some(LinkId(link.to_owned())),
        run: Some(run.to_owned()),
        ..entry(record, number)
    };
    let entries = [
        of(Some("1"), 1, "l1", "r1"),
        of(Some("2"), 2, "l1", "r2"),
        of(None, 3, "l2", "r1"),
        entry(Some("1"), 4),
    ];
    world.commit(vec![Change::Journal(entries.to_vec())]).await;
    let [first, unknown] = ["l1", "l3"].map(|link| LinkId(link.to_owned()));
    let record = id("1");
    let numbers = async |of| {
        let entries = world.journal(of).await;
        entries
            .iter()
            .map(|entry| entry.detail["number"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(JournalOf::Link(&first)).await, [2, 1]);
    assert_eq!(numbers(JournalOf::Link(&unknown)).await, [0; 0]);
    assert_eq!(numbers(JournalOf::Run("r1")).await, [3, 1]);
    assert_eq!(numbers(JournalOf::Record(Side::A, &record)).await, [4, 1]);
}

pub async fn the_journal_is_read_on_from_a_number(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let link = LinkId("l1".to_owned());
    let entries: Vec<_> = (0..5)
        .map(|number| JournalEntry {
            link: Some(link.clone()),
            run: Some("r1".to_owned()),
            ..entry(Some("1"), number)
        })
        .collect();
    world.commit(vec![Change::Journal(entries)]).await;
    let record = id("1");
    for of in [
        JournalOf::Sync,
        JournalOf::Record(Side::A, &record),
        JournalOf::Link(&link),
        JournalOf::Run("r1"),
    ] {
        let mut before = None;
        let mut told = Vec::new();
        loop {
            let page = world.store.journal(SYNC, of, before, 2).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            assert!(before.is_none_or(|before| *last < before));
            before = Some(*last);
            told.extend(page.iter().map(|(_, entry)| entry.detail["number"].clone()));
        }
        assert_eq!(told, [4, 3, 2, 1, 0], "{of:?}");
    }
}
