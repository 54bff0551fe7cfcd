//! Notifications: the addresses for them, and what came to them.

use jiff::Timestamp;
use samspel_installation::address::{self, Address};
use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use samspel_model::hook::{HookDescriptor, Notified};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::values::{Limit, Number};

/// Shows the addresses that remotes send notifications to. Each is made when it is first asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEndpoints {
    /// An account, or a name of `[hooks]`; all of them if it is left out.
    #[serde(default)]
    pub name: Option<String>,
}

/// Addresses.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Endpoints {
    /// Those whose connector takes notifications.
    pub endpoints: Vec<Endpoint>,
    /// Whether `server.public-url` says how remotes reach this host.
    pub public: bool,
}

/// An address. It holds a secret: whoever knows it can make the host look at records, and nothing else.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// An account, or a name of `[hooks]`.
    pub endpoint: String,
    /// The accounts that it serves.
    pub accounts: Vec<String>,
    /// The whole address; only the path where `server.public-url` is not set.
    pub url: String,
    /// How the remote's notifications work; absent where that cannot be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub notifications: Option<HookDescriptor>,
    /// Why they cannot be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self {
            endpoint: address.endpoint,
            accounts: address.accounts,
            url: address.url,
            notifications: None,
            problem: None,
        }
    }
}

impl Operation for ListEndpoints {
    type Output = Endpoints;
    const ROUTE: Route = Route::get(
        "listEndpoints",
        "/hooks/endpoints",
        Role::Operator,
        "Show the addresses that remotes send notifications to",
    )
    .confidential();

    async fn run(&self, work: &Work<'_>) -> Result<Endpoints, Error> {
        let config = work.host.config();
        let names: Vec<&str> = match &self.name {
            Some(name) => vec![name.as_str()],
            None => config
                .hooks
                .keys()
                .chain(config.accounts.keys())
                .map(String::as_str)
                .collect(),
        };
        let mut endpoints = Vec::new();
        for one in names {
            let address = match address::address(work.host, one).await {
                Ok(address) => address,
                // Who asks for all of them is not told of what is switched off.
                Err(_) if self.name.is_none() && config.accounts.contains_key(one) => continue,
                Err(error) => return Err(error),
            };
            let mut endpoint = Endpoint::from(address);
            match descriptor(work, &endpoint).await {
                Ok(descriptor) => endpoint.notifications = Some(descriptor),
                Err(_) if self.name.is_none() => continue,
                Err(why) => endpoint.problem = Some(why),
            }
            endpoints.push(endpoint);
        }
        Ok(Endpoints {
            endpoints,
            public: config.server.public_url.is_some(),
        })
    }
}

async fn descriptor(work: &Work<'_>, endpoint: &Endpoint) -> Result<HookDescriptor, String> {
    let name = endpoint
        .accounts
        .first()
        .ok_or_else(|| "it serves no account".to_owned())?;
    let hooks = work.host.hooked(name).await;
    Ok(hooks.map_err(|error| error.to_string())?.hooks().clone())
}

/// Makes another address; the old one is void at once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateEndpoint {
    /// An account, or a name of `[hooks]`.
    pub name: String,
}

impl Operation for RotateEndpoint {
    type Output = Endpoint;
    const ROUTE: Route = Route::post(
        "rotateEndpoint",
        "/hooks/endpoints/{name}/rotate",
        Role::Operator,
        "Make another address for notifications; the old one is void at once",
    )
    .confidential();

    fn act(&self) -> Option<Act> {
        Some(Act::new("hooks rotate", self.name.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Endpoint, Error> {
        let made = address::new_address(work.host, &self.name).await?;
        Ok(made.into())
    }
}

/// Shows notifications that wait, or that the connector did not understand.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListHooks {
    /// At most so many.
    #[serde(default)]
    pub limit: Limit,
    /// Only those that came after the one with this number.
    #[serde(default)]
    pub after: Number,
}

/// Notifications that wait.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WaitingHooks {
    /// How many wait to be understood.
    pub waiting: u64,
    /// How many need a decision.
    pub failed: u64,
    /// A page of both.
    pub hooks: Vec<WaitingHook>,
}

/// A notification. What the remote sent may hold what only its connector should see: it is not shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WaitingHook {
    /// By which it is referred to.
    pub number: u64,
    /// Where it came in.
    pub endpoint: String,
    /// When.
    pub received: Timestamp,
    /// The request's method.
    pub method: String,
    /// The size of its body.
    pub bytes: u64,
    /// How often it was tried to understand it.
    pub attempts: u32,
    /// Why it was not understood.
    pub error: Option<String>,
    /// When it is tried again; never, if somebody must decide.
    pub due: Option<Timestamp>,
}

impl Operation for ListHooks {
    type Output = WaitingHooks;
    const ROUTE: Route = Route::get(
        "listHooks",
        "/hooks",
        Role::Viewer,
        "Show notifications that wait, or that the connector did not understand",
    );

    async fn run(&self, work: &Work<'_>) -> Result<WaitingHooks, Error> {
        let store = work.host.hook_store();
        let (waiting, failed) = store.hook_counts().await?;
        let hooks = store
            .hooks(None, self.after.get(), true, self.limit.get())
            .await?;
        Ok(WaitingHooks {
            waiting,
            failed,
            hooks: hooks
                .into_iter()
                .map(|hook| WaitingHook {
                    number: hook.position,
                    endpoint: hook.endpoint,
                    received: hook.received,
                    method: hook.request.method,
                    bytes: hook.request.body.len() as u64,
                    attempts: hook.attempts,
                    error: hook.error,
                    due: hook.due,
                })
                .collect(),
        })
    }
}

/// Tries again what was not understood.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryHooks {
    /// Its number; all of them if it is left out.
    #[serde(default)]
    pub number: Option<Number>,
}

/// Notifications that are tried again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RetriedHooks {
    /// How many.
    pub retried: u64,
}

impl Operation for RetryHooks {
    type Output = RetriedHooks;
    const ROUTE: Route = Route::post(
        "retryHooks",
        "/hooks/retry",
        Role::Operator,
        "Try notifications again that were not understood",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("hooks retry", None).with(json!({ "number": self.number })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<RetriedHooks, Error> {
        let now = work.host.clock().now();
        let number = self.number.map(Number::get);
        let retried = work.host.hook_store().retry_hooks(number, now).await?;
        match number {
            Some(number) if retried == 0 => Err(nothing(number)),
            _ => {
                work.surroundings.notifications_are_due();
                Ok(RetriedHooks { retried })
            }
        }
    }
}

/// Forgets one that was not understood. What it was about is still found by the next reading of the collection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DropHook {
    /// Its number.
    pub number: Number,
}

/// A notification that is forgotten.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DroppedHook {
    /// Its number.
    pub dropped: u64,
}

impl Operation for DropHook {
    type Output = DroppedHook;
    const ROUTE: Route = Route::post(
        "dropHook",
        "/hooks/drop",
        Role::Operator,
        "Forget a notification that was not understood",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("hooks drop", None).with(json!({ "number": self.number })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<DroppedHook, Error> {
        if !work.host.hook_store().drop_hook(self.number.get()).await? {
            return Err(nothing(self.number.get()));
        }
        Ok(DroppedHook {
            dropped: self.number.get(),
        })
    }
}

fn nothing(number: u64) -> Error {
    Error::new(
        Kind::NotFound,
        format!("no notification {number} waits for a decision"),
    )
    .remedy("`samspel hooks list` shows which do")
}
