//! What reads both remotes: plans, runs, comparisons, undoing.

use indicatif::HumanCount;
use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use samspel_model::store::{JournalOf, RunRecord};
use samspel_sync::{PlanReport, RunOptions, RunReport, UndoReport, VerifyReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::act::Act;
use crate::doctor::{Finding, mapping};
use crate::operation::{Operation, Route, Work};
use crate::values::Limit;

/// A run is looked for among so many of the last ones of each sync, unless it left something in the history.
const RUNS: u32 = 1_000;

/// Tells what a run would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanSync {
    /// The sync.
    pub sync: String,
    /// How many examples of each kind and side are shown.
    #[serde(default = "examples")]
    pub limit: Limit,
}

fn examples() -> Limit {
    Limit::new(u32::try_from(PlanReport::SAMPLES).unwrap_or(u32::MAX))
}

/// What a run would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Planned {
    /// The plan.
    #[serde(flatten)]
    pub plan: PlanReport,
    /// The sync.
    pub sync: String,
    /// `account/collection` of both sides.
    #[schema(value_type = Vec<String>)]
    pub sides: [String; 2],
    /// Fields whose values do not come back as they were.
    pub mapping: Vec<Finding>,
}

impl Operation for PlanSync {
    type Output = Planned;
    const ROUTE: Route = Route::post(
        "planSync",
        "/syncs/{sync}/plan",
        Role::Operator,
        "Tell what a run would do; nothing is written",
    )
    .long();

    fn sync(&self) -> Option<&str> {
        Some(&self.sync)
    }

    async fn run(&self, work: &Work<'_>) -> Result<Planned, Error> {
        let sides = work.sides(&self.sync)?;
        let sync = work.host.sync(&self.sync).await?;
        let plan = sync
            .plan(self.limit.length(), work.progress, work.stop.clone())
            .await?;
        if work.stop.is_cancelled() {
            return Err(Error::new(
                Kind::Interrupted,
                "stopped before everything was read and planned",
            ));
        }
        let mapping = mapping::of_sync(work.host, &self.sync).await?;
        Ok(Planned {
            plan,
            sync: self.sync.clone(),
            sides,
            mapping,
        })
    }
}

/// Runs a sync once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSync {
    /// The sync.
    pub sync: String,
    /// The first plan is agreed to, whatever it says.
    #[serde(default)]
    pub yes: bool,
    /// Read both sides completely, also what incremental reading would skip.
    #[serde(default)]
    pub full: bool,
    /// Do exactly what the plan with this hash says, or refuse. At least 8 digits of it.
    #[serde(default)]
    #[schema(min_length = 8, max_length = 64)]
    pub plan: Option<String>,
}

/// What a run did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ran {
    /// The run.
    #[serde(flatten)]
    pub report: RunReport,
    /// The sync.
    pub sync: String,
    /// `account/collection` of both sides.
    #[schema(value_type = Vec<String>)]
    pub sides: [String; 2],
}

impl Operation for RunSync {
    type Output = Ran;
    const ROUTE: Route = Route::post(
        "runSync",
        "/syncs/{sync}/run",
        Role::Operator,
        "Run a sync once",
    )
    .long();

    /// Runs are recorded by themselves; what is told here is that somebody agreed to one.
    fn act(&self) -> Option<Act> {
        (self.yes || self.plan.is_some()).then(|| {
            Act::new("sync run", self.sync.clone())
                .with(json!({ "yes": self.yes, "plan": self.plan }))
        })
    }

    fn sync(&self) -> Option<&str> {
        Some(&self.sync)
    }

    async fn run(&self, work: &Work<'_>) -> Result<Ran, Error> {
        let sides = work.sides(&self.sync)?;
        let opened = work.host.open_sync(&self.sync).await?;
        let options = RunOptions {
            told: false,
            full: self.full,
            plan: self.plan.clone(),
            ..RunOptions::new(work.confirmation(self.yes, &self.sync, &sides))
        };
        let done = opened
            .sync
            .run(options, work.progress, work.stop.clone())
            .await;
        // A revision that is no good for an account is not used by its next run.
        work.host.ran(&opened, done.as_ref().err()).await?;
        Ok(Ran {
            report: done?,
            sync: self.sync.clone(),
            sides,
        })
    }
}

/// Compares both sides completely.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifySync {
    /// The sync.
    pub sync: String,
    /// Pairs that differ are decided anew, and what follows is written.
    #[serde(default)]
    pub heal: bool,
}

/// What a comparison found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Compared {
    /// The comparison.
    #[serde(flatten)]
    pub report: VerifyReport,
    /// The sync.
    pub sync: String,
    /// `account/collection` of both sides.
    #[schema(value_type = Vec<String>)]
    pub sides: [String; 2],
}

impl Operation for VerifySync {
    type Output = Compared;
    const ROUTE: Route = Route::post(
        "verifySync",
        "/syncs/{sync}/verify",
        Role::Operator,
        "Read both sides completely and compare every linked pair",
    )
    .long();

    fn act(&self) -> Option<Act> {
        self.heal.then(|| Act::new("sync heal", self.sync.clone()))
    }

    fn sync(&self) -> Option<&str> {
        Some(&self.sync)
    }

    async fn run(&self, work: &Work<'_>) -> Result<Compared, Error> {
        let sides = work.sides(&self.sync)?;
        let sync = work.host.sync(&self.sync).await?;
        let report = sync
            .verify(self.heal, work.progress, work.stop.clone())
            .await?;
        if work.stop.is_cancelled() {
            return Err(Error::new(
                Kind::Interrupted,
                "stopped before both sides were read and compared",
            ));
        }
        Ok(Compared {
            report,
            sync: self.sync.clone(),
            sides,
        })
    }
}

/// Takes back what a run wrote, where it is still there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRun {
    /// The run, as a sync's status shows it.
    pub run: String,
    /// Its sync; all are searched if it is left out.
    #[serde(default)]
    pub sync: Option<String>,
    /// Somebody agreed to it.
    #[serde(default)]
    pub yes: bool,
}

/// What was taken back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Undone {
    /// What was done, and what could not be.
    #[serde(flatten)]
    pub report: UndoReport,
    /// The sync.
    pub sync: String,
    /// `account/collection` of both sides.
    #[schema(value_type = Vec<String>)]
    pub sides: [String; 2],
}

impl Operation for UndoRun {
    type Output = Undone;
    const ROUTE: Route = Route::post(
        "undoRun",
        "/runs/{run}/undo",
        Role::Operator,
        "Take back what a run wrote, where it is still there",
    )
    .long();

    fn act(&self) -> Option<Act> {
        Some(Act::new("undo", self.run.clone()))
    }

    fn sync(&self) -> Option<&str> {
        self.sync.as_deref()
    }

    async fn run(&self, work: &Work<'_>) -> Result<Undone, Error> {
        let name = self.sync_of(work).await?;
        let record = record_of(work, &name, &self.run).await?;
        let question = format!(
            "Take back what run {} of {name} wrote?\n{}Fields that still hold what was written get back what they held \
             before, and records that were created are archived. Opt-ins and opt-outs stay.",
            self.run,
            record.as_ref().map(told).unwrap_or_default()
        );
        let what = format!("undo writes to the remotes of {name}");
        work.agree(self.yes, question, what).await?;
        let sync = work.host.sync(&name).await?;
        let report = sync
            .undo(&self.run, work.progress, work.stop.clone())
            .await?;
        Ok(Undone {
            report,
            sides: work.sides(&name)?,
            sync: name,
        })
    }
}

impl UndoRun {
    /// The sync that did the run.
    async fn sync_of(&self, work: &Work<'_>) -> Result<String, Error> {
        if let Some(name) = &self.sync {
            work.host.spec(name)?;
            return Ok(name.clone());
        }
        for name in work.host.config().syncs.keys() {
            let wrote = work
                .host
                .store()
                .journal(name, JournalOf::Run(&self.run), None, 1)
                .await?;
            if !wrote.is_empty() || record_of(work, name, &self.run).await?.is_some() {
                return Ok(name.clone());
            }
        }
        Err(
            Error::new(Kind::NotFound, format!("no sync has a run `{}`", self.run))
                .remedy("`samspel sync status` lists the last runs"),
        )
    }
}

async fn record_of(work: &Work<'_>, sync: &str, run: &str) -> Result<Option<RunRecord>, Error> {
    let runs = work.host.store().runs(sync, RUNS).await?;
    Ok(runs.into_iter().find(|record| record.id == run))
}

/// What a run did, for who is asked.
fn told(record: &RunRecord) -> String {
    let number = |what: &str| -> u64 {
        let of = &record.report[what];
        let side = |side: &str| of.get(side).and_then(Value::as_u64).unwrap_or_default();
        side("a") + side("b")
    };
    format!(
        "It began {:.0} and created {}, changed {} and archived {} records.\n",
        record.started,
        HumanCount(number("created")),
        HumanCount(number("updated")),
        HumanCount(number("removed"))
    )
}
