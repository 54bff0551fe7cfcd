//! Positions in Ghost's feeds of changes.
//!
//! A member's row tells when it was last changed (`updated_at`), and an unsubscribe or a label does not change that. So
//! a reading walks through the members by `updated_at`, oldest first, and through the newsletter events, newest first
//! (Ghost offers no other order). Stamps have a resolution of a second; equal ones are told apart by id. A bounce is
//! written down twice: the address is suppressed, and a moment later the member is touched. A reading may come in
//! between, and events of bounces carry the time at which the mail provider saw them, maybe long before Ghost heard of
//! it; so bounces are followed by the number of suppressed members as well, who are all read when it changed.

use jiff::{SignedDuration, Timestamp};
use samspel_connector::incremental;
use serde::{Deserialize, Serialize};

use crate::api::{filter_time, quoted};

/// The layout of the cursors below.
pub const VERSION: u32 = 1;

/// How far back every reading looks: for what was stamped before the previous reading and stored after it.
const OVERLAP: SignedDuration = SignedDuration::from_secs(60);

const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// Where an incremental reading continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Everything that happened before was seen, by Ghost's clock.
    pub seen: Timestamp,
    /// How many members were suppressed then. Not known before the first reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u64>,
    /// A reading that has not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// A reading under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Ghost's time when it began; `seen` of the cursor at its end. Not known before the first answer.
    pub began: Option<Timestamp>,
    /// Both feeds are read from here on.
    pub since: Timestamp,
    /// Where the members stand.
    pub members: Feed,
    /// Where the newsletter events stand.
    pub events: Feed,
    /// Where the suppressed members stand.
    pub suppressed: Suppressed,
    /// How many suppressed members there are; counted when the reading began.
    pub suppressed_count: Option<u64>,
}

/// Where the suppressed members stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppressed {
    /// They are to be counted.
    Count,
    /// Their number changed: they are read by id, after this one.
    After(Option<String>),
    /// At the end.
    Done,
}

/// Where one feed stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// At its start.
    Start,
    /// At this item.
    At(Timestamp, String),
    /// At its end.
    Done,
}

impl Cursor {
    /// Everything before Ghost's time was seen.
    pub fn at(server_time: Timestamp) -> Self {
        Self {
            seen: server_time,
            suppressed: None,
            reading: None,
        }
    }

    /// The reading to go on with, or a new one.
    pub fn reading(&self) -> Reading {
        self.reading.clone().unwrap_or_else(|| Reading {
            began: None,
            since: incremental::since(self.seen, OVERLAP, RESOLUTION),
            members: Feed::Start,
            events: Feed::Start,
            suppressed: Suppressed::Count,
            suppressed_count: None,
        })
    }
}

impl Reading {
    /// The filter of the next page of members, or `None` after the last.
    pub fn members_filter(&self) -> Option<String> {
        match &self.members {
            Feed::Start => Some(format!("updated_at:>={}", filter_time(self.since))),
            Feed::At(time, id) => Some(beyond("updated_at", ">", *time, id)),
            Feed::Done => None,
        }
    }

    /// The filter of the next page of newsletter events, or `None` after the last.
    pub fn events_filter(&self) -> Option<String> {
        let since = format!("data.created_at:>={}", filter_time(self.since));
        match &self.events {
            Feed::Start => Some(since),
            Feed::At(time, id) => Some(format!(
                "{since}+{}",
                beyond("data.created_at", "<", *time, id)
            )),
            Feed::Done => None,
        }
    }

    /// The filter of the next page of suppressed members, or `None` after the last.
    pub fn suppressed_filter(&self) -> Option<String> {
        match &self.suppressed {
            Suppressed::Count | Suppressed::After(None) => Some("email_disabled:1".to_owned()),
            Suppressed::After(Some(id)) => Some(format!("email_disabled:1+id:>{}", quoted(id))),
            Suppressed::Done => None,
        }
    }

    /// The suppressed members were counted; `before` is their number at the end of the previous reading.
    pub fn counted(&mut self, count: u64, before: Option<u64>) {
        self.suppressed_count = Some(count);
        self.suppressed = if before == Some(count) {
            Suppressed::Done
        } else {
            Suppressed::After(None)
        };
    }

    /// Everything was read to its end.
    pub fn is_done(&self) -> bool {
        self.members == Feed::Done
            && self.events == Feed::Done
            && self.suppressed == Suppressed::Done
    }

    /// The cursor that goes on from here; `before` is the one that the reading goes on from.
    pub fn into_cursor(self, before: &Cursor) -> Cursor {
        match self.began {
            Some(began) if self.is_done() => Cursor {
                seen: began,
                suppressed: self.suppressed_count,
                reading: None,
            },
            _ => Cursor {
                seen: before.seen,
                suppressed: before.suppressed,
                reading: Some(self),
            },
        }
    }
}

impl Feed {
    /// Where the feed stands after a page, whose last item was this. A page that is not full is the last one.
    pub fn after(last: Option<(Timestamp, String)>, full: bool) -> Self {
        match last {
            Some((time, id)) if full => Self::At(time, id),
            _ => Self::Done,
        }
    }
}

/// A filter for what comes after an item in an order by time and id.
pub fn beyond(time_key: &str, direction: &str, time: Timestamp, id: &str) -> String {
    let (time, id) = (filter_time(time), quoted(id));
    format!("({time_key}:{direction}{time},({time_key}:{time}+id:{direction}{id}))")
}

/// Where a listing by id continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingToken {
    /// The last id that was listed.
    pub after: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::cursor::{decode, encode};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_reading_starts_an_overlap_earlier_in_both_feeds() {
        let reading = Cursor::at(time("2026-11-24T14:30:00.5Z")).reading();
        assert_eq!(
            reading.members_filter().unwrap(),
            "updated_at:>='2026-11-24 14:29:00'"
        );
        assert_eq!(
            reading.events_filter().unwrap(),
            "data.created_at:>='2026-11-24 14:29:00'"
        );
    }

    #[test]
    fn a_full_page_continues_after_its_last_item() {
        let mut reading = Cursor::at(time("2026-11-24T14:30:00Z")).reading();
        let last = Some((time("2026-11-24T14:29:30Z"), "m9".to_owned()));
        reading.members = Feed::after(last.clone(), true);
        reading.events = Feed::after(last.clone(), true);
        assert_eq!(
            reading.members_filter().unwrap(),
            "(updated_at:>'2026-11-24 14:29:30',(updated_at:'2026-11-24 14:29:30'+id:>'m9'))"
        );
        assert_eq!(
            reading.events_filter().unwrap(),
            "data.created_at:>='2026-11-24 14:29:00'+(data.created_at:<'2026-11-24 14:29:30',\
             (data.created_at:'2026-11-24 14:29:30'+id:<'m9'))"
        );
        assert_eq!(Feed::after(last, false), Feed::Done);
        assert_eq!(Feed::after(None, true), Feed::Done);
    }

    #[test]
    fn the_position_moves_when_all_feeds_are_done() {
        let before = Cursor::at(time("2026-11-24T14:30:00Z"));
        let began = time("2026-11-24T14:40:00Z");
        let mut reading = before.reading();
        reading.began = Some(began);
        reading.members = Feed::Done;
        reading.counted(3, None);
        let cursor = reading.clone().into_cursor(&before);
        assert_eq!(cursor.seen, before.seen);
        let stored = encode(VERSION, &cursor).unwrap();
        let mut resumed = decode::<Cursor>(VERSION, &stored).unwrap().reading();
        assert_eq!(resumed, reading);
        resumed.events = Feed::Done;
        resumed.suppressed = Suppressed::Done;
        let done = resumed.into_cursor(&before);
        assert_eq!(
            (done.seen, done.suppressed, done.reading),
            (began, Some(3), None)
        );
    }

    #[test]
    fn suppressed_members_are_read_when_their_number_changed() {
        let mut reading = Cursor::at(time("2026-11-24T14:30:00Z")).reading();
        reading.counted(3, Some(3));
        assert_eq!(reading.suppressed_filter(), None);
        for before in [None, Some(2), Some(4)] {
            reading.counted(3, before);
            assert_eq!(reading.suppressed_filter().unwrap(), "email_disabled:1");
        }
        reading.suppressed = Suppressed::After(Some("m9".into()));
        assert_eq!(
            reading.suppressed_filter().unwrap(),
            "email_disabled:1+id:>'m9'"
        );
    }
}
