//! `samspel serve`: all syncs on their intervals and when they are told to, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use samspel_installation::Host;
use samspel_server::Options;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::ServeArgs;
use crate::exit::CliError;
use crate::output::Output;

/// Serves until `stop` is cancelled.
pub async fn run(
    host: Arc<Host>,
    args: &ServeArgs,
    output: Output,
    stop: CancellationToken,
) -> Result<(), CliError> {
    if host.config().syncs.is_empty() {
        // Accounts can be added through the API, and a sync that is added to the file is taken up at once.
        tracing::warn!("there is no sync yet; add one to the configuration as `[syncs.NAME]`");
    }
    let options = Options {
        drain: Duration::from_secs(args.drain),
    };
    let served = samspel_server::serve(host, options, stop, |_| {}).await?;
    output.result(
        &json!({ "syncs": served.syncs, "cut_off": served.cut_off }),
        |out| {
            if served.cut_off.is_empty() {
                writeln!(out, "stopped; nothing is left half done")
            } else {
                writeln!(
                    out,
                    "stopped; runs of {} were cut off, and their next runs recover them",
                    served.cut_off.join(", ")
                )
            }
        },
    )
}
