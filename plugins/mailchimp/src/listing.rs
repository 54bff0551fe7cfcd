//! Pages of the members' list, which moves while it is read.
//!
//! The list is read in the order of `last_changed`, the longest unchanged first, by offset. A member that changes
//! meanwhile goes to the end and everything behind its old place moves up, past the offset. So each page starts a
//! little before the end of the page before, and must show one of the members that stood there, unchanged; what stands
//! behind that member was not read yet, because a member can only move to the end. Where none of them shows, the page
//! is thrown away and reading steps back.

use samspel_connector::http::{Request, Response};
use samspel_connector::{Failure, Result};
use serde::{Deserialize, Serialize};

use crate::api::{self, Api};
use crate::member::Member;

/// How many members of the page before each page shows again.
const OVERLAP: u64 = 10;

/// How many of the last members are remembered: one of them may itself move to the end.
const ANCHORS: usize = 5;

/// A member that was read, as it was then. One that changed since stands elsewhere and says nothing about this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    id: String,
    changed: String,
}

impl Anchor {
    fn of(member: &Member) -> Self {
        Self {
            id: member.contact_id.clone(),
            changed: member.last_changed.clone(),
        }
    }

    fn is(&self, member: &Member) -> bool {
        self.id == member.contact_id && self.changed == member.last_changed
    }
}

/// Where reading goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// So many members stand before.
    offset: u64,
    /// The last members that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    anchors: Vec<Anchor>,
}

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The `fields` parameter.
    pub fields: &'a str,
    /// About so many members a page.
    pub limit: u32,
    /// Only members of this status.
    pub status: Option<&'a str>,
    /// Only members that changed since.
    pub since: Option<&'a str>,
}

#[derive(Deserialize)]
struct Listed {
    members: Vec<Member>,
    #[serde(default)]
    total_items: Option<u64>,
}

impl Query<'_> {
    fn count(&self) -> u32 {
        self.limit
            .saturating_add(OVERLAP as u32)
            .clamp(1, api::PAGE)
    }
}

impl Position {
    fn start(&self) -> u64 {
        if self.anchors.is_empty() {
            self.offset
        } else {
            self.offset.saturating_sub(OVERLAP)
        }
    }

    /// The request for the page at this position.
    pub fn request(&self, api: &Api<'_>, query: &Query<'_>) -> Request {
        api.members(
            query.fields,
            query.count(),
            self.start(),
            query.status,
            query.since,
        )
    }

    /// The members of the answer that were not read before, and where to go on; `None` after the last page.
    pub fn accept(
        self,
        query: &Query<'_>,
        answer: &Response,
    ) -> Result<(Vec<Member>, Option<Self>)> {
        let Listed {
            mut members,
            total_items,
        } = answer.json()?;
        let start = self.start();
        let read = u64::try_from(members.len())
            .map_err(|_| Failure::Bug("a page of more members than can be counted".to_owned()))?;
        let known = members
            .iter()
            .rposition(|member| self.anchors.iter().any(|anchor| anchor.is(member)));
        match known {
            Some(place) => {
                members.drain(..=place);
            }
            None if start > 0 && !self.anchors.is_empty() => {
                let back = Self {
                    offset: start.saturating_sub(u64::from(query.count())),
                    anchors: self.anchors,
                };
                return Ok((Vec::new(), Some(back)));
            }
            None => {}
        }
        let end = start.saturating_add(read);
        let is_last =
            read < u64::from(query.count()) || total_items.is_some_and(|total| end >= total);
        if is_last {
            return Ok((members, None));
        }
        let mut anchors: Vec<Anchor> = members.iter().rev().take(ANCHORS).map(Anchor::of).collect();
        if anchors.is_empty() {
            anchors = self.anchors;
        }
        Ok((
            members,
            Some(Self {
                offset: end,
                anchors,
            }),
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use samspel_connector::http::send_all;
    use samspel_connector::testing::{Remote, Reply, SentRequest};
    use serde_json::{Value, json};

    fn parameter(request: &SentRequest, name: &str) -> usize {
        let (_, query) = request.url.split_once('?').unwrap();
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")))
            .unwrap()
            .parse()
            .unwrap()
    }

    /// A list of members in the order in which they changed.
    struct List(Vec<(usize, u32)>);

    impl List {
        fn new(members: usize) -> Self {
            Self((0..members).map(|id| (id, 0)).collect())
        }

        fn page(&self, offset: usize, count: usize) -> Reply {
            let members: Vec<Value> = self
                .0
                .iter()
                .skip(offset)
                .take(count)
                .map(|(id, changed)| json!({ "contact_id": id.to_string(), "last_changed": changed.to_string() }))
                .collect();
            Reply::json(
                200,
                json!({ "members": members, "total_items": self.0.len() }),
            )
        }

        /// Changes a member, which moves it to the end; each once, because a list that moves faster than it is read
        /// has no end.
        fn change(&mut self, place: usize) {
            if self.0.get(place).is_some_and(|(_, changed)| *changed == 0) {
                let (id, _) = self.0.remove(place);
                self.0.push((id, 1));
            }
        }
    }

    /// Reads a list of `members` whose places `moving(offset, count)` change after each page.
    fn read_while_moving(
        members: usize,
        moving: impl Fn(usize, usize) -> Vec<usize> + 'static,
    ) -> Vec<String> {
        let mut list = List::new(members);
        let remote = Remote::new(move |request| {
            let (offset, count) = (parameter(request, "offset"), parameter(request, "count"));
            let page = list.page(offset, count);
            // From the end: a member that goes away moves those behind it.
            let mut places = moving(offset, count);
            places.sort_unstable();
            for place in places.into_iter().rev() {
                list.change(place);
            }
            page
        });
        let settings: Settings =
            serde_json::from_value(json!({ "dc": "us1", "list_id": "abc" })).unwrap();
        let query = Query {
            fields: "members",
            limit: 40,
            status: None,
            since: None,
        };
        remote.run(|| {
            let api = Api::new(&settings);
            let mut ids = Vec::new();
            let mut position = Some(Position::default());
            while let Some(at) = position {
                let answer = send_all([at.request(&api, &query)]).remove(0).unwrap();
                let (members, next) = at.accept(&query, &answer).unwrap();
                ids.extend(members.into_iter().map(|member| member.contact_id));
                position = next;
                assert!(ids.len() < 2_000, "reading comes to an end");
            }
            ids
        })
    }

    fn all_are_read(members: usize, ids: &[String]) {
        let missing: Vec<usize> = (0..members)
            .filter(|id| !ids.contains(&id.to_string()))
            .collect();
        assert_eq!(missing, Vec::<usize>::new());
    }

    #[test]
    fn a_list_at_rest_is_read_once() {
        let ids = read_while_moving(300, |_, _| Vec::new());
        assert_eq!(ids.len(), 300);
        all_are_read(300, &ids);
    }

    #[test]
    fn members_that_move_to_the_end_hide_no_others() {
        for moving in [1, 3, 9, 30, 60] {
            let ids = read_while_moving(300, move |_, _| (0..moving).collect());
            all_are_read(300, &ids);
        }
    }

    /// The very members that tell where the page before ended stand at the end of the next one, behind others that were
    /// not read yet.
    #[test]
    fn a_member_that_was_read_last_and_then_changed_hides_no_others() {
        for (members, moving) in [(60, 1), (60, 5), (300, 1), (300, 5), (300, 12)] {
            let ids = read_while_moving(members, move |offset, count| {
                let end = offset + count;
                (end - moving..end).collect()
            });
            all_are_read(members, &ids);
        }
    }

    #[test]
    fn a_position_beyond_all_numbers_ends_the_list() {
        let position = Position {
            offset: u64::MAX,
            anchors: Vec::new(),
        };
        let query = Query {
            fields: "members",
            limit: 40,
            status: None,
            since: None,
        };
        let answer = List::new(3).page(0, 3).response();
        let (members, next) = position.accept(&query, &answer).unwrap();
        assert_eq!((members.len(), next), (3, None));
    }
}
