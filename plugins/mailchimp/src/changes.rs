//! Everything there is, and what changed since a cursor.

use samspel_connector::fields::Selection;
use samspel_connector::{
    Absence, ChangesRequest, Page, ReadMode, Result, Tombstone, cursor, http, incremental,
    jiff::{SignedDuration, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::listing::{Position, Query};
use crate::member::Member;
use crate::settings::Settings;
use crate::{CURSOR_VERSION, field};

/// `last_changed` counts whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The position between two polls, or within one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    position: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walk: Option<Walk>,
}

/// A poll that was not read to its end yet. Members and archived members are two lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    since: Timestamp,
    /// The server's time when the poll began.
    start: Option<Timestamp>,
    /// The newest change seen.
    seen: Option<Timestamp>,
    members: Option<Position>,
    archived: Option<Position>,
}

/// One page.
pub fn read(settings: &Settings, request: &ChangesRequest) -> Result<Page> {
    let selection = Selection::new(request.fields.clone());
    match &request.mode {
        ReadMode::Snapshot(token) => {
            snapshot(settings, &selection, request.limit, token.as_deref())
        }
        ReadMode::Incremental(cursor) => changed(settings, &selection, request.limit, cursor),
    }
}

fn snapshot(
    settings: &Settings,
    selection: &Selection,
    limit: u32,
    token: Option<&str>,
) -> Result<Page> {
    let api = Api::new(settings);
    let position: Position = match token {
        Some(token) => cursor::decode(CURSOR_VERSION, token)?,
        None => Position::default(),
    };
    let query = Query {
        fields: &field::projection(selection, settings, "members."),
        limit,
        status: None,
        since: None,
    };
    let answer = api.read(position.request(&api, &query).send())?;
    let (members, next) = position.accept(&query, &answer)?;
    let resume_cursor = match token {
        Some(_) => None,
        None => Some(cursor::encode(
            CURSOR_VERSION,
            &Cursor {
                position: answer.server_time(),
                walk: None,
            },
        )?),
    };
    let next = next
        .map(|position| cursor::encode(CURSOR_VERSION, &position))
        .transpose()?;
    Ok(Page {
        records: members
            .iter()
            .filter(|member| !member.is_archived())
            .map(|member| member.entity(selection, settings))
            .collect(),
        tombstones: Vec::new(),
        more: next.is_some(),
        complete: next.is_none(),
        next,
        resume_cursor,
    })
}

fn changed(settings: &Settings, selection: &Selection, limit: u32, text: &str) -> Result<Page> {
    let api = Api::new(settings);
    let mut cursor: Cursor = cursor::decode(CURSOR_VERSION, text)?;
    let overlap = SignedDuration::from_secs(settings.overlap_seconds.max(1).into());
    let mut walk = cursor.walk.take().unwrap_or_else(|| Walk {
        since: incremental::since(cursor.position, overlap, RESOLUTION),
        start: None,
        seen: None,
        members: Some(Position::default()),
        archived: Some(Position::default()),
    });
    let since = walk.since.to_string().replace('Z', "+00:00");
    let live = Query {
        fields: &field::projection(selection, settings, "members."),
        limit,
        status: None,
        since: Some(&since),
    };
    let archived = Query {
        fields: &field::projection(&Selection::Only(Default::default()), settings, "members."),
        status: Some("archived"),
        ..live
    };

    let lists: Vec<(Position, Query<'_>, bool)> = [
        walk.members.take().map(|position| (position, live, true)),
        walk.archived
            .take()
            .map(|position| (position, archived, false)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let answers = http::send_all(
        lists
            .iter()
            .map(|(position, query, _)| position.request(&api, query)),
    );
    let mut members: Vec<Member> = Vec::new();
    for ((position, query, is_live), answer) in lists.into_iter().zip(answers) {
        let answer = api.read(answer)?;
        walk.start = walk.start.or_else(|| answer.date());
        let (more, next) = position.accept(&query, &answer)?;
        members.extend(more);
        if is_live {
            walk.members = next;
        } else {
            walk.archived = next;
        }
    }
    walk.seen = walk
        .seen
        .max(members.iter().filter_map(Member::modified).max());

    if walk.members.is_none() && walk.archived.is_none() {
        let mut progress = incremental::Progress::new(cursor.position, walk.start);
        if let Some(seen) = walk.seen {
            progress.saw(seen);
        }
        cursor.position = progress.next();
    } else {
        cursor.walk = Some(walk);
    }
    Ok(Page {
        records: members
            .iter()
            .filter(|member| !member.is_archived())
            .map(|member| member.entity(selection, settings))
            .collect(),
        tombstones: members
            .iter()
            .filter(|member| member.is_archived())
            .map(|member| Tombstone::new(&*member.contact_id, Absence::Archived))
            .collect(),
        more: cursor.walk.is_some(),
        next: Some(cursor::encode(CURSOR_VERSION, &cursor)?),
        resume_cursor: None,
        complete: false,
    })
}
