//! `samspel erase`: a person is forgotten.

use samspel_model::store::Endpoint;
use samspel_model::{RecordId, Side};
use samspel_sync::{Concerned, erase, find_records, person};
use serde_json::json;

use super::ask::agree;
use crate::args::EraseArgs;
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::{Host, Kind};

/// Forgets a person.
pub async fn run(args: &EraseArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let concerned = concerned(host);
    let start = start(args, host).await?;
    let records: Vec<String> = person(host.store(), &concerned, start.clone())
        .await?
        .iter()
        .map(|(endpoint, id)| format!("{}/{}/{id}", endpoint.account, endpoint.collection))
        .collect();
    let question = format!(
        "Forget this person? What is known of these records goes, in all syncs:\n  {}\nThe remotes are not touched: \
         erase the person there first, or the records are read again, as those of somebody who has opted out.",
        records.join("\n  ")
    );
    let what = format!(
        "erase forgets what is known of {}; erase the person at the remotes first",
        records.join(", ")
    );
    agree(output, args.yes, question, &what).await?;
    let pseudonyms = host.pseudonyms_to_erase().await?;
    let erased = erase(
        host.store(),
        host.clock(),
        host.owner(),
        &concerned,
        &pseudonyms,
        start,
    )
    .await?;
    let said = json!({
        "sync": args.sync,
        "records": erased.records,
        "suppressed": erased.suppressed,
    });
    output.result(&said, |out| {
        writeln!(out, "forgotten: {}", erased.records.join(", "))?;
        writeln!(
            out,
            "{} address(es) kept as a keyed hash: what comes back under one comes back opted out",
            erased.suppressed
        )?;
        writeln!(
            out,
            "what is still at the remotes is read again; back up the key ({})",
            host.config().resolve(&host.config().host.key).display()
        )
    })
}

/// Every configured sync: links of any may lead to further records of the person.
fn concerned(host: &Host) -> Vec<Concerned> {
    host.config()
        .syncs
        .iter()
        .map(|(name, spec)| Concerned {
            sync: name.clone(),
            endpoints: [&spec.a, &spec.b].map(|side| Endpoint {
                account: side.account.clone(),
                collection: side.collection.clone(),
            }),
            match_fields: [spec.match_on.a.clone(), spec.match_on.b.clone()],
        })
        .collect()
}

/// The one record that is meant.
async fn start(args: &EraseArgs, host: &Host) -> Result<(Endpoint, RecordId), CliError> {
    let spec = host.spec(&args.sync)?;
    let side = args.side.map(Into::into);
    let found = find_records(host.store(), &args.sync, spec, &args.record, side).await?;
    let place = |side: Side| match side {
        Side::A => &spec.a,
        Side::B => &spec.b,
    };
    match found.as_slice() {
        [(side, seen)] => Ok((
            Endpoint {
                account: place(*side).account.clone(),
                collection: place(*side).collection.clone(),
            },
            seen.id.clone(),
        )),
        [] => Err(CliError::new(
            Kind::Usage,
            format!("sync {} knows no record `{}`", args.sync, args.record),
        )
        .remedy("name it by its id on either side or by its value in the match field")),
        several => {
            let listed: Vec<String> = several
                .iter()
                .map(|(side, seen)| format!("{} {} (side {side})", place(*side).account, seen.id))
                .collect();
            Err(CliError::new(
                Kind::Usage,
                format!(
                    "`{}` means several records: {}",
                    args.record,
                    listed.join(", ")
                ),
            )
            .remedy("name one by its id, with --side a or --side b; erase each by itself"))
        }
    }
}
