//! Plans, runs and comparisons, told to a person.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::HumanCount;
use samspel_model::Side;
use samspel_sync::{Accounts, PlanReport, PlanSample, RunReport, Sides, VerifyReport};

/// So many digits of a plan's hash are enough for a person to type.
const SHORT: usize = 12;

/// The names of the two sides, such as `crm/contacts`.
pub type Names = [String; 2];

/// What a run would do.
pub fn plan(out: &mut dyn Write, names: &Names, plan: &PlanReport) -> io::Result<()> {
    let mut table = Table::new(names);
    table.row("read", plan.read);
    table.row("create", plan.create);
    table.row("update", plan.update);
    table.row("archive", plan.remove);
    table.row("opt-outs to write", plan.restrict);
    table.write(out)?;
    writeln!(
        out,
        "  to link {}, unchanged {}, for a person to decide {}, held by a valve {}",
        HumanCount(plan.link),
        HumanCount(plan.unchanged),
        HumanCount(plan.conflicts),
        HumanCount(plan.holds)
    )?;
    reasons(out, "left alone", &plan.skipped)?;
    // Alike ones together, in the order in which the first of each was planned.
    let mut groups: Vec<(&str, Side, Vec<&PlanSample>)> = Vec::new();
    for sample in &plan.samples {
        let group = groups
            .iter_mut()
            .find(|(what, side, _)| *what == sample.what && *side == sample.side);
        match group {
            Some((_, _, alike)) => alike.push(sample),
            None => groups.push((&sample.what, sample.side, vec![sample])),
        }
    }
    for (what, side, alike) in groups {
        writeln!(out, "  for example, {what} in {}", names[side.index()])?;
        for sample in alike {
            write!(out, "    {}", sample.record)?;
            if !sample.fields.is_empty() {
                write!(out, " ({})", sample.fields.join(", "))?;
            }
            if let Some(why) = &sample.why {
                write!(out, ": {why}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

/// By what a plan is agreed to.
pub fn hash(out: &mut dyn Write, name: &str, plan: &PlanReport) -> io::Result<()> {
    writeln!(
        out,
        "  plan {}\n    samspel sync run {name} --plan {} does exactly this, or refuses",
        plan.hash,
        plan.hash.get(..SHORT).unwrap_or(&plan.hash)
    )
}

/// What a run did.
pub fn run(out: &mut dyn Write, names: &Names, run: &RunReport) -> io::Result<()> {
    let mut table = Table::new(names);
    table.row("read", run.read);
    table.row("created", run.created);
    table.row("updated", run.updated);
    table.row("archived", run.removed);
    table.write(out)?;
    writeln!(
        out,
        "  {} writes in {:.1} s; linked {}, nothing to do for {}",
        HumanCount(run.writes),
        run.seconds,
        HumanCount(run.linked),
        HumanCount(run.noop)
    )?;
    reasons(out, "left alone", &run.filtered)?;
    let attention = [
        (run.conflicts, "with a decision left to a person"),
        (run.holds, "held by a valve (samspel holds list)"),
        (run.parked, "failed and are parked"),
        (run.suppressed, "writes refused for the person's protection"),
        (run.pending, "left for the next run"),
    ];
    for (number, what) in attention {
        if number > 0 {
            writeln!(out, "  {} {what}", HumanCount(number))?;
        }
    }
    writeln!(out, "  {}", accounts(&run.accounts))?;
    if run.observe_only {
        writeln!(
            out,
            "  nothing was written: the sync only observes (`mode`)"
        )?;
    }
    if run.stopped {
        writeln!(out, "  stopped before the end; the next run continues")?;
    }
    Ok(())
}

/// Where every record of a run went.
pub fn accounts(of: &Accounts) -> String {
    format!(
        "observed {} = applied {} + nothing to do {} + left alone {} + conflict {} + parked {} + pending {}",
        HumanCount(of.observed),
        HumanCount(of.applied),
        HumanCount(of.noop),
        HumanCount(of.filtered),
        HumanCount(of.conflict),
        HumanCount(of.parked),
        HumanCount(of.pending)
    )
}

/// What a comparison found.
pub fn verify(
    out: &mut dyn Write,
    names: &Names,
    found: &VerifyReport,
    heal: bool,
) -> io::Result<()> {
    let mut table = Table::new(names);
    table.row("read", found.read);
    table.row("without partner", found.unlinked);
    table.write(out)?;
    writeln!(
        out,
        "  {} linked pairs, {} differ, {} ended; conflicts {}, holds {}, parked {}",
        HumanCount(found.links),
        HumanCount(found.unequal),
        HumanCount(found.ended),
        HumanCount(found.conflicts),
        HumanCount(found.holds),
        HumanCount(found.parked)
    )?;
    write!(
        out,
        "  drift: {} of the pairs are equal; ",
        percent(found.equal_share)
    )?;
    match found.oldest_unsynced {
        Some(at) => writeln!(
            out,
            "the oldest change that is not carried over waits since {at:.0}"
        )?,
        None => writeln!(out, "no change waits to be carried over")?,
    }
    if heal {
        writeln!(out, "  healed {}", HumanCount(found.healed))?;
    }
    for sample in &found.samples {
        writeln!(
            out,
            "    {} <-> {}: {}",
            sample.a,
            sample.b,
            sample.differs.join(", ")
        )?;
    }
    Ok(())
}

/// A share; 100 % only if it is all.
fn percent(share: f64) -> String {
    if share >= 1.0 {
        return "100 %".to_owned();
    }
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

/// Numbers of both sides beneath each other.
pub fn table(out: &mut dyn Write, names: &Names, rows: &[(&'static str, Sides)]) -> io::Result<()> {
    let mut table = Table::new(names);
    rows.iter()
        .for_each(|(title, numbers)| table.row(title, *numbers));
    table.write(out)
}

fn reasons(out: &mut dyn Write, title: &str, reasons: &BTreeMap<String, u64>) -> io::Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    let listed: Vec<_> = reasons
        .iter()
        .map(|(reason, number)| format!("{} {reason}", HumanCount(*number)))
        .collect();
    writeln!(out, "  {title}: {}", listed.join(", "))
}

/// Numbers of both sides beneath each other.
struct Table<'a> {
    names: &'a Names,
    rows: Vec<(&'static str, Sides)>,
}

impl<'a> Table<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            rows: Vec::new(),
        }
    }

    fn row(&mut self, title: &'static str, numbers: Sides) {
        self.rows.push((title, numbers));
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = |side: Side| self.names[side.index()].chars().count().max(9);
        let (a, b) = (width(Side::A), width(Side::B));
        writeln!(
            out,
            "  {:<18} {:>a$}  {:>b$}",
            "", self.names[0], self.names[1]
        )?;
        for (title, numbers) in &self.rows {
            writeln!(
                out,
                "  {title:<18} {:>a$}  {:>b$}",
                HumanCount(numbers.a).to_string(),
                HumanCount(numbers.b).to_string()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names() -> Names {
        ["crm/contacts".to_owned(), "news/members".to_owned()]
    }

    fn told(tell: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        tell(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_comparison_says_100_percent_only_of_everything() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_999), "99.99 %");
        assert_eq!(percent(0.0), "0.00 %");
    }

    #[test]
    fn a_plan_is_told_in_groups() {
        let sample = |what: &str, side, record: &str| PlanSample {
            what: what.to_owned(),
            side,
            record: record.to_owned(),
            fields: vec!["email".to_owned()],
            why: None,
        };
        let mut report = PlanReport::default();
        report.samples = vec![
            sample("create", Side::B, "1"),
            sample("update", Side::A, "2"),
            sample("create", Side::B, "3"),
        ];
        let text = told(|out| plan(out, &names(), &report));
        assert!(
            text.ends_with(
                "  for example, create in news/members\n    1 (email)\n    3 (email)\n  \
                 for example, update in crm/contacts\n    2 (email)\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_run_is_told_with_what_needs_attention() {
        let report = RunReport {
            read: Sides {
                a: 10_000,
                b: 2_000,
            },
            created: Sides { a: 0, b: 7_600 },
            writes: 7_600,
            seconds: 3.25,
            conflicts: 2,
            filtered: BTreeMap::from([("no e-mail address".to_owned(), 590)]),
            ..RunReport::default()
        };
        let text = told(|out| run(out, &names(), &report));
        assert_eq!(
            text,
            "                     crm/contacts  news/members\n\
             \x20 read                     10,000         2,000\n\
             \x20 created                       0         7,600\n\
             \x20 updated                       0             0\n\
             \x20 archived                      0             0\n\
             \x20 7,600 writes in 3.2 s; linked 0, nothing to do for 0\n\
             \x20 left alone: 590 no e-mail address\n\
             \x20 2 with a decision left to a person\n\
             \x20 observed 0 = applied 0 + nothing to do 0 + left alone 0 + conflict 0 + parked 0 + pending 0\n"
        );
    }
}
