//! The four scenarios: what a person or a mail provider does to one system, and what the other must show after a run.

use serde_json::json;

use super::installation::BOUNCE_FIELD;
use super::report::Scenario;
use super::run::Runs;
use super::scene::Scene;
use crate::error::LiveError;
use crate::ghost::{GhostServer, Member, MemberPatch, Report};
use crate::http;
use crate::odoo::{OdooServer, Partner};

/// From how many bounces on Odoo's own mass mailing leaves a contact out.
const HARD_BOUNCED: i64 = 3;

/// Who plays.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The CRM.
    pub odoo: &'a OdooServer,
    /// The e-mail platform.
    pub ghost: &'a GhostServer,
    /// The sync between them.
    pub runs: &'a Runs,
}

/// Somebody whom (b) leaves opted out, and whom nothing may reach afterwards.
const OPTED_OUT: &str = "bjorn.lindqvist@live.test";

impl Stage<'_> {
    /// Plays all of them.
    pub async fn play(&self) -> Vec<Scenario> {
        let runs = self.runs;
        vec![
            Scene::play(
                runs,
                "added-and-updated",
                "(a) a contact is added, then updated, in Odoo",
                async |scene| self.added_and_updated(scene).await,
            )
            .await,
            Scene::play(
                runs,
                "email-changed",
                "(b) the address of somebody who has opted out changes in Odoo",
                async |scene| self.email_changed(scene).await,
            )
            .await,
            Scene::play(
                runs,
                "unsubscribed",
                "(c) somebody unsubscribes with one click in Ghost's newsletter",
                async |scene| self.unsubscribed(scene).await,
            )
            .await,
            Scene::play(
                runs,
                "hard-bounce",
                "(d) Ghost's newsletter bounces for good and Ghost suppresses the address",
                async |scene| self.bounced(scene).await,
            )
            .await,
        ]
    }

    async fn added_and_updated(&self, scene: &mut Scene<'_>) -> Result<(), LiveError> {
        let email = "asa.ostlund@live.test";
        let id = self.add("Åsa Östlund", email).await?;
        scene.sync("Odoo: Åsa Östlund is added").await?;
        let added = self.member(email).await?;
        scene.check("Ghost: she is a member", is_called(&added, "Åsa Östlund"));
        let subscribed = added.as_ref().is_some_and(|member| member.subscribed);
        scene.check(
            "Ghost: she gets no newsletter that nobody asked her about",
            !subscribed,
        );

        let change = json!({ "name": "Åsa Öberg", "comment": "Prefers the telephone" });
        self.odoo.api().edit_partner(id, &change).await?;
        scene
            .sync("Odoo: her name becomes Åsa Öberg, with a note")
            .await?;
        let updated = self.member(email).await?;
        scene.check(
            "Ghost: the member is called Åsa Öberg",
            is_called(&updated, "Åsa Öberg"),
        );
        let note = updated.as_ref().and_then(|member| member.note.as_deref());
        scene.check(
            "Ghost: the member has the note",
            note == Some("Prefers the telephone"),
        );
        scene.check("Ghost: it is the same member", same(&added, &updated));
        Ok(())
    }

    async fn email_changed(&self, scene: &mut Scene<'_>) -> Result<(), LiveError> {
        let old = "bjorn.lind@live.test";
        let before = self.join("Björn Lind", old).await?;
        // The same person, as a clerk wrote the address.
        let id = self.add("Björn Lind", "Bjorn.Lind@Live.Test").await?;
        scene
            .sync("Björn Lind is a member in Ghost and a contact in Odoo")
            .await?;
        let members = self.ghost.api().members().await?.len();
        self.odoo
            .api()
            .edit_partner(id, &json!({ "opt_out": true }))
            .await?;
        scene.sync("Odoo: he opts out").await?;
        let out = self.ghost.api().member(&before.id).await?;
        let subscribed = out.as_ref().is_some_and(|member| member.subscribed);
        scene.check("Ghost: he gets no newsletter", out.is_some() && !subscribed);

        let change = json!({ "email": OPTED_OUT, "name": "Björn Lindqvist" });
        self.odoo.api().edit_partner(id, &change).await?;
        scene.sync("Odoo: his address and name change").await?;
        let after = self.member(OPTED_OUT).await?;
        scene.check(
            "Ghost: the same member has the new address",
            same(&Some(before), &after),
        );
        scene.check(
            "Ghost: there is no second member",
            self.ghost.api().members().await?.len() == members,
        );
        let subscribed = after.as_ref().is_some_and(|member| member.subscribed);
        scene.check(
            "Ghost: he still gets no newsletter",
            after.is_some() && !subscribed,
        );
        let contact = self.contact(id).await?;
        scene.check("Odoo: he is still opted out", contact.opt_out);
        Ok(())
    }

    async fn unsubscribed(&self, scene: &mut Scene<'_>) -> Result<(), LiveError> {
        let email = "chloe.nguyen@live.test";
        self.join("Chloë Nguyễn", email).await?;
        scene.sync("Ghost: Chloë Nguyễn becomes a member").await?;
        let contact = self.contact_with(email).await?;
        scene.check("Odoo: she is a contact", contact.is_some());
        let opted_out = contact.as_ref().is_some_and(|contact| contact.opt_out);
        scene.check("Odoo: she is not opted out", !opted_out);

        let subject = "News for Chloë";
        self.send_newsletter(subject).await?;
        scene.check(
            "Ghost: a newsletter reaches her",
            self.ghost.mailgun().reached(subject, email),
        );
        scene.check(
            "Ghost: it does not reach Björn, who opted out in Odoo",
            !self.ghost.mailgun().reached(subject, OPTED_OUT),
        );
        self.ghost.unsubscribe_with_one_click(email).await?;
        scene
            .sync("Ghost: she clicks on its link to unsubscribe")
            .await?;
        let contact = self.contact_with(email).await?;
        scene.check(
            "Odoo: she is opted out",
            contact.is_some_and(|contact| contact.opt_out),
        );
        Ok(())
    }

    async fn bounced(&self, scene: &mut Scene<'_>) -> Result<(), LiveError> {
        let email = "dilan.yilmaz@live.test";
        self.join("Dilan Yılmaz", email).await?;
        scene.sync("Ghost: Dilan Yılmaz becomes a member").await?;
        self.send_newsletter("News for Dilan").await?;
        self.ghost.report(email, Report::HardBounce).await?;
        scene
            .sync("Ghost: mail to Dilan bounces for good, Ghost suppresses the address")
            .await?;
        let contact = self.contact_with(email).await?;
        let contact = contact.ok_or_else(|| missing("a contact", email))?;
        scene.check(
            "Odoo: its own mailings leave the address out",
            contact.message_bounce >= HARD_BOUNCED,
        );
        let shown = self.odoo.api().text(contact.id, BOUNCE_FIELD).await?;
        scene.check(
            "Odoo: people see why on the contact",
            shown.is_some_and(|text| text.contains("hard bounce")),
        );
        scene.check("Odoo: a bounce is no opt-out", !contact.opt_out);
        Ok(())
    }

    async fn add(&self, name: &str, email: &str) -> Result<i64, LiveError> {
        let contact = json!({ "name": name, "email": email });
        self.odoo.api().create_partner(&contact).await
    }

    async fn join(&self, name: &str, email: &str) -> Result<Member, LiveError> {
        let member = MemberPatch {
            email: Some(email.to_owned()),
            name: Some(name.to_owned()),
            ..MemberPatch::default()
        };
        self.ghost.api().create_member(&member).await
    }

    async fn member(&self, email: &str) -> Result<Option<Member>, LiveError> {
        self.ghost.api().member_by_email(email).await
    }

    async fn contact(&self, id: i64) -> Result<Partner, LiveError> {
        let contact = self.odoo.api().partner(id).await?;
        contact.ok_or_else(|| missing("contact", &id.to_string()))
    }

    /// The contact with this address, if there is exactly one.
    async fn contact_with(&self, email: &str) -> Result<Option<Partner>, LiveError> {
        let mut found = self.odoo.api().people().await?;
        found.retain(|contact| contact.email.as_deref() == Some(email));
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    async fn send_newsletter(&self, subject: &str) -> Result<(), LiveError> {
        let newsletters = self.ghost.api().newsletters().await?;
        let newsletter = newsletters
            .first()
            .ok_or_else(|| missing("newsletter", "any"))?;
        self.ghost
            .api()
            .send_newsletter(newsletter, subject)
            .await
            .map(|_| ())
    }
}

fn is_called(member: &Option<Member>, name: &str) -> bool {
    member.as_ref().and_then(|member| member.name.as_deref()) == Some(name)
}

fn same(one: &Option<Member>, other: &Option<Member>) -> bool {
    let id = |member: &Option<Member>| member.as_ref().map(|member| member.id.clone());
    id(one).is_some() && id(one) == id(other)
}

fn missing(what: &str, which: &str) -> LiveError {
    http::unexpected(what, format!("there is none: {which}"))
}
