//! Telling people what needs them, once, again while it lasts, and when it is over. What was told is remembered in the
//! store: a restart tells nothing twice and forgets nothing.

mod gather;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use samspel_installation::alerts::{Alert, Channel, Message};
use samspel_installation::{Error, config};
use samspel_model::notice::{Notice, Subject};
use samspel_scheduler::Backoff;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::service::Service;
use gather::Progress;

/// How often it is looked at what needs a person.
const LOOK: Duration = Duration::from_secs(10);

/// After nobody could be told, it is tried again with growing pauses.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(10),
    most: Duration::from_secs(15 * 60),
    least: LOOK,
};

/// Looks and tells until the service ends.
pub(crate) async fn keep_telling(service: Arc<Service>) {
    let mut progress = Progress::new(service.host().clock().now());
    let (mut taken, mut failures) = (Taken::default(), 0);
    loop {
        let wait = if failures == 0 {
            LOOK
        } else {
            AGAIN.delay(failures, 1.0)
        };
        tokio::select! {
            () = service.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match look(&service, &mut progress, &mut taken).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures = failures.saturating_add(1);
                warn!(%error, "people could not be told what needs them; it is tried again");
            }
        }
    }
}

/// The channels that have taken a message which others have not: they are not sent it again.
#[derive(Default)]
struct Taken {
    message: String,
    by: BTreeSet<&'static str>,
}

async fn look(service: &Service, progress: &mut Progress, taken: &mut Taken) -> Result<(), Error> {
    let host = service.host();
    let now = host.clock().now();
    let found = gather::gather(service, &host, progress, now).await?;
    let alerts = &host.config().alerts;
    service.metrics.alerts(found.len());
    let repeat = config::duration(&alerts.repeat).unwrap_or(Duration::MAX);
    let known = host.notices().notices().await?;
    let mut told = compare(&found, &known, now, repeat);
    if told.is_nothing() {
        return Ok(());
    }
    // What is not told yet is remembered, whether or not anybody can be told.
    let new: Vec<Notice> = told
        .notices
        .iter()
        .filter(|notice| !known.iter().any(|known| known.subject == notice.subject))
        .map(|notice| Notice {
            told: None,
            ..notice.clone()
        })
        .collect();
    host.notices().put_notices(new, Vec::new()).await?;
    for alert in &told.alerts {
        if alert.over {
            info!(kind = alert.kind, subject = alert.subject, "this is over");
        } else {
            warn!(
                kind = alert.kind,
                subject = alert.subject,
                since = %alert.since,
                what = alert.what,
                remedy = alert.remedy,
                "this needs a person"
            );
        }
    }
    if !told.alerts.is_empty() {
        let message = Message {
            id: told.id(),
            at: now,
            host: host.name(),
            alerts: std::mem::take(&mut told.alerts),
        };
        tell(Channel::of(host.config())?, &message, taken).await?;
    }
    host.notices().put_notices(told.notices, told.over).await?;
    Ok(())
}

/// Sends a message by every channel that has not taken it. One that fails keeps it from no other.
async fn tell(channels: Vec<Channel>, message: &Message, taken: &mut Taken) -> Result<(), Error> {
    if taken.message != message.id {
        taken.message.clone_from(&message.id);
        taken.by.clear();
    }
    let mut failed = None;
    for channel in channels {
        if taken.by.contains(channel.name()) {
            continue;
        }
        match channel.send(message).await {
            Ok(()) => {
                taken.by.insert(channel.name());
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// What is to be told, and what is remembered then.
#[derive(Debug, Default, PartialEq)]
struct ToTell {
    alerts: Vec<Alert>,
    notices: Vec<Notice>,
    over: Vec<Subject>,
    /// When people were told before of what is told again.
    before: Vec<Timestamp>,
}

impl ToTell {
    fn is_nothing(&self) -> bool {
        self.notices.is_empty() && self.over.is_empty()
    }

    /// The same as long as the same is to be told.
    fn id(&self) -> String {
        let mut hasher = Sha256::new();
        for alert in &self.alerts {
            hasher.update(format!(
                "{}\0{}\0{}\0{}\n",
                alert.kind, alert.subject, alert.since, alert.over
            ));
        }
        // Told again is another message, which nobody may take for the one before.
        for told in &self.before {
            hasher.update(format!("{told}\n"));
        }
        format!("alert-{}", hex::encode(&hasher.finalize()[..12]))
    }
}

/// What lasts now, compared with what people were told of.
fn compare(found: &[Alert], known: &[Notice], now: Timestamp, repeat: Duration) -> ToTell {
    let mut tell = ToTell::default();
    let repeat = SignedDuration::try_from(repeat).unwrap_or(SignedDuration::MAX);
    for alert in found {
        let before = known.iter().find(|known| known.subject == alert.about());
        let since = before.map_or(alert.since, |before| before.since);
        let told = before.and_then(|before| before.told);
        if told.is_none_or(|told| now.duration_since(told) >= repeat) {
            tell.before.extend(told);
            tell.alerts.push(Alert {
                since,
                ..alert.clone()
            });
            tell.notices.push(Notice {
                subject: alert.about(),
                since,
                told: Some(now),
            });
        }
    }
    for known in known {
        if found.iter().any(|alert| alert.about() == known.subject) {
            continue;
        }
        tell.over.push(known.subject.clone());
        // Who was never told of it need not be told that it is over.
        if known.told.is_some() {
            tell.alerts.push(Alert {
                kind: known.subject.kind.clone(),
                subject: known.subject.name.clone(),
                since: known.since,
                over: true,
                what: gather::over(&known.subject.kind).to_owned(),
                remedy: String::new(),
            });
        }
    }
    tell
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEAT: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }

    fn alert(subject: &str) -> Alert {
        Alert {
            kind: "holds".to_owned(),
            subject: subject.to_owned(),
            since: at(0),
            over: false,
            what: "3 changes are held".to_owned(),
            remedy: "look".to_owned(),
        }
    }

    #[test]
    fn what_lasts_is_told_once_and_again_after_a_while() {
        let found = [alert("contacts")];
        let first = compare(&found, &[], at(10), REPEAT);
        assert_eq!(first.alerts.len(), 1);
        let known = first.notices.clone();
        assert!(compare(&found, &known, at(100), REPEAT).is_nothing());
        let again = compare(&found, &known, at(3_700), REPEAT);
        assert_eq!(again.alerts, found);
        assert_ne!(again.id(), first.id());
        assert_eq!(again.notices[0].since, at(0));
    }

    #[test]
    fn nobody_was_told_so_it_is_tried_again_under_the_same_id() {
        let found = [alert("contacts")];
        let untold = Notice {
            subject: found[0].about(),
            since: at(0),
            told: None,
        };
        let first = compare(&found, &[], at(10), REPEAT);
        let second = compare(&found, &[untold], at(20), REPEAT);
        assert_eq!(second.alerts.len(), 1);
        assert_eq!(first.id(), second.id());
    }

    #[test]
    fn that_it_is_over_is_told_to_who_was_told_of_it() {
        let told = compare(&[alert("contacts")], &[], at(10), REPEAT).notices;
        let over = compare(&[], &told, at(20), REPEAT);
        assert!(over.alerts[0].over && over.over == [told[0].subject.clone()]);
        let untold = [Notice {
            told: None,
            ..told[0].clone()
        }];
        let over = compare(&[], &untold, at(20), REPEAT);
        assert!(over.alerts.is_empty() && over.over.len() == 1);
    }
}
