//! One member of the list, and how an answer shows it.

use md5::{Digest, Md5};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::mask::{Field, MemberMask};
use super::merge::{MergeField, MergeValue, MergeValues, position};
use crate::clock::Seconds;

/// A member's id: the MD5 of its address in lower case (V).
pub(crate) type Hash = [u8; 16];

/// The MD5 of an address in lower case.
pub(crate) fn hash_of(email: &str) -> Hash {
    Md5::digest(email.to_lowercase()).into()
}

/// Whether a member receives mail (V). A member can be archived in any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// Receives mail.
    Subscribed,
    /// Has left.
    Unsubscribed,
    /// Bounced for good.
    Cleaned,
    /// Was asked to confirm and has not.
    Pending,
    /// Gets receipts and the like, never joined.
    Transactional,
}

impl MemberStatus {
    /// As it is written in a request.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_value(json!(text)).ok()
    }
}

/// A member of the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) web_id: u64,
    pub(crate) hash: Hash,
    /// Stays the same when the address changes (T).
    pub(crate) contact_id: Hash,
    pub(crate) email: Box<str>,
    pub(crate) status: MemberStatus,
    pub(crate) archived: bool,
    /// Left by its own wish, not through the API.
    pub(crate) own_wish: bool,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) merge: MergeValues,
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) language: Box<str>,
    pub(crate) vip: bool,
    pub(crate) source: &'static str,
    pub(crate) signed_up: Option<Seconds>,
    pub(crate) opted_in: Option<Seconds>,
    pub(crate) unsubscribed: Option<Seconds>,
    pub(crate) changed: Seconds,
}

impl Member {
    pub(crate) fn merge_value(&self, position: u8) -> Option<&MergeValue> {
        let at = self
            .merge
            .binary_search_by_key(&position, |(at, _)| *at)
            .ok()?;
        Some(&self.merge[at].1)
    }

    /// Sets or clears a merge value.
    pub(crate) fn set_merge(&mut self, position: u8, value: Option<MergeValue>) {
        match (
            self.merge.binary_search_by_key(&position, |(at, _)| *at),
            value,
        ) {
            (Ok(at), Some(value)) => self.merge[at].1 = value,
            (Ok(at), None) => {
                self.merge.remove(at);
            }
            (Err(at), Some(value)) => self.merge.insert(at, (position, value)),
            (Err(_), None) => {}
        }
    }

    /// The address's identifier in all of Mailchimp.
    pub(crate) fn unique_id(&self) -> String {
        let digest: Hash = Md5::digest(self.hash).into();
        hex::encode(&digest[..5])
    }

    fn text(&self, position: u8) -> &str {
        match self.merge_value(position) {
            Some(MergeValue::Text(text)) => text,
            _ => "",
        }
    }
}

/// The list that a member is shown in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) list_id: &'a str,
    pub(crate) fields: &'a [MergeField],
    pub(crate) mask: &'a MemberMask,
}

/// A member as an answer shows it.
pub(crate) struct View<'a> {
    pub(crate) member: &'a Member,
    pub(crate) frame: Frame<'a>,
}

struct MergeView<'a>(&'a View<'a>);

impl Serialize for MergeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let View { member, frame } = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (position, field) in (0_u8..).zip(frame.fields) {
            if frame.mask.shows_merge(position) {
                map.serialize_key(&field.tag)?;
                match member.merge_value(position) {
                    Some(value) => map.serialize_value(value)?,
                    // Every field is always there; an empty one is an empty string.
                    None => map.serialize_value("")?,
                }
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct TagView<'a> {
    id: u32,
    name: &'a str,
}

/// A tag's id: the same name has the same id everywhere on the list.
pub(crate) fn tag_id(name: &str) -> u32 {
    let digest: Hash = Md5::digest(name).into();
    u32::from_be_bytes([0, digest[0], digest[1], digest[2]])
}

/// Hexadecimal without an allocation of its own.
struct Hex<'a>(&'a Hash);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0_u8; 32];
        // The buffer has exactly the needed length, and hexadecimal is ASCII.
        let _ = hex::encode_to_slice(self.0, &mut text);
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// A time, or an empty string where there is none (V).
struct Moment(Option<Seconds>);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(at) => at.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { member, frame } = self;
        let mut map = serializer.serialize_map(None)?;
        for field in Field::ALL {
            if !frame.mask.shows(field) {
                continue;
            }
            let name = field.name();
            match field {
                Field::Id => map.serialize_entry(name, &Hex(&member.hash))?,
                Field::EmailAddress => map.serialize_entry(name, &member.email)?,
                Field::UniqueEmailId => map.serialize_entry(name, &member.unique_id())?,
                Field::ContactId => map.serialize_entry(name, &Hex(&member.contact_id))?,
                Field::FullName => {
                    let full = format!("{} {}", member.text(position::FNAME), member.text(position::LNAME));
                    map.serialize_entry(name, full.trim())?;
                }
                Field::WebId => map.serialize_entry(name, &member.web_id)?,
                Field::EmailType => map.serialize_entry(name, "html")?,
                Field::Status if member.archived => map.serialize_entry(name, "archived")?,
                Field::Status => map.serialize_entry(name, &member.status)?,
                Field::UnsubscribeReason => {
                    if let Some(reason) = &member.reason {
                        map.serialize_entry(name, reason)?;
                    }
                }
                Field::ConsentsToOneToOneMessaging => {
                    map.serialize_entry(name, &(member.status == MemberStatus::Subscribed))?;
                }
                Field::MergeFields => map.serialize_entry(name, &MergeView(self))?,
                Field::Stats => map.serialize_entry(name, &json!({"avg_open_rate": 0, "avg_click_rate": 0}))?,
                Field::IpSignup | Field::IpOpt | Field::EmailClient => map.serialize_entry(name, "")?,
                Field::TimestampSignup => map.serialize_entry(name, &Moment(member.signed_up))?,
                Field::TimestampOpt => map.serialize_entry(name, &Moment(member.opted_in))?,
                Field::MemberRating => map.serialize_entry(name, &2)?,
                Field::LastChanged => map.serialize_entry(name, &member.changed)?,
                Field::Language => map.serialize_entry(name, &member.language)?,
                Field::Vip => map.serialize_entry(name, &member.vip)?,
                Field::Location => map.serialize_entry(
                    name,
                    &json!({"latitude": 0, "longitude": 0, "gmtoff": 0, "dstoff": 0, "country_code": "", "timezone": "", "region": ""}),
                )?,
                Field::Source => map.serialize_entry(name, member.source)?,
                Field::TagsCount => map.serialize_entry(name, &member.tags.len())?,
                Field::Tags => {
                    let tags: Vec<TagView<'_>> =
                        member.tags.iter().map(|tag| TagView { id: tag_id(tag), name: tag }).collect();
                    map.serialize_entry(name, &tags)?;
                }
                Field::ListId => map.serialize_entry(name, frame.list_id)?,
                Field::Links => {
                    let href = format!(
                        "https://us19.api.mailchimp.com/3.0/lists/{}/members/{}",
                        frame.list_id,
                        hex::encode(member.hash)
                    );
                    map.serialize_entry(name, &json!([{"rel": "self", "href": href, "method": "GET"}]))?;
                }
            }
        }
        map.end()
    }
}

/// Would Mailchimp call this address fake? The simulator's rule of thumb: reserved example domains and the likes of
/// `test@test.com`. Addresses below `.example` pass, because all test people live there.
pub(crate) fn looks_fake(email: &str) -> bool {
    let email = email.to_lowercase();
    let Some((local, domain)) = email.rsplit_once('@') else {
        return true;
    };
    let reserved = [
        "example.com",
        "example.org",
        "example.net",
        "test.com",
        "asdf.com",
    ];
    let endings = [".test", ".invalid", ".localhost"];
    reserved.contains(&domain)
        || endings.iter().any(|ending| domain.ends_with(ending))
        || domain
            .strip_suffix(".com")
            .is_some_and(|name| name == local)
}

/// Is this an address at all?
pub(crate) fn is_address(email: &str) -> bool {
    email.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !local.contains('@')
            && domain.contains('.')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !email.contains(char::is_whitespace)
    })
}
