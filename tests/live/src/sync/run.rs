//! The commands that the story needs, and as much of their answers.

use serde::Deserialize;
use serde_json::Value;

use super::installation::SYNC;
use super::program::Samspel;
use crate::error::LiveError;

/// Exit codes of `samspel`.
const OK: i32 = 0;
const DIFFERENCES: i32 = 7;

/// A number per side, Odoo's first.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Sides {
    a: u64,
    b: u64,
}

impl Sides {
    /// Of both.
    pub fn sum(self) -> u64 {
        self.a + self.b
    }
}

/// What a first run would do.
#[derive(Debug, Deserialize)]
pub struct Plan {
    /// Pairs to be found to be the same person.
    pub link: u64,
    /// Records to be created.
    pub create: Sides,
}

/// What a run did.
#[derive(Debug, Deserialize)]
pub struct Done {
    /// Records read.
    pub read: Sides,
    /// Pairs that were found to be the same person.
    pub linked: u64,
    /// Records created.
    pub created: Sides,
    /// Writes that were done.
    pub writes: u64,
    /// Decisions left to a person.
    pub conflicts: u64,
    /// Records that failed for good.
    pub parked: u64,
    /// Records left for the next run.
    pub pending: u64,
}

/// What a comparison by Samspel found.
#[derive(Debug, Deserialize)]
pub struct Verified {
    /// Linked pairs.
    pub links: u64,
    /// Pairs that differ.
    pub unequal: u64,
    /// A few that differ.
    pub samples: Vec<Value>,
}

/// A sync that is run by hand.
#[derive(Debug)]
pub struct Runs {
    samspel: Samspel,
}

impl Runs {
    /// The sync of an installation.
    pub fn new(samspel: Samspel) -> Self {
        Self { samspel }
    }

    /// The program.
    pub fn samspel(&self) -> &Samspel {
        &self.samspel
    }

    /// What an operator does before the first run: checks the configuration, the installation and the accounts.
    pub async fn check(&self) -> Result<(), LiveError> {
        for command in [
            &["config", "check"][..],
            &["doctor"],
            &["account", "check", "crm"],
            &["account", "check", "publication"],
        ] {
            self.samspel.run(command).await?.expect::<Value>(&[OK])?;
        }
        Ok(())
    }

    /// What a run would do.
    pub async fn plan(&self) -> Result<Plan, LiveError> {
        self.samspel
            .run(&["sync", "plan", SYNC])
            .await?
            .expect(&[OK])
    }

    /// Runs the sync once.
    pub async fn once(&self) -> Result<Done, LiveError> {
        self.samspel
            .run(&["sync", "run", SYNC, "--yes"])
            .await?
            .expect(&[OK])
    }

    /// Reads both sides completely and compares.
    pub async fn verify(&self) -> Result<Verified, LiveError> {
        self.samspel
            .run(&["sync", "verify", SYNC])
            .await?
            .expect(&[OK, DIFFERENCES])
    }
}
