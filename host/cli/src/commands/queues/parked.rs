//! `samspel parked`: records that failed for good.

use std::collections::BTreeMap;

use indicatif::HumanCount;
use samspel_model::store::Parked;
use samspel_sync::Chosen;
use serde::Serialize;
use serde_json::{Value, json};

use super::{hidden, see, select};
use crate::args::{ListArgs, ParkedCommand, Selection};
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::Host;

const LIST: &str = "samspel parked list";

/// Runs one of the commands.
pub async fn run(command: &ParkedCommand, host: &Host, output: Output) -> Result<(), CliError> {
    match command {
        ParkedCommand::List(args) => list(args, host, output).await,
        ParkedCommand::Retry(selection) => settle(selection, host, output, true).await,
        ParkedCommand::Drop(selection) => settle(selection, host, output, false).await,
    }
}

#[derive(Serialize)]
struct Shown {
    id: String,
    sync: String,
    #[serde(flatten)]
    parked: Parked,
}

async fn list(args: &ListArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let mut all: Vec<Shown> = Vec::new();
    let mut totals = BTreeMap::new();
    for sync in select::syncs(host, args.name.as_deref())? {
        totals.insert(sync.clone(), host.store().counts(&sync).await?.parked);
        let parked = host.store().parked(&sync, 0, args.limit).await?;
        all.extend(parked.into_iter().map(|parked| Shown {
            id: parked.id(),
            sync: sync.clone(),
            parked,
        }));
    }
    let total: u64 = totals.values().sum();
    output.result(&json!({ "parked": all, "total": total }), |out| {
        if total == 0 {
            return writeln!(out, "no record is parked");
        }
        for (sync, total) in totals.iter().filter(|(_, total)| **total > 0) {
            writeln!(out, "{sync}: {} parked", HumanCount(*total))?;
            let mut count = 0;
            for one in all.iter().filter(|one| one.sync == *sync) {
                count += 1;
                let Parked { side, record, at, cause } = &one.parked;
                writeln!(out, "    {}  {side} {record}  since {at:.0}: {cause}", one.id)?;
            }
            hidden(out, *total, count)?;
        }
        writeln!(
            out,
            "each is tried again when it changes; samspel parked retry ID tries it with the next run, samspel parked \
             drop ID forgets it until then"
        )
    })
}

async fn settle(
    selection: &Selection,
    host: &Host,
    output: Output,
    again: bool,
) -> Result<(), CliError> {
    let mut queues = BTreeMap::new();
    for sync in select::syncs(host, selection.sync.as_deref())? {
        let parked = select::parked(host, &sync).await?;
        queues.insert(sync, parked);
    }
    let found = select::chosen(selection, queues, Parked::id, "parked record", LIST)?;
    let key = if again { "retry" } else { "dropped" };
    let mut settled: Vec<Value> = Vec::new();
    for (sync, parked) in &found {
        let operator = host.operator(sync)?;
        let ids = Chosen::Ids(parked.iter().map(Parked::id).collect());
        let done = select::patiently(async || {
            if again {
                operator.retry_parked(&ids).await
            } else {
                operator.drop_parked(&ids).await
            }
        })
        .await;
        let done = done.map_err(|error| error.detail(key, json!(settled)))?;
        settled.extend(done.iter().map(|parked| {
            json!({
                "id": parked.id(), "sync": sync, "side": parked.side, "record": parked.record,
                "cause": parked.cause,
            })
        }));
    }
    let syncs: Vec<String> = found.keys().cloned().collect();
    let next = if again {
        "the next run tries again"
    } else {
        "they are looked at again when they change"
    };
    output.result(&json!({ key: settled, "next": next }), |out| {
        let number = HumanCount(settled.len() as u64);
        match (settled.is_empty(), again) {
            (true, _) => writeln!(out, "nothing is parked there"),
            (false, true) => writeln!(out, "{number} to be tried; {next}\n{}", see(&syncs)),
            (false, false) => writeln!(out, "{number} dropped; {next}"),
        }
    })
}
