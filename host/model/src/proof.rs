//! What a notification says for itself: the code that a remote made, and what it is about. All of it comes from whoever
//! knows an address, and is read before anything of it is believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use thiserror::Error;

use crate::hook::{CodeEncoding, HmacScheme, HookRequest, SentAt, SignedPart, TimeUnit};

/// Why a notification is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unproven {
    /// It does not carry what would prove it.
    #[error("it has no usable header `{0}`")]
    NoHeader(String),
    /// Somebody else made the code, or something was changed.
    #[error("its authentication code is wrong")]
    WrongCode,
    /// It was sent too long ago, or in the future: perhaps it is repeated by somebody else.
    #[error("it was sent {off} seconds from now, more than the {tolerance} that are taken")]
    Untimely {
        /// By how much, in seconds.
        off: u64,
        /// What is taken.
        tolerance: u32,
    },
    /// The host does not have the key.
    #[error("it cannot be checked: {0}")]
    NoKey(String),
}

/// What is to be checked with the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What the code is about.
    pub message: Vec<u8>,
    /// The code.
    pub code: Vec<u8>,
}

impl HmacScheme {
    /// What a notification carries, if it was sent just now. `url`: the address that the remote was given, with what it
    /// appended.
    ///
    /// # Errors
    /// [`Unproven::NoHeader`] and [`Unproven::Untimely`].
    pub fn signed(
        &self,
        request: &HookRequest,
        url: &str,
        now: Timestamp,
    ) -> Result<Signed, Unproven> {
        let code = self.code(request)?;
        let sent = match &self.sent_at {
            Some(sent_at) => timely(sent_at, request, now)?,
            None => "",
        };
        let message = self
            .message
            .iter()
            .flat_map(|part| match part {
                SignedPart::Method => request.method.as_bytes(),
                SignedPart::Url => url.as_bytes(),
                SignedPart::Body => &request.body,
                SignedPart::SentAt => sent.as_bytes(),
                SignedPart::Text(text) => text.as_bytes(),
            })
            .copied()
            .collect();
        Ok(Signed { message, code })
    }

    /// The authentication code that a notification carries.
    fn code(&self, request: &HookRequest) -> Result<Vec<u8>, Unproven> {
        let absent = || Unproven::NoHeader(self.header.clone());
        let text = request.header(&self.header).ok_or_else(absent)?;
        let text = text.trim().strip_prefix(&self.prefix).ok_or_else(absent)?;
        match self.encoding {
            CodeEncoding::Hex => hex::decode(text).map_err(|_| absent()),
            CodeEncoding::Base64 => STANDARD.decode(text).map_err(|_| absent()),
        }
    }
}

/// The text that says when it was sent, if that is near enough.
fn timely<'a>(
    sent_at: &SentAt,
    request: &'a HookRequest,
    now: Timestamp,
) -> Result<&'a str, Unproven> {
    let absent = || Unproven::NoHeader(sent_at.header.clone());
    let text = request.header(&sent_at.header).ok_or_else(absent)?.trim();
    let number: i64 = text.parse().map_err(|_| absent())?;
    let sent = match sent_at.unit {
        TimeUnit::Seconds => Timestamp::from_second(number),
        TimeUnit::Milliseconds => Timestamp::from_millisecond(number),
    }
    .map_err(|_| absent())?;
    let off = now.duration_since(sent).unsigned_abs().as_secs();
    if off > u64::from(sent_at.tolerance) {
        return Err(Unproven::Untimely {
            off,
            tolerance: sent_at.tolerance,
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme() -> HmacScheme {
        HmacScheme {
            credential: "key".to_owned(),
            algorithm: "hmac-sha256".to_owned(),
            header: "x-code".to_owned(),
            prefix: "v1=".to_owned(),
            encoding: CodeEncoding::Hex,
            message: vec![SignedPart::SentAt, SignedPart::Body],
            sent_at: Some(SentAt {
                header: "x-sent".to_owned(),
                unit: TimeUnit::Seconds,
                tolerance: 60,
            }),
        }
    }

    fn request(headers: [(&str, &str); 2]) -> HookRequest {
        HookRequest {
            method: "POST".to_owned(),
            path: String::new(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: b"body".to_vec(),
        }
    }

    #[test]
    fn the_code_and_what_it_is_about_are_read_from_the_headers() {
        let request = request([("x-code", " v1=0aFF "), ("x-sent", "100")]);
        let signed = scheme().signed(&request, "", Timestamp::UNIX_EPOCH);
        let untimely = Unproven::Untimely {
            off: 100,
            tolerance: 60,
        };
        assert_eq!(signed, Err(untimely));
        let now = Timestamp::constant(140, 0);
        let signed = Signed {
            message: b"100body".to_vec(),
            code: vec![0x0a, 0xff],
        };
        assert_eq!(scheme().signed(&request, "", now), Ok(signed));
    }

    #[test]
    fn what_is_no_code_and_no_time_is_none() {
        let now = Timestamp::UNIX_EPOCH;
        for (code, sent, header) in [
            ("0aff", "0", "x-code"),
            ("v1=0af", "0", "x-code"),
            ("v1=\u{e9}", "0", "x-code"),
            ("v1=0aff", "soon", "x-sent"),
            ("v1=0aff", "9223372036854775807", "x-sent"),
        ] {
            let request = request([("x-code", code), ("x-sent", sent)]);
            let signed = scheme().signed(&request, "", now);
            assert_eq!(signed, Err(Unproven::NoHeader(header.to_owned())));
        }
    }
}
