//! Whom both systems know before they meet: contacts as clerks typed them into Odoo, and members of Ghost, some of whom
//! are the same persons with their address and name written otherwise.

use futures::{StreamExt, TryStreamExt, stream};
use samspel_vendors::people::{ListStanding, Permission, Person, person};
use serde_json::json;

use crate::error::LiveError;
use crate::ghost::{AdminApi, MemberPatch};
use crate::odoo::{OdooApi, Values};

/// The same people at every run.
const SEED: u64 = 7;
/// How many persons Odoo knows.
const CONTACTS: u64 = 200;
/// Persons whom only Ghost knows.
const ONLY_IN_GHOST: std::ops::Range<u64> = 1_000..1_010;
/// An address that two contacts share, as households do.
const HOUSEHOLD: &str = "familjen.berg@live.test";
/// An apostrophe in any address of a page keeps Ghost from looking up why addresses are suppressed.
const APOSTROPHE: (&str, &str) = ("Sinéad O'Brien", "sinead.o'brien@live.test");
/// Creates under way at a time, in either system.
const AT_ONCE: usize = 4;

/// What each system holds at first.
#[derive(Debug)]
pub struct People {
    /// Contacts for Odoo.
    contacts: Vec<Values>,
    /// Members for Ghost.
    members: Vec<NewMember>,
    /// How many persons both hold.
    pub in_both: u64,
}

#[derive(Debug)]
struct NewMember {
    member: MemberPatch,
    /// Joins, and leaves again: Ghost keeps no trace of an opt-out of somebody who never got a newsletter.
    has_left: bool,
}

impl People {
    /// Draws them.
    pub fn draw() -> Self {
        let known: Vec<Person> = (0..CONTACTS).map(|index| person(SEED, index)).collect();
        let mut contacts: Vec<Values> = known.iter().map(contact).collect();
        contacts.extend(
            ["Karin Berg", "Nils Berg"].map(|name| json!({ "name": name, "email": HOUSEHOLD })),
        );
        let (name, email) = APOSTROPHE;
        contacts.push(json!({ "name": name, "email": email }));
        let mut members = vec![NewMember {
            member: MemberPatch {
                email: Some(email.to_owned()),
                name: Some(name.to_owned()),
                ..MemberPatch::default()
            },
            has_left: false,
        }];
        members.extend(known.iter().filter_map(|person| {
            let (standing, member) = person.as_member()?;
            new_member(&member, standing == ListStanding::Unsubscribed)
        }));
        let in_both = members.len() as u64;
        members.extend(
            ONLY_IN_GHOST.filter_map(|index| new_member(&person(SEED, index), index % 4 == 0)),
        );
        Self {
            contacts,
            members,
            in_both,
        }
    }

    /// Enters them into both systems.
    pub async fn enter(&self, odoo: &OdooApi, ghost: &AdminApi) -> Result<(), LiveError> {
        let contacts = stream::iter(&self.contacts)
            .map(|contact| odoo.create_partner(contact))
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()));
        let members = stream::iter(&self.members)
            .map(|member| member.enter(ghost))
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |()| Ok(()));
        tokio::try_join!(contacts, members).map(|_| ())
    }

    /// How many contacts were entered.
    pub fn contacts(&self) -> usize {
        self.contacts.len()
    }

    /// How many members were entered.
    pub fn members(&self) -> usize {
        self.members.len()
    }
}

impl NewMember {
    async fn enter(&self, ghost: &AdminApi) -> Result<(), LiveError> {
        let member = ghost.create_member(&self.member).await?;
        if self.has_left {
            let left = MemberPatch {
                newsletters: Some(Vec::new()),
                ..MemberPatch::default()
            };
            ghost.edit_member(&member.id, &left).await?;
        }
        Ok(())
    }
}

fn contact(person: &Person) -> Values {
    // Odoo wants a name; a clerk who has none types the address.
    let name = full_name(person)
        .or_else(|| person.email.clone())
        .unwrap_or_else(|| format!("Contact {}", person.index));
    let mut values = json!({
        "name": name,
        "opt_out": matches!(person.permission, Permission::OptedOut { .. }),
    });
    let texts = [
        ("email", &person.email),
        ("phone", &person.phone),
        ("function", &person.title),
        ("city", &person.city),
        ("comment", &person.customer_number),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            values[name] = json!(text);
        }
    }
    values
}

/// `None` for somebody without an address.
fn new_member(person: &Person, has_left: bool) -> Option<NewMember> {
    Some(NewMember {
        member: MemberPatch {
            email: Some(person.email.clone()?),
            name: full_name(person),
            note: person
                .index
                .is_multiple_of(3)
                .then(|| "Met at the fair in Växjö".to_owned()),
            ..MemberPatch::default()
        },
        has_left,
    })
}

fn full_name(person: &Person) -> Option<String> {
    match (&person.first, &person.last) {
        (Some(first), Some(last)) => Some(format!("{first} {last}")),
        (Some(name), None) | (None, Some(name)) => Some(name.clone()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_mix_holds_what_the_story_needs() {
        let people = People::draw();
        let addresses: BTreeSet<&str> = people
            .contacts
            .iter()
            .filter_map(|contact| contact["email"].as_str())
            .collect();
        let address = |member: &NewMember| member.member.email.clone().unwrap_or_default();
        let both = || {
            people
                .members
                .iter()
                .filter(|member| addresses.contains(address(member).to_lowercase().as_str()))
        };
        assert_eq!(both().count() as u64, people.in_both);
        assert!(people.in_both >= 30, "{} in both", people.in_both);
        let other_case = both().filter(|member| !addresses.contains(address(member).as_str()));
        assert!(other_case.count() >= 3, "too few in another case");
        assert!(
            both().filter(|member| member.has_left).count() >= 2,
            "too few have left"
        );
        let opted_out = |contact: &&Values| contact["opt_out"] == true;
        assert!(people.contacts.iter().filter(opted_out).count() >= 5);
        assert!(people.contacts.len() - addresses.len() >= 5);
    }
}
