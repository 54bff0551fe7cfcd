//! `samspel-vendors`: simulated HubSpot and Mailchimp on two ports of the loopback interface.
//!
//! Prints one line of JSON on standard output when both serve, and stops when standard input closes, on SIGTERM or on
//! Ctrl-C: a program that starts it holds its input open and can never leave it behind.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser;
use samspel_vendors::faults::FaultRates;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions, HubSpotQuirks};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions, MailchimpQuirks};
use samspel_vendors::settings::Settings;
use samspel_vendors::vendor::Vendor as _;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Simulated HubSpot and Mailchimp for demonstrations, tests and measurements.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port of the simulated HubSpot; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    hubspot_port: u16,
    /// Port of the simulated Mailchimp; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    mailchimp_port: u16,
    /// Fill HubSpot with this many contacts; about one in five is in Mailchimp too, and 2 % more are only there.
    #[arg(long, default_value_t = 0)]
    contacts: u64,
    /// Seed of the test people and of random faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Milliseconds that each API request takes at least.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Share of API requests that meet a random fault, 0.0 to 1.0.
    #[arg(long, default_value_t = 0.0)]
    fault_rate: f64,
    /// The private-app token to accept.
    #[arg(long, default_value = hubspot::DEFAULT_TOKEN)]
    hubspot_token: String,
    /// The API key to accept.
    #[arg(long, default_value = mailchimp::DEFAULT_KEY)]
    mailchimp_key: String,
    #[command(flatten)]
    hubspot: HubSpotQuirks,
    #[command(flatten)]
    mailchimp: MailchimpQuirks,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let hubspot_listener = listen(arguments.hubspot_port).await?;
    let mailchimp_listener = listen(arguments.mailchimp_port).await?;
    let faults = FaultRates {
        rate: arguments.fault_rate,
        ..FaultRates::default()
    };
    let hubspot = HubSpot::new(HubSpotOptions {
        token: arguments.hubspot_token.clone(),
        settings: Settings {
            latency_ms: arguments.latency_ms,
            faults: faults.clone(),
            quirks: arguments.hubspot,
            ..Settings::default()
        },
        fault_seed: arguments.seed,
    });
    let mailchimp = Mailchimp::new(MailchimpOptions {
        key: arguments.mailchimp_key.clone(),
        settings: Settings {
            latency_ms: arguments.latency_ms,
            faults,
            quirks: arguments.mailchimp,
            ..Settings::default()
        },
        fault_seed: arguments.seed.wrapping_add(1),
    });
    let (people, list) = (hubspot.clone(), mailchimp.clone());
    tokio::task::spawn_blocking(move || {
        people.seed(arguments.contacts, arguments.seed);
        list.seed(arguments.contacts, arguments.seed);
    })
    .await
    .context("failed to make test people")?;

    let hubspot = hubspot.serve(hubspot_listener)?;
    let mailchimp = mailchimp.serve(mailchimp_listener)?;
    let ready = json!({
        "hubspot": hubspot.url,
        "mailchimp": mailchimp.url,
        "hubspot_token": arguments.hubspot_token,
        "mailchimp_key": arguments.mailchimp_key,
        "list_id": mailchimp::LIST_ID,
        "subscription_id": hubspot::NEWSLETTER.to_string(),
    });
    // Whoever reads the line may send one at once.
    let terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    // A parent that is gone already is told by the closed input below.
    let _ = writeln!(std::io::stdout(), "{ready}");

    told_to_stop(terminate).await?;
    tokio::join!(hubspot.shutdown(), mailchimp.shutdown());
    // The thread that waits for standard input may still be blocked; leaving does not wait for it.
    std::process::exit(0)
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| {
            format!(
                "failed to listen on port {port} of 127.0.0.1; choose another, or 0 for a free one"
            )
        })
}

/// Waits until standard input closes or a signal comes.
async fn told_to_stop(mut terminate: Signal) -> anyhow::Result<()> {
    let mut input = tokio::io::stdin();
    let mut ignored = [0_u8; 256];
    let closed = async {
        while let Ok(read) = input.read(&mut ignored).await {
            if read == 0 {
                break;
            }
        }
    };
    tokio::select! {
        () = closed => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("failed to listen for Ctrl-C")?,
    }
    Ok(())
}
