//! The four scenarios: what happens at one vendor, and what the other must show after a run.

use std::time::Duration;

use serde_json::{Value, json};

use super::remote::Remote;
use super::report::Scenario;
use crate::exit::CliError;
use crate::output::Output;

/// Carries changes over.
pub trait Carry {
    /// Carries over what happened, and answers how long that took. `arrived`: whether the other side shows it.
    async fn carry(
        &self,
        arrived: impl AsyncFn() -> Result<bool, CliError>,
    ) -> Result<Duration, CliError>;
}

/// Who plays.
pub struct Stage<'a, R> {
    /// HubSpot.
    pub crm: &'a Remote,
    /// Mailchimp.
    pub newsletter: &'a Remote,
    /// The audience.
    pub list: &'a str,
    /// The subscription type that stands for marketing mail.
    pub subscription: &'a str,
    /// The property that takes bounces.
    pub bounce_property: &'a str,
    /// The sync.
    pub sync: &'a R,
    /// Where the story is told.
    pub output: Output,
}

/// What one scenario saw so far.
struct Act<'a, R> {
    stage: &'a Stage<'a, R>,
    scenario: Scenario,
}

impl<R: Carry> Stage<'_, R> {
    /// Plays all of them.
    pub async fn play(&self) -> Result<Vec<Scenario>, CliError> {
        Ok(vec![
            self.added_and_updated().await?,
            self.email_changed().await?,
            self.unsubscribed().await?,
            self.bounced().await?,
        ])
    }

    /// (a) A contact added, then updated, in the CRM appears in the e-mail platform.
    async fn added_and_updated(&self) -> Result<Scenario, CliError> {
        let mut act = self.begin(
            "added-and-updated",
            "(a) a contact is added, then updated, in the CRM",
        )?;
        let email = "asa.ostlund@demo.samspel.example";
        self.crm
            .act(&json!({ "act": "create", "properties": {
                "email": email, "firstname": "Åsa", "lastname": "Östlund"
            }}))
            .await?;
        let is_called = async |name: &str| {
            let member = self.member(email).await?;
            Ok(merge_field(&member, "LNAME") == Some(name))
        };
        act.sync("HubSpot: Åsa Östlund is added", async || {
            is_called("Östlund").await
        })
        .await?;
        let member = self.member(email).await?;
        act.check(
            "Mailchimp: she is a member",
            merge_field(&member, "LNAME") == Some("Östlund"),
        )?;

        self.crm
            .act(&json!({ "act": "edit", "contact": email, "properties": { "lastname": "Öberg" } }))
            .await?;
        act.sync("HubSpot: her last name becomes Öberg", async || {
            is_called("Öberg").await
        })
        .await?;
        let member = self.member(email).await?;
        act.check(
            "Mailchimp: the member is called Öberg",
            merge_field(&member, "LNAME") == Some("Öberg"),
        )?;
        act.end()
    }

    /// (b) An e-mail address changed in the CRM changes the same member: no second one, and the opt-out is kept.
    async fn email_changed(&self) -> Result<Scenario, CliError> {
        let mut act = self.begin(
            "email-changed",
            "(b) the address of somebody who has opted out changes in the CRM",
        )?;
        let old = "bjorn.lind@demo.samspel.example";
        let new = "bjorn.lindqvist@demo.samspel.example";
        let contact = self
            .crm
            .act(&json!({ "act": "create", "properties": {
                "email": old, "firstname": "Björn", "lastname": "Lind"
            }}))
            .await?;
        act.sync("HubSpot: Björn Lind is added", async || {
            Ok(self.member(old).await?.is_some())
        })
        .await?;
        self.newsletter
            .act(&json!({ "act": "unsubscribe", "member": old }))
            .await?;
        act.sync("Mailchimp: he unsubscribes", async || {
            self.opted_out(old).await
        })
        .await?;
        let before = self.member(old).await?;
        let members = self.members().await?;

        self.crm
            .act(
                &json!({ "act": "edit", "contact": contact["id"], "properties": {
                    "email": new, "lastname": "Lindqvist"
                }}),
            )
            .await?;
        act.sync("HubSpot: his address changes", async || {
            Ok(self.member(new).await?.is_some() && self.opted_out(new).await?)
        })
        .await?;
        let after = self.member(new).await?;
        let same = text(&before, "contact_id").is_some()
            && text(&before, "contact_id") == text(&after, "contact_id");
        act.check("Mailchimp: the same member has the new address", same)?;
        act.check(
            "Mailchimp: there is no second member",
            self.members().await? == members,
        )?;
        act.check(
            "Mailchimp: nobody has the old address",
            self.member(old).await?.is_none(),
        )?;
        act.check(
            "Mailchimp: he is still unsubscribed",
            text(&after, "status") == Some("unsubscribed"),
        )?;
        act.check(
            "HubSpot: his new address is opted out too",
            self.opted_out(new).await?,
        )?;
        act.end()
    }

    /// (c) An unsubscribe in the e-mail platform marks the CRM contact.
    async fn unsubscribed(&self) -> Result<Scenario, CliError> {
        let mut act = self.begin(
            "unsubscribed",
            "(c) somebody unsubscribes in the e-mail platform",
        )?;
        let email = "chloe.nguyen@demo.samspel.example";
        self.newsletter
            .act(
                &json!({ "act": "create", "email": email, "status": "subscribed", "merge_fields": {
                    "FNAME": "Chloë", "LNAME": "Nguyễn"
                }}),
            )
            .await?;
        act.sync("Mailchimp: Chloë Nguyễn subscribes", async || {
            Ok(self.contact(email).await?.is_some())
        })
        .await?;
        let contact = self.contact(email).await?;
        act.check("HubSpot: she is a contact", contact.is_some())?;
        self.newsletter
            .act(&json!({ "act": "unsubscribe", "member": email }))
            .await?;
        act.sync("Mailchimp: she unsubscribes", async || {
            self.opted_out(email).await
        })
        .await?;
        act.check("HubSpot: she is opted out", self.opted_out(email).await?)?;
        act.end()
    }

    /// (d) A hard bounce is written to the CRM contact.
    async fn bounced(&self) -> Result<Scenario, CliError> {
        let mut act = self.begin(
            "hard-bounce",
            "(d) a campaign bounces for good in the e-mail platform",
        )?;
        let email = "dilan.yilmaz@demo.samspel.example";
        self.crm
            .act(&json!({ "act": "create", "properties": {
                "email": email, "firstname": "Dilan", "lastname": "Yılmaz"
            }}))
            .await?;
        act.sync("HubSpot: Dilan Yılmaz is added", async || {
            Ok(self.member(email).await?.is_some())
        })
        .await?;
        self.newsletter
            .act(&json!({ "act": "hard_bounce", "member": email }))
            .await?;
        let is_marked = async || {
            let contact = self.contact(email).await?.unwrap_or_default();
            let value = contact["properties"][self.bounce_property].as_str();
            Ok(value.is_some_and(|value| value.contains("hard")))
        };
        act.sync("Mailchimp: mail to Dilan bounces for good", is_marked)
            .await?;
        act.check("HubSpot: the contact is marked", is_marked().await?)?;
        act.end()
    }

    fn begin(&self, name: &'static str, title: &str) -> Result<Act<'_, R>, CliError> {
        self.output.say(format!("\n{title}"))?;
        Ok(Act {
            stage: self,
            scenario: Scenario {
                name,
                ok: true,
                seconds: 0.0,
                seen: Vec::new(),
            },
        })
    }

    async fn member(&self, email: &str) -> Result<Option<Value>, CliError> {
        self.newsletter
            .read(&format!("/3.0/lists/{}/members/{email}", self.list))
            .await
    }

    async fn members(&self) -> Result<Option<u64>, CliError> {
        let page = self
            .newsletter
            .read(&format!("/3.0/lists/{}/members?count=1", self.list))
            .await?;
        Ok(page.and_then(|page| page["total_items"].as_u64()))
    }

    async fn contact(&self, email: &str) -> Result<Option<Value>, CliError> {
        self.crm
            .read(&format!(
                "/crm/v3/objects/contacts/{email}?idProperty=email&properties=email,firstname,lastname,{}",
                self.bounce_property
            ))
            .await
    }

    async fn opted_out(&self, email: &str) -> Result<bool, CliError> {
        let answer = self
            .crm
            .read(&format!(
                "/communication-preferences/v4/statuses/{email}?channel=EMAIL"
            ))
            .await?
            .unwrap_or_default();
        let wanted = answer["results"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|status| {
                let id = &status["subscriptionId"];
                id.as_str().map_or_else(|| id.to_string(), str::to_owned) == self.subscription
            });
        Ok(wanted.is_some_and(|status| status["status"] == "UNSUBSCRIBED"))
    }
}

impl<R: Carry> Act<'_, R> {
    /// Something happened, and is carried over.
    async fn sync(
        &mut self,
        what: &str,
        arrived: impl AsyncFn() -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        let took = self.stage.sync.carry(arrived).await?.as_secs_f64();
        self.scenario.seconds += took;
        self.stage
            .output
            .say(format!("  {what}; carried over in {took:.2} s"))
    }

    fn check(&mut self, what: &str, holds: bool) -> Result<(), CliError> {
        self.scenario.ok &= holds;
        let mark = if holds { "yes" } else { "NO" };
        self.scenario.seen.push(format!("{what}: {mark}"));
        self.stage.output.say(format!("    {what}: {mark}"))
    }

    fn end(self) -> Result<Scenario, CliError> {
        let Scenario { ok, seconds, .. } = self.scenario;
        let verdict = if ok { "ok" } else { "FAILED" };
        self.stage
            .output
            .say(format!("  {verdict}, {seconds:.2} s"))?;
        Ok(self.scenario)
    }
}

fn merge_field<'v>(member: &'v Option<Value>, tag: &str) -> Option<&'v str> {
    member.as_ref()?["merge_fields"][tag].as_str()
}

fn text<'v>(record: &'v Option<Value>, name: &str) -> Option<&'v str> {
    record.as_ref()?[name].as_str()
}
