//! Positions in a model's rows: what an incremental reading has seen, and where a listing stands.
//!
//! `write_date` is the moment at which the writing transaction *began*, is stored with microseconds and is told with a
//! resolution of a second. So rows become visible late (the overlap covers that), and a page can end in the middle of
//! a second: the rest of that second is then read by id, which also gets through a second with more rows than a page
//! (an import writes thousands of rows with one stamp).

use jiff::{SignedDuration, Timestamp};
use samspel_connector::{Value, incremental, json, time};
use serde::{Deserialize, Serialize};

/// The layout of the cursors below.
pub const VERSION: u32 = 1;

/// How far back every incremental reading looks: a transaction that began before the previous reading and ended after
/// it. Odoo ends a request after 120 s (`limit_time_real`); the rest is for clocks of Odoo and PostgreSQL that differ.
pub const OVERLAP: SignedDuration = SignedDuration::from_secs(180);

/// What `write_date` is told and asked in.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// Where an incremental reading continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Everything written before was seen, save what the overlap is for.
    seen: Timestamp,
    /// A reading that has not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
}

/// A reading under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The server's time when the reading began: `seen` of the cursor at its end.
    began: Timestamp,
    /// Rows from this second on are still to be read.
    from: Timestamp,
    /// If set, of the second `from` only rows with higher ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<i64>,
}

/// A row's place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The second of its `write_date`.
    pub written: Timestamp,
    /// Its id.
    pub id: i64,
}

impl Cursor {
    /// Everything before the server's time was seen.
    pub fn at(server_time: Timestamp) -> Self {
        Self {
            seen: server_time,
            reading: None,
        }
    }

    /// The time that the cursor stands for; needed to go on from a page.
    pub fn seen(&self) -> Timestamp {
        self.seen
    }

    /// The reading to go on with, or a new one.
    pub fn reading(&self, server_time: Timestamp) -> Reading {
        self.reading.clone().unwrap_or_else(|| Reading {
            began: server_time,
            from: incremental::since(self.seen, OVERLAP, RESOLUTION),
            after: None,
        })
    }
}

impl Reading {
    /// The conditions on the rows of the next page.
    pub fn domain(&self) -> Vec<Value> {
        let from = json!(["write_date", ">=", time::to_database(self.from)]);
        match self.after {
            None => vec![from],
            Some(id) => vec![
                from,
                json!(["write_date", "<", time::to_database(next_second(self.from))]),
                json!(["id", ">", id]),
            ],
        }
    }

    /// The order in which the next page must be asked for.
    pub fn order(&self) -> &'static str {
        if self.after.is_some() {
            "id"
        } else {
            "write_date,id"
        }
    }

    /// The cursor after a page, and whether more can be read. `last` is the page's last row; `full` says that the page
    /// holds as many rows as were asked for.
    pub fn advance(self, seen: Timestamp, last: Option<Place>, full: bool) -> (Cursor, bool) {
        let next = match (self.after, last) {
            // Within a second and not through it.
            (Some(_), Some(last)) if full => Some(Self {
                after: Some(last.id),
                ..self.clone()
            }),
            // Through the second.
            (Some(_), _) => Some(Self {
                from: next_second(self.from),
                after: None,
                ..self.clone()
            }),
            // The page may have cut a second in two: that second again, by id.
            (None, Some(last)) if full => Some(Self {
                from: last.written,
                after: Some(0),
                ..self.clone()
            }),
            (None, _) => None,
        };
        match next {
            Some(reading) => (
                Cursor {
                    seen,
                    reading: Some(reading),
                },
                true,
            ),
            None => (Cursor::at(self.began), false),
        }
    }
}

fn next_second(time: Timestamp) -> Timestamp {
    time.checked_add(RESOLUTION).unwrap_or(Timestamp::MAX)
}

/// Where a listing continues: after this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingToken {
    /// The last id that was listed.
    pub after: i64,
}

/// The second of a row's `write_date`, as `read` tells it.
pub fn second(write_date: &Value) -> Option<Timestamp> {
    let time = time::database(write_date.as_str()?)?;
    Timestamp::from_second(time.as_second()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use samspel_connector::cursor::{decode, encode};

    use super::*;

    /// A table as PostgreSQL holds it: microseconds, told in seconds.
    struct Row {
        id: i64,
        micros: i64,
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What Odoo would answer to the domain and order of the reading.
    fn query(rows: &[Row], reading: &Reading, limit: usize) -> Vec<Place> {
        let from = reading.from.as_microsecond();
        let mut found: Vec<&Row> = rows
            .iter()
            .filter(|row| row.micros >= from)
            .filter(|row| match reading.after {
                None => true,
                Some(id) => row.id > id && row.micros < next_second(reading.from).as_microsecond(),
            })
            .collect();
        match reading.order() {
            "id" => found.sort_by_key(|row| row.id),
            _ => found.sort_by_key(|row| (row.micros, row.id)),
        }
        found
            .iter()
            .take(limit)
            .map(|row| Place {
                written: time(row.micros.div_euclid(1_000_000)),
                id: row.id,
            })
            .collect()
    }

    fn read_all(rows: &[Row], limit: usize) -> (Vec<i64>, Cursor, u32) {
        let mut cursor = Cursor::at(time(1_000));
        let mut seen = Vec::new();
        for page in 1..1_000 {
            let reading = cursor.reading(time(2_000));
            let places = query(rows, &reading, limit);
            seen.extend(places.iter().map(|place| place.id));
            let (next, more) =
                reading.advance(cursor.seen(), places.last().copied(), places.len() == limit);
            // What the host stores is what it hands back.
            cursor = decode(VERSION, &encode(VERSION, &next).unwrap()).unwrap();
            if !more {
                return (seen, cursor, page);
            }
        }
        panic!("the reading does not end");
    }

    #[test]
    fn every_row_is_read_whatever_the_stamps() {
        // Ids run against the stamps; seconds 1100 and 1102 hold more rows than a page.
        let mut rows = Vec::new();
        for n in 0..25 {
            rows.push(Row {
                id: 100 - n,
                micros: 1_100_000_000 + n * 7,
            });
            rows.push(Row {
                id: 200 - n,
                micros: 1_101_999_999,
            });
            rows.push(Row {
                id: 300 + n,
                micros: 1_102_000_000,
            });
        }
        rows.push(Row {
            id: 1,
            micros: 900_000_000,
        });
        rows.push(Row {
            id: 2,
            micros: 1_999_000_000,
        });
        for limit in [1, 2, 10, 1_000] {
            let (mut seen, cursor, _) = read_all(&rows, limit);
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 77, "limit {limit}");
            assert!(seen.contains(&1), "the overlap reaches back");
            assert_eq!(cursor, Cursor::at(time(2_000)));
        }
    }

    #[test]
    fn an_empty_reading_moves_to_the_servers_time() {
        let (seen, cursor, pages) = read_all(&[], 10);
        assert!(seen.is_empty());
        assert_eq!((cursor, pages), (Cursor::at(time(2_000)), 1));
    }

    #[test]
    fn rows_before_the_overlap_are_not_read_again() {
        let (seen, ..) = read_all(
            &[Row {
                id: 5,
                micros: 819_999_999,
            }],
            10,
        );
        assert!(seen.is_empty());
    }
}
