//! Writing: creates through Odoo's import, changes and removals one by one, and what Odoo holds afterwards.
//!
//! Odoo refuses no duplicates and knows no idempotency keys. Its import (`load`) does: a row has an *external id*,
//! which Odoo stores with the new record in one transaction. With `mode: update` and `noupdate` a row whose external id
//! exists is left as it is and its id is answered, so that a create can be repeated at any time without making a second
//! record and without undoing what somebody changed meanwhile.

use std::collections::BTreeMap;

use samspel_connector::fields::{Fields, Selection};
use samspel_connector::outcomes::Outcomes;
use samspel_connector::{
    Consent, ConsentState, Create, Deliverability, Fetched, Outcome, Rejection, Removal, Remove,
    Result, Update, Value, WriteOp, json, serde_json,
};
use serde::Deserialize;

use crate::model::{Model, OptOut, PARTNERS};
use crate::read::Reader;
use crate::record;
use crate::rpc::{Call, first_lines};
use crate::session::{Row, Session};
use crate::values::{Kind, Unacceptable};

/// The module part of the external ids. No app has this name, so that no upgrade of an app removes them.
const EXTERNAL_ID_MODULE: &str = "__samspel__";

/// A model, written in a session.
#[derive(Debug)]
pub struct Writer<'a> {
    session: &'a Session<'a>,
    model: &'a Model,
}

/// A record that was written and is still to be read back.
#[derive(Debug)]
struct Written {
    /// Position of the write.
    index: usize,
    id: i64,
    /// The fields that were written: nothing else is claimed about the record.
    fields: Vec<String>,
}

/// A create as a row of an import.
#[derive(Debug, Clone, PartialEq)]
struct ImportRow {
    index: usize,
    external_id: String,
    /// By column.
    cells: BTreeMap<String, String>,
    fields: Vec<String>,
    /// One of the cells is a point in time.
    timed: bool,
}

/// A change as Odoo's `write` takes it.
#[derive(Debug)]
struct Change {
    index: usize,
    id: i64,
    values: Row,
    fields: Vec<String>,
}

/// An address for Odoo's blacklist, once its record is written.
#[derive(Debug)]
struct Blacklisting {
    index: usize,
    email: String,
}

impl<'a> Writer<'a> {
    /// Writes the model.
    pub fn new(session: &'a Session<'a>, model: &'a Model) -> Self {
        Self { session, model }
    }

    /// One outcome per write.
    pub fn write(&self, writes: &[WriteOp]) -> Result<Vec<Outcome>> {
        let mut outcomes = Outcomes::new(writes.len());
        let mut rows = Vec::new();
        let mut changes = Vec::new();
        let mut removals = Vec::new();
        let mut blacklistings = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let prepared = match write {
                WriteOp::Create(create) => self.import_row(index, create).map(|row| {
                    blacklistings.extend(self.blacklisting(
                        index,
                        &create.consents,
                        &create.fields,
                        "{}",
                    ));
                    rows.push(row);
                }),
                WriteOp::Update(update) => self.change(index, update).map(|change| {
                    blacklistings.extend(self.blacklisting(
                        index,
                        &update.consents,
                        &update.patch,
                        &update.known,
                    ));
                    changes.push(change);
                }),
                WriteOp::Remove(remove) => self
                    .removal(remove)
                    .map(|call| removals.push((index, call))),
            };
            if let Err(rejected) = prepared {
                outcomes.set(index, Ok(Outcome::Rejected(rejected)));
            }
        }
        let mut written = self.import(rows, &mut outcomes);
        written.extend(self.apply(changes, &mut outcomes));
        self.blacklist(blacklistings, &mut written, &mut outcomes);
        self.remove(removals, &mut outcomes);
        self.read_back(written, &mut outcomes);
        outcomes.finish()
    }

    // ---- creates -----------------------------------------------------------------------------------------------

    fn import_row(&self, index: usize, create: &Create) -> Result<ImportRow, Rejection> {
        let fields = parse(&create.fields)?;
        let mut row = ImportRow {
            index,
            external_id: external_id(&create.idempotency_key),
            cells: BTreeMap::new(),
            fields: Vec::new(),
            timed: false,
        };
        for (name, value) in fields.iter() {
            let kind = self.writable(name)?;
            row.timed |= *kind == Kind::DateTime;
            let cell = kind.cell(value).map_err(|why| unacceptable(name, why))?;
            if let Some(cell) = cell {
                row.cells.insert(kind.column(name), cell);
            }
            row.fields.push(name.to_owned());
        }
        for (name, value) in self.states(&create.consents, create.deliverability.as_ref())? {
            let cell = match &value {
                // A new record starts without.
                Value::Bool(false) | Value::Null => continue,
                Value::Bool(true) => "1".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            row.cells.insert(name, cell);
        }
        Ok(row)
    }

    /// One import per set of columns: a column that is there with an empty cell says "empty", and one that is not
    /// there says "as Odoo's form would fill it in".
    fn import(&self, rows: Vec<ImportRow>, outcomes: &mut Outcomes) -> Vec<Written> {
        let mut groups: BTreeMap<Vec<String>, Vec<ImportRow>> = BTreeMap::new();
        for row in rows {
            groups
                .entry(row.cells.keys().cloned().collect())
                .or_default()
                .push(row);
        }
        let mut written = Vec::new();
        let mut groups: Vec<Vec<ImportRow>> = groups.into_values().collect();
        while !groups.is_empty() {
            let calls: Vec<Call> = groups
                .iter()
                .map(|rows| load(&self.model.name, rows))
                .collect();
            let answers = self.session.call_all(&calls);
            let mut again = Vec::new();
            for (rows, answer) in groups.into_iter().zip(answers) {
                match answer {
                    Ok(answer) => settle(rows, answer, &mut written, &mut again, outcomes),
                    Err(error) => {
                        outcomes.set_all(rows.iter().map(|row| row.index), &error.into_attempt());
                    }
                }
            }
            // An import is all or nothing. Each round has fewer rows than the one before: the faulty ones are out.
            groups = again;
        }
        written
    }

    // ---- changes -----------------------------------------------------------------------------------------------

    fn change(&self, index: usize, update: &Update) -> Result<Change, Rejection> {
        let mut change = Change {
            index,
            id: number(&update.id)?,
            values: Row::new(),
            fields: Vec::new(),
        };
        for (name, value) in parse(&update.patch)?.iter() {
            let kind = self.writable(name)?;
            let value = kind.writing(value).map_err(|why| unacceptable(name, why))?;
            change.values.insert(name.to_owned(), value);
            change.fields.push(name.to_owned());
        }
        change
            .values
            .extend(self.states(&update.consents, update.deliverability.as_ref())?);
        Ok(change)
    }

    fn apply(&self, changes: Vec<Change>, outcomes: &mut Outcomes) -> Vec<Written> {
        let (changes, unchanged): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| !change.values.is_empty());
        let calls: Vec<Call> = changes
            .iter()
            .map(|change| self.method("write", json!([[change.id], change.values])))
            .collect();
        let answers = self.session.call_all(&calls);
        let mut written: Vec<Written> = unchanged.into_iter().map(Written::from).collect();
        for (change, answer) in changes.into_iter().zip(answers) {
            match answer {
                Ok(_) => written.push(change.into()),
                Err(error) => outcomes.set(change.index, error.into_attempt()),
            }
        }
        written
    }

    // ---- removals ----------------------------------------------------------------------------------------------

    fn removal(&self, remove: &Remove) -> Result<Call, Rejection> {
        let id = number(&remove.id)?;
        match remove.how {
            Removal::Delete => Ok(self.method("unlink", json!([[id]]))),
            Removal::Archive if self.model.archivable => {
                Ok(self.method("write", json!([[id], {"active": false}])))
            }
            Removal::Archive => Err(rejection(
                format!(
                    "{} cannot be archived in this version of Odoo",
                    self.model.name
                ),
                None,
            )),
        }
    }

    fn remove(&self, removals: Vec<(usize, Call)>, outcomes: &mut Outcomes) {
        let (indices, calls): (Vec<usize>, Vec<Call>) = removals.into_iter().unzip();
        for (index, answer) in indices.into_iter().zip(self.session.call_all(&calls)) {
            // Deleting what does not exist is `true` to Odoo; archiving it is a MissingError, which is `gone` as well.
            outcomes.set(
                index,
                answer
                    .map(|_| Outcome::Gone)
                    .or_else(|error| error.into_attempt()),
            );
        }
    }

    // ---- consent and bounces -----------------------------------------------------------------------------------

    /// The values of Odoo's own fields for a consent and a deliverability.
    fn states(
        &self,
        consents: &[Consent],
        deliverability: Option<&Deliverability>,
    ) -> Result<Row, Rejection> {
        let mut values = Row::new();
        for consent in consents {
            if let Some(opted_out) = self.opted_out(consent)? {
                values.insert("opt_out".to_owned(), Value::Bool(opted_out));
            }
        }
        let Some(deliverability) = deliverability else {
            return Ok(values);
        };
        if !self.model.bounces {
            return Err(rejection(
                format!(
                    "{} has no bounce counter in this version of Odoo",
                    self.model.name
                ),
                None,
            ));
        }
        let hard_at = self.session.settings().hard_bounce_count;
        let Some(count) = record::bounce_count(&deliverability.state, hard_at) else {
            return Ok(values);
        };
        values.insert("message_bounce".to_owned(), json!(count));
        if let Some((name, kind)) = self.bounce_field()? {
            let value = match kind {
                Kind::Boolean => json!(record::must_not_be_written_to(&deliverability.state)),
                _ => match record::bounce_note(deliverability) {
                    Value::Null => Value::Bool(false),
                    note => note,
                },
            };
            values.insert(name.to_owned(), value);
        }
        Ok(values)
    }

    /// The value of `opt_out`; `None`: nothing to write on the record.
    fn opted_out(&self, consent: &Consent) -> Result<Option<bool>, Rejection> {
        if (consent.channel.as_str(), consent.purpose.as_str()) != ("email", "marketing") {
            return Err(rejection(
                format!(
                    "Odoo holds no consent for {} / {}",
                    consent.channel, consent.purpose
                ),
                None,
            ));
        }
        match (self.model.opt_out, &consent.state) {
            // Nothing was said, or nothing yet: neither sets nor lifts an opt-out.
            (_, ConsentState::Unspecified | ConsentState::Pending | ConsentState::Other(_)) => {
                Ok(None)
            }
            (Some(OptOut::Field { .. }), state) => Ok(Some(*state == ConsentState::Unsubscribed)),
            // Written by `blacklist`, after the record.
            (Some(OptOut::Blacklist), ConsentState::Unsubscribed) => Ok(None),
            (Some(OptOut::Blacklist), _) => Err(rejection(
                "only a person can take an address off Odoo's blacklist",
                None,
            )),
            (None, _) => Err(rejection(
                format!(
                    "{} has no opt-out in this database; install Odoo's app for e-mail marketing",
                    self.model.name
                ),
                None,
            )),
        }
    }

    fn bounce_field(&self) -> Result<Option<(&str, &Kind)>, Rejection> {
        let name = match &self.session.settings().partner_bounce_field {
            Some(name) if self.model.collection == PARTNERS => name,
            _ => return Ok(None),
        };
        match self.model.field(name) {
            Some(field) if !field.read_only && matches!(field.kind, Kind::Text | Kind::Boolean) => {
                Ok(Some((&field.name, &field.kind)))
            }
            _ => Err(rejection(
                format!(
                    "setting `partner_bounce_field`: contacts have no text or boolean field `{name}` that can be written"
                ),
                Some(name),
            )),
        }
    }

    fn blacklisting(
        &self,
        index: usize,
        consents: &[Consent],
        fields: &str,
        known: &str,
    ) -> Option<Blacklisting> {
        let restricts = consents
            .iter()
            .any(|consent| consent.state == ConsentState::Unsubscribed);
        if !restricts || self.model.opt_out != Some(OptOut::Blacklist) {
            return None;
        }
        let email = |json: &str| Some(Fields::parse(json).ok()?.text("email")?.to_owned());
        let email = email(fields).or_else(|| email(known)).unwrap_or_default();
        Some(Blacklisting { index, email })
    }

    /// Odoo 12 and later keep opt-outs by address. Adding one that is there is no error to Odoo.
    fn blacklist(
        &self,
        blacklistings: Vec<Blacklisting>,
        written: &mut Vec<Written>,
        outcomes: &mut Outcomes,
    ) {
        let due: Vec<Blacklisting> = blacklistings
            .into_iter()
            .filter(|due| written.iter().any(|record| record.index == due.index))
            .collect();
        let calls: Vec<Call> = due
            .iter()
            .map(|due| Call {
                model: "mail.blacklist".to_owned(),
                method: "create",
                args: vec![json!({"email": due.email})],
                kwargs: json!({}),
            })
            .collect();
        for (due, answer) in due.iter().zip(self.session.call_all(&calls)) {
            if let Err(error) = answer {
                written.retain(|record| record.index != due.index);
                outcomes.set(due.index, error.into_attempt());
            }
        }
    }

    // ---- afterwards --------------------------------------------------------------------------------------------

    fn read_back(&self, written: Vec<Written>, outcomes: &mut Outcomes) {
        let ids: Vec<i64> = written.iter().map(|record| record.id).collect();
        let names = written
            .iter()
            .flat_map(|record| record.fields.iter().cloned())
            .collect();
        // With an empty selection only revisions would be read, and the consents would be missing.
        let selection = match Selection::Only(names) {
            Selection::Only(names) if names.is_empty() => {
                Selection::Only(["name".to_owned()].into())
            }
            selection => selection,
        };
        match Reader::new(self.session, self.model).by_ids(&ids, &selection) {
            Ok(found) => {
                for record in written {
                    let attempt = match found.get(&record.id).cloned() {
                        Some(Fetched::Found(mut entity)) => {
                            entity.fields = only(&entity.fields, &record.fields);
                            Outcome::Written(entity)
                        }
                        Some(Fetched::Absent(why)) => {
                            Outcome::Unknown(format!("written, and then found {why:?}"))
                        }
                        Some(_) | None => Outcome::Gone,
                    };
                    outcomes.set(record.index, Ok(attempt));
                }
            }
            Err(failure) => {
                let unread = Outcome::Unknown(format!("written, but not read back: {failure:?}"));
                outcomes.set_all(written.iter().map(|record| record.index), &Ok(unread));
            }
        }
    }

    fn writable(&self, name: &str) -> Result<&Kind, Rejection> {
        match self.model.field(name) {
            Some(field) if field.read_only => Err(rejection(
                format!("`{name}` is read-only in Odoo"),
                Some(name),
            )),
            Some(field) => Ok(&field.kind),
            None => Err(rejection(
                format!("{} has no field `{name}`", self.model.name),
                Some(name),
            )),
        }
    }

    fn method(&self, method: &'static str, args: Value) -> Call {
        Call {
            model: self.model.name.clone(),
            method,
            args: match args {
                Value::Array(args) => args,
                single => vec![single],
            },
            kwargs: json!({}),
        }
    }
}

impl From<Change> for Written {
    fn from(change: Change) -> Self {
        Self {
            index: change.index,
            id: change.id,
            fields: change.fields,
        }
    }
}

/// The external id of a create. Odoo allows one dot in it, between module and name.
fn external_id(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for character in key.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') {
            name.push(character);
        } else {
            name.push_str(&format!("_x{:x}_", u32::from(character)));
        }
    }
    format!("{EXTERNAL_ID_MODULE}.{name}")
}

fn load(model: &str, rows: &[ImportRow]) -> Call {
    let columns: Vec<&str> = std::iter::once("id")
        .chain(
            rows.iter()
                .take(1)
                .flat_map(|row| row.cells.keys().map(String::as_str)),
        )
        .collect();
    let matrix: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| {
            std::iter::once(row.external_id.as_str())
                .chain(row.cells.values().map(String::as_str))
                .collect()
        })
        .collect();
    let mut context = json!({"mode": "update", "noupdate": true});
    if rows.iter().any(|row| row.timed) {
        // Times in cells are in the zone of the context, or else of the user. Only then: Odoo also makes it the time
        // zone of the new contact.
        context["tz"] = json!("UTC");
    }
    Call {
        model: model.to_owned(),
        method: "load",
        args: vec![json!(columns), json!(matrix)],
        kwargs: json!({"context": context}),
    }
}

/// What `load` answers.
#[derive(Debug, Deserialize)]
struct Loaded {
    /// The ids in the order of the rows, or `false` if nothing was imported.
    ids: Value,
    #[serde(default)]
    messages: Vec<LoadMessage>,
}

#[derive(Debug, Deserialize)]
struct LoadMessage {
    #[serde(rename = "type", default)]
    kind: String,
    /// The row it is about.
    #[serde(default)]
    record: Option<usize>,
    #[serde(default)]
    field: Option<Value>,
    #[serde(default)]
    message: String,
}

fn settle(
    rows: Vec<ImportRow>,
    answer: Value,
    written: &mut Vec<Written>,
    again: &mut Vec<Vec<ImportRow>>,
    outcomes: &mut Outcomes,
) {
    let loaded: Loaded = match serde_json::from_value(answer) {
        Ok(loaded) => loaded,
        Err(error) => {
            let unknown =
                Outcome::Unknown(format!("`load` answered something unexpected: {error}"));
            outcomes.set_all(rows.iter().map(|row| row.index), &Ok(unknown));
            return;
        }
    };
    if let Value::Array(ids) = &loaded.ids {
        let ids: Option<Vec<i64>> = ids.iter().map(Value::as_i64).collect();
        match ids.filter(|ids| ids.len() == rows.len()) {
            Some(ids) => written.extend(rows.into_iter().zip(ids).map(|(row, id)| Written {
                index: row.index,
                id,
                fields: row.fields,
            })),
            None => {
                let unknown = Outcome::Unknown("`load` answered ids for other rows".to_owned());
                outcomes.set_all(rows.iter().map(|row| row.index), &Ok(unknown));
            }
        }
        return;
    }
    let mut faults: BTreeMap<usize, &LoadMessage> = BTreeMap::new();
    for message in loaded
        .messages
        .iter()
        .filter(|message| message.kind == "error")
    {
        if let Some(record) = message.record.filter(|record| *record < rows.len()) {
            faults.entry(record).or_insert(message);
        }
    }
    if faults.is_empty() {
        let why = loaded
            .messages
            .first()
            .map_or("no reason given", |message| &message.message);
        let rejected =
            Outcome::rejected(format!("Odoo imported nothing: {}", first_lines(why)), None);
        outcomes.set_all(rows.iter().map(|row| row.index), &Ok(rejected));
        return;
    }
    let mut good = Vec::new();
    for (position, row) in rows.into_iter().enumerate() {
        match faults.get(&position) {
            Some(fault) => outcomes.set(row.index, Ok(fault.outcome())),
            None => good.push(row),
        }
    }
    if !good.is_empty() {
        again.push(good);
    }
}

impl LoadMessage {
    fn outcome(&self) -> Outcome {
        let reason = first_lines(&self.message);
        // `load` makes a message of everything, of what another transaction is in the way of as well.
        if CONTENTION.iter().any(|words| reason.contains(words)) {
            return Outcome::deferred(reason);
        }
        let field = self.field.as_ref().and_then(Value::as_str);
        Outcome::rejected(reason, field)
    }
}

/// PostgreSQL's words for "try again".
const CONTENTION: [&str; 3] = [
    "could not serialize access",
    "deadlock detected",
    "could not obtain lock",
];

/// Why a write is not even sent.
fn rejection(reason: impl Into<String>, field: Option<&str>) -> Rejection {
    Rejection {
        reason: reason.into(),
        field: field.map(str::to_owned),
    }
}

fn number(id: &str) -> Result<i64, Rejection> {
    // What is no number was never an id of this database.
    id.parse()
        .map_err(|_| rejection(format!("`{id}` is no id of Odoo, which are numbers"), None))
}

fn parse(fields: &str) -> Result<Fields, Rejection> {
    Fields::parse(fields).map_err(|failure| rejection(format!("{failure:?}"), None))
}

fn unacceptable(name: &str, why: Unacceptable) -> Rejection {
    rejection(format!("`{name}`: {}", why.0), Some(name))
}

/// Only these members of a record's fields.
fn only(fields: &str, names: &[String]) -> String {
    let fields: Row = serde_json::from_str(fields).unwrap_or_default();
    let kept: Row = fields
        .into_iter()
        .filter(|(name, _)| names.contains(name))
        .collect();
    Value::Object(kept).to_string()
}
