//! Everything that the process logs, at the finest level.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What was logged since the first capture began, in all threads.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Begins to capture. Tests of one process share what is captured, so each must look for texts of its own.
pub fn capture() -> Captured {
    static CAPTURED: OnceLock<Captured> = OnceLock::new();
    CAPTURED
        .get_or_init(|| {
            let captured = Captured::default();
            // Less the compiler, which knows code and no secrets, and writes gigabytes about it.
            let compiler = [
                "cranelift_codegen",
                "cranelift_frontend",
                "regalloc2",
                "wasmtime",
            ];
            let levels = Targets::new()
                .with_default(Level::TRACE)
                .with_targets(compiler.map(|name| (name, Level::WARN)));
            let lines = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(captured.clone());
            tracing_subscriber::registry()
                .with(levels)
                .with(lines)
                .init();
            captured
        })
        .clone()
}
