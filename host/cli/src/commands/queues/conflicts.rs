//! `samspel conflicts`: what is undecided, and deciding it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::HumanCount;
use samspel_model::store::{Conflict, Decision, Verdict, Waiting, subject};
use samspel_sync::Chosen;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NEXT, hidden, see, select, value};
use crate::args::{ConflictsCommand, ListArgs, ResolveArgs, Selection, ShowArgs};
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::{Host, Kind};

const LIST: &str = "samspel conflicts list";

/// Runs one of the commands.
pub async fn run(command: &ConflictsCommand, host: &Host, output: Output) -> Result<(), CliError> {
    match command {
        ConflictsCommand::List(args) => list(args, host, output).await,
        ConflictsCommand::Show(args) => show(args, host, output).await,
        ConflictsCommand::Resolve(args) => resolve(args, host, output).await,
    }
}

/// An entry of the queue as it is shown: conflicts and holds alike.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// By which it is referred to.
    pub id: String,
    /// Where.
    pub sync: String,
    /// What is undecided.
    #[serde(flatten)]
    pub conflict: Conflict,
    /// What was said about it and is not carried out yet.
    pub decision: Option<Verdict>,
}

/// What is in the queue of one sync.
pub async fn shown(
    host: &Host,
    sync: &str,
    conflicts: Vec<Conflict>,
) -> Result<Vec<Shown>, CliError> {
    let told = host.operator(sync)?.told(&conflicts).await?;
    Ok(conflicts
        .into_iter()
        .map(|conflict| Shown {
            id: conflict.id(),
            sync: sync.to_owned(),
            decision: said(&told, &conflict),
            conflict,
        })
        .collect())
}

fn said(told: &[Decision], conflict: &Conflict) -> Option<Verdict> {
    told.iter()
        .find(|told| {
            told.side == conflict.side
                && told.record == conflict.record
                && told.about == conflict.about
        })
        .map(|told| told.verdict.clone())
}

impl Shown {
    /// One line.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "    {}  {} {}  since {:.0}",
            self.id, self.conflict.side, self.conflict.record, self.conflict.at
        )?;
        match &self.decision {
            Some(verdict) => writeln!(out, "  (decided: {}; {NEXT})", words(verdict)),
            None => writeln!(out, ": {}", self.conflict.why),
        }
    }
}

/// A verdict as people say it.
pub fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Take(side) => format!("take {side}"),
        Verdict::Link(record) => format!("link with {record}"),
        Verdict::Approve => "approved".to_owned(),
        Verdict::Reject => "left as it is".to_owned(),
    }
}

/// So many entries are about the same.
#[derive(Debug, Serialize)]
struct Group {
    sync: String,
    about: String,
    count: u64,
}

/// How many entries are about what.
fn groups(sync: &str, conflicts: &[Conflict]) -> Vec<Group> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for conflict in conflicts {
        *counts.entry(&conflict.about).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(about, count)| Group {
            sync: sync.to_owned(),
            about: about.to_owned(),
            count,
        })
        .collect()
}

/// The entries of some syncs, grouped; of conflicts and of holds.
pub async fn list_of(
    args: &ListArgs,
    host: &Host,
    output: Output,
    (which, key, what, advice): (Waiting, &str, &str, &str),
) -> Result<(), CliError> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut all, mut grouped, mut totals) = (Vec::new(), Vec::new(), BTreeMap::new());
    for sync in select::syncs(host, args.name.as_deref())? {
        let mut waiting = select::waiting(host, &sync, which).await?;
        totals.insert(sync.clone(), waiting.len() as u64);
        grouped.extend(groups(&sync, &waiting));
        waiting.sort_by(|x, y| (&x.about, x.at).cmp(&(&y.about, y.at)));
        waiting.truncate(limit);
        all.extend(shown(host, &sync, waiting).await?);
    }
    let total: u64 = totals.values().sum();
    let said = json!({ key: all, "groups": grouped, "total": total });
    output.result(&said, |out| {
        if total == 0 {
            return writeln!(out, "there are no {what}");
        }
        for (sync, total) in totals.iter().filter(|(_, total)| **total > 0) {
            writeln!(out, "{sync}: {} {what}", HumanCount(*total))?;
            let mut count = 0;
            for group in grouped.iter().filter(|group| group.sync == *sync) {
                writeln!(out, "  {} ({})", group.about, HumanCount(group.count))?;
                let mut of_group = all
                    .iter()
                    .filter(|one| one.sync == *sync && one.conflict.about == group.about);
                of_group.try_for_each(|one| {
                    count += 1;
                    one.write(out)
                })?;
            }
            hidden(out, *total, count)?;
        }
        writeln!(out, "{advice}")
    })
}

async fn list(args: &ListArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let advice = "samspel conflicts show ID tells what can be done; samspel conflicts resolve ID ... does it";
    list_of(
        args,
        host,
        output,
        (Waiting::Conflicts, "conflicts", "conflicts", advice),
    )
    .await
}

async fn show(args: &ShowArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let selection = Selection {
        ids: vec![args.id.clone()],
        all: false,
        sync: args.name.clone(),
    };
    let mut found = chosen(host, &selection, Waiting::All).await?;
    let Some((sync, conflicts)) = found.pop_first() else {
        return Err(CliError::new(
            Kind::Usage,
            format!("there is no conflict `{}`", args.id),
        ));
    };
    let Some(one) = shown(host, &sync, conflicts).await?.pop() else {
        return Err(CliError::new(
            Kind::Usage,
            format!("there is no conflict `{}`", args.id),
        ));
    };
    let can = can(&one);
    let mut said = serde_json::to_value(&one).map_err(io::Error::from)?;
    said["can"] = json!(can);
    output.result(&said, |out| {
        let Conflict {
            side,
            record,
            about,
            at,
            why,
            detail,
            ..
        } = &one.conflict;
        writeln!(
            out,
            "{}  {about} of record {record} on side {side}, sync {sync}",
            one.id
        )?;
        writeln!(out, "  since     {at:.0}")?;
        writeln!(out, "  why       {why}")?;
        for (name, content) in detail.as_object().into_iter().flatten() {
            writeln!(out, "  {name:<9} {}", value(content))?;
        }
        if let Some(verdict) = &one.decision {
            writeln!(out, "  decided   {}; {NEXT}", words(verdict))?;
        }
        writeln!(out, "  you can   {}", can.join("\n            "))
    })
}

/// What can be said about an entry: commands, or what to do at the remotes.
fn can(one: &Shown) -> Vec<String> {
    let (id, sync) = (&one.id, &one.sync);
    let resolve = |answer: &str| format!("samspel conflicts resolve {id} {answer} --sync {sync}");
    match one.conflict.about.as_str() {
        about if subject::is_hold(about) => vec![
            format!("samspel holds approve {id} --sync {sync}"),
            format!("samspel holds reject {id} --sync {sync}"),
        ],
        subject::IDENTITY => vec![
            resolve("--link RECORD"),
            resolve("--leave"),
            "merge or correct the records at the remotes".to_owned(),
        ],
        subject::MERGE => vec![
            "merge the two records at the remote".to_owned(),
            resolve("--leave"),
        ],
        _ => vec![
            resolve("--take a"),
            resolve("--take b"),
            "make the two equal at the remotes".to_owned(),
        ],
    }
}

async fn chosen(
    host: &Host,
    selection: &Selection,
    which: Waiting,
) -> Result<BTreeMap<String, Vec<Conflict>>, CliError> {
    let mut queues = BTreeMap::new();
    for sync in select::syncs(host, selection.sync.as_deref())? {
        let waiting = select::waiting(host, &sync, which).await?;
        queues.insert(sync, waiting);
    }
    select::chosen(selection, queues, Conflict::id, "conflict", LIST)
}

async fn resolve(args: &ResolveArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let verdict = match (args.take, &args.link) {
        (Some(side), _) => Verdict::Take(side.into()),
        (None, Some(record)) => Verdict::Link(record.as_str().into()),
        (None, None) => Verdict::Reject,
    };
    let mut found = chosen(host, &args.selection, Waiting::Conflicts).await?;
    let mut left = 0;
    if args.selection.all {
        for conflicts in found.values_mut() {
            let before = conflicts.len();
            conflicts.retain(|conflict| fits_all(conflict, &verdict));
            left += before - conflicts.len();
        }
        found.retain(|_, conflicts| !conflicts.is_empty());
    }
    decide(host, output, Waiting::Conflicts, found, &verdict, left).await
}

/// Whether an answer to everything answers this one. A consent is a decision of its own.
fn fits_all(conflict: &Conflict, verdict: &Verdict) -> bool {
    let about = conflict.about.as_str();
    let identity = matches!(about, subject::IDENTITY | subject::MERGE);
    match verdict {
        Verdict::Take(_) => !identity && about.contains('='),
        Verdict::Reject => identity,
        Verdict::Link(_) | Verdict::Approve => false,
    }
}

/// Stores what was said, and tells what happens next.
pub async fn decide(
    host: &Host,
    output: Output,
    which: Waiting,
    found: BTreeMap<String, Vec<Conflict>>,
    verdict: &Verdict,
    left: usize,
) -> Result<(), CliError> {
    let mut decided: Vec<Value> = Vec::new();
    for (sync, conflicts) in &found {
        let operator = host.operator(sync)?;
        let ids = Chosen::Ids(conflicts.iter().map(Conflict::id).collect());
        let done = select::patiently(async || operator.decide(which, &ids, verdict).await).await;
        let done = done.map_err(|error| error.detail("decided", json!(decided)))?;
        decided.extend(done.iter().map(|conflict| {
            json!({
                "id": conflict.id(), "sync": sync, "side": conflict.side, "record": conflict.record,
                "about": conflict.about,
            })
        }));
    }
    let syncs: Vec<String> = found.keys().cloned().collect();
    let said = json!({ "decided": decided, "verdict": verdict, "left": left, "next": NEXT });
    output.result(&said, |out| {
        if decided.is_empty() {
            writeln!(out, "nothing was decided")?;
        } else {
            writeln!(
                out,
                "{} decided ({}); {NEXT}",
                HumanCount(decided.len() as u64),
                words(verdict)
            )?;
            writeln!(out, "{}", see(&syncs))?;
        }
        if left > 0 {
            writeln!(
                out,
                "{} are about something that this is no answer to; {LIST} shows them",
                HumanCount(left as u64)
            )?;
        }
        Ok(())
    })
}
