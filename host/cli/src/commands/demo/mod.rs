//! `samspel demo`: two simulated vendors, a first sync, four scenarios, a comparison of both sides, a further run.

mod compare;
mod memory;
mod remote;
mod report;
mod scenarios;
mod serving;
mod setup;
mod vendors;

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress};
use samspel_sync::{Confirmation, Progress, RunOptions, RunReport, Silent, Sync, VerifyReport};
use tokio_util::sync::CancellationToken;

use crate::args::DemoArgs;
use crate::commands::sync::report::run as tell_run;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::progress::RunBar;
use remote::Remote;
use report::{Comparison, DemoReport, Drift, Initial, Rerun, Scenario};
use samspel_installation::{Host, Kind};
use scenarios::{Carry, Stage};
use serving::Serving;
use vendors::Vendors;

/// Plays the demo. Fails if anything did not go as it must.
pub async fn run(
    args: &DemoArgs,
    output: Output,
    bars: &MultiProgress,
    stop: CancellationToken,
) -> Result<(), CliError> {
    output.say(format!(
        "Starting a simulated HubSpot with {} contacts and a simulated Mailchimp that knows some of them ...",
        HumanCount(u64::from(args.contacts))
    ))?;
    let vendors = Vendors::start(args).await?;
    let installed = setup::install(args, &vendors.access)?;
    output.say(format!("  HubSpot   {}", vendors.access.hubspot))?;
    output.say(format!("  Mailchimp {}", vendors.access.mailchimp))?;
    output.say(format!(
        "  configuration and store in {}",
        installed.directory().display()
    ))?;
    let host = Arc::new(Host::open(installed.config()?, "demo").await?);
    let client = reqwest::Client::new();
    let demo = Demo {
        crm: Remote::hubspot(&client, &vendors.access),
        newsletter: Remote::mailchimp(&client, &vendors.access),
        sync: host.sync(setup::SYNC).await?,
        list: vendors.access.list_id.clone(),
        subscription: vendors.access.subscription_id.clone(),
        output,
        bars: bars.clone(),
        stop,
    };
    let serving = args.serve.then_some(&host);
    let report = demo.play(args.contacts, serving).await;
    vendors.stop().await;
    let report = report?;
    output.result(&report, |out| {
        let verdict = if report.ok {
            "Everything is in step."
        } else {
            "SOMETHING IS WRONG, see above."
        };
        writeln!(out, "\n{verdict}")?;
        if let Some(peak) = report.peak_rss_mb {
            writeln!(out, "This process used at most {peak} MB of memory.")?;
        }
        if let Some(kept) = installed.kept() {
            writeln!(
                out,
                "Configuration and store are kept in {}.",
                kept.display()
            )?;
        }
        Ok(())
    })?;
    if report.ok {
        Ok(())
    } else {
        Err(CliError::Reported(Exit::Failure))
    }
}

struct Demo {
    crm: Remote,
    newsletter: Remote,
    sync: Sync,
    list: String,
    subscription: String,
    output: Output,
    bars: MultiProgress,
    stop: CancellationToken,
}

impl Demo {
    /// `serving`: the changes are carried over by a service, which the vendors tell of them.
    async fn play(
        &self,
        contacts: u32,
        serving: Option<&Arc<Host>>,
    ) -> Result<DemoReport, CliError> {
        let initial = self.first_sync().await?;
        let scenarios = match serving {
            None => self.stage(self).play().await?,
            Some(host) => {
                self.output
                    .say("\nFrom now on a service runs, and the vendors tell it what happens")?;
                let (crm, newsletter) = (&self.crm, &self.newsletter);
                let service = Serving::start(host, crm, newsletter, &self.list, &self.stop).await?;
                let played = self.stage(&service).play().await;
                service.end().await?;
                played?
            }
        };
        let found = self.verify().await?;
        let comparison = self.compare().await?;
        let rerun = self.rerun().await?;
        Ok(DemoReport {
            contacts,
            ok: scenarios.iter().all(|scenario: &Scenario| scenario.ok)
                && rerun.writes == 0
                && rerun.write_requests == 0
                && found.unequal == 0
                && comparison.unequal == 0,
            initial,
            scenarios,
            rerun,
            drift: Drift {
                links: found.links,
                unequal: found.unequal,
            },
            comparison,
            peak_rss_mb: memory::peak_rss_mb(),
        })
    }

    fn stage<'a, R>(&'a self, sync: &'a R) -> Stage<'a, R> {
        Stage {
            crm: &self.crm,
            newsletter: &self.newsletter,
            list: &self.list,
            subscription: &self.subscription,
            bounce_property: setup::BOUNCE_PROPERTY,
            sync,
            output: self.output,
        }
    }

    async fn first_sync(&self) -> Result<Initial, CliError> {
        self.output.say("\nFirst sync")?;
        let before = self.requests().await?;
        let began = Instant::now();
        let done = self.run(Confirmation::Given).await?;
        let seconds = began.elapsed().as_secs_f64();
        self.tell(&done)?;
        Ok(Initial {
            records: done.read.sum(),
            seconds,
            requests: self.requests().await?.0 - before.0,
            linked: done.linked,
            writes: done.writes,
            conflicts: done.conflicts,
            parked: done.parked,
        })
    }

    async fn verify(&self) -> Result<VerifyReport, CliError> {
        self.output.say("\nComparison of both sides")?;
        let found = {
            let progress = self.progress();
            self.sync
                .verify(false, progress.as_ref(), self.stop.clone())
                .await?
        };
        self.output.say(format!(
            "  samspel verify: {} linked pairs, {} differ",
            HumanCount(found.links),
            HumanCount(found.unequal)
        ))?;
        for sample in &found.samples {
            self.output.say(format!(
                "    {} <-> {}: {}",
                sample.a,
                sample.b,
                sample.differs.join(", ")
            ))?;
        }
        Ok(found)
    }

    async fn compare(&self) -> Result<Comparison, CliError> {
        let found = compare::compare(&self.crm, &self.newsletter, &self.subscription).await?;
        self.output.say(format!(
            "  the vendors' own data, compared without Samspel: {} in both, {} differ, {} only in HubSpot, {} only in \
             Mailchimp",
            HumanCount(found.pairs),
            HumanCount(found.unequal),
            HumanCount(found.only_crm),
            HumanCount(found.only_newsletter)
        ))?;
        for sample in &found.samples {
            self.output.say(format!("    {sample}"))?;
        }
        Ok(found)
    }

    async fn rerun(&self) -> Result<Rerun, CliError> {
        self.output.say("\nA further run, with nothing to do")?;
        let before = self.requests().await?;
        let began = Instant::now();
        let done = self.run(Confirmation::Given).await?;
        let seconds = began.elapsed().as_secs_f64();
        let after = self.requests().await?;
        let write_requests = after.1 - before.1;
        self.output.say(format!(
            "  {} writes, {} requests ({write_requests} of them could change something), {seconds:.2} s",
            done.writes,
            after.0 - before.0,
        ))?;
        Ok(Rerun {
            writes: done.writes,
            write_requests,
            seconds,
        })
    }

    async fn run(&self, confirmation: Confirmation) -> Result<RunReport, CliError> {
        let progress = self.progress();
        let options = RunOptions::new(confirmation);
        let done = self
            .sync
            .run(options, progress.as_ref(), self.stop.clone())
            .await?;
        if done.stopped {
            return Err(CliError::new(Kind::Interrupted, "the demo was interrupted"));
        }
        Ok(done)
    }

    /// Requests at both vendors: all, and those that can change something.
    async fn requests(&self) -> Result<(u64, u64), CliError> {
        let (a, b) = (self.crm.counted().await?, self.newsletter.counted().await?);
        Ok((a.requests + b.requests, a.write_requests + b.write_requests))
    }

    fn progress(&self) -> Box<dyn Progress> {
        if self.output.is_json() {
            Box::new(Silent)
        } else {
            Box::new(RunBar::new(&self.bars, setup::names()))
        }
    }

    fn tell(&self, done: &RunReport) -> Result<(), CliError> {
        let mut text = Vec::new();
        tell_run(&mut text, &setup::names(), done)?;
        self.output.say(String::from_utf8_lossy(&text).trim_end())
    }
}

impl Carry for Demo {
    /// Runs the sync once. What has not arrived then is told by the checks.
    async fn carry(
        &self,
        _arrived: impl AsyncFn() -> Result<bool, CliError>,
    ) -> Result<Duration, CliError> {
        let began = Instant::now();
        self.run(Confirmation::Given).await?;
        Ok(began.elapsed())
    }
}
