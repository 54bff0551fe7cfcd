//! The transport: Odoo's JSON-RPC, the only place that knows how a call is put on the wire and how a failure looks.
//!
//! Odoo 8 to 19 answer `POST /jsonrpc` with `execute_kw`; Odoo 19 adds `POST /json/2/<model>/<method>` with a bearer
//! token and announces the end of the old way. A second transport would replace this module and nothing else.

use samspel_connector::{Value, json, serde_json};
use serde::Deserialize;

/// The path of every request.
pub const PATH: &str = "/jsonrpc";

/// Where the secret stands in both bodies below: the password argument.
pub const SECRET_POINTER: &str = "/params/args/2";

/// What pins a body to the login: anything else in it is a user name, never a record.
pub const LOGIN_PINS: [(&str, &str); 3] = [
    ("/method", "\"call\""),
    ("/params/service", "\"common\""),
    ("/params/method", "\"authenticate\""),
];

/// What pins a body to a call on a model.
pub const CALL_PINS: [(&str, &str); 3] = [
    ("/method", "\"call\""),
    ("/params/service", "\"object\""),
    ("/params/method", "\"execute_kw\""),
];

/// The body of a login. The answer is the user's number, or `false`.
pub fn login(database: &str, login: &str) -> Value {
    envelope("common", "authenticate", json!([database, login, null, {}]))
}

/// The body that asks for the server's version; needs no credential.
pub fn version() -> Value {
    envelope("common", "version", json!([]))
}

/// One method call on a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `res.partner`
    pub model: String,
    /// `search_read`
    pub method: &'static str,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Named arguments; an object.
    pub kwargs: Value,
}

impl Call {
    /// The body of the call for a user of a database.
    pub fn body(&self, database: &str, user: i64) -> Value {
        envelope(
            "object",
            "execute_kw",
            json!([
                database,
                user,
                null,
                self.model,
                self.method,
                self.args,
                self.kwargs
            ]),
        )
    }
}

fn envelope(service: &str, method: &str, args: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "call",
        "params": { "service": service, "method": method, "args": args },
    })
}

/// Why Odoo did not do what it was asked to. Every variant but `Shape` is Odoo's own answer, so that the transaction
/// of the call was rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Wrong login or password.
    AccessDenied(String),
    /// The user may not do this to this model or record.
    AccessError(String),
    /// The record does not exist (any more).
    Missing(String),
    /// The content is not acceptable: a constraint, a rule, a wrong field or value.
    Invalid(String),
    /// The model does not exist in this database.
    NoSuchModel(String),
    /// The database does not exist.
    NoSuchDatabase(String),
    /// The database could not serialise the transaction, or has no connection left: worth a retry.
    Busy(String),
    /// Something else went wrong inside Odoo.
    Internal(String),
    /// The answer is no JSON-RPC answer.
    Shape(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Option<Value>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    message: String,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    /// The exception's class: `odoo.exceptions.AccessDenied`.
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

/// Reads the body of an answer. Odoo answers an error with HTTP status 200.
pub fn parse(body: &[u8]) -> Result<Value, Refusal> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| Refusal::Shape(format!("the answer is no JSON-RPC answer: {error}")))?;
    match answer.error {
        // `None` is serialised as an absent or a null result: methods that return nothing.
        None => Ok(answer.result.unwrap_or(Value::Null)),
        Some(error) => Err(refusal(error)),
    }
}

fn refusal(error: RpcError) -> Refusal {
    let Some(data) = error.data else {
        return Refusal::Internal(error.message);
    };
    let message = first_lines(&data.message);
    // Odoo 11 to 19 name the class; its module moved now and then (`odoo.exceptions`, `openerp.exceptions`).
    match data.name.rsplit('.').next().unwrap_or_default() {
        "AccessDenied" => Refusal::AccessDenied(message),
        "AccessError" => Refusal::AccessError(message),
        "MissingError" => Refusal::Missing(message),
        // Odoo 11: UserError("Object x doesn't exist"). Later versions: KeyError('x') from the registry.
        "UserError" if message.starts_with("Object ") && message.contains("doesn't exist") => {
            Refusal::NoSuchModel(message)
        }
        "KeyError" if message.trim_matches('\'').contains('.') => Refusal::NoSuchModel(message),
        "UserError"
        | "ValidationError"
        | "RedirectWarning"
        | "Warning"
        | "except_orm"
        | "ValueError"
        | "TypeError"
        | "KeyError"
        | "AttributeError"
        | "AssertionError"
        | "IntegrityError"
        | "DataError"
        | "NotNullViolation"
        | "UniqueViolation"
        | "ForeignKeyViolation"
        | "CheckViolation" => Refusal::Invalid(message),
        "OperationalError" if message.contains("does not exist") => {
            Refusal::NoSuchDatabase(message)
        }
        "OperationalError"
        | "TransactionRollbackError"
        | "SerializationFailure"
        | "DeadlockDetected"
        | "LockNotAvailable"
        | "QueryCanceledError"
        | "QueryCanceled"
        | "PoolError"
        | "ConcurrencyError" => Refusal::Busy(message),
        _ => Refusal::Internal(format!("{}: {message}", data.name)),
    }
}

/// What a person needs of a message. Odoo appends `\nNone`, and PostgreSQL a `DETAIL` with the whole row, which holds
/// personal data that has no place in a log.
pub fn first_lines(message: &str) -> String {
    let message = message.split("\nDETAIL:").next().unwrap_or(message);
    let message = message.strip_suffix("\nNone").unwrap_or(message);
    message.trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn error(name: &str, message: &str) -> Refusal {
        let body = json!({"jsonrpc": "2.0", "id": 1, "error": {
            "code": 200, "message": "Odoo Server Error",
            "data": {"name": name, "message": message, "debug": "Traceback", "arguments": [message, null]},
        }});
        parse(body.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn the_secret_place_is_null_in_both_bodies_and_the_pins_hold() {
        let call = Call {
            model: "res.partner".into(),
            method: "read",
            args: vec![json!([1])],
            kwargs: json!({}),
        };
        for (body, pins) in [
            (login("db", "me"), LOGIN_PINS),
            (call.body("db", 2), CALL_PINS),
        ] {
            assert_eq!(body.pointer(SECRET_POINTER), Some(&Value::Null));
            for (pointer, text) in pins {
                assert_eq!(body.pointer(pointer).unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn errors_seen_on_odoo_11_are_told_apart() {
        assert_eq!(
            error("odoo.exceptions.AccessDenied", "Access denied"),
            Refusal::AccessDenied("Access denied".into())
        );
        assert_eq!(
            error(
                "odoo.exceptions.ValidationError",
                "Contacts require a name.\nNone"
            ),
            Refusal::Invalid("Contacts require a name.".into())
        );
        assert_eq!(
            error(
                "odoo.exceptions.UserError",
                "Object mailing.contact doesn't exist\n"
            ),
            Refusal::NoSuchModel("Object mailing.contact doesn't exist".into())
        );
        assert_eq!(
            error(
                "psycopg2.OperationalError",
                "FATAL:  database \"nodb\" does not exist\n"
            ),
            Refusal::NoSuchDatabase("FATAL:  database \"nodb\" does not exist".into())
        );
        assert!(matches!(
            error("odoo.exceptions.MissingError", "already been deleted"),
            Refusal::Missing(_)
        ));
        assert!(matches!(
            error(
                "psycopg2.extensions.TransactionRollbackError",
                "could not serialize access due to concurrent update"
            ),
            Refusal::Busy(_)
        ));
        assert_eq!(
            error("builtins.KeyError", "nofield"),
            Refusal::Invalid("nofield".into())
        );
    }

    #[test]
    fn personal_data_of_a_failing_row_is_left_out() {
        let refused = error(
            "psycopg2.IntegrityError",
            "violates check constraint \"c\"\nDETAIL:  Failing row contains (1, me@x.test).\n",
        );
        assert_eq!(
            refused,
            Refusal::Invalid("violates check constraint \"c\"".into())
        );
    }

    #[test]
    fn an_answer_that_is_no_json_is_a_shape() {
        assert!(matches!(parse(b"<html>"), Err(Refusal::Shape(_))));
        assert_eq!(
            parse(br#"{"jsonrpc":"2.0","id":1,"result":false}"#),
            Ok(Value::Bool(false))
        );
        assert_eq!(parse(br#"{"jsonrpc":"2.0","id":1}"#), Ok(Value::Null));
    }
}
