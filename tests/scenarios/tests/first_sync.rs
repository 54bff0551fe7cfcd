//! The first sync of two systems that hold the same people.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use samspel_model::store::Waiting;
use samspel_scenarios::Workbench;
use samspel_scenarios::pair::NAME;
use samspel_scenarios::people::{pair, run};
use serde_json::json;

/// The same people in both systems, three in ten spelt differently in ways that mean nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_of_the_same_ten_thousand_people_writes_nothing() {
    const PEOPLE: usize = 10_000;
    let pair = pair(&Workbench::new(env!("CARGO_TARGET_TMPDIR")), "").await;
    for number in 0..PEOPLE {
        let address = format!("person{number}@firma.se");
        let phone = format!("07017{:05}", number % 100_000);
        pair.hubspot.act(json!({ "act": "create", "properties": {
            "email": address, "firstname": format!("Åsa {number}"), "lastname": "af Ek", "phone": phone,
            "company": if number % 2 == 0 { "Bolaget" } else { "" } } }));
        let mut fields = json!({
            "FNAME": format!("Åsa {number}"), "LNAME": "af Ek", "PHONE": phone,
            "COMPANY": if number % 2 == 0 { "Bolaget" } else { "" } });
        let mut address = address;
        match number % 20 {
            0 => address = address.to_uppercase(),
            1 => fields["FNAME"] = format!("  Åsa   {number} ").into(),
            // The same letters, composed otherwise.
            2 => fields["FNAME"] = format!("A\u{30a}sa {number}").into(),
            3 => fields["PHONE"] = format!("+46 70 17{:05}", number % 100_000).into(),
            4 => fields["PHONE"] = format!("0046-7017{:05}", number % 100_000).into(),
            5 => {
                // Empty there, missing here.
                fields.as_object_mut().unwrap().remove("COMPANY");
            }
            _ => {}
        }
        pair.mailchimp.act(
            json!({ "act": "create", "email": address, "status": "transactional", "merge_fields": fields }),
        );
    }
    pair.hubspot.asked();
    pair.mailchimp.asked();
    let report = run(&pair).await;
    assert_eq!(report.linked, PEOPLE as u64);
    assert_eq!((report.created.sum(), report.updated.sum()), (0, 0));
    assert_eq!((report.writes, report.conflicts, report.parked), (0, 0, 0));
    assert_eq!(report.accounts.conflict + report.accounts.pending, 0);
    assert_eq!(
        pair.hubspot.asked().write_requests,
        0,
        "counted at the remotes"
    );
    assert_eq!(pair.mailchimp.asked().write_requests, 0);
    let waiting = pair.store.conflicts(NAME, Waiting::All, 0, 10).await;
    assert_eq!(waiting.unwrap(), []);
    let found = pair.verify().await;
    assert_eq!((found.links, found.unequal), (PEOPLE as u64, 0));
    assert_eq!(found.unlinked.sum(), 0, "nobody is there twice");
    assert_eq!(run(&pair).await.writes, 0);
}
