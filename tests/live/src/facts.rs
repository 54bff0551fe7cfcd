//! What connectors rely on and no document promises: how these servers were seen to behave. Each is put to the running
//! servers again, so that a new version that behaves otherwise is noticed here and not in somebody's contacts.

mod ghost;
mod odoo;

use crate::error::LiveError;
use crate::ghost::GhostServer;
use crate::odoo::OdooServer;

/// What came of putting a fact to the test.
#[derive(Debug)]
pub struct Finding {
    /// The fact, as a sentence.
    pub fact: &'static str,
    /// What was seen instead, where it does not hold.
    pub contradiction: Option<String>,
}

/// What a server did that a fact does not allow, or why it could not be seen.
type Contradiction = String;

/// Puts all facts to the test. The servers are changed by it: contacts and members under `facts.test` are left behind.
pub async fn check(ghost: &GhostServer, odoo: &OdooServer) -> Vec<Finding> {
    let mut findings = ghost::check(ghost).await;
    findings.extend(odoo::check(odoo).await);
    findings
}

/// Runs one check after another, each under the sentence that it checks.
macro_rules! findings {
    ($server:expr; $($fact:literal => $check:path),+ $(,)?) => {
        vec![$(Finding { fact: $fact, contradiction: $check($server).await.err() }),+]
    };
}
use findings;

/// Turns a failed call into a contradiction.
fn failed(error: LiveError) -> Contradiction {
    error.to_string()
}

/// A contradiction unless two values are equal.
fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    seen: T,
    expected: T,
) -> Result<(), Contradiction> {
    if seen == expected {
        Ok(())
    } else {
        Err(format!("{what} is {seen:?}, not {expected:?}"))
    }
}

/// A contradiction unless the call was refused with this status and an answer that contains this text.
fn refused<T: std::fmt::Debug>(
    result: Result<T, LiveError>,
    status: &str,
    text: &str,
) -> Result<(), Contradiction> {
    match result {
        Err(LiveError::Refused {
            status: seen,
            answer,
            ..
        }) if seen.contains(status) && answer.contains(text) => Ok(()),
        Err(other) => Err(format!("another refusal: {other}")),
        Ok(answer) => Err(format!("no refusal but {answer:?}")),
    }
}
