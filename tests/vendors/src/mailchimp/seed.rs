//! Filling the list with test people, and reading all of it.

use std::io::Write as _;
use std::ops::Bound;
use std::sync::Arc;

use super::mask::{Mask, MemberMask};
use super::member::{Frame, Member, MemberStatus, View, hash_of};
use super::merge::{MergeValue, MergeValues, position};
use super::store::{Actor, Store};
use super::{LIST_ID, Mailchimp};
use crate::clock::Seconds;
use crate::people::{ListStanding, Person, only_in_mailchimp, person};
use crate::vendor::{DumpPage, Seeded};

/// How many people are looked at before others get a turn at the store.
const CHUNK: u64 = 1_000;
/// How many members one page of a dump holds.
const DUMP_PAGE: usize = 1_000;

/// Adds those of the first `count` people that Mailchimp holds, and 2 % more that only Mailchimp knows.
pub(super) fn fill(mailchimp: &Mailchimp, count: u64, seed: u64) -> Seeded {
    let mut seeded = Seeded::default();
    let all = count + only_in_mailchimp(count);
    for start in (0..all).step_by(CHUNK as usize) {
        let people: Vec<(ListStanding, Person)> = (start..(start + CHUNK).min(all))
            .filter_map(|index| {
                let mut someone = person(seed, index);
                if index >= count && someone.email.is_some() {
                    someone.in_mailchimp = someone.in_mailchimp.or(Some(ListStanding::Subscribed));
                }
                someone.as_member()
            })
            .collect();
        mailchimp.change_from(Actor::Outside, None, true, |store, context| {
            for (standing, person) in people {
                add(store, context.now, standing, person, &mut seeded);
            }
        });
    }
    seeded
}

fn add(
    store: &mut Store,
    now: Seconds,
    standing: ListStanding,
    person: Person,
    seeded: &mut Seeded,
) {
    let Some(email) = person.email else { return };
    if store.find(&email).is_some() {
        return;
    }
    seeded.records += 1;
    seeded.with_email += 1;
    seeded.opted_out += u64::from(standing == ListStanding::Unsubscribed);
    seeded.bounced += u64::from(standing == ListStanding::Cleaned);
    let joined = Seconds(now.0 - person.age_ms / 1000);
    // The last change lies between joining and now; several members share a second, as after an import.
    let changed = Seconds(joined.0 + (now.0 - joined.0) / 2 / 60 * 60);
    let values = [
        (position::FNAME, person.first),
        (position::LNAME, person.last),
        (position::PHONE, person.phone),
        (position::COMPANY, person.company),
        (position::CUSTNO, person.customer_number),
    ];
    let merge: MergeValues = values
        .into_iter()
        .filter_map(|(at, value)| Some((at, MergeValue::Text(value?.into()))))
        .collect();
    store.adopt(|web_id, contact_id| Member {
        web_id,
        hash: hash_of(&email),
        contact_id,
        email: email.into(),
        status: match standing {
            ListStanding::Subscribed | ListStanding::Archived => MemberStatus::Subscribed,
            ListStanding::Unsubscribed => MemberStatus::Unsubscribed,
            ListStanding::Cleaned => MemberStatus::Cleaned,
        },
        archived: standing == ListStanding::Archived,
        own_wish: standing == ListStanding::Unsubscribed,
        reason: (standing == ListStanding::Unsubscribed).then(|| "N/A (No reason given)".into()),
        merge,
        tags: Vec::new(),
        language: "".into(),
        vip: false,
        source: "Import",
        signed_up: None,
        opted_in: Some(joined),
        unsubscribed: (standing == ListStanding::Unsubscribed).then_some(changed),
        changed,
    });
}

pub(super) fn dump(mailchimp: &Mailchimp, from: u64, stable: bool) -> DumpPage {
    let (fields, mut page) = {
        let store = mailchimp.store();
        let range = (Bound::Included(from), Bound::Unbounded);
        let present = store.present().by_id().range(range).take(DUMP_PAGE + 1);
        let archived = store.archived().by_id().range(range).take(DUMP_PAGE + 1);
        let mut page: Vec<Arc<Member>> = present
            .chain(archived)
            .map(|(_, member)| Arc::clone(member))
            .collect();
        page.sort_unstable_by_key(|member| member.web_id);
        page.truncate(DUMP_PAGE + 1);
        (store.fields(), page)
    };
    let next = if page.len() > DUMP_PAGE {
        page.pop().map(|member| member.web_id)
    } else {
        None
    };
    let mut unwanted = vec!["_links".to_owned()];
    if stable {
        let varying = [
            "contact_id",
            "web_id",
            "timestamp_signup",
            "timestamp_opt",
            "last_changed",
            "source",
        ];
        unwanted.extend(varying.map(str::to_owned));
    }
    let mask = MemberMask::new(&Mask::new(Vec::new(), unwanted), "", &fields);
    let frame = Frame {
        list_id: LIST_ID,
        fields: &fields,
        mask: &mask,
    };
    let mut lines = Vec::new();
    for member in &page {
        // Writing to a vector cannot fail, and a member can always be written.
        let _ = serde_json::to_writer(&mut lines, &View { member, frame });
        let _ = lines.write_all(b"\n");
    }
    DumpPage { lines, next }
}
