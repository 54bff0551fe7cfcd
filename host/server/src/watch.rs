//! Installing connectors that are put into a directory.

use std::sync::Arc;
use std::time::Duration;

use samspel_installation::lifecycle::{Lifecycle, Watch};
use tracing::{info, warn};

use crate::service::Service;

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Installs what is put into the watched directory, if there is one, until the service ends.
pub(crate) async fn watch(service: Arc<Service>) {
    let mut watch = Watch::default();
    let mut told = None;
    loop {
        let host = service.host();
        if let Some(directory) = &host.config().host.watch {
            let directory = host.config().resolve(directory);
            if told.as_ref() != Some(&directory) {
                info!(directory = %directory.display(), "watching for connectors");
                told = Some(directory.clone());
            }
            let lifecycle = Lifecycle::new(&host, host.owner());
            if let Err(error) = lifecycle.watch(&mut watch, &directory).await {
                warn!(directory = %directory.display(), %error, "the watched directory cannot be read");
            }
        }
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
