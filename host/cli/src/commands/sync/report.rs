//! Plans, runs and comparisons, told to a person.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::HumanCount;
use samspel_model::Side;
use samspel_sync::{PlanReport, RunReport, Sides, VerifyReport};

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
        "  to link {}, unchanged {}, for a person to decide {}",
        HumanCount(plan.link),
        HumanCount(plan.unchanged),
        HumanCount(plan.conflicts)
    )?;
    reasons(out, "left alone", &plan.skipped)?;
    if !plan.samples.is_empty() {
        writeln!(out, "  for example")?;
    }
    for sample in &plan.samples {
        write!(
            out,
            "    {} in {}: {}",
            sample.what,
            names[sample.side.index()],
            sample.record
        )?;
        if !sample.fields.is_empty() {
            write!(out, " ({})", sample.fields.join(", "))?;
        }
        if let Some(why) = &sample.why {
            write!(out, ": {why}")?;
        }
        writeln!(out)?;
    }
    Ok(())
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
        (run.parked, "failed and are parked"),
        (run.suppressed, "writes refused for the person's protection"),
        (run.pending, "left for the next run"),
    ];
    for (number, what) in attention {
        if number > 0 {
            writeln!(out, "  {} {what}", HumanCount(number))?;
        }
    }
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

/// What a comparison found.
pub fn verify(out: &mut dyn Write, names: &Names, found: &VerifyReport) -> io::Result<()> {
    let mut table = Table::new(names);
    table.row("read", found.read);
    table.row("without partner", found.unlinked);
    table.write(out)?;
    writeln!(
        out,
        "  {} linked pairs, {} differ, {} ended; conflicts {}, parked {}",
        HumanCount(found.links),
        HumanCount(found.unequal),
        HumanCount(found.ended),
        HumanCount(found.conflicts),
        HumanCount(found.parked)
    )?;
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
             \x20 2 with a decision left to a person\n"
        );
    }
}
