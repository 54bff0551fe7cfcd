//! Who of several addresses is archived.
//!
//! Adding an address that is archived brings the member back, under the status that the request names [M]: an opt-out
//! from before would be gone. So it is looked for first. Mailchimp can be asked for one member at a time or for all
//! that are archived; whichever takes fewer requests is asked.

use std::collections::BTreeSet;

use samspel_connector::Result;
use samspel_connector::fields::Selection;
use samspel_connector::http::{self, Response};
use serde::Deserialize;

use crate::api::{self, Api};
use crate::lookup;
use crate::settings::Settings;

/// So few are asked for by themselves without counting the archive first.
const FEW: usize = 3;

/// A page of the archive.
#[derive(Deserialize)]
struct Listed {
    members: Vec<Member>,
    total_items: usize,
}

/// A member's key: the hash of the address.
#[derive(Deserialize)]
struct Member {
    id: String,
}

/// Those of these keys (see [`api::key`]) under which a member is archived.
pub fn among(settings: &Settings, keys: &[String]) -> Result<BTreeSet<String>> {
    if keys.len() <= FEW {
        return by_themselves(settings, keys);
    }
    let api = Api::new(settings);
    let page = |offset: usize| api.archived(offset);
    let first = listed(&api, page(0).send())?;
    let step = usize::try_from(api::PAGE).unwrap_or(usize::MAX);
    let further = first.total_items.saturating_sub(1) / step;
    if further > keys.len() {
        return by_themselves(settings, keys);
    }
    let mut archived = first.members;
    for answer in http::send_all((1..=further).map(|number| page(number * step))) {
        archived.extend(listed(&api, answer)?.members);
    }
    let archived: BTreeSet<String> = archived.into_iter().map(|member| member.id).collect();
    Ok(keys
        .iter()
        .filter(|key| archived.contains(*key))
        .cloned()
        .collect())
}

fn listed(api: &Api<'_>, answer: Result<Response, http::Error>) -> Result<Listed> {
    api.read(answer)?.json()
}

fn by_themselves(settings: &Settings, keys: &[String]) -> Result<BTreeSet<String>> {
    let nothing = Selection::Only(Default::default());
    let members = lookup::members(settings, &nothing, keys);
    let mut archived = BTreeSet::new();
    for (key, member) in keys.iter().zip(members) {
        if member?.is_some_and(|member| member.is_archived()) {
            archived.insert(key.clone());
        }
    }
    Ok(archived)
}
