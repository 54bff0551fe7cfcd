//! Log lines go to stderr, above a progress bar if there is one.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::LogFormat;

/// Sets up logging. `default` applies unless RUST_LOG says otherwise; `bars` are the progress bars that lines must not
/// tear.
///
/// # Errors
/// What is wrong with RUST_LOG.
pub fn init(format: LogFormat, default: &str, bars: MultiProgress) -> Result<(), String> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(value) if !value.trim().is_empty() => EnvFilter::try_new(&value)
            .map_err(|error| format!("RUST_LOG is not a log filter: {error}"))?,
        _ => EnvFilter::new(default),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(AboveBars(bars));
    match format {
        LogFormat::Text => builder
            .with_ansi(console::colors_enabled_stderr())
            .try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
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
