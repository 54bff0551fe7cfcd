//! Fetching from package registries: retried, and reported as what it is when it stays impossible.

use std::thread;
use std::time::Duration;

use crate::command::CommandError;
use crate::step::note;

/// Exit code of `cargo xtask` and the live harness when a package could not be downloaded (`EX_TEMPFAIL` of
/// `sysexits.h`): the machine or a registry is at fault, not Samspel, and trying later may help.
pub const EXIT_NOT_DOWNLOADED: u8 = 75;

/// Waits between the attempts; there is one attempt more than there are waits.
const WAITS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(15)];

/// A package registry did not deliver.
#[derive(Debug, thiserror::Error)]
#[error("could not download {what} ({attempts} attempts): not a failure of Samspel. {last}")]
pub struct DownloadError {
    what: String,
    attempts: usize,
    last: CommandError,
}

/// Runs a download, again if it fails, three times in all. Only commands that *fetch* belong in here: what is built or
/// installed from the fetched files must fail as itself.
///
/// A program that cannot be started at all is not tried again.
pub fn download<T>(
    what: &str,
    attempt: impl FnMut() -> Result<T, CommandError>,
) -> Result<T, DownloadError> {
    with_waits(what, &WAITS, attempt)
}

fn with_waits<T>(
    what: &str,
    waits: &[Duration],
    mut attempt: impl FnMut() -> Result<T, CommandError>,
) -> Result<T, DownloadError> {
    let mut waits = waits.iter();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let last = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let hopeless = matches!(last, CommandError::NotStarted { .. });
        match waits.next() {
            Some(wait) if !hopeless => {
                note(&format!(
                    "downloading {what} failed, trying again in {} s: {last}",
                    wait.as_secs()
                ));
                thread::sleep(*wait);
            }
            _ => {
                return Err(DownloadError {
                    what: what.to_owned(),
                    attempts,
                    last,
                });
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::command::Tool;

    const NO_WAIT: [Duration; 2] = [Duration::ZERO; 2];

    #[test]
    fn a_download_that_works_at_last_is_a_success() {
        let mut attempts = 0;
        let value = with_waits("x", &NO_WAIT, || {
            attempts += 1;
            if attempts < 3 {
                Tool::new("false").run().map(|()| 0)
            } else {
                Ok(7)
            }
        });
        assert_eq!((value.unwrap(), attempts), (7, 3));
    }

    #[test]
    fn a_download_that_never_works_says_whose_fault_it_is() {
        let error = with_waits("ghost 1.2 from npm", &NO_WAIT, || Tool::new("false").run())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(
                "could not download ghost 1.2 from npm (3 attempts): not a failure of Samspel"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_not_tried_again() {
        let mut attempts = 0;
        let result = with_waits("x", &NO_WAIT, || {
            attempts += 1;
            Tool::new("no-such-program-of-samspel").run()
        });
        assert!(result.is_err());
        assert_eq!(attempts, 1);
    }
}
