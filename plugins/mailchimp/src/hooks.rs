//! Webhooks: which member one is about, and the audience's webhook that sends them.
//!
//! A webhook names a member by address [T], and records have the contact id: so the member is looked up, which takes
//! one request. What a webhook says besides is not read.

use samspel_connector::fields::Selection;
use samspel_connector::hooks::{
    Form, Hint, HookDescriptor, HookReplies, HookRequest, HookScope, Proof, Receipt, Reply,
    Subscription,
};
use samspel_connector::http::{self, Response};
use samspel_connector::{Failure, Result};
use serde::{Deserialize, Serialize};

use crate::api::{self, Api};
use crate::settings::Settings;
use crate::{MEMBERS, lookup};

const HELP: &str = "Samspel enters the address itself. By hand: Mailchimp, Audience, Settings, Webhooks; choose all \
    events about contacts, none about campaigns, and the sources \"by a subscriber\" and \"by an account admin\", not \
    \"via the API\".";

/// How the audience's webhooks work.
pub fn describe() -> HookDescriptor {
    HookDescriptor {
        // The address belongs to one audience, which is the account.
        scope: HookScope::Account,
        // Mailchimp asks with `GET` before it takes an address [V].
        replies: HookReplies::Probes,
        proof: Proof::Address,
        can_subscribe: true,
        help: HELP.to_owned(),
    }
}

/// The member that a webhook is about.
pub fn receive(settings: &Settings, request: &HookRequest) -> Result<Receipt> {
    if request.is_probe() {
        return Ok(Receipt::nothing().reply(Reply::new(200)));
    }
    let form = request.form();
    let Some(address) = address(&form, settings) else {
        return Ok(Receipt::nothing());
    };
    let keys = [api::key(address)];
    let nothing = Selection::Only(Default::default());
    let mut hints = Vec::new();
    for member in lookup::members(settings, &nothing, &keys) {
        // A member that was deleted for good is not found, and neither is one whose address changed again since: that
        // is another webhook's matter.
        hints.extend(member?.map(|member| Hint::new(MEMBERS, member.contact_id)));
    }
    Ok(Receipt::hints(hints))
}

/// The address that the member has since, if the webhook is about a member of this audience.
fn address<'a>(form: &'a Form<'_>, settings: &Settings) -> Option<&'a str> {
    if form
        .get("data[list_id]")
        .is_some_and(|list| list != settings.list_id)
    {
        return None;
    }
    match form.get("type")? {
        "upemail" => form.get("data[new_email]"),
        "subscribe" | "unsubscribe" | "profile" | "cleaned" => form.get("data[email]"),
        _ => None,
    }
}

/// Of which events a webhook tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Events {
    subscribe: bool,
    unsubscribe: bool,
    profile: bool,
    cleaned: bool,
    upemail: bool,
    campaign: bool,
}

/// Whose acts a webhook tells of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Sources {
    user: bool,
    admin: bool,
    api: bool,
}

/// A webhook of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Webhook {
    id: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    events: Events,
    #[serde(default)]
    sources: Sources,
}

/// What a webhook is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Wanted<'a> {
    url: &'a str,
    events: Events,
    sources: Sources,
}

#[derive(Deserialize)]
struct Webhooks {
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

impl<'a> Wanted<'a> {
    fn new(url: &'a str) -> Self {
        Self {
            url,
            events: Events {
                subscribe: true,
                unsubscribe: true,
                profile: true,
                cleaned: true,
                upemail: true,
                campaign: false,
            },
            // What the API writes is what Samspel writes: it would come back as an echo.
            sources: Sources {
                user: true,
                admin: true,
                api: false,
            },
        }
    }

    fn is(&self, webhook: &Webhook) -> bool {
        webhook.events == self.events && webhook.sources == self.sources
    }
}

/// Mailchimp takes one address many times and then sends everything as often [T]. So it is looked for first.
pub fn subscribe(settings: &Settings, url: &str) -> Result<Subscription> {
    let api = Api::new(settings);
    let wanted = Wanted::new(url);
    let known: Webhooks = api.read(api.webhooks().send())?.json()?;
    let mut known = known.webhooks.into_iter().filter(|known| known.url == url);
    let id = match known.next() {
        None => {
            let made = accepted(&api, url, api.add_webhook(&wanted).send())?;
            made.json::<Webhook>()?.id
        }
        Some(webhook) => {
            if !wanted.is(&webhook) {
                accepted(&api, url, api.change_webhook(&webhook.id, &wanted).send())?;
            }
            webhook.id
        }
    };
    for further in known {
        unsubscribe(settings, &further.id)?;
    }
    Ok(Subscription::new(id))
}

/// A webhook that is gone already is no failure.
pub fn unsubscribe(settings: &Settings, id: &str) -> Result<()> {
    let answer = Api::new(settings).remove_webhook(id).send()?;
    if matches!(answer.status(), 404 | 410) {
        return Ok(());
    }
    answer.success_or(api::failure).map(|_| ())
}

/// The answer to a webhook that was to be made or changed. A refusal may quote the address, which is a secret.
fn accepted(api: &Api<'_>, url: &str, answer: Result<Response, http::Error>) -> Result<Response> {
    let hidden = |text: String| text.replace(url, "(the address)");
    answer?.success_or(|response| match (response.status(), api.failure(response)) {
        (400, Failure::Bug(why)) => Failure::Other(hidden(format!(
            "Mailchimp does not take the address of the webhook; it must be reachable from the internet: {why}"
        ))),
        (_, Failure::Bug(why)) => Failure::Bug(hidden(why)),
        (_, other) => other,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use samspel_connector::testing::{self, Remote};
    use serde_json::{Value, json};

    const URL: &str = "https://samspel.example/hooks/mc/s3cret";

    fn settings() -> Settings {
        serde_json::from_value(json!({ "dc": "us1", "list_id": "abc" })).unwrap()
    }

    fn hook(kind: &str, address: &str) -> HookRequest {
        let field = if kind == "upemail" {
            "data[new_email]"
        } else {
            "data[email]"
        };
        testing::form(&[
            ("type", kind),
            ("fired_at", "2026-11-24 05:16:00"),
            ("data[list_id]", "abc"),
            ("data[old_email]", "old@firma.example"),
            (field, address),
        ])
    }

    #[test]
    fn a_webhook_is_about_the_member_that_has_the_address() {
        let remote = Remote::new(|request| {
            let path = format!("/lists/abc/members/{}?", api::key("eva@firma.example"));
            assert!(request.url.contains(&path), "{}", request.url);
            testing::Reply::json(200, json!({ "contact_id": "c7", "status": "archived" }))
        });
        for kind in ["subscribe", "unsubscribe", "profile", "cleaned", "upemail"] {
            let receipt = remote.run(|| receive(&settings(), &hook(kind, "Eva@Firma.example")));
            assert_eq!(receipt.unwrap().hints, [Hint::new(MEMBERS, "c7")], "{kind}");
        }
        assert_eq!(remote.requests().len(), 5, "one request each");
    }

    #[test]
    fn what_is_not_about_a_member_of_this_audience_asks_nothing() {
        let remote = Remote::new(|_| testing::Reply::new(500));
        let other_list = testing::form(&[
            ("type", "profile"),
            ("data[list_id]", "xyz"),
            ("data[email]", "eva@firma.example"),
        ]);
        for request in [
            hook("campaign", "eva@firma.example"),
            hook("profile", ""),
            other_list,
            testing::notification("POST", Vec::new()),
        ] {
            let receipt = remote.run(|| receive(&settings(), &request));
            assert_eq!(receipt, Ok(Receipt::nothing()));
        }
        assert_eq!(remote.requests(), []);
    }

    #[test]
    fn nobody_is_found_and_a_failure_is_a_failure() {
        let gone = Remote::new(|_| testing::Reply::new(404));
        let request = hook("unsubscribe", "eva@firma.example");
        let receipt = gone.run(|| receive(&settings(), &request));
        assert_eq!(receipt, Ok(Receipt::nothing()));
        let down = Remote::new(|_| testing::Reply::new(503));
        let receipt = down.run(|| receive(&settings(), &request));
        assert!(
            matches!(receipt, Err(Failure::Unavailable(_))),
            "{receipt:?}"
        );
    }

    #[test]
    fn a_probe_is_answered() {
        let remote = Remote::new(|_| testing::Reply::new(500));
        let probe = testing::notification("GET", Vec::new());
        let receipt = remote.run(|| receive(&settings(), &probe)).unwrap();
        assert_eq!(receipt.reply, Some(Reply::new(200)));
    }

    /// A Mailchimp with webhooks: lists, adds, changes and removes them.
    fn audience(webhooks: Vec<Value>) -> (Remote, Rc<RefCell<Vec<Value>>>) {
        let kept = Rc::new(RefCell::new(webhooks));
        let shared = Rc::clone(&kept);
        let remote = Remote::new(move |request| {
            let mut webhooks = shared.borrow_mut();
            let body: Value = request
                .body
                .as_deref()
                .map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
            let id = request.url.rsplit('/').next().unwrap().to_owned();
            let at = webhooks.iter().position(|webhook| webhook["id"] == *id);
            match (request.method.as_str(), at) {
                ("GET", _) => testing::Reply::json(200, json!({ "webhooks": *webhooks })),
                ("POST", _) => {
                    let mut made = body;
                    made["id"] = json!(format!("w{}", webhooks.len() + 1));
                    webhooks.push(made.clone());
                    testing::Reply::json(200, made)
                }
                ("PATCH", Some(at)) => {
                    let mut made = body;
                    made["id"] = json!(id);
                    webhooks[at] = made.clone();
                    testing::Reply::json(200, made)
                }
                ("DELETE", Some(at)) => {
                    webhooks.remove(at);
                    testing::Reply::new(204)
                }
                _ => testing::Reply::new(404),
            }
        });
        (remote, kept)
    }

    #[test]
    fn subscribing_twice_leaves_one_webhook_that_spares_the_api() {
        let (remote, webhooks) =
            audience(vec![json!({ "id": "other", "url": "https://x.example" })]);
        let twice: Vec<_> = (0..2)
            .map(|_| remote.run(|| subscribe(&settings(), URL)).unwrap().id)
            .collect();
        assert_eq!(twice, ["w2", "w2"]);
        let made = webhooks.borrow()[1].clone();
        assert_eq!(webhooks.borrow().len(), 2);
        assert_eq!(made["url"], URL);
        assert_eq!(
            made["sources"],
            json!({ "user": true, "admin": true, "api": false })
        );
        assert_eq!(made["events"]["upemail"], true);
        assert_eq!(made["events"]["campaign"], false);
        remote.run(|| unsubscribe(&settings(), "w2")).unwrap();
        remote.run(|| unsubscribe(&settings(), "w2")).unwrap();
        assert_eq!(webhooks.borrow().len(), 1);
    }

    #[test]
    fn a_webhook_that_differs_is_corrected_and_a_double_is_removed() {
        let wrong = json!({ "id": "a", "url": URL, "events": { "subscribe": true }, "sources": { "api": true } });
        let double = json!({ "id": "b", "url": URL });
        let (remote, webhooks) = audience(vec![wrong, double]);
        let subscription = remote.run(|| subscribe(&settings(), URL)).unwrap();
        assert_eq!(subscription, Subscription::new("a"));
        assert_eq!(webhooks.borrow().len(), 1);
        assert_eq!(webhooks.borrow()[0]["sources"]["api"], false);
    }

    #[test]
    fn a_refusal_does_not_tell_the_address() {
        let remote = Remote::new(|request| match request.method.as_str() {
            "GET" => testing::Reply::json(200, json!({ "webhooks": [] })),
            _ => testing::Reply::json(
                400,
                json!({ "title": "Invalid Resource", "detail": format!("{URL} did not answer") }),
            ),
        });
        let Err(Failure::Other(why)) = remote.run(|| subscribe(&settings(), URL)) else {
            unreachable!("it was refused");
        };
        assert!(
            why.contains("did not answer") && !why.contains("s3cret"),
            "{why}"
        );
    }
}
