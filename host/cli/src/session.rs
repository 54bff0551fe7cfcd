//! Where a command is carried out: in this process, on the configured installation, or by a host that runs.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use indicatif::MultiProgress;
use samspel_installation::{Config, Error, Host, Kind};
use samspel_operations::accounts::Authorisations;
use samspel_operations::syncs::ShowSync;
use samspel_operations::{Alone, Limit, Operation, Person, Work, perform};
use samspel_sync::{PlanReport, Progress, Silent};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::client::Client;
use crate::commands::ask::{ask, somebody};
use crate::commands::sync::report;
use crate::exit::CliError;
use crate::output::Output;
use crate::progress::RunBar;
use crate::shutdown;
use crate::who::who;

/// Carries out operations.
pub struct Session {
    place: Place,
    /// Where results go.
    pub output: Output,
    bars: MultiProgress,
    authorisations: Authorisations,
}

enum Place {
    Here(Box<Host>),
    There(Client),
}

impl Session {
    /// Opens the installation, or gets ready to ask the host that is named. `command` tells other processes who holds a
    /// sync.
    pub async fn open(
        global: &Global,
        command: &str,
        output: Output,
        bars: &MultiProgress,
    ) -> Result<Self, CliError> {
        let place = match &global.host {
            Some(url) => Place::There(Client::new(url, &global.access)?),
            None => {
                let host = Host::open(Config::load(&global.config)?, command).await?;
                Place::Here(Box::new(host))
            }
        };
        Ok(Self::of(place, output, bars))
    }

    fn of(place: Place, output: Output, bars: &MultiProgress) -> Self {
        Self {
            place,
            output,
            bars: bars.clone(),
            authorisations: Authorisations::default(),
        }
    }

    /// Whether it is carried out by another host.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::There(_))
    }

    /// Carries out an operation; asks a person where it wants one.
    pub async fn perform<O: Operation>(&self, operation: &O) -> Result<O::Output, CliError> {
        let stop = if O::ROUTE.long {
            shutdown::on_signal()?
        } else {
            CancellationToken::new()
        };
        let sides = match operation.sync() {
            Some(sync) if !self.output.is_json() => self.sides(sync).await,
            _ => ["a", "b"].map(str::to_owned),
        };
        let progress: Box<dyn Progress> = if O::ROUTE.long && !self.output.is_json() {
            Box::new(RunBar::new(&self.bars, sides.clone()))
        } else {
            Box::new(Silent)
        };
        match &self.place {
            Place::Here(host) => {
                let work = Work {
                    host,
                    who: &who(),
                    at_host: true,
                    progress: progress.as_ref(),
                    stop,
                    person: self.person(),
                    authorisations: &self.authorisations,
                    surroundings: &Alone,
                };
                Ok(perform(operation, &work).await?)
            }
            Place::There(client) => {
                let done = client.call(operation, progress.as_ref(), &stop).await;
                drop(progress);
                match done {
                    Err(error) => match self.agreed(operation, &sides, &error).await? {
                        Some(agreed) => {
                            let progress: Box<dyn Progress> = if O::ROUTE.long {
                                Box::new(RunBar::new(&self.bars, sides))
                            } else {
                                Box::new(Silent)
                            };
                            Ok(client.call(&agreed, progress.as_ref(), &stop).await?)
                        }
                        None => Err(error.into()),
                    },
                    Ok(done) => Ok(done),
                }
            }
        }
    }

    /// The two sides of a sync as people see them.
    async fn sides(&self, sync: &str) -> [String; 2] {
        let of_host = match &self.place {
            Place::Here(host) => host.spec(sync).ok().map(|spec| {
                [&spec.a, &spec.b].map(|side| format!("{}/{}", side.account, side.collection))
            }),
            Place::There(client) => {
                let show = ShowSync {
                    sync: sync.to_owned(),
                    limit: Limit::new(0),
                };
                let stop = CancellationToken::new();
                let status = client.call(&show, &Silent, &stop).await;
                status.ok().map(|status| [status.a, status.b])
            }
        };
        // If there is no such sync, the operation says so.
        of_host.unwrap_or_else(|| ["a", "b"].map(str::to_owned))
    }

    fn person(&self) -> Option<Arc<dyn Person>> {
        somebody(self.output).then(|| {
            Arc::new(Terminal {
                bars: self.bars.clone(),
            }) as Arc<dyn Person>
        })
    }

    /// The same operation, once a person has agreed to what the host wants agreed to.
    async fn agreed<O: Operation>(
        &self,
        operation: &O,
        sides: &[String; 2],
        error: &Error,
    ) -> Result<Option<O>, CliError> {
        let Some(person) = self.person().filter(|_| error.kind() == Kind::NotConfirmed) else {
            return Ok(None);
        };
        let plan = error
            .found("plan")
            .and_then(|plan| serde_json::from_value::<PlanReport>(plan.clone()).ok());
        let (yes, key, answer) = match (error.found("question").and_then(Value::as_str), plan) {
            (Some(question), _) => (person.agrees(question.to_owned()).await, "yes", json!(true)),
            (None, Some(plan)) => {
                let sync = operation.sync().unwrap_or_default();
                let yes = person.agrees_to(sync, sides, &plan).await;
                (yes, "plan", json!(plan.hash))
            }
            (None, None) => return Ok(None),
        };
        if !yes {
            return Ok(None);
        }
        let mut said = serde_json::to_value(operation).map_err(std::io::Error::from)?;
        said[key] = answer;
        Ok(Some(
            serde_json::from_value(said).map_err(std::io::Error::from)?,
        ))
    }
}

/// Somebody who sits at the terminal.
struct Terminal {
    bars: MultiProgress,
}

impl Person for Terminal {
    fn agrees(&self, question: String) -> BoxFuture<'static, bool> {
        let bars = self.bars.clone();
        // Waiting for a person blocks a thread, which must not be one that runs tasks.
        tokio::task::spawn_blocking(move || bars.suspend(|| ask(&question)))
            .map(|answer| answer.unwrap_or(false))
            .boxed()
    }

    fn agrees_to(
        &self,
        sync: &str,
        sides: &[String; 2],
        plan: &PlanReport,
    ) -> BoxFuture<'static, bool> {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = report::plan(&mut text, sides, plan);
        self.agrees(format!(
            "This is the first run of {sync}. It would:\n{}\nDo it?",
            String::from_utf8_lossy(&text)
        ))
    }
}
