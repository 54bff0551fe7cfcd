//! The service from its start to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use samspel_installation::{Error, Host};
use samspel_scheduler::Drained;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::listen::{self, Listener};
use crate::service::{Options, Service};
use crate::{alerts, api, health, hooks, jobs, metrics, reload, watch};

/// Requests that are under way when the end is asked for may take so long.
const REQUESTS: Duration = Duration::from_secs(10);

/// How a service ended.
#[derive(Debug, Clone)]
pub struct Served {
    /// The syncs that were configured at the end.
    pub syncs: Vec<String>,
    /// Those whose run was cut off.
    pub cut_off: Vec<String>,
}

/// Serves until `stop` is cancelled. `started` is given the service once its ports are open.
///
/// # Errors
/// A port cannot be opened, or the store fails at the start.
pub async fn serve(
    host: Arc<Host>,
    options: Options,
    stop: CancellationToken,
    started: impl FnOnce(Arc<Service>),
) -> Result<Served, Error> {
    let service = Service::new(Arc::clone(&host), options, stop.clone());
    let jobs = jobs::of(&service, &host)?;
    let settings = &host.config().server;
    let tls = match &settings.tls {
        Some(tls) => Some(listen::tls(host.config(), tls).await?),
        None => None,
    };
    if let Some(tls) = &tls {
        // Nobody else sets it.
        let _ = service.tls.set(tls.clone());
    }
    let main = Listener::open("listen", settings.listen, tls.clone())?;
    let for_hooks = settings
        .hooks_listen
        .map(|address| Listener::open("hooks-listen", address, tls))
        .transpose()?;
    let for_metrics = settings
        .metrics_listen
        .map(|address| Listener::open("metrics-listen", address, None))
        .transpose()?;
    let hooks_at = for_hooks.as_ref().map_or(main.address(), Listener::address);
    info!(
        api = %main.address(),
        hooks = %hooks_at,
        syncs = jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>().join(", "),
        "serving; SIGINT or SIGTERM ends it"
    );

    let handle = Handle::new();
    let mut router = api::routes(Arc::clone(&service))
        .merge(health::routes(Arc::clone(&service)))
        .fallback(api::nothing);
    match for_hooks {
        Some(listener) => {
            let only = hooks::routes(Arc::clone(&service));
            listening(&service, listener, only, &handle);
        }
        None => router = router.merge(hooks::routes(Arc::clone(&service))),
    }
    if let Some(listener) = for_metrics {
        let only = metrics::routes(Arc::clone(&service));
        listening(&service, listener, only, &handle);
    }
    listening(&service, main, router, &handle);

    started(Arc::clone(&service));
    service.hooks.resume(&service).await?;
    service
        .tasks
        .spawn(hooks::keep_subscribed(Arc::clone(&service)));
    let sweeping = Arc::clone(&service);
    service
        .tasks
        .spawn(async move { sweeping.hooks.sweep(&sweeping).await });
    service.tasks.spawn(watch::watch(Arc::clone(&service)));
    service
        .tasks
        .spawn(alerts::keep_telling(Arc::clone(&service)));
    let following = Arc::clone(&service);
    service.tasks.spawn(async move {
        if let Err(error) = reload::follow(following).await {
            error!(%error, "the configuration is not followed: signals cannot be watched");
        }
    });

    let Drained { cut_off } = service.scheduler.run(jobs, stop).await;
    handle.graceful_shutdown(Some(REQUESTS));
    service.tasks.close();
    service.tasks.wait().await;
    info!("stopped");
    Ok(Served {
        syncs: service.host().config().syncs.keys().cloned().collect(),
        cut_off,
    })
}

fn listening(
    service: &Arc<Service>,
    listener: Listener,
    router: Router,
    handle: &Handle<SocketAddr>,
) {
    let address = listener.address();
    let serving = listener.serve(router, handle.clone());
    let stop = service.stop.clone();
    service.tasks.spawn(async move {
        if let Err(error) = serving.await {
            // Without its ports it is no service: whoever started it finds out, and starts it again.
            error!(%address, %error, "listening failed");
            stop.cancel();
        }
    });
}
