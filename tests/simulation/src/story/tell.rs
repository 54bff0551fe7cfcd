//! A story in words.

use std::fmt;

use crate::story::{Act, Fault, Step, Story};

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "after {} more {:?} calls, system {} {}",
            self.after, self.call, self.system, self.quirk
        )
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::People(act) if act.person == usize::MAX => f.write_str("time passes"),
            Self::People(act) => act.fmt(f),
            Self::Run { sync, full: false } => write!(f, "sync {sync} runs"),
            Self::Run { sync, full: true } => write!(f, "sync {sync} runs and reads everything"),
            Self::Verify { sync, heal: false } => write!(f, "sync {sync} is verified"),
            Self::Verify { sync, heal: true } => write!(f, "sync {sync} is verified and healed"),
            Self::Undo { sync, back } => {
                write!(
                    f,
                    "of sync {sync}, the run {back} before the last is taken back"
                )
            }
            Self::Hints {
                sync,
                side,
                persons,
                extent,
            } => write!(
                f,
                "sync {sync} gets hints about {persons:?} on side {side} ({extent:?})"
            ),
            Self::Stop { sync } => write!(f, "sync {sync} is told to stop"),
            Self::Crash { at, after: 0 } => write!(f, "the process will die {at}"),
            Self::Crash { at, after } => {
                write!(f, "the process will die {at}, the time after {after} more")
            }
            Self::Fault(fault) => fault.fmt(f),
            Self::StoreFails { after } => {
                write!(f, "the store will fail to commit after {after} more")
            }
            Self::Swap { system, reads_old } => {
                let old = if *reads_old { "reads" } else { "does not read" };
                write!(
                    f,
                    "the connector of system {system} is replaced; the new one {old} old cursors"
                )
            }
            Self::Jump(by) => write!(f, "the host's clock jumps by {} s", by / 1000),
            Self::Stall(time) => write!(f, "the process stands still for {} s", time / 1000),
            Self::Operate { sync, number } => {
                write!(
                    f,
                    "the operator of sync {sync} decides something ({number})"
                )
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.after / 1000;
        match self.after {
            0 => write!(f, "{}", self.act),
            1..1000 => write!(f, "{} ms later: {}", self.after, self.act),
            _ if seconds < 120 => write!(f, "{seconds} s later: {}", self.act),
            _ => write!(f, "{} min later: {}", seconds / 60, self.act),
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, system) in self.systems.iter().enumerate() {
            writeln!(
                f,
                "system {index} (`{}`; page {}, batch {}, lag {} ms, archives: {}):",
                system.name, system.page, system.batch, system.lag, system.can_archive
            )?;
            for quirk in system.quirks.iter() {
                writeln!(f, "  - {quirk}")?;
            }
        }
        for (index, agreement) in self.agreements.iter().enumerate() {
            writeln!(
                f,
                "sync {index} between systems {:?}: creates in {:?}, archives: {}, newcomers: {:?}, opt-ins from {:?}, \
                 bounces: {}, all read every {} h",
                agreement.systems,
                agreement.create,
                agreement.archive,
                agreement.newcomers,
                agreement.opt_in_from,
                agreement.bounces,
                agreement.full_hours
            )?;
            for mapping in &agreement.fields {
                writeln!(
                    f,
                    "  - {:?}: to {:?}, both changed: {:?}, first: {:?}",
                    mapping.field, mapping.to, mapping.on_conflict, mapping.first_sync
                )?;
            }
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {step}", number + 1)?;
        }
        Ok(())
    }
}
