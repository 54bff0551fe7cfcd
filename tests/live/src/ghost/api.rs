//! Ghost's Admin API, as far as clerks and this harness use it.
//!
//! Source: <https://docs.ghost.org/admin-api>, and what Ghost 6 was seen to do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::error::LiveError;
use crate::http;
use crate::server::until;

/// The largest page that Ghost 6 serves, whatever is asked for.
const PAGE: u32 = 100;
/// Seconds that a token is good for; Ghost documents five minutes as the most.
const TOKEN_LIFE: i64 = 300;
/// How long Ghost may take to hand a newsletter to its mail provider.
const SEND_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A member as Ghost lists it, less what no scenario looks at.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Member {
    /// 24 hexadecimal digits.
    pub id: String,
    /// The address, in the case it was given in.
    pub email: String,
    /// The full name.
    pub name: Option<String>,
    /// A clerk's remark.
    pub note: Option<String>,
    /// Whether the member gets any newsletter.
    pub subscribed: bool,
    /// The newsletters that the member gets.
    pub newsletters: Vec<Newsletter>,
    /// Labels, in no order.
    pub labels: Vec<Label>,
    /// Whether mail to the address is held back, whatever the member is subscribed to.
    pub email_suppression: Suppression,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, to the second. Does not move with subscriptions and labels.
    pub updated_at: String,
}

/// A newsletter.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Newsletter {
    /// 24 hexadecimal digits.
    pub id: String,
    /// Its title.
    pub name: String,
    /// Its name in URLs; absent where a member lists it.
    #[serde(default)]
    pub slug: Option<String>,
}

/// A label.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Label {
    /// Its text.
    pub name: String,
}

/// Whether an address is suppressed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Suppression {
    /// It is.
    pub suppressed: bool,
    /// Why and since when.
    pub info: Option<SuppressionInfo>,
}

/// Why an address is suppressed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SuppressionInfo {
    /// `fail` (a hard bounce) or `spam` (a complaint).
    pub reason: String,
    /// When the provider noticed, RFC 3339.
    pub timestamp: String,
}

/// What to set on a new or present member. What is `None` is left as it is (or to Ghost's default).
#[derive(Clone, Debug, Default, Serialize)]
pub struct MemberPatch {
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The identifiers of all newsletters that the member shall get.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_references"
    )]
    pub newsletters: Option<Vec<String>>,
}

fn as_references<S: serde::Serializer>(
    ids: &Option<Vec<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let references: Vec<Value> = ids.iter().flatten().map(|id| json!({ "id": id })).collect();
    references.serialize(serializer)
}

/// The Admin API with an integration's key.
#[derive(Clone)]
pub struct AdminApi {
    base: String,
    key_id: String,
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for AdminApi {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AdminApi")
            .field("base", &self.base)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl AdminApi {
    /// The API of the Ghost at `url` with an `id:secret` key.
    pub fn new(url: &str, admin_key: &str) -> Result<Self, LiveError> {
        let malformed = || {
            http::unexpected(
                "Ghost's admin key",
                "it is not of the form id:hexadecimal secret",
            )
        };
        let (key_id, secret) = admin_key.split_once(':').ok_or_else(malformed)?;
        let secret = hex::decode(secret).map_err(|_| malformed())?;
        let key = Hmac::new_from_slice(&secret).map_err(|_| malformed())?;
        Ok(Self {
            base: format!("{url}/ghost/api/admin"),
            key_id: key_id.to_owned(),
            key,
        })
    }

    /// Any call; `path` begins with a slash and may carry a query.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, LiveError> {
        let call = format!("{method} {path} (Ghost)");
        let mut request = http::client()
            .request(method, format!("{}{path}", self.base))
            .header("accept-version", "v6.0")
            .header("authorization", format!("Ghost {}", self.token()));
        if let Some(body) = body {
            request = request.json(body);
        }
        http::json(&call, request).await
    }

    /// Adds a member. Without a choice of newsletters Ghost subscribes it to its default ones.
    pub async fn create_member(&self, member: &MemberPatch) -> Result<Member, LiveError> {
        let answer = self
            .call(
                Method::POST,
                "/members/",
                Some(&json!({ "members": [member] })),
            )
            .await?;
        http::part("a new member (Ghost)", &answer, "/members/0")
    }

    /// Changes a member.
    pub async fn edit_member(&self, id: &str, patch: &MemberPatch) -> Result<Member, LiveError> {
        let path = format!("/members/{id}/");
        let answer = self
            .call(Method::PUT, &path, Some(&json!({ "members": [patch] })))
            .await?;
        http::part("an edited member (Ghost)", &answer, "/members/0")
    }

    /// Deletes a member.
    pub async fn delete_member(&self, id: &str) -> Result<(), LiveError> {
        self.call(Method::DELETE, &format!("/members/{id}/"), None)
            .await
            .map(|_| ())
    }

    /// One member, if it exists.
    pub async fn member(&self, id: &str) -> Result<Option<Member>, LiveError> {
        Ok(self
            .list(Some(&format!("id:'{id}'")))
            .await?
            .into_iter()
            .next())
    }

    /// Whether the member's last change of newsletters began one (`true`) or ended one; `None` if there was none.
    pub async fn last_subscription(&self, member: &str) -> Result<Option<bool>, LiveError> {
        let path = format!(
            "/members/events/?limit=1&filter=type:newsletter_event%2Bdata.member_id:'{member}'"
        );
        let answer = self.call(Method::GET, &path, None).await?;
        Ok(answer
            .pointer("/events/0/data/subscribed")
            .and_then(Value::as_bool))
    }

    /// The member with exactly this address, case included.
    pub async fn member_by_email(&self, address: &str) -> Result<Option<Member>, LiveError> {
        Ok(self
            .list(Some(&with_email(address)))
            .await?
            .into_iter()
            .next())
    }

    /// Whether Ghost sends no newsletters to this member, because mail to the address fails. Ghost writes this down a
    /// moment after it lists the address as suppressed.
    pub async fn is_disabled(&self, address: &str) -> Result<bool, LiveError> {
        let filter = format!("{}+email_disabled:1", with_email(address));
        Ok(!self.list(Some(&filter)).await?.is_empty())
    }

    /// All members.
    pub async fn members(&self) -> Result<Vec<Member>, LiveError> {
        self.list(None).await
    }

    /// The active newsletters.
    pub async fn newsletters(&self) -> Result<Vec<Newsletter>, LiveError> {
        let answer = self
            .call(
                Method::GET,
                "/newsletters/?filter=status:active&limit=100",
                None,
            )
            .await?;
        http::part("the newsletters (Ghost)", &answer, "/newsletters")
    }

    /// Publishes a post, mails it to all who get this newsletter, and returns how many that were when the mail provider
    /// has the mail.
    pub async fn send_newsletter(
        &self,
        newsletter: &Newsletter,
        subject: &str,
    ) -> Result<u64, LiveError> {
        let call = "a new post (Ghost)";
        let draft = json!({ "posts": [{ "title": subject, "status": "draft" }] });
        let answer = self.call(Method::POST, "/posts/", Some(&draft)).await?;
        let id: String = http::part(call, &answer, "/posts/0/id")?;
        let updated_at: String = http::part(call, &answer, "/posts/0/updated_at")?;
        let slug = newsletter
            .slug
            .as_deref()
            .ok_or_else(|| http::unexpected(call, "the newsletter has no slug"))?;
        let publish = json!({ "posts": [{ "status": "published", "updated_at": updated_at }] });
        let path = format!("/posts/{id}/?newsletter={slug}&email_segment=all");
        self.call(Method::PUT, &path, Some(&publish)).await?;
        until(
            "the newsletter's way to the mail provider",
            SEND_LIMIT,
            async || {
                let answer = self
                    .call(Method::GET, &format!("/posts/{id}/?include=email"), None)
                    .await?;
                let email = &answer["posts"][0]["email"];
                match email["status"].as_str() {
                    Some("submitted") => {
                        Ok(Some(email["email_count"].as_u64().unwrap_or_default()))
                    }
                    Some("failed") => Err(http::unexpected(
                        call,
                        format!("sending failed: {}", email["error"]),
                    )),
                    _ => Ok(None),
                }
            },
        )
        .await
    }

    async fn list(&self, filter: Option<&str>) -> Result<Vec<Member>, LiveError> {
        let mut all = Vec::new();
        let mut page = 1;
        loop {
            // An order that new members do not disturb.
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query
                .append_pair("limit", &PAGE.to_string())
                .append_pair("page", &page.to_string());
            query
                .append_pair("order", "id asc")
                .append_pair("include", "newsletters,labels");
            if let Some(filter) = filter {
                query.append_pair("filter", filter);
            }
            let answer = self
                .call(Method::GET, &format!("/members/?{}", query.finish()), None)
                .await?;
            all.extend(http::part::<Vec<Member>>(
                "the members (Ghost)",
                &answer,
                "/members",
            )?);
            match answer
                .pointer("/meta/pagination/next")
                .and_then(Value::as_u64)
            {
                Some(next) => page = next,
                None => return Ok(all),
            }
        }
    }

    /// A token as Ghost's documentation describes it: a JSON Web Token signed with the key's decoded secret.
    fn token(&self) -> String {
        let now = jiff::Timestamp::now().as_second();
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({ "iat": now, "exp": now + TOKEN_LIFE, "aud": "/admin/" });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut mac = self.key.clone();
        mac.update(signed.as_bytes());
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        )
    }
}

/// A filter for members with exactly this address.
fn with_email(address: &str) -> String {
    format!("email:'{}'", address.replace('\'', "\\'"))
}
