//! Facts about Odoo.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Contradiction, Finding, equal, failed, findings, refused};
use crate::odoo::{OdooAccess, OdooApi, OdooServer, Partner};

pub(super) async fn check(odoo: &OdooServer) -> Vec<Finding> {
    findings! { odoo;
        "Odoo answers a wrong password at log-in without an error, and in calls with AccessDenied" => wrong_password,
        "Odoo allows any number of contacts with one address" => duplicate_address,
        "Odoo refuses to change a contact that does not exist, and reads and deletes it without an error" => missing_contact,
        "Odoo hides archived contacts unless the context says `active_test: false`" => archived,
        "Odoo keeps no trace of a deleted contact" => deleted,
        "Odoo ignores fields that it does not know" => unknown_field,
        "Odoo moves write_date even if an edit changes nothing" => edit_without_change,
        "Odoo finds a contact to be newer than its own write_date, which it shows without fractions" => fraction_of_write_date,
        "Odoo notes since when a mailing contact has opted out, and forgets it when that is undone" => opt_out_date,
        "Odoo counts a bounce on contacts and mailing contacts and opts neither of them out" => bounce,
    }
}

async fn create(odoo: &OdooServer, name: &str) -> Result<i64, Contradiction> {
    let values = json!({ "name": name, "email": format!("{name}@facts.test") });
    odoo.api().create_partner(&values).await.map_err(failed)
}

async fn read(odoo: &OdooServer, id: i64) -> Result<Partner, Contradiction> {
    odoo.api()
        .partner(id)
        .await
        .map_err(failed)?
        .ok_or_else(|| format!("contact {id} is gone"))
}

/// Lets the second pass that Odoo's time stamps can tell apart.
async fn next_second() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

/// How many contacts a clerk who searches for this would find.
async fn count(odoo: &OdooServer, domain: Value) -> Result<i64, Contradiction> {
    let found = odoo
        .api()
        .call("res.partner", "search_count", json!([domain]), json!({}))
        .await
        .map_err(failed)?;
    found
        .as_i64()
        .ok_or_else(|| "the count is no number".to_owned())
}

async fn wrong_password(odoo: &OdooServer) -> Result<(), Contradiction> {
    let wrong = OdooAccess {
        password: "wrong".to_owned(),
        ..odoo.access().clone()
    };
    // The API's own log-in turns Odoo's `false` into this refusal; an error of Odoo's would read otherwise.
    refused(
        OdooApi::log_in(&wrong).await,
        "a refusal",
        "wrong login or password",
    )?;
    let api = odoo.api().with_password("wrong");
    refused(
        api.create_partner(&json!({ "name": "x" })).await,
        "odoo.exceptions.AccessDenied",
        "Access denied",
    )
}

async fn duplicate_address(odoo: &OdooServer) -> Result<(), Contradiction> {
    let (one, other) = (create(odoo, "twice").await?, create(odoo, "twice").await?);
    equal("one id for both", one == other, false)
}

async fn missing_contact(odoo: &OdooServer) -> Result<(), Contradiction> {
    let nobody = 999_999_999;
    let api = odoo.api();
    let edit = api.edit_partner(nobody, &json!({ "name": "x" })).await;
    refused(edit, "odoo.exceptions.MissingError", "already been deleted")?;
    equal(
        "what is read",
        api.partner(nobody).await.map_err(failed)?.is_some(),
        false,
    )?;
    api.delete("res.partner", nobody).await.map_err(failed)
}

async fn archived(odoo: &OdooServer) -> Result<(), Contradiction> {
    let id = create(odoo, "archived").await?;
    odoo.api()
        .edit_partner(id, &json!({ "active": false }))
        .await
        .map_err(failed)?;
    equal(
        "what a search finds",
        count(odoo, json!([["id", "=", id]])).await?,
        0,
    )?;
    equal("active", read(odoo, id).await?.active, false)
}

async fn deleted(odoo: &OdooServer) -> Result<(), Contradiction> {
    let id = create(odoo, "deleted").await?;
    odoo.api().delete("res.partner", id).await.map_err(failed)?;
    equal(
        "what is read",
        odoo.api().partner(id).await.map_err(failed)?.is_some(),
        false,
    )
}

async fn unknown_field(odoo: &OdooServer) -> Result<(), Contradiction> {
    let values = json!({ "name": "unknown", "no_such_field": "x" });
    odoo.api()
        .create_partner(&values)
        .await
        .map_err(failed)
        .map(|_| ())
}

async fn edit_without_change(odoo: &OdooServer) -> Result<(), Contradiction> {
    let id = create(odoo, "same").await?;
    let before = read(odoo, id).await?;
    next_second().await;
    odoo.api()
        .edit_partner(id, &json!({ "name": "same" }))
        .await
        .map_err(failed)?;
    equal(
        "write_date is as before",
        read(odoo, id).await?.write_date == before.write_date,
        false,
    )
}

async fn fraction_of_write_date(odoo: &OdooServer) -> Result<(), Contradiction> {
    let id = create(odoo, "fraction").await?;
    let shown = read(odoo, id).await?.write_date;
    equal(
        "what is newer",
        count(odoo, json!([["id", "=", id], ["write_date", ">", shown]])).await?,
        1,
    )
}

async fn opt_out_date(odoo: &OdooServer) -> Result<(), Contradiction> {
    let id = mailing_contact(odoo, "opt-out").await?;
    for opted_out in [true, false] {
        let values = json!({ "opt_out": opted_out });
        odoo.api()
            .write("mail.mass_mailing.contact", id, &values)
            .await
            .map_err(failed)?;
        let contacts = odoo.api().mailing_contacts().await.map_err(failed)?;
        let contact = contacts
            .into_iter()
            .find(|contact| contact.id == id)
            .ok_or("the mailing contact is gone")?;
        equal(
            "having a date",
            contact.unsubscription_date.is_some(),
            opted_out,
        )?;
    }
    Ok(())
}

async fn bounce(odoo: &OdooServer) -> Result<(), Contradiction> {
    let api = odoo.api();
    let contact = create(odoo, "bounce").await?;
    api.receive_bounce("res.partner", contact, "bounce@facts.test")
        .await
        .map_err(failed)?;
    let contact = read(odoo, contact).await?;
    equal("a count above 0", contact.message_bounce > 0, true)?;
    equal("opt_out", contact.opt_out, false)?;

    let listed = mailing_contact(odoo, "list-bounce").await?;
    api.receive_bounce(
        "mail.mass_mailing.contact",
        listed,
        "list-bounce@facts.test",
    )
    .await
    .map_err(failed)?;
    let contacts = api.mailing_contacts().await.map_err(failed)?;
    let listed = contacts
        .into_iter()
        .find(|contact| contact.id == listed)
        .ok_or("the mailing contact is gone")?;
    equal("the count", listed.message_bounce, 1)?;
    equal("opt_out", listed.opt_out, false)
}

async fn mailing_contact(odoo: &OdooServer, name: &str) -> Result<i64, Contradiction> {
    let values = json!({ "name": name, "email": format!("{name}@facts.test") });
    odoo.api()
        .create_mailing_contact(&values)
        .await
        .map_err(failed)
}
