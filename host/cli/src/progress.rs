//! What a person sees of a run under way: one line on stderr, and nothing where nobody looks.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use samspel_sync::{Phase, Progress, Snapshot};

/// A run tells more often than anybody can read.
const REFRESH: Duration = Duration::from_millis(80);

/// A progress bar over a run.
pub struct RunBar {
    bar: ProgressBar,
    names: [String; 2],
    shown: Mutex<Option<Instant>>,
}

impl RunBar {
    /// A bar for a sync of these two sides. It is hidden if stderr is no terminal.
    pub fn new(bars: &MultiProgress, names: [String; 2]) -> Self {
        let bar = bars.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template(
            "{spinner} {msg}  {bar:24} {human_pos}/{human_len} writes  {elapsed}",
        )
        // The template is a constant that the test below checks.
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            names,
            shown: Mutex::new(None),
        }
    }

    fn due(&self, snapshot: &Snapshot) -> bool {
        let Ok(mut shown) = self.shown.try_lock() else {
            return false;
        };
        let now = Instant::now();
        if snapshot.phase != Phase::Finished && shown.is_some_and(|last| now - last < REFRESH) {
            return false;
        }
        *shown = Some(now);
        true
    }
}

impl Progress for RunBar {
    fn update(&self, snapshot: &Snapshot) {
        if !self.due(snapshot) {
            return;
        }
        self.bar.set_length(snapshot.decided);
        self.bar.set_position(snapshot.written);
        let read = |side: usize| {
            let done = if snapshot.read_done[side] {
                " (all)"
            } else {
                ""
            };
            format!(
                "{} {}{done}",
                self.names[side],
                HumanCount(snapshot.read[side])
            )
        };
        let doing = match snapshot.phase {
            Phase::Starting => "starting",
            Phase::Syncing => "read",
            Phase::Comparing => "comparing",
            Phase::Finished => "finished",
        };
        self.bar
            .set_message(format!("{doing}: {}, {}", read(0), read(1)));
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
