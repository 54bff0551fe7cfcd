//! `samspel parked`: records that failed for good.

use std::io::{self, Write};

use indicatif::HumanCount;
use samspel_model::store::Parked;
use samspel_operations::queues::{DropParked, ListParked, ListedParked, RetryParked};
use samspel_operations::{Limit, Number};

use super::{distinct, hidden, see};
use crate::args::ParkedCommand;
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &ParkedCommand, session: &Session) -> Result<(), CliError> {
    match command {
        ParkedCommand::List(args) => {
            let listed = session
                .perform(&ListParked {
                    sync: args.name.clone(),
                    offset: Number::default(),
                    limit: Limit::new(args.limit),
                })
                .await?;
            session.output.result(&listed, |out| write(out, &listed))
        }
        ParkedCommand::Retry(selection) => {
            let selection = selection.into();
            let done = session.perform(&RetryParked { selection }).await?;
            session.output.result(&done, |out| {
                if done.retry.is_empty() {
                    return writeln!(out, "nothing is parked there");
                }
                let number = HumanCount(done.retry.len() as u64);
                let syncs = distinct(done.retry.iter().map(|one| one.sync.as_str()));
                writeln!(out, "{number} to be tried; {}\n{}", done.next, see(&syncs))
            })
        }
        ParkedCommand::Drop(selection) => {
            let selection = selection.into();
            let done = session.perform(&DropParked { selection }).await?;
            session.output.result(&done, |out| {
                if done.dropped.is_empty() {
                    return writeln!(out, "nothing is parked there");
                }
                let number = HumanCount(done.dropped.len() as u64);
                writeln!(out, "{number} dropped; {}", done.next)
            })
        }
    }
}

fn write(out: &mut dyn Write, listed: &ListedParked) -> io::Result<()> {
    if listed.total == 0 {
        return writeln!(out, "no record is parked");
    }
    for (sync, total) in listed.totals.iter().filter(|(_, total)| **total > 0) {
        writeln!(out, "{sync}: {} parked", HumanCount(*total))?;
        let mut count = 0;
        for one in listed.parked.iter().filter(|one| one.sync == *sync) {
            count += 1;
            let Parked {
                side,
                record,
                at,
                cause,
            } = &one.parked;
            writeln!(
                out,
                "    {}  {side} {record}  since {at:.0}: {cause}",
                one.id
            )?;
        }
        hidden(out, *total, count)?;
    }
    writeln!(
        out,
        "each is tried again when it changes; samspel parked retry ID tries it with the next run, samspel parked drop ID \
         forgets it until then"
    )
}
