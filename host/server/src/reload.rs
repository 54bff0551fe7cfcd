//! Following the configuration file: it is read again on SIGHUP and when it changed, checked as a whole, and taken over
//! if nothing is wrong with it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use samspel_installation::{Config, Error, Host, Kind};
use tracing::{error, info, warn};

use crate::jobs;
use crate::service::Service;

/// How often it is looked at whether the file changed.
const LOOK: Duration = Duration::from_secs(2);

/// Follows the file until the service ends.
pub(crate) async fn follow(service: Arc<Service>) -> Result<(), std::io::Error> {
    let mut hangup = hangup()?;
    let mut seen = changed(&service.host());
    loop {
        let asked = tokio::select! {
            () = service.stop.cancelled() => return Ok(()),
            () = hangup.next() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let now = changed(&service.host());
        if !asked && (now == seen || now.is_none()) {
            continue;
        }
        seen = now;
        match reload(&service).await {
            Ok(()) => service.metrics.reloaded(true),
            Err(error) => {
                service.metrics.reloaded(false);
                error!(%error, "the configuration is not taken over; the one from before holds");
            }
        }
    }
}

fn changed(host: &Host) -> Option<SystemTime> {
    let file = std::fs::metadata(host.config().file()).ok()?;
    file.modified().ok()
}

/// Reads the configuration and takes it over.
///
/// # Errors
/// Something is wrong with it. Nothing has changed then.
pub(crate) async fn reload(service: &Arc<Service>) -> Result<(), Error> {
    let old = service.host();
    let config = Config::load(old.config().file())?;
    if config.server.listen != old.config().server.listen
        || config.server.hooks_listen != old.config().server.hooks_listen
        || config.server.metrics_listen != old.config().server.metrics_listen
        || config.server.tls.is_some() != old.config().server.tls.is_some()
    {
        warn!("other addresses to listen to are taken over by a restart only");
    }
    let host = Arc::new(old.reconfigured(config).await?);
    let jobs = jobs::of(service, &host)?;
    if let (Some(tls), Some(running)) = (&host.config().server.tls, service.tls.get()) {
        let config = host.config();
        running
            .reload_from_pem_file(config.resolve(&tls.certificate), config.resolve(&tls.key))
            .await
            .map_err(|error| {
                Error::new(
                    Kind::Config,
                    format!("`server.tls` cannot be used: {error}"),
                )
            })?;
    }
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    info!(syncs = names.join(", "), "the configuration was taken over");
    service.set_host(host);
    service.scheduler.replace(jobs);
    // Kept for whoever looks at subscriptions just now.
    service.reloaded.notify_one();
    Ok(())
}

#[cfg(unix)]
struct Hangup(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangup {
    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
fn hangup() -> std::io::Result<Hangup> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).map(Hangup)
}

#[cfg(not(unix))]
struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(not(unix))]
fn hangup() -> std::io::Result<Hangup> {
    Ok(Hangup)
}
