//! Odoo's JSON-RPC API, as far as clerks and this harness use it.
//!
//! Source: <https://www.odoo.com/documentation/11.0/webservices/odoo.html>, and what Odoo 11 was seen to do.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::OdooAccess;
use crate::error::LiveError;
use crate::http;

/// What to set on a record: an object of field names and values.
pub type Values = Value;

/// A contact, less what no scenario looks at.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Partner {
    /// The record's number.
    pub id: i64,
    /// The full name.
    pub name: String,
    /// The address.
    #[serde(deserialize_with = "false_is_none")]
    pub email: Option<String>,
    /// The telephone number as it was typed.
    #[serde(deserialize_with = "false_is_none")]
    pub phone: Option<String>,
    /// A clerk's remark.
    #[serde(deserialize_with = "false_is_none")]
    pub comment: Option<String>,
    /// Does not want mass mailings.
    pub opt_out: bool,
    /// How many mails came back.
    pub message_bounce: i64,
    /// Not archived.
    pub active: bool,
    /// UTC without a zone, to the second.
    pub write_date: String,
}

const PARTNER_FIELDS: [&str; 8] = [
    "name",
    "email",
    "phone",
    "comment",
    "opt_out",
    "message_bounce",
    "active",
    "write_date",
];

/// An entry of mailing lists.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MailingContact {
    /// The record's number.
    pub id: i64,
    /// The full name.
    #[serde(deserialize_with = "false_is_none")]
    pub name: Option<String>,
    /// The address.
    #[serde(deserialize_with = "false_is_none")]
    pub email: Option<String>,
    /// Does not want mass mailings.
    pub opt_out: bool,
    /// Since when, UTC without a zone; set by Odoo.
    #[serde(deserialize_with = "false_is_none")]
    pub unsubscription_date: Option<String>,
    /// How many mails came back.
    pub message_bounce: i64,
    /// The lists it is on.
    pub list_ids: Vec<i64>,
    /// UTC without a zone, to the second.
    pub write_date: String,
}

const MAILING_CONTACT_FIELDS: [&str; 7] = [
    "name",
    "email",
    "opt_out",
    "unsubscription_date",
    "message_bounce",
    "list_ids",
    "write_date",
];

/// Odoo's empty value is `false`, whatever the field's type.
fn false_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(Some(text)),
        Value::Bool(false) | Value::Null => Ok(None),
        other => Err(serde::de::Error::custom(format!(
            "{other} is neither text nor false"
        ))),
    }
}

/// The API as one user.
#[derive(Clone)]
pub struct OdooApi {
    url: String,
    database: String,
    user: i64,
    password: String,
}

impl std::fmt::Debug for OdooApi {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OdooApi")
            .field("url", &self.url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl OdooApi {
    /// Logs in.
    pub async fn log_in(access: &OdooAccess) -> Result<Self, LiveError> {
        let url = format!("{}/jsonrpc", access.url);
        let call = "log-in (Odoo)";
        let arguments = json!([access.database, access.login, access.password]);
        let result = rpc(&url, call, "common", "login", arguments).await?;
        let user = result.as_i64().ok_or_else(|| LiveError::Refused {
            call: call.to_owned(),
            status: "a refusal".to_owned(),
            answer: "wrong login or password".to_owned(),
        })?;
        Ok(Self {
            url,
            database: access.database.clone(),
            user,
            password: access.password.clone(),
        })
    }

    /// The same user with another password, to see how Odoo answers that.
    #[must_use]
    pub fn with_password(&self, password: &str) -> Self {
        Self {
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// The number of the user who is logged in.
    pub fn user(&self) -> i64 {
        self.user
    }

    /// Any method of any model.
    pub async fn call(
        &self,
        model: &str,
        method: &str,
        arguments: Value,
        options: Value,
    ) -> Result<Value, LiveError> {
        let call = format!("{model}.{method} (Odoo)");
        let arguments = json!([
            self.database,
            self.user,
            self.password,
            model,
            method,
            arguments,
            options
        ]);
        rpc(&self.url, &call, "object", "execute_kw", arguments).await
    }

    /// Creates a record and gives its number.
    pub async fn create(&self, model: &str, values: &Values) -> Result<i64, LiveError> {
        let answer = self
            .call(model, "create", json!([values]), json!({}))
            .await?;
        answer
            .as_i64()
            .ok_or_else(|| http::unexpected(&format!("{model}.create (Odoo)"), "it is no number"))
    }

    /// Changes a record.
    pub async fn write(&self, model: &str, id: i64, values: &Values) -> Result<(), LiveError> {
        self.call(model, "write", json!([[id], values]), json!({}))
            .await
            .map(|_| ())
    }

    /// Deletes a record.
    pub async fn delete(&self, model: &str, id: i64) -> Result<(), LiveError> {
        self.call(model, "unlink", json!([[id]]), json!({}))
            .await
            .map(|_| ())
    }

    /// Creates a contact.
    pub async fn create_partner(&self, values: &Values) -> Result<i64, LiveError> {
        self.create("res.partner", values).await
    }

    /// Changes a contact.
    pub async fn edit_partner(&self, id: i64, values: &Values) -> Result<(), LiveError> {
        self.write("res.partner", id, values).await
    }

    /// All contacts with an address, archived ones too.
    pub async fn partners(&self) -> Result<Vec<Partner>, LiveError> {
        self.list(
            "res.partner",
            json!([["email", "!=", false]]),
            &PARTNER_FIELDS,
        )
        .await
    }

    /// The persons with an address among the contacts: no companies, no users of Odoo, nobody archived.
    pub async fn people(&self) -> Result<Vec<Partner>, LiveError> {
        let domain = json!([
            ["email", "!=", false],
            ["is_company", "=", false],
            ["user_ids", "=", false],
            ["active", "=", true],
        ]);
        self.list("res.partner", domain, &PARTNER_FIELDS).await
    }

    /// What a contact holds in a text field, one of the administrator's own for instance.
    pub async fn text(&self, id: i64, field: &str) -> Result<Option<String>, LiveError> {
        let options = json!({ "fields": [field] });
        let call = "res.partner.read (Odoo)";
        let answer = self
            .call("res.partner", "read", json!([[id]]), options)
            .await?;
        let value = http::part::<Value>(call, &answer, &format!("/0/{field}"))?;
        false_is_none(value).map_err(|error| http::unexpected(call, error))
    }

    /// Adds a text field to a model, as an administrator does it in the settings. Its name begins with `x_`.
    pub async fn add_text_field(
        &self,
        model: &str,
        name: &str,
        label: &str,
    ) -> Result<(), LiveError> {
        let domain = json!([[["model", "=", model]]]);
        let found = self.call("ir.model", "search", domain, json!({})).await?;
        let model_id: i64 = http::part("ir.model.search (Odoo)", &found, "/0")?;
        let values = json!({
            "model_id": model_id, "name": name, "field_description": label, "ttype": "char", "state": "manual",
        });
        self.create("ir.model.fields", &values).await.map(|_| ())
    }

    /// One contact, if it exists.
    pub async fn partner(&self, id: i64) -> Result<Option<Partner>, LiveError> {
        let found = self
            .list("res.partner", json!([["id", "=", id]]), &PARTNER_FIELDS)
            .await?;
        Ok(found.into_iter().next())
    }

    /// Creates a mailing list.
    pub async fn create_mailing_list(&self, name: &str) -> Result<i64, LiveError> {
        self.create("mail.mass_mailing.list", &json!({ "name": name }))
            .await
    }

    /// Creates an entry of mailing lists.
    pub async fn create_mailing_contact(&self, values: &Values) -> Result<i64, LiveError> {
        self.create("mail.mass_mailing.contact", values).await
    }

    /// All entries of mailing lists.
    pub async fn mailing_contacts(&self) -> Result<Vec<MailingContact>, LiveError> {
        self.list(
            "mail.mass_mailing.contact",
            json!([]),
            &MAILING_CONTACT_FIELDS,
        )
        .await
    }

    /// Hands Odoo's mail gateway the delivery report (RFC 3464) that another mail server would send for a mail that was
    /// written from this record. Odoo counts it in `message_bounce`.
    pub async fn receive_bounce(
        &self,
        model: &str,
        id: i64,
        address: &str,
    ) -> Result<(), LiveError> {
        let message_id = uuid::Uuid::new_v4();
        let report = [
            "Return-Path: <>",
            "From: MAILER-DAEMON@mx.example.test",
            // Odoo's own form for where reports go: alias, mail, model, record.
            &format!("To: bounce+1-{model}-{id}@example.test"),
            "Subject: Undelivered Mail",
            &format!("Message-Id: <{message_id}@mx.example.test>"),
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=B",
            "",
            "--B",
            "Content-Type: text/plain",
            "",
            "This mail could not be delivered.",
            "--B",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mx.example.test",
            "",
            &format!("Final-Recipient: rfc822; {address}"),
            "Action: failed",
            "Status: 5.1.1",
            "",
            "--B--",
            "",
        ]
        .join("\r\n");
        self.call(
            "mail.thread",
            "message_process",
            json!([model, report]),
            json!({}),
        )
        .await
        .map(|_| ())
    }

    async fn list<T: DeserializeOwned>(
        &self,
        model: &str,
        domain: Value,
        fields: &[&str],
    ) -> Result<Vec<T>, LiveError> {
        // Without this context, archived records are left out.
        let options =
            json!({ "fields": fields, "order": "id", "context": { "active_test": false } });
        let answer = self
            .call(model, "search_read", json!([domain]), options)
            .await?;
        http::part(&format!("{model}.search_read (Odoo)"), &answer, "")
    }
}

async fn rpc(
    url: &str,
    call: &str,
    service: &str,
    method: &str,
    arguments: Value,
) -> Result<Value, LiveError> {
    let params = json!({ "service": service, "method": method, "args": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "call", "params": params });
    let mut answer = http::json(call, http::client().post(url).json(&body)).await?;
    // Errors of the application come with status 200. Their `debug` is a traceback with local paths: not repeated.
    if let Some(error) = answer.get("error") {
        let text = |pointer: &str| {
            error
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        return Err(LiveError::Refused {
            call: call.to_owned(),
            status: text("/data/name"),
            answer: text("/data/message"),
        });
    }
    Ok(answer
        .get_mut("result")
        .map(Value::take)
        .unwrap_or_default())
}
