//! Log lines go to stderr, above a progress bar if there is one; spans go to a collector, if there is one.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::args::LogFormat;
use crate::traces::Traces;

/// What a collector is sent: what this program does, in every step.
const SPANS: &str = "off,samspel=debug";

/// Sets up logging. `default` applies unless RUST_LOG says otherwise; `bars` are the progress bars that lines must not
/// tear; `traces` is where spans go.
///
/// # Errors
/// What is wrong with RUST_LOG.
pub fn init(
    format: LogFormat,
    default: &str,
    bars: MultiProgress,
    traces: Option<&Traces>,
) -> Result<(), String> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(value) if !value.trim().is_empty() => EnvFilter::try_new(&value)
            .map_err(|error| format!("RUST_LOG is not a log filter: {error}"))?,
        _ => EnvFilter::new(default),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(AboveBars(bars));
    let lines = match format {
        LogFormat::Text => lines.with_ansi(console::colors_enabled_stderr()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_filter(EnvFilter::new(SPANS))
    });
    Registry::default()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(|error| error.to_string())
}

/// Writes whole lines to stderr while bars are taken away.
struct AboveBars(MultiProgress);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { bars: &self.0 }
    }
}

struct Line<'a> {
    bars: &'a MultiProgress,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
