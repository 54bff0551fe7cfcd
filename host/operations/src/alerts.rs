//! Whether people can be told that something needs them.

use jiff::Timestamp;
use samspel_installation::alerts::{Alert, Channel, Message};
use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Lists what people were told of, and what they are about to be told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAlerts {}

/// What needs a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Alerts {
    /// What lasts, as `samspel serve` has seen it last.
    pub alerts: Vec<Lasting>,
}

/// Something that lasts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Lasting {
    /// The kind of trouble.
    pub kind: String,
    /// The sync, account or connector.
    pub subject: String,
    /// Since when.
    pub since: Timestamp,
    /// When people were told last.
    pub told: Option<Timestamp>,
}

impl Operation for ListAlerts {
    type Output = Alerts;
    const ROUTE: Route = Route::get(
        "listAlerts",
        "/alerts",
        Role::Viewer,
        "List what needs a person",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Alerts, Error> {
        let notices = work.host.notices().notices().await?;
        let alerts = notices.into_iter().map(|notice| Lasting {
            kind: notice.subject.kind,
            subject: notice.subject.name,
            since: notice.since,
            told: notice.told,
        });
        Ok(Alerts {
            alerts: alerts.collect(),
        })
    }
}

/// Sends a test to everybody who is told that something needs a person.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestAlerts {}

/// Who was told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// What came of each way that the configuration names.
    pub channels: Vec<TestedChannel>,
}

/// What came of one way.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TestedChannel {
    /// `webhook` or `email`.
    pub channel: String,
    /// Why nobody was told, if so.
    pub error: Option<String>,
}

impl Operation for TestAlerts {
    type Output = Tested;
    const ROUTE: Route = Route::post(
        "testAlerts",
        "/alerts/test",
        Role::Operator,
        "Send a test to everybody who is told that something needs a person",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("alerts test", None))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Tested, Error> {
        let channels = Channel::of(work.host.config())?;
        if channels.is_empty() {
            return Err(
                Error::new(Kind::Usage, "the configuration names nobody to tell")
                    .remedy("set `alerts.webhook` or `alerts.email`"),
            );
        }
        let at = work.host.clock().now();
        let message = Message {
            id: format!("test-{}", at.as_microsecond()),
            at,
            host: work.host.name(),
            alerts: vec![Alert {
                kind: "test".to_owned(),
                subject: "samspel".to_owned(),
                since: at,
                over: false,
                what: "this is a test".to_owned(),
                remedy: "nothing".to_owned(),
            }],
        };
        let mut tested = Vec::new();
        for channel in channels {
            let sent = channel.send(&message).await;
            tested.push(TestedChannel {
                channel: channel.name().to_owned(),
                error: sent.err().map(|error| error.to_string()),
            });
        }
        Ok(Tested { channels: tested })
    }
}
