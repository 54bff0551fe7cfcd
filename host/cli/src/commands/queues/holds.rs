//! `samspel holds`: what the safety valves hold, and letting it pass or not.

use std::collections::BTreeMap;

use samspel_model::store::{Conflict, Verdict, Waiting};

use super::conflicts::{decide, list_of};
use super::select;
use crate::args::{HoldArgs, HoldsCommand};
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::{Host, Kind};

const LIST: &str = "samspel holds list";

/// Runs one of the commands.
pub async fn run(command: &HoldsCommand, host: &Host, output: Output) -> Result<(), CliError> {
    let (args, verdict) = match command {
        HoldsCommand::List(args) => {
            let advice = "samspel holds approve --all --about ABOUT lets a group pass, samspel holds reject ... leaves \
                          it; single ones by ID";
            let queue = (Waiting::Holds, "holds", "holds", advice);
            return list_of(args, host, output, queue).await;
        }
        HoldsCommand::Approve(args) => (args, Verdict::Approve),
        HoldsCommand::Reject(args) => (args, Verdict::Reject),
    };
    let found = chosen(host, args).await?;
    decide(host, output, Waiting::Holds, found, &verdict, 0).await
}

async fn chosen(host: &Host, args: &HoldArgs) -> Result<BTreeMap<String, Vec<Conflict>>, CliError> {
    let mut queues = BTreeMap::new();
    for sync in select::syncs(host, args.selection.sync.as_deref())? {
        let waiting = select::waiting(host, &sync, Waiting::Holds).await?;
        queues.insert(sync, waiting);
    }
    if let Some(about) = &args.about {
        let known: Vec<String> = queues
            .values()
            .flatten()
            .map(|hold| hold.about.clone())
            .collect();
        if !known.contains(about) {
            return Err(
                CliError::new(Kind::Usage, format!("nothing is held about `{about}`"))
                    .remedy(format!("`{LIST}` shows what there is")),
            );
        }
        for holds in queues.values_mut() {
            holds.retain(|hold| hold.about == *about);
        }
    }
    select::chosen(&args.selection, queues, Conflict::id, "hold", LIST)
}
