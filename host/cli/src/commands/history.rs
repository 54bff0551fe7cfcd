//! `samspel history`: why a record has its values.

use std::io::{self, Write};

use samspel_sync::{Event, FieldHistory, History, history};
use serde_json::{Value, json};

use super::queues::{syncs, value};
use super::sync::names;
use crate::args::HistoryArgs;
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::{Host, Kind};

/// Tells a record's history.
pub async fn run(args: &HistoryArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let searched = syncs(host, args.sync.as_deref())?;
    for sync in &searched {
        let spec = host.spec(sync)?;
        let side = args.side.map(Into::into);
        found.extend(history(host.store(), sync, spec, &args.record, side, limit).await?);
    }
    if found.is_empty() {
        return Err(CliError::new(
            Kind::Usage,
            format!("no sync knows a record `{}`", args.record),
        )
        .remedy(format!(
            "name it by its id on either side or by its value in the match field; searched {}",
            searched.join(", ")
        )));
    }
    if let Some(field) = &args.field {
        only(&mut found, field)?;
    }
    let said = json!({ "record": args.record, "found": found });
    output.result(&said, |out| {
        found
            .iter()
            .try_for_each(|history| write(out, host, history))
    })
}

/// Leaves one field of each record.
fn only(found: &mut [History], field: &str) -> Result<(), CliError> {
    let is_it = |told: &FieldHistory| {
        told.mapping == field
            || told
                .mapping
                .split_once('=')
                .is_some_and(|(a, b)| a == field || b == field)
    };
    let known: Vec<String> = found
        .iter()
        .flat_map(|history| history.fields.iter().map(|told| told.mapping.clone()))
        .collect();
    for history in found.iter_mut() {
        history.fields.retain(is_it);
    }
    if found.iter().all(|history| history.fields.is_empty()) {
        return Err(
            CliError::new(Kind::Usage, format!("no field `{field}` is mapped"))
                .remedy(format!("mapped are {}", known.join(", "))),
        );
    }
    Ok(())
}

fn write(out: &mut dyn Write, host: &Host, history: &History) -> io::Result<()> {
    let places = names(host, &history.sync).map_err(io::Error::other)?;
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
