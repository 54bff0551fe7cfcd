//! `samspel history`: why a record has its values.

use std::io::{self, Write};

use samspel_operations::Limit;
use samspel_operations::records::{Place, ShowHistory};
use samspel_sync::Event;
use serde_json::Value;

use super::queues::value;
use crate::args::HistoryArgs;
use crate::exit::CliError;
use crate::session::Session;

/// Tells a record's history.
pub async fn run(args: &HistoryArgs, session: &Session) -> Result<(), CliError> {
    let known = session
        .perform(&ShowHistory {
            record: args.record.clone(),
            sync: args.sync.clone(),
            side: args.side.map(Into::into),
            field: args.field.clone(),
            limit: Limit::new(args.limit),
        })
        .await?;
    session.output.result(&known, |out| {
        known.found.iter().try_for_each(|place| write(out, place))
    })
}

fn write(out: &mut dyn Write, place: &Place) -> io::Result<()> {
    let (history, places) = (&place.history, &place.sides);
    let side = history.side.index();
    write!(out, "{} {}", places[side], history.record)?;
    match &history.partner {
        Some(partner) => write!(out, " <-> {} {partner}", places[1 - side])?,
        None => write!(out, ", not linked")?,
    }
    writeln!(out, "  (sync {})", history.sync)?;
    for told in &history.fields {
        writeln!(out, "  {:<20} {}", told.field, value(&told.value))?;
        let since = told.since.map_or_else(
            || "since an unknown time".to_owned(),
            |at| format!("since {at:.0}"),
        );
        let from = told
            .account
            .as_ref()
            .map(|account| format!(", from {account}"));
        let run = told
            .run
            .as_ref()
            .map(|run| format!(", written by run {run}"));
        writeln!(
            out,
            "  {:<20} {since}{}{}; {}",
            "",
            from.unwrap_or_default(),
            run.unwrap_or_default(),
            told.decided
        )?;
    }
    if !history.events.is_empty() {
        writeln!(out, "  what happened, newest first")?;
    }
    for event in &history.events {
        writeln!(out, "    {}", line(event))?;
    }
    if history.more {
        writeln!(out, "    ... and more (--limit N shows more)")?;
    }
    Ok(())
}

fn line(event: &Event) -> String {
    let kind = serde_json::to_value(event.kind).unwrap_or_default();
    let mut line = format!("{:.0}  {:<10}", event.at, kind.as_str().unwrap_or_default());
    if let (Some(side), Some(record)) = (event.side, &event.record) {
        line.push_str(&format!(" {side} {record}"));
    }
    let details: Vec<String> = event
        .detail
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, detail)| !is_nothing(detail))
        .map(|(name, detail)| format!("{name} {}", value(detail)))
        .collect();
    if !details.is_empty() {
        line.push_str(": ");
        line.push_str(&details.join(", "));
    }
    line
}

fn is_nothing(detail: &Value) -> bool {
    match detail {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
