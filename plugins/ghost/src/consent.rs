//! Which newsletters consent is about, and what a member's newsletters say about it.
//!
//! A member without a newsletter may have opted out, or may never have been asked: Ghost's newsletter events tell. A
//! bulk unsubscribe leaves no event; that the last event is a start and the newsletter is gone tells it all the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use samspel_connector::{Consent, ConsentState, Failure, Result, time};

use crate::api::{Member, Newsletter, NewsletterEvent};

/// The channel and purpose of the one consent that members have.
pub const SLOT: (&str, &str) = ("email", "marketing");

/// The newsletter events of members, the newest first.
pub type History = BTreeMap<String, Vec<NewsletterEvent>>;

/// The newsletters that consent is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Getting any of these is being subscribed.
    pub about: Vec<String>,
    /// What an opt-in starts.
    pub start: Vec<String>,
    /// These are all the newsletters there are, so that an opt-out leaves none.
    pub whole: bool,
}

impl Scope {
    /// From the site's newsletters and the setting.
    pub fn new(newsletters: &[Newsletter], setting: Option<&str>) -> Result<Self> {
        let active: Vec<&Newsletter> = newsletters
            .iter()
            .filter(|newsletter| newsletter.status == "active")
            .collect();
        let Some(wanted) = setting else {
            let ids = |list: &[&Newsletter]| list.iter().map(|n| n.id.clone()).collect::<Vec<_>>();
            let at_signup: Vec<&Newsletter> = active
                .iter()
                .copied()
                .filter(|newsletter| newsletter.subscribe_on_signup)
                .collect();
            let start = if at_signup.is_empty() {
                active.get(..1).unwrap_or_default()
            } else {
                &at_signup
            };
            return Ok(Self {
                about: ids(&active),
                start: ids(start),
                whole: true,
            });
        };
        match active
            .iter()
            .find(|newsletter| newsletter.slug == wanted || newsletter.id == wanted)
        {
            Some(newsletter) => Ok(Self {
                about: vec![newsletter.id.clone()],
                start: vec![newsletter.id.clone()],
                whole: false,
            }),
            None => {
                let slugs: Vec<&str> = active
                    .iter()
                    .map(|newsletter| newsletter.slug.as_str())
                    .collect();
                Err(Failure::setting(
                    "newsletter",
                    format!(
                        "there is no active newsletter `{wanted}`; there are: {}",
                        slugs.join(", ")
                    ),
                ))
            }
        }
    }

    /// The member's consent; `None` if the site has no newsletter.
    pub fn consent(&self, member: &Member, history: &History) -> Option<Consent> {
        if self.about.is_empty() {
            return None;
        }
        let events = history
            .get(&member.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut about = events.iter().filter(|event| {
            event
                .newsletter_id
                .as_ref()
                .is_some_and(|id| self.about.contains(id))
        });
        let (channel, purpose) = SLOT;
        let state = |state| Consent::new(channel, purpose, state);
        if member
            .newsletters
            .iter()
            .any(|newsletter| self.about.contains(&newsletter.id))
        {
            // Only what the person did is evidence: staff, imports and integrations (this one too) add people to
            // newsletters without having asked them.
            let own =
                about.find(|event| event.subscribed && event.source.as_deref() == Some("member"));
            return Some(match own {
                Some(event) => state(ConsentState::Subscribed)
                    .at(at(event))
                    .evidence(Some("Ghost: the member subscribed to the newsletter")),
                None => state(ConsentState::Subscribed),
            });
        }
        Some(match about.next() {
            None => state(ConsentState::Unspecified),
            Some(event) if event.subscribed => state(ConsentState::Unsubscribed).evidence(Some(
                "Ghost: the newsletter was taken away without an event (bulk unsubscribe)",
            )),
            Some(event) => {
                let source = event.source.as_deref().unwrap_or("unknown");
                state(ConsentState::Unsubscribed)
                    .at(at(event))
                    .evidence(Some(&format!("Ghost: newsletter event, source {source}")))
            }
        })
    }

    /// The member's newsletters after an opt-in or an opt-out. Ghost takes the whole list.
    pub fn after<'a>(
        &'a self,
        subscribed: bool,
        current: impl IntoIterator<Item = &'a str>,
    ) -> Vec<&'a str> {
        let current = current.into_iter();
        if !subscribed {
            return current
                .filter(|id| !self.whole && !self.about.iter().any(|about| about == id))
                .collect();
        }
        let mut newsletters: Vec<&str> = current.collect();
        for id in &self.start {
            if !newsletters.contains(&id.as_str()) {
                newsletters.push(id);
            }
        }
        newsletters
    }
}

fn at(event: &NewsletterEvent) -> Option<Timestamp> {
    time::rfc3339(&event.created_at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::{json, serde_json};

    fn newsletter(id: &str, status: &str, subscribe_on_signup: bool) -> Newsletter {
        Newsletter {
            id: id.into(),
            slug: format!("slug-{id}"),
            name: id.into(),
            status: status.into(),
            subscribe_on_signup,
        }
    }

    fn site() -> Vec<Newsletter> {
        vec![
            newsletter("old", "archived", true),
            newsletter("a", "active", true),
            newsletter("b", "active", false),
        ]
    }

    fn member(newsletters: &[&str]) -> Member {
        let newsletters: Vec<_> = newsletters.iter().map(|id| json!({"id": id})).collect();
        serde_json::from_value(json!({"id": "m", "newsletters": newsletters})).unwrap()
    }

    fn history(events: &[(&str, bool, &str, i64)]) -> History {
        let events = events
            .iter()
            .map(
                |&(newsletter, subscribed, source, second)| NewsletterEvent {
                    id: "e".into(),
                    member_id: "m".into(),
                    newsletter_id: Some(newsletter.into()),
                    subscribed,
                    created_at: Timestamp::from_second(second).unwrap().to_string(),
                    source: Some(source.into()),
                },
            )
            .collect();
        History::from([("m".to_owned(), events)])
    }

    fn whole() -> Scope {
        Scope::new(&site(), None).unwrap()
    }

    #[test]
    fn without_a_setting_consent_is_about_all_active_newsletters() {
        assert_eq!(
            whole(),
            Scope {
                about: vec!["a".into(), "b".into()],
                start: vec!["a".into()],
                whole: true
            }
        );
        let none_at_signup = Scope::new(&[newsletter("b", "active", false)], None).unwrap();
        assert_eq!(none_at_signup.start, ["b"]);
        let empty = Scope::new(&[], None).unwrap();
        assert_eq!(empty.consent(&member(&[]), &History::new()), None);
    }

    #[test]
    fn a_setting_names_one_by_slug_or_id() {
        for name in ["slug-b", "b"] {
            let scope = Scope::new(&site(), Some(name)).unwrap();
            assert_eq!(
                (scope.about.as_slice(), scope.whole),
                (["b".to_owned()].as_slice(), false)
            );
        }
        for name in ["old", "nosuch"] {
            let Err(Failure::Misconfigured(what)) = Scope::new(&site(), Some(name)) else {
                panic!("{name} accepted")
            };
            assert_eq!(what.setting, "newsletter");
            assert!(what.why.contains("slug-a, slug-b"), "{}", what.why);
        }
    }

    #[test]
    fn never_asked_is_neither_in_nor_out() {
        let consent = whole().consent(&member(&[]), &History::new()).unwrap();
        assert_eq!(consent.state, ConsentState::Unspecified);
        // Events about an archived newsletter say nothing: ending a newsletter is not its readers' opt-out.
        let consent = whole()
            .consent(&member(&[]), &history(&[("old", true, "member", 5)]))
            .unwrap();
        assert_eq!(consent.state, ConsentState::Unspecified);
    }

    #[test]
    fn an_unsubscribe_has_its_time() {
        let history = history(&[("a", false, "member", 9), ("a", true, "member", 5)]);
        let consent = whole().consent(&member(&[]), &history).unwrap();
        assert_eq!(consent.state, ConsentState::Unsubscribed);
        assert_eq!(consent.at.as_deref(), Some("1970-01-01T00:00:09Z"));
    }

    #[test]
    fn a_bulk_unsubscribe_is_seen_without_an_event() {
        let consent = whole()
            .consent(&member(&[]), &history(&[("a", true, "member", 5)]))
            .unwrap();
        assert_eq!(
            (consent.state, consent.at),
            (ConsentState::Unsubscribed, None)
        );
    }

    #[test]
    fn only_the_member_s_own_subscription_is_evidence() {
        for source in ["admin", "import", "api", "system"] {
            let consent = whole()
                .consent(&member(&["a"]), &history(&[("a", true, source, 5)]))
                .unwrap();
            assert_eq!(
                (consent.state, consent.at),
                (ConsentState::Subscribed, None),
                "{source}"
            );
        }
        let consent = whole()
            .consent(&member(&["a"]), &history(&[("a", true, "member", 5)]))
            .unwrap();
        assert_eq!(consent.at.as_deref(), Some("1970-01-01T00:00:05Z"));
    }

    #[test]
    fn an_opt_out_ends_what_consent_is_about() {
        assert_eq!(whole().after(false, ["a", "b"]), Vec::<&str>::new());
        let one = Scope::new(&site(), Some("a")).unwrap();
        assert_eq!(one.after(false, ["a", "b"]), ["b"]);
        assert_eq!(one.after(true, ["b"]), ["b", "a"]);
        assert_eq!(whole().after(true, ["a"]), ["a"]);
        assert_eq!(whole().after(true, []), ["a"]);
    }
}
