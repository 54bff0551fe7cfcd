//! The demo's second way to carry changes over: a service that the vendors tell of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use samspel_installation::address::address;
use samspel_installation::{Host, Kind};
use samspel_server::{Options, Service};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::remote::Remote;
use super::scenarios::Carry;
use super::setup;
use crate::exit::CliError;

/// Starting, and carrying one change over, must not take longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether everything is at rest.
const LOOK: Duration = Duration::from_millis(2);
/// How often a vendor is asked whether a change has arrived: its limits on requests are in force.
const ASK: Duration = Duration::from_millis(25);

/// A service in this process, and the vendors that tell it what happens there.
pub struct Serving<'a> {
    crm: &'a Remote,
    newsletter: &'a Remote,
    service: Arc<Service>,
    stop: CancellationToken,
    served: JoinHandle<Result<(), CliError>>,
}

impl<'a> Serving<'a> {
    /// Starts it, and waits until both vendors know where to send notifications.
    pub async fn start(
        host: &Arc<Host>,
        crm: &'a Remote,
        newsletter: &'a Remote,
        list: &str,
        stop: &CancellationToken,
    ) -> Result<Self, CliError> {
        let given = address(host, "crm").await?;
        // What a person does in HubSpot: the app's target URL, and its client secret is known.
        let app = json!({ "target_url": given.url, "client_secret": setup::CLIENT_SECRET });
        crm.control("app", &app).await?;
        let stop = stop.child_token();
        let (opened, service) = tokio::sync::oneshot::channel();
        let (serving, ending) = (Arc::clone(host), stop.clone());
        let served = tokio::spawn(async move {
            let options = Options { drain: PATIENCE };
            let tell = |running: Arc<Service>| {
                // Nobody waits any more if starting failed.
                let _ = opened.send(running);
            };
            samspel_server::serve(serving, options, ending, tell).await?;
            Ok(())
        });
        let Ok(service) = service.await else {
            // It ended before it served, and says why.
            return match served.await {
                Ok(Err(error)) => Err(error),
                _ => Err(CliError::new(Kind::Failure, "the service did not start")),
            };
        };
        let serving = Self {
            crm,
            newsletter,
            service,
            stop,
            served,
        };
        let webhooks = format!("/3.0/lists/{list}/webhooks");
        serving
            .wait("Mailchimp has no webhook", LOOK, async || {
                let known = newsletter.read(&webhooks).await?;
                let number = known.and_then(|known| known["total_items"].as_u64());
                Ok(number.unwrap_or_default() > 0)
            })
            .await?;
        serving
            .wait("the first run did not end", LOOK, async || {
                Ok(serving.service.has_run(setup::SYNC) && serving.service.is_idle())
            })
            .await?;
        Ok(serving)
    }

    /// Ends it as a signal would.
    pub async fn end(self) -> Result<(), CliError> {
        self.stop.cancel();
        match self.served.await {
            Ok(done) => done,
            Err(error) => Err(CliError::new(Kind::Failure, error)),
        }
    }

    async fn wait(
        &self,
        otherwise: &str,
        pause: Duration,
        done: impl AsyncFn() -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        let until = Instant::now() + PATIENCE;
        while !done().await? {
            if self.served.is_finished() || self.stop.is_cancelled() || Instant::now() > until {
                return Err(CliError::new(
                    Kind::Failure,
                    format!("{otherwise} within {} seconds", PATIENCE.as_secs()),
                ));
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

impl Carry for Serving<'_> {
    /// Waits until what happened has arrived on the other side: that is how long it took. After that, until both are at
    /// rest: the vendors have told everything, and nothing that they told waits here.
    async fn carry(
        &self,
        arrived: impl AsyncFn() -> Result<bool, CliError>,
    ) -> Result<Duration, CliError> {
        let began = Instant::now();
        self.wait("a change was not carried over", ASK, arrived)
            .await?;
        let took = began.elapsed();
        self.wait("the vendors did not come to rest", LOOK, async || {
            let told = self.crm.hooks().await?.waiting + self.newsletter.hooks().await?.waiting;
            Ok(told == 0 && self.service.is_idle())
        })
        .await?;
        Ok(took)
    }
}
