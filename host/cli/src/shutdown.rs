//! SIGINT and SIGTERM ask for a graceful end; a second one ends the process at once.

use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use samspel_installation::Kind;

use crate::exit::{CliError, Exit};

/// A token that is cancelled by the first signal. To be called inside the asynchronous runtime.
pub fn on_signal() -> Result<CancellationToken, CliError> {
    let failed =
        |error| CliError::new(Kind::Failure, format!("signals cannot be watched: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if token.is_cancelled() {
                // What is in flight becomes "unknown" and is read back by the next run.
                process::exit(i32::from(Exit::Interrupted as u8));
            }
            warn!("stopping: what is in flight is finished first; a second signal ends at once");
            token.cancel();
        }
    });
    Ok(stop)
}
