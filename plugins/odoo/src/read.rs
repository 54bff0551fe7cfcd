//! Reading: changes, listings, records by id and by value.

use std::collections::{BTreeMap, BTreeSet};

use samspel_connector::cursor::{decode, encode};
use samspel_connector::fields::Selection;
use samspel_connector::{
    Absence, ChangesRequest, Entity, Fetched, Page, ReadMode, RecordId, Result, Tombstone, Value,
    json,
};

use crate::cursor::{Cursor, ListingToken, Place, VERSION, second};
use crate::model::{MAX_PAGE, Model};
use crate::record::{self, Listed};
use crate::session::{Row, Session, search_among, search_read};

/// A model, read in a session.
#[derive(Debug)]
pub struct Reader<'a> {
    session: &'a Session<'a>,
    model: &'a Model,
}

impl<'a> Reader<'a> {
    /// Reads the model.
    pub fn new(session: &'a Session<'a>, model: &'a Model) -> Self {
        Self { session, model }
    }

    /// One page of changes or of a listing.
    pub fn changes(&self, request: ChangesRequest) -> Result<Page> {
        let selection = Selection::new(request.fields);
        let limit = request.limit.clamp(1, MAX_PAGE);
        match request.mode {
            ReadMode::Incremental(cursor) => {
                self.incremental(&decode(VERSION, &cursor)?, &selection, limit)
            }
            ReadMode::Snapshot(None) => self.listing(None, &selection, limit),
            ReadMode::Snapshot(Some(token)) => {
                self.listing(Some(decode(VERSION, &token)?), &selection, limit)
            }
        }
    }

    fn incremental(&self, cursor: &Cursor, selection: &Selection, limit: u32) -> Result<Page> {
        let reading = cursor.reading(self.session.server_time());
        let rows = self.search(reading.domain(), selection, reading.order(), Some(limit))?;
        let full = rows.len() as u64 >= u64::from(limit);
        let last = rows.last().map(place).transpose()?;
        let (next, more) = reading.advance(cursor.seen(), last, full);
        let mut page = self.page(&rows, selection)?;
        page.next = Some(encode(VERSION, &next)?);
        page.more = more;
        Ok(page)
    }

    /// By id, because ids do not change while the listing goes on.
    fn listing(
        &self,
        token: Option<ListingToken>,
        selection: &Selection,
        limit: u32,
    ) -> Result<Page> {
        let mut domain = self.model.filter(self.session.settings()).to_vec();
        let first = token.is_none();
        if let Some(token) = token {
            domain.push(json!(["id", ">", token.after]));
        }
        let rows = self.search(domain, selection, "id", Some(limit))?;
        let full = rows.len() as u64 >= u64::from(limit);
        let mut page = self.listed(&rows, selection)?;
        if first {
            page.resume_cursor = Some(encode(VERSION, &Cursor::at(self.session.server_time()))?);
        }
        if let Some(last) = rows.last().filter(|_| full) {
            page.next = Some(encode(
                VERSION,
                &ListingToken {
                    after: record::id(last)?,
                },
            )?);
            page.more = true;
        } else {
            page.complete = true;
        }
        Ok(page)
    }

    /// One answer per id.
    pub fn fetch(&self, ids: &[RecordId], selection: &Selection) -> Result<Vec<Fetched>> {
        let numbers: Vec<i64> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let found = self.by_ids(&numbers, selection)?;
        Ok(ids
            .iter()
            .map(|id| match id.parse() {
                Ok(number) => found
                    .get(&number)
                    .cloned()
                    .unwrap_or(Fetched::Absent(Absence::Deleted)),
                Err(_) => Fetched::Failed(format!("`{id}` is no id of Odoo, which are numbers")),
            })
            .collect())
    }

    /// What became of each row that still exists.
    pub fn by_ids(&self, ids: &[i64], selection: &Selection) -> Result<BTreeMap<i64, Fetched>> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = self.search(vec![json!(["id", "in", ids])], selection, "id", None)?;
        let page = self.page(&rows, selection)?;
        let records = page
            .records
            .into_iter()
            .map(|entity| (entity.id.clone(), Fetched::Found(entity)));
        let absences = page
            .tombstones
            .into_iter()
            .map(|gone| (gone.id, Fetched::Absent(gone.why)));
        Ok(records
            .chain(absences)
            .filter_map(|(id, fetched)| Some((id.parse().ok()?, fetched)))
            .collect())
    }

    /// Per value the active rows of the collection whose field equals it, whatever the letter case.
    pub fn find(&self, field: &str, values: &[String]) -> Result<Vec<Vec<Entity>>> {
        let asked: BTreeSet<&str> = values
            .iter()
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .collect();
        if asked.is_empty() {
            return Ok(values.iter().map(|_| Vec::new()).collect());
        }
        let mut domain = self.model.filter(self.session.settings()).to_vec();
        domain.extend(std::iter::repeat_n(json!("|"), asked.len() - 1));
        domain.extend(
            asked
                .iter()
                .map(|value| json!([field, "=ilike", like_literal(value)])),
        );
        let rows = self.search(domain, &Selection::All, "id", None)?;
        let mut by_value: BTreeMap<String, Vec<Entity>> = BTreeMap::new();
        for row in &rows {
            let Listed::Record(entity) = self.record(row, &Selection::All)? else {
                continue;
            };
            if let Some(value) = row.get(field).and_then(Value::as_str) {
                by_value
                    .entry(value.to_lowercase())
                    .or_default()
                    .push(entity);
            }
        }
        Ok(values
            .iter()
            .map(|value| {
                by_value
                    .get(&value.to_lowercase())
                    .cloned()
                    .unwrap_or_default()
            })
            .collect())
    }

    fn search(
        &self,
        domain: Vec<Value>,
        selection: &Selection,
        order: &str,
        limit: Option<u32>,
    ) -> Result<Vec<Row>> {
        let fields = self.columns(selection);
        self.session.read(&search_read(
            &self.model.name,
            domain,
            &fields,
            order,
            limit,
        ))
    }

    fn columns(&self, selection: &Selection) -> Vec<String> {
        if matches!(selection, Selection::Only(names) if names.is_empty()) {
            // Ids and revisions only. An empty list would mean every field to Odoo.
            let archive = self.model.archivable.then(|| "active".to_owned());
            return std::iter::once("write_date".to_owned())
                .chain(archive)
                .collect();
        }
        let mut columns = self.model.bookkeeping();
        let wanted = self
            .model
            .fields
            .iter()
            .filter(|field| selection.wants(&field.name));
        columns.extend(wanted.map(|field| field.name.clone()));
        columns
    }

    fn record(&self, row: &Row, selection: &Selection) -> Result<Listed> {
        record::listed(
            self.model,
            row,
            selection,
            self.session.settings().hard_bounce_count,
        )
    }

    /// A page of rows of which all belong to the collection.
    fn listed(&self, rows: &[Row], selection: &Selection) -> Result<Page> {
        let mut page = empty();
        for row in rows {
            match self.record(row, selection)? {
                Listed::Record(entity) => page.records.push(entity),
                Listed::Archived(tombstone) => page.tombstones.push(tombstone),
            }
        }
        Ok(page)
    }

    /// A page of rows that may have left the collection: the filter was not part of the question, because a row that
    /// left it must be told.
    fn page(&self, rows: &[Row], selection: &Selection) -> Result<Page> {
        let mut page = self.listed(rows, selection)?;
        let filter = self.model.filter(self.session.settings());
        if filter.is_empty() || rows.is_empty() {
            return Ok(page);
        }
        let ids: Vec<i64> = rows.iter().map(record::id).collect::<Result<_>>()?;
        let inside: Vec<i64> = self
            .session
            .read(&search_among(&self.model.name, &ids, filter))?;
        let inside: BTreeSet<String> = inside.iter().map(i64::to_string).collect();
        let (records, outside) = page
            .records
            .into_iter()
            .partition(|entity: &Entity| inside.contains(&entity.id));
        page.records = records;
        page.tombstones
            .extend(outside.into_iter().map(|entity: Entity| Tombstone {
                id: entity.id,
                why: Absence::OutOfScope,
                revision: entity.revision,
            }));
        Ok(page)
    }
}

fn empty() -> Page {
    Page {
        records: Vec::new(),
        tombstones: Vec::new(),
        next: None,
        more: false,
        resume_cursor: None,
        complete: false,
    }
}

fn place(row: &Row) -> Result<Place> {
    let written = row.get("write_date").and_then(second).ok_or_else(|| {
        samspel_connector::Failure::Bug("Odoo returned a row without a write_date".to_owned())
    })?;
    Ok(Place {
        written,
        id: record::id(row)?,
    })
}

/// The value itself as a pattern of `LIKE`.
fn like_literal(value: &str) -> String {
    let mut pattern = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_literal() {
        assert_eq!(like_literal(r"a_b%c\d"), r"a\_b\%c\\d");
    }
}
