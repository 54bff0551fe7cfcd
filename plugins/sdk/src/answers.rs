//! What an error of the transport or an error status means: for a call as a whole, and for one write of a batch.
//!
//! The defaults follow RFC 9110. An API that deviates (Mailchimp throttles with a bare 403) handles its own cases and
//! leaves the rest to these functions.

use crate::http::{Error, Response};
use crate::{Deferral, Failure, Outcome, Rejection, outcomes};

/// What became of one write. An `Err` that is about access or patience ([`Failure::Throttled`], `Unauthorized`,
/// `Forbidden`, `Misconfigured`) states that the write was certainly not applied; any other leaves that open.
/// [`Outcomes`](crate::outcomes::Outcomes) turns them into the contract's words.
pub type Attempt = Result<Outcome, Failure>;

/// The longest piece of a remote's message that is passed on.
const LONGEST_MESSAGE: usize = 300;

/// A read's error status as the failure of the call. `message` is the remote's own explanation.
pub fn failure(response: &Response, message: Option<&str>) -> Failure {
    let text = describe(response, message);
    match response.status() {
        401 => Failure::Unauthorized(text),
        403 => Failure::Forbidden(text),
        429 => Failure::Throttled(response.retry_after()),
        503 if response.retry_after().is_some() => Failure::Throttled(response.retry_after()),
        408 | 425 | 500..=599 => Failure::Unavailable(text),
        _ => Failure::Bug(text),
    }
}

/// A write's error status as what became of the write.
pub fn refusal(response: &Response, message: Option<&str>) -> Attempt {
    let text = describe(response, message);
    match response.status() {
        401 | 403 | 429 => Err(failure(response, message)),
        503 if response.retry_after().is_some() => Err(failure(response, message)),
        404 | 410 => Ok(Outcome::Gone),
        409 => Ok(Outcome::Duplicate(None)),
        412 => Ok(Outcome::Stale(None)),
        425 => Ok(Outcome::Deferred(Deferral {
            reason: text,
            retry_after: response.retry_after(),
        })),
        400..=499 if response.status() != 408 => Ok(Outcome::Rejected(Rejection {
            reason: text,
            field: None,
        })),
        _ => Ok(Outcome::Unknown(text)),
    }
}

/// What a write became whose answer never came.
pub fn unanswered(error: Error) -> Attempt {
    match error {
        Error::Throttled(ms) => Err(Failure::Throttled(Some(ms))),
        Error::NotSent(reason) => Ok(Outcome::Deferred(Deferral {
            reason,
            retry_after: None,
        })),
        Error::Denied(reason) => Ok(Outcome::Rejected(Rejection {
            reason: format!("the host refused the request: {reason}"),
            field: None,
        })),
        Error::Interrupted(reason) | Error::Other(reason) => Ok(Outcome::Unknown(reason)),
        Error::TooLarge(limit) => Ok(Outcome::Unknown(format!(
            "the answer exceeds the host's limit of {limit} bytes"
        ))),
    }
}

/// What a write became that was never sent, because something that had to be asked before failed.
pub fn not_attempted(failure: Failure) -> Attempt {
    match failure {
        Failure::Throttled(_)
        | Failure::Unauthorized(_)
        | Failure::Forbidden(_)
        | Failure::Misconfigured(_) => Err(failure),
        other => Ok(Outcome::deferred(outcomes::explain(other))),
    }
}

/// The status and the remote's explanation in one line.
pub fn describe(response: &Response, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("HTTP {}: {}", response.status(), shorten(message)),
        None => format!("HTTP {}", response.status()),
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

impl From<Error> for Failure {
    /// For reads; for a write see [`unanswered`].
    fn from(error: Error) -> Self {
        match error {
            Error::Throttled(ms) => Self::Throttled(Some(ms)),
            Error::NotSent(why) | Error::Interrupted(why) => Self::Unavailable(why),
            Error::Denied(why) => Self::Other(format!("the host refused the request: {why}")),
            Error::TooLarge(limit) => Self::Other(format!(
                "the answer exceeds the host's limit of {limit} bytes; ask for smaller pages"
            )),
            Error::Other(why) => Self::Other(why),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::Reply;

    #[test]
    fn a_status_says_what_to_do_about_a_read() {
        let of = |status| failure(&Reply::new(status).response(), Some("why"));
        assert_eq!(of(401), Failure::Unauthorized("HTTP 401: why".into()));
        assert_eq!(of(403), Failure::Forbidden("HTTP 403: why".into()));
        assert_eq!(of(429), Failure::Throttled(None));
        assert_eq!(of(503), Failure::Unavailable("HTTP 503: why".into()));
        assert_eq!(of(400), Failure::Bug("HTTP 400: why".into()));
        let patient = Reply::new(503).header("retry-after", "2").response();
        assert_eq!(failure(&patient, None), Failure::Throttled(Some(2_000)));
    }

    #[test]
    fn a_server_error_leaves_open_whether_a_write_was_applied() {
        for status in [500, 502, 503, 504, 408] {
            assert!(
                matches!(
                    refusal(&Reply::new(status).response(), None),
                    Ok(Outcome::Unknown(_))
                ),
                "{status}"
            );
        }
        for status in [401, 403, 429] {
            assert!(refusal(&Reply::new(status).response(), None).is_err());
        }
        assert_eq!(
            refusal(&Reply::new(404).response(), None),
            Ok(Outcome::Gone)
        );
        assert!(matches!(
            refusal(&Reply::new(422).response(), None),
            Ok(Outcome::Rejected(_))
        ));
    }

    #[test]
    fn what_was_not_sent_is_deferred_and_what_was_interrupted_is_unknown() {
        assert!(matches!(
            unanswered(Error::NotSent("x".into())),
            Ok(Outcome::Deferred(_))
        ));
        for error in [
            Error::Interrupted("x".into()),
            Error::TooLarge(5),
            Error::Other("x".into()),
        ] {
            assert!(matches!(unanswered(error), Ok(Outcome::Unknown(_))));
        }
        assert_eq!(
            unanswered(Error::Throttled(9)),
            Err(Failure::Throttled(Some(9)))
        );
    }

    #[test]
    fn what_was_not_attempted_is_never_unknown() {
        assert_eq!(
            not_attempted(Failure::Throttled(Some(9))),
            Err(Failure::Throttled(Some(9)))
        );
        for failure in [
            Failure::Unavailable("x".into()),
            Failure::Bug("x".into()),
            Failure::Other("x".into()),
        ] {
            assert_eq!(not_attempted(failure), Ok(Outcome::deferred("x")));
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let text = describe(&Reply::new(400).response(), Some(&"ü".repeat(1_000)));
        assert_eq!(text.chars().count(), "HTTP 400: ".len() + 301);
    }
}
