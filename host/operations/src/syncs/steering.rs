//! Pausing, resuming, beginning anew, forgetting.

use samspel_installation::Error;
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::queues::{at_once, patiently};

/// Refuses runs of a sync until it is resumed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseSync {
    /// The sync.
    pub sync: String,
    /// Why, for whoever looks at the status.
    #[serde(default = "by_operator")]
    pub reason: String,
}

fn by_operator() -> String {
    "paused by an operator".to_owned()
}

/// A sync that is paused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    /// The sync.
    pub sync: String,
    /// Why.
    pub paused: String,
}

impl Operation for PauseSync {
    type Output = Paused;
    const ROUTE: Route = Route::post(
        "pauseSync",
        "/syncs/{sync}/pause",
        Role::Operator,
        "Refuse runs of a sync until it is resumed",
    );

    fn act(&self) -> Option<Act> {
        let act = Act::new("sync pause", self.sync.clone());
        Some(act.with(json!({ "reason": self.reason })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Paused, Error> {
        let operator = work.host.operator(&self.sync)?;
        at_once(work, &self.sync, async || {
            operator.pause(&self.reason).await
        })
        .await?;
        Ok(Paused {
            sync: self.sync.clone(),
            paused: self.reason.clone(),
        })
    }
}

/// Lets a sync run again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeSync {
    /// The sync.
    pub sync: String,
}

/// A sync that runs again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Resumed {
    /// The sync.
    pub sync: String,
    /// What it was paused for, if it was.
    pub was_paused: Option<String>,
}

impl Operation for ResumeSync {
    type Output = Resumed;
    const ROUTE: Route = Route::post(
        "resumeSync",
        "/syncs/{sync}/resume",
        Role::Operator,
        "Let a sync run again",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("sync resume", self.sync.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Resumed, Error> {
        let operator = work.host.operator(&self.sync)?;
        let was_paused = patiently(async || operator.resume().await).await?;
        work.surroundings.changed(&self.sync);
        Ok(Resumed {
            sync: self.sync.clone(),
            was_paused,
        })
    }
}

/// Forgets what a sync needs to go on: its next run is a first run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetSync {
    /// The sync.
    pub sync: String,
    /// Somebody agreed to it.
    #[serde(default)]
    pub yes: bool,
}

/// A sync that begins anew.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reset {
    /// The sync.
    pub sync: String,
    /// It is.
    pub reset: bool,
}

impl Operation for ResetSync {
    type Output = Reset;
    const ROUTE: Route = Route::post(
        "resetSync",
        "/syncs/{sync}/reset",
        Role::Admin,
        "Forget every link, merge base, position and queue of a sync",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("sync reset", self.sync.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Reset, Error> {
        let name = &self.sync;
        work.host.spec(name)?;
        let question = format!(
            "Forget every link, merge base, position and queue of {name}? Nothing is changed at the remotes; the next run \
             is a first run."
        );
        let what = format!("reset forgets every link, merge base, position and queue of {name}");
        work.agree(self.yes, question, what).await?;
        let operator = work.host.operator(name)?;
        at_once(work, &self.sync, async || operator.reset().await).await?;
        Ok(Reset {
            sync: name.clone(),
            reset: true,
        })
    }
}

/// Forgets everything about a sync that is no longer configured.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeSync {
    /// The sync, as it was called, or its id.
    pub sync: String,
    /// Somebody agreed to it.
    #[serde(default)]
    pub yes: bool,
}

/// A sync that is forgotten.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Purged {
    /// The sync.
    pub sync: String,
    /// It is.
    pub purged: bool,
}

impl Operation for PurgeSync {
    type Output = Purged;
    const ROUTE: Route = Route::post(
        "purgeSync",
        "/syncs/{sync}/purge",
        Role::Admin,
        "Forget everything about a sync that is no longer configured",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("sync purge", self.sync.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Purged, Error> {
        let name = &self.sync;
        work.host.may_purge(name)?;
        let question = format!(
            "Forget everything about {name}, which is no longer configured? Nothing is changed at the remotes."
        );
        let what = format!("purge forgets every link, merge base, position and queue of {name}");
        work.agree(self.yes, question, what).await?;
        work.host.purge(name).await?;
        Ok(Purged {
            sync: name.clone(),
            purged: true,
        })
    }
}
