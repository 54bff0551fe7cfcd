//! Members by id and by address. Mailchimp has no request for several, so they are asked for side by side.

use samspel_connector::fields::Selection;
use samspel_connector::http::{self, Response};
use samspel_connector::{Absence, Entity, Failure, Fetched, Result};

use crate::api::{self, Api};
use crate::field;
use crate::member::Member;
use crate::settings::Settings;

/// The members of these ids or keys, in order; `None`: Mailchimp knows none.
pub fn members(
    settings: &Settings,
    selection: &Selection,
    keys: &[String],
) -> Vec<Result<Option<Member>>> {
    let api = Api::new(settings);
    let fields = field::projection(selection, settings, "");
    http::send_all(keys.iter().map(|key| api.member(key, &fields)))
        .into_iter()
        .map(one)
        .collect()
}

fn one(answer: Result<Response, http::Error>) -> Result<Option<Member>> {
    let answer = answer?;
    if matches!(answer.status(), 404 | 410) {
        return Ok(None);
    }
    answer.success_or(api::failure)?.json().map(Some)
}

/// One answer per id. What is wrong with one of them only is told of that one.
pub fn fetch(settings: &Settings, selection: &Selection, ids: &[String]) -> Result<Vec<Fetched>> {
    members(settings, selection, ids)
        .into_iter()
        .zip(ids)
        .map(|(member, id)| {
            let member = match member {
                Err(Failure::Bug(why) | Failure::Other(why)) => return Ok(Fetched::Failed(why)),
                member => member?,
            };
            Ok(match member {
                None => Fetched::Absent(Absence::Deleted),
                Some(member) if member.is_archived() => Fetched::Absent(Absence::Archived),
                Some(member) if member.contact_id != *id => {
                    Fetched::Absent(Absence::MergedInto(member.contact_id))
                }
                Some(member) => Fetched::Found(member.entity(selection, settings)),
            })
        })
        .collect()
}

/// Per address the member that has it.
pub fn find(settings: &Settings, field: &str, values: &[String]) -> Result<Vec<Vec<Entity>>> {
    if field != field::EMAIL {
        return Err(Failure::Bug(format!(
            "members can be found by `{}` only, not by `{field}`",
            field::EMAIL
        )));
    }
    let keys: Vec<String> = values.iter().map(|value| api::key(value)).collect();
    members(settings, &Selection::All, &keys)
        .into_iter()
        .map(|member| {
            Ok(member?
                .filter(|member| !member.is_archived())
                .map(|member| member.entity(&Selection::All, settings))
                .into_iter()
                .collect())
        })
        .collect()
}
