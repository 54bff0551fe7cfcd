//! Calls as the account's user: login, one call or many at once, and what each failure means.

use jiff::Timestamp;
use samspel_connector::answers::{self, Attempt};
use samspel_connector::http::{self, Error, Request, Response};
use samspel_connector::serde_json::{self, Map};
use samspel_connector::{Failure, Outcome, Result, Value, json};
use serde::de::DeserializeOwned;

use crate::rpc::{self, Call, Refusal};
use crate::settings::Settings;

/// The credential's name.
pub const CREDENTIAL: &str = "password";

/// One row as `read` returns it.
pub type Row = Map<String, Value>;

/// A user of a database.
#[derive(Debug)]
pub struct Session<'a> {
    settings: &'a Settings,
    user: i64,
    server_time: Timestamp,
}

/// Why a call has no result.
#[derive(Debug, Clone)]
pub enum CallError {
    /// There is no answer.
    Transport(Error),
    /// The answer is not Odoo's.
    Status(Response),
    /// Odoo refused, and rolled its transaction back.
    Refused(Refusal),
}

impl<'a> Session<'a> {
    /// Logs in. Odoo knows no token: a session is the user's number, and the password travels with every call.
    pub fn open(settings: &'a Settings) -> Result<Self> {
        let body = rpc::login(&settings.database, &settings.login);
        let answer = post(settings, &body).send();
        let server_time = match &answer {
            Ok(response) => response.server_time(),
            Err(_) => Timestamp::UNIX_EPOCH,
        };
        let user = result(answer).map_err(CallError::into_failure)?;
        match user.as_i64() {
            Some(user) => Ok(Self {
                settings,
                user,
                server_time,
            }),
            // A wrong password is no error to Odoo: the answer is `false`.
            None => Err(Failure::Unauthorized(format!(
                "Odoo does not accept the password of `{}` for the database `{}`",
                settings.login, settings.database
            ))),
        }
    }

    /// The server's time before anything was read in this session.
    pub fn server_time(&self) -> Timestamp {
        self.server_time
    }

    /// The account's settings.
    pub fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// Odoo's version, such as `17.0`.
    pub fn version(&self) -> Result<String> {
        let answer = http::post(self.settings.endpoint())
            .safe()
            .json(&rpc::version())
            .send();
        let version = result(answer).map_err(CallError::into_failure)?;
        Ok(version["server_serie"]
            .as_str()
            .unwrap_or("of unknown version")
            .to_owned())
    }

    /// One call.
    pub fn call(&self, call: &Call) -> Result<Value, CallError> {
        result(self.request(call).send())
    }

    /// Several calls at once; results come in their order.
    pub fn call_all(&self, calls: &[Call]) -> Vec<Result<Value, CallError>> {
        http::send_all(calls.iter().map(|call| self.request(call)))
            .into_iter()
            .map(result)
            .collect()
    }

    /// One call that reads, with its result in a shape.
    pub fn read<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let value = self.call(call).map_err(CallError::into_failure)?;
        serde_json::from_value(value).map_err(|error| {
            Failure::Bug(format!(
                "`{}.{}` answered something unexpected: {error}",
                call.model, call.method
            ))
        })
    }

    /// Every call may be repeated: reads, `write` and `unlink` set a state, and `load` knows its rows again.
    fn request(&self, call: &Call) -> Request {
        post(
            self.settings,
            &call.body(&self.settings.database, self.user),
        )
    }
}

fn post(settings: &Settings, body: &Value) -> Request {
    http::post(settings.endpoint())
        .safe()
        .json(body)
        .credential(CREDENTIAL)
}

fn result(answer: Result<Response, Error>) -> Result<Value, CallError> {
    let response = answer.map_err(CallError::Transport)?;
    if !response.is_success() {
        return Err(CallError::Status(response));
    }
    rpc::parse(response.bytes()).map_err(CallError::Refused)
}

/// `search_read` over all rows, archived ones too: Odoo hides them from every search, even one that asks for
/// `active in [true, false]`, unless the context says `active_test: false`.
pub fn search_read(
    model: &str,
    domain: Vec<Value>,
    fields: &[String],
    order: &str,
    limit: Option<u32>,
) -> Call {
    Call {
        model: model.to_owned(),
        method: "search_read",
        args: vec![Value::Array(domain)],
        kwargs: json!({
            "fields": fields,
            "order": order,
            "limit": limit.map_or(Value::Bool(false), Value::from),
            "context": {"active_test": false},
        }),
    }
}

/// The ids among these that satisfy a domain, archived ones too.
pub fn search_among(model: &str, ids: &[i64], filter: &[Value]) -> Call {
    let mut domain = vec![json!(["id", "in", ids])];
    domain.extend_from_slice(filter);
    Call {
        model: model.to_owned(),
        method: "search",
        args: vec![Value::Array(domain)],
        kwargs: json!({"context": {"active_test": false}}),
    }
}

impl CallError {
    /// What it means for the call of the host.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Transport(error) => error.into(),
            Self::Status(response) => match response.status() {
                404 | 405 => no_odoo(),
                _ => answers::failure(&response, None),
            },
            Self::Refused(refusal) => match refusal {
                Refusal::AccessDenied(why) => Failure::Unauthorized(why),
                Refusal::AccessError(why) => Failure::Forbidden(why),
                Refusal::NoSuchDatabase(why) => Failure::setting("database", why),
                Refusal::NoSuchModel(why) => {
                    Failure::Other(format!("{why}; is the app that brings it installed?"))
                }
                Refusal::Busy(why) => Failure::Unavailable(why),
                Refusal::Missing(why) | Refusal::Invalid(why) | Refusal::Internal(why) => {
                    Failure::Bug(why)
                }
                Refusal::Shape(why) => Failure::setting(
                    "url",
                    format!("{why}; it must be an origin, without a path"),
                ),
            },
        }
    }

    /// What it means for one write. What Odoo refuses it has rolled back.
    pub fn into_attempt(self) -> Attempt {
        match self {
            Self::Transport(error) => answers::unanswered(error),
            Self::Status(response) => match response.status() {
                404 | 405 => Err(no_odoo()),
                _ => answers::refusal(&response, None),
            },
            Self::Refused(refusal) => match refusal {
                Refusal::AccessDenied(why) => Err(Failure::Unauthorized(why)),
                Refusal::NoSuchDatabase(why) => Err(Failure::setting("database", why)),
                Refusal::Missing(_) => Ok(Outcome::Gone),
                Refusal::Busy(why) => Ok(Outcome::deferred(why)),
                Refusal::AccessError(why)
                | Refusal::NoSuchModel(why)
                | Refusal::Invalid(why)
                | Refusal::Internal(why) => Ok(Outcome::rejected(why, None)),
                Refusal::Shape(why) => Ok(Outcome::Unknown(why)),
            },
        }
    }
}

fn no_odoo() -> Failure {
    Failure::setting(
        "url",
        format!(
            "it does not lead to Odoo's {} (HTTP 404); it must be an origin, without a path",
            rpc::PATH
        ),
    )
}
