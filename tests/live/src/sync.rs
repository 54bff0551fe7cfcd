//! The live sync: Samspel, run as its users run it, keeps the two servers in step.
//!
//! | module | for |
//! | --- | --- |
//! | `people` | whom both systems know at first |
//! | `installation`, `program`, `run` | Samspel: configuration, process, commands |
//! | `scene`, `scenarios` | what happens in one system, and what the other must show |
//! | `compare` | both systems through their own APIs |
//! | `traffic` | what reached the servers |
//! | `report` | what was found |

mod compare;
mod installation;
mod people;
mod program;
mod report;
mod run;
mod scenarios;
mod scene;
mod traffic;

use std::time::Instant;

use samspel_provision::note;

pub use program::Program;
pub use report::{Comparison, Drift, Initial, Rerun, Scenario, SyncReport};

use crate::error::LiveError;
use crate::ghost::GhostServer;
use crate::odoo::OdooServer;
use crate::server::Run;
use compare::Snapshot;
use installation::{BOUNCE_FIELD, Installation};
use people::People;
use program::Samspel;
use run::Runs;
use scenarios::Stage;
use scene::Checks;
use traffic::Traffic;

/// Fills both servers, syncs them for the first time, plays the scenarios, and looks whether both come to rest.
pub async fn play(
    program: Program,
    ghost: &GhostServer,
    odoo: &OdooServer,
    run: &Run,
) -> Result<SyncReport, LiveError> {
    let people = enter_people(ghost, odoo).await?;
    let installation = Installation::write(run, odoo.access(), ghost.access())?;
    let samspel = Samspel::new(
        program,
        installation.config().to_owned(),
        run.log("samspel"),
    );
    let story = Story {
        ghost,
        odoo,
        runs: Runs::new(samspel),
        traffic: Traffic::of(run),
    };
    let initial = story.first_sync(&people).await?;
    let stage = Stage {
        odoo,
        ghost,
        runs: &story.runs,
    };
    let scenarios = stage.play().await;
    let comparison = story.compare().await?;
    let rerun = story.rerun().await?;
    let drift = story.verify().await?;
    let exposed: Vec<String> = installation
        .files_with_secrets(&[story.runs.samspel().log()])?
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    for file in &exposed {
        note(&format!("A CREDENTIAL CAN BE READ in {file}"));
    }
    Ok(SyncReport {
        ok: initial.ok
            && scenarios.iter().all(|scenario| scenario.ok)
            && comparison.unequal == 0
            && comparison.only_odoo == 0
            && comparison.only_ghost == 0
            && rerun.writes == 0
            && rerun.ghost_write_requests == 0
            && rerun.odoo_contacts_written == 0
            && drift.unequal == 0
            && exposed.is_empty(),
        initial,
        scenarios,
        comparison,
        rerun,
        drift,
        exposed,
    })
}

async fn enter_people(ghost: &GhostServer, odoo: &OdooServer) -> Result<People, LiveError> {
    let started = Instant::now();
    odoo.api()
        .add_text_field("res.partner", BOUNCE_FIELD, "E-mail status")
        .await?;
    let people = People::draw();
    people.enter(odoo.api(), ghost.api()).await?;
    note(&format!(
        "Odoo has {} contacts and Ghost {} members, {} of them the same persons ({:.1} s)",
        people.contacts(),
        people.members(),
        people.in_both,
        started.elapsed().as_secs_f64()
    ));
    Ok(people)
}

/// What all parts of the story need.
struct Story<'a> {
    ghost: &'a GhostServer,
    odoo: &'a OdooServer,
    runs: Runs,
    traffic: Traffic,
}

impl Story<'_> {
    async fn first_sync(&self, people: &People) -> Result<Initial, LiveError> {
        note("");
        note("First sync");
        let before = self.snapshot().await?;
        self.runs.check().await?;
        let plan = self.runs.plan().await?;
        let requests = self.traffic.requests()?;
        let started = Instant::now();
        let done = self.runs.once().await?;
        let seconds = started.elapsed().as_secs_f64();
        let requests = (self.traffic.requests()? - requests).all;
        note(&format!(
            "{} records read, {} pairs linked, {} writes, {requests} requests, {seconds:.1} s",
            done.read.sum(),
            done.linked,
            done.writes,
        ));
        let after = self.snapshot().await?;
        let found = after.compare();
        let mut checks = Checks::default();
        checks.check(
            "the run did what the plan said",
            plan.create == done.created && plan.link == done.linked,
        );
        checks.check(
            "everybody whom both knew was recognised",
            done.linked == people.in_both,
        );
        checks.check(
            "nothing failed and nothing was left for later",
            done.parked == 0 && done.pending == 0,
        );
        checks.check(
            "everybody is in both systems",
            found.only_odoo == 0 && found.only_ghost == 0,
        );
        checks.check(
            "names, notes and opt-outs are equal in both",
            found.unequal == 0,
        );
        checks.check(
            "Ghost: nobody gets a newsletter who did not before",
            after.subscribers().is_subset(&before.subscribers()),
        );
        // Which of the two would a member be?
        checks.check(
            "an address of two contacts makes no member and waits for a person",
            found.shared == 1 && done.conflicts > 0,
        );
        tell_differences(&found);
        let (ok, seen) = checks.end();
        Ok(Initial {
            records: done.read.sum(),
            seconds,
            requests,
            linked: done.linked,
            writes: done.writes,
            conflicts: done.conflicts,
            parked: done.parked,
            ok,
            seen,
        })
    }

    async fn compare(&self) -> Result<Comparison, LiveError> {
        note("");
        note("Comparison of both sides");
        let found = self.snapshot().await?.compare();
        note(&format!(
            "through their own APIs: {} persons in both, {} differ, {} only in Odoo, {} only in Ghost",
            found.pairs, found.unequal, found.only_odoo, found.only_ghost
        ));
        tell_differences(&found);
        Ok(found)
    }

    /// A run with nothing to do, judged by what reached the servers.
    async fn rerun(&self) -> Result<Rerun, LiveError> {
        let before = self.odoo.api().people().await?;
        let requests = self.traffic.requests()?;
        let started = Instant::now();
        let done = self.runs.once().await?;
        let seconds = started.elapsed().as_secs_f64();
        let ghost_write_requests = (self.traffic.requests()? - requests).ghost_writes;
        let after = self.odoo.api().people().await?;
        let unmoved = after
            .iter()
            .filter(|contact| {
                before
                    .iter()
                    .any(|known| (known.id, &known.write_date) == (contact.id, &contact.write_date))
            })
            .count();
        let odoo_contacts_written = (after.len().max(before.len()) - unmoved) as u64;
        note(&format!(
            "a further run: {} writes, {ghost_write_requests} requests that change something in Ghost, \
             {odoo_contacts_written} contacts touched in Odoo, {seconds:.2} s",
            done.writes
        ));
        Ok(Rerun {
            writes: done.writes,
            ghost_write_requests,
            odoo_contacts_written,
            seconds,
        })
    }

    async fn verify(&self) -> Result<Drift, LiveError> {
        let found = self.runs.verify().await?;
        note(&format!(
            "samspel sync verify: {} linked pairs, {} differ",
            found.links, found.unequal
        ));
        for sample in &found.samples {
            note(&format!("  {sample}"));
        }
        Ok(Drift {
            links: found.links,
            unequal: found.unequal,
        })
    }

    async fn snapshot(&self) -> Result<Snapshot, LiveError> {
        Snapshot::take(self.odoo.api(), self.ghost.api()).await
    }
}

fn tell_differences(found: &Comparison) {
    for sample in &found.samples {
        note(&format!("  {sample}"));
    }
}
