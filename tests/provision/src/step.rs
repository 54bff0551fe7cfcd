//! Saying what is being done and how long it took.

use std::time::{Duration, Instant};

/// Runs one named piece of work; says on standard error that it started, whether it worked, and how long it took.
pub fn step<T, E>(title: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    eprintln!("==> {title}");
    let started = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "done" } else { "FAILED" };
    eprintln!("    {title}: {verdict} in {}", human(started.elapsed()));
    result
}

/// Says something about the step that is running.
pub fn note(text: &str) {
    eprintln!("    {text}");
}

fn human(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(human(Duration::from_millis(1_340)), "1.3 s");
        assert_eq!(human(Duration::from_secs(125)), "2 min 5 s");
    }
}
