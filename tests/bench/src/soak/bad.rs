//! Bad versions of a connector under the same load: each panics on its third page, for one account of four. The host
//! goes back by itself, and nobody else notices.

use std::time::{Duration, Instant};

use samspel_scenarios::versions::fickle;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::check;
use super::jobs::Jobs;
use crate::error::BenchError;
use crate::stage::{Further, Program};

/// The account for which bad versions are bad; three pages and a half.
const SORE: &str = "brittle-big";
/// Its accounts and syncs; the version of the file is a good one.
pub const BRITTLE: Further = Further {
    connector: Some("test/fickle"),
    configuration: r#"[accounts]
brittle-big = { connector = "fickle", settings = { records = 35, fragile = true } }
brittle-mirror = { connector = "fickle", settings = { records = 35 } }
brittle-small = { connector = "fickle", settings = { records = 5, fragile = true } }
brittle-pocket = { connector = "fickle", settings = { records = 5 } }

[syncs.brittle-large]
a = { account = "brittle-big", collection = "things" }
b = { account = "brittle-mirror", collection = "things" }
match = { a = "key", b = "key" }
new-members = "transactional"
first-sync = "a"
interval = "2s"
fields = [{ a = "key", b = "key" }, { a = "name", b = "name" }]

[syncs.brittle-tiny]
a = { account = "brittle-small", collection = "things" }
b = { account = "brittle-pocket", collection = "things" }
match = { a = "key", b = "key" }
new-members = "transactional"
first-sync = "a"
interval = "2s"
fields = [{ a = "key", b = "key" }, { a = "name", b = "name" }]
"#,
    syncs: &["brittle-large", "brittle-tiny"],
};
/// Of them, that of other accounts. A run of the sore account's sync may fail before the host goes back.
pub const UNTOUCHED: &str = "brittle-tiny";
/// The host must have gone back within this time, even if it was killed meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);
/// More than a night of bad versions leaves.
const HISTORY: &str = "1000000";
/// A command may come while the host is away, and what it asks first be cut off.
const ATTEMPTS: u32 = 3;

/// Bad versions, and what became of them.
pub struct BadVersions {
    begun: u64,
    jobs: Jobs,
    directory: TempDir,
}

#[derive(Deserialize)]
struct History {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    act: String,
    account: Option<String>,
}

impl BadVersions {
    /// The first version, a good one, is part of the stage.
    ///
    /// # Errors
    /// No directory can be made.
    pub fn prepare() -> Result<Self, BenchError> {
        let directory = TempDir::with_prefix("samspel-soak-versions-");
        Ok(Self {
            begun: 0,
            jobs: Jobs::default(),
            directory: directory.map_err(failed())?,
        })
    }

    fn version(&self, number: u64, deed: &str) -> std::io::Result<String> {
        let file = self.directory.path().join(format!("fickle-{number}.wasm"));
        std::fs::write(&file, fickle(&format!("1.{number}.0"), deed))?;
        Ok(file.to_string_lossy().into_owned())
    }

    /// The next bad version takes over, unless the last one is still there.
    ///
    /// # Errors
    /// The version cannot be written to a file.
    pub fn begin(&mut self, program: Program) -> Result<(), BenchError> {
        if !self.jobs.is_idle() {
            return Ok(());
        }
        self.begun += 1;
        let number = 2 * self.begun - 1;
        let bad = self.version(number, "third").map_err(failed())?;
        let mended = self.version(number + 1, "plain").map_err(failed())?;
        self.jobs.begin(async move {
            let before = times_rolled_back(&program).await?;
            upgrade(&program, &bad).await?;
            Awaited::RolledBack { before }.by(&program).await?;
            Awaited::GoesOn.by(&program).await?;
            upgrade(&program, &mended).await
        });
        Ok(())
    }

    /// Those that took over: one that the host went back from is done.
    pub fn jobs(&mut self) -> &mut Jobs {
        &mut self.jobs
    }

    /// Whether another account noticed.
    ///
    /// # Errors
    /// The history cannot be read.
    pub async fn noticed(program: &Program) -> Result<Vec<String>, BenchError> {
        let noticed = history(program).await?.into_iter().filter_map(|event| {
            let of_other =
                event.act == "account-rolled-back" && event.account.as_deref() != Some(SORE);
            (of_other || event.act == "rolled-back").then(|| {
                let whose = event.account.as_deref().unwrap_or("all accounts");
                format!("a version that is bad for {SORE} alone was rolled back for {whose}")
            })
        });
        Ok(noticed.collect())
    }
}

fn failed() -> impl FnOnce(std::io::Error) -> BenchError {
    BenchError::system("make versions of a connector")
}

async fn upgrade(program: &Program, file: &str) -> Result<(), String> {
    let mut why = String::new();
    for attempt in 0..ATTEMPTS {
        let line = ["connector", "upgrade", "fickle", file, "--dev", "--json"];
        match program.json::<Value>(&line).await {
            Ok(said) if said["outcome"] == "active" => return Ok(()),
            // The one before had worked, and its answer was lost.
            Ok(said) if attempt > 0 && said["outcome"] == "unchanged" => return Ok(()),
            Ok(said) => why = said.to_string(),
            Err(error) => why = error.to_string(),
        }
    }
    Err(format!("{file} did not become active: {why}"))
}

/// What must become so by itself.
enum Awaited {
    /// The host goes back for the sore account once more.
    RolledBack { before: usize },
    /// Its sync goes on.
    GoesOn,
}

impl Awaited {
    /// Waits until it is so. A command that fails tells nothing: the host may be away.
    async fn by(&self, program: &Program) -> Result<(), String> {
        let began = Instant::now();
        let mut why = format!("not within {PATIENCE:?}");
        while began.elapsed() < PATIENCE {
            let is_so = match self {
                Self::RolledBack { before } => {
                    let times = times_rolled_back(program).await;
                    times.map(|times| times > *before)
                }
                Self::GoesOn => last_run_went_well(program).await,
            };
            match is_so {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failed) => why = failed,
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(match self {
            Self::RolledBack { .. } => {
                format!("a bad version was not rolled back for {SORE}: {why}")
            }
            Self::GoesOn => format!("{} did not go on after it: {why}", BRITTLE.syncs[0]),
        })
    }
}

async fn last_run_went_well(program: &Program) -> Result<bool, String> {
    let runs = check::runs(program, BRITTLE.syncs[0], "1").await;
    let runs = runs.map_err(|error| error.to_string())?;
    Ok(runs.iter().any(|run| run.error.is_none()))
}

async fn times_rolled_back(program: &Program) -> Result<usize, String> {
    let events = history(program).await.map_err(|error| error.to_string())?;
    let of_sore = events.iter().filter(|event| {
        event.act == "account-rolled-back" && event.account.as_deref() == Some(SORE)
    });
    Ok(of_sore.count())
}

async fn history(program: &Program) -> Result<Vec<Event>, BenchError> {
    let line = [
        "connector",
        "history",
        "fickle",
        "--limit",
        HISTORY,
        "--json",
    ];
    Ok(program.json::<History>(&line).await?.events)
}
