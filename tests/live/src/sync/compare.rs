//! A comparison of both servers through their own APIs. It shares no code with Samspel: two programs that agree on a
//! mistake would not find it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use unicode_normalization::UnicodeNormalization;

use super::report::Comparison;
use crate::error::LiveError;
use crate::ghost::{AdminApi, Member};
use crate::odoo::{OdooApi, Partner};

/// From how many bounces on Odoo's own mass mailing leaves a contact out.
const HARD_BOUNCED: i64 = 3;
/// Members asked about at a time.
const AT_ONCE: usize = 4;

/// What both servers hold at one time.
#[derive(Debug)]
pub struct Snapshot {
    /// Persons with an address, active and no users of Odoo.
    pub contacts: Vec<Partner>,
    /// All members.
    pub members: Vec<Member>,
    /// Members whose last word on newsletters was to end one.
    opted_out: BTreeSet<String>,
}

impl Snapshot {
    /// Asks both servers.
    pub async fn take(odoo: &OdooApi, ghost: &AdminApi) -> Result<Self, LiveError> {
        let (contacts, members) = tokio::try_join!(odoo.people(), ghost.members())?;
        let opted_out = stream::iter(members.iter().filter(|member| !member.subscribed))
            .map(async |member| {
                let subscribed = ghost.last_subscription(&member.id).await?;
                Ok::<_, LiveError>((subscribed == Some(false)).then(|| member.id.clone()))
            })
            .buffer_unordered(AT_ONCE)
            .try_filter_map(async |id| Ok(id))
            .try_collect()
            .await?;
        Ok(Self {
            contacts,
            members,
            opted_out,
        })
    }

    /// The members who get newsletters, by id.
    pub fn subscribers(&self) -> BTreeSet<&str> {
        let subscribed = self.members.iter().filter(|member| member.subscribed);
        subscribed.map(|member| member.id.as_str()).collect()
    }

    /// Pairs contacts and members by address, and compares all that the sync maps.
    pub fn compare(&self) -> Comparison {
        let mut people: BTreeMap<String, (Vec<&Partner>, Vec<&Member>)> = BTreeMap::new();
        for contact in &self.contacts {
            if let Some(email) = &contact.email {
                people.entry(address(email)).or_default().0.push(contact);
            }
        }
        for member in &self.members {
            let person = people.entry(address(&member.email)).or_default();
            person.1.push(member);
        }
        let mut found = Comparison::default();
        for (email, (contacts, members)) in people {
            match (contacts.as_slice(), members.as_slice()) {
                ([contact], [member]) => {
                    found.pairs += 1;
                    let differs = self.differences(contact, member);
                    if !differs.is_empty() {
                        found.unequal += 1;
                        found
                            .samples
                            .push(format!("{email}: {}", differs.join(", ")));
                    }
                }
                ([_], []) => {
                    found.only_odoo += 1;
                    found.samples.push(format!("{email}: only in Odoo"));
                }
                ([], [_]) => {
                    found.only_ghost += 1;
                    found.samples.push(format!("{email}: only in Ghost"));
                }
                _ => found.shared += 1,
            }
        }
        found
    }

    fn differences(&self, contact: &Partner, member: &Member) -> Vec<&'static str> {
        let mut differs = Vec::new();
        if text(Some(&contact.name)) != text(member.name.as_deref()) {
            differs.push("name");
        }
        if text(contact.comment.as_deref()) != text(member.note.as_deref()) {
            differs.push("note");
        }
        if contact.opt_out && member.subscribed {
            differs.push("opted out in Odoo, subscribed in Ghost");
        }
        if !contact.opt_out && self.opted_out.contains(&member.id) {
            differs.push("opted out in Ghost, not in Odoo");
        }
        if member.email_suppression.suppressed && contact.message_bounce < HARD_BOUNCED {
            differs.push("suppressed in Ghost, no hard bounce in Odoo");
        }
        differs
    }
}

fn address(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Text as a reader sees it: composed, with single blanks inside and none around it.
fn text(text: Option<&str>) -> String {
    let composed: String = text.unwrap_or_default().nfc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(mut record: Value, changes: Value) -> Value {
        for (name, value) in changes.as_object().unwrap() {
            record[name] = value.clone();
        }
        record
    }

    fn contact(changes: Value) -> Partner {
        let record = json!({
            "id": 1, "name": "Åsa Öst", "email": "Asa@x.test", "phone": false, "comment": false,
            "opt_out": false, "message_bounce": 0, "active": true, "write_date": "2026-11-24 12:00:00",
        });
        serde_json::from_value(with(record, changes)).unwrap()
    }

    fn member(changes: Value) -> Member {
        let record = json!({
            "id": "m1", "email": "asa@x.test", "name": "A\u{30a}sa  Öst ", "note": null, "subscribed": true,
            "newsletters": [], "labels": [], "email_suppression": { "suppressed": false, "info": null },
            "created_at": "2026-11-24T12:00:00.000Z", "updated_at": "2026-11-24T12:00:00.000Z",
        });
        serde_json::from_value(with(record, changes)).unwrap()
    }

    fn compare(contacts: Vec<Partner>, members: Vec<Member>, opted_out: &[&str]) -> Comparison {
        let opted_out = opted_out.iter().map(|&id| id.to_owned()).collect();
        Snapshot {
            contacts,
            members,
            opted_out,
        }
        .compare()
    }

    fn differs(contact: Partner, member: Member, opted_out: &[&str]) -> bool {
        compare(vec![contact], vec![member], opted_out).unequal == 1
    }

    #[test]
    fn spellings_of_one_person_are_equal() {
        let same = compare(vec![contact(json!({}))], vec![member(json!({}))], &[]);
        assert_eq!((same.pairs, same.unequal), (1, 0), "{:?}", same.samples);
    }

    #[test]
    fn each_mapped_thing_is_compared() {
        let plain = || contact(json!({}));
        assert!(differs(plain(), member(json!({ "name": "Asa" })), &[]));
        assert!(differs(plain(), member(json!({ "note": "x" })), &[]));
        let suppressed = json!({ "email_suppression": { "suppressed": true, "info": null } });
        assert!(differs(plain(), member(suppressed.clone()), &[]));
        assert!(!differs(
            contact(json!({ "message_bounce": 3 })),
            member(suppressed),
            &[]
        ));
    }

    #[test]
    fn an_opt_out_on_one_side_only_is_a_difference() {
        let out = || contact(json!({ "opt_out": true }));
        let left = || member(json!({ "subscribed": false }));
        assert!(differs(out(), member(json!({})), &[]));
        assert!(!differs(out(), left(), &["m1"]));
        assert!(differs(contact(json!({})), left(), &["m1"]));
        // Never asked: no newsletter, and no opt-out.
        assert!(!differs(contact(json!({})), left(), &[]));
    }

    #[test]
    fn an_address_of_several_is_nobodys() {
        let found = compare(
            vec![contact(json!({})), contact(json!({ "id": 2 }))],
            vec![member(json!({ "email": "other@x.test" }))],
            &[],
        );
        assert_eq!((found.shared, found.pairs, found.only_ghost), (1, 0, 1));
    }
}
