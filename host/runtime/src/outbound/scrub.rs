//! Takes secrets out of everything that a connector or a log gets to see.
//!
//! A remote may echo a secret as it was sent, or as its error page, its JSON or its log viewer writes it. All of these
//! forms are searched for in one pass.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";

/// Shorter texts are left alone: they would be found inside of ordinary words, and the data would be destroyed to hide
/// what can be guessed anyway.
pub const SHORTEST: usize = 6;

/// Tokens that were replaced and are still redacted: answers to requests that carried them may be under way.
const REPLACED_TOKENS: usize = 16;

/// RFC 3986's unreserved characters stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Finds and replaces the secrets of one account. Cheap to share; learns new tokens while it is in use.
#[derive(Default)]
pub struct Scrubber {
    known: Mutex<Known>,
    automaton: RwLock<Option<Arc<AhoCorasick>>>,
}

#[derive(Default)]
struct Known {
    lasting: Vec<SecretString>,
    tokens: VecDeque<SecretString>,
}

impl Scrubber {
    /// A scrubber for secrets that do not change.
    pub fn new(secrets: Vec<SecretString>) -> Self {
        let scrubber = Self::default();
        let mut known = scrubber.known.lock();
        known.lasting = secrets;
        scrubber.rebuild(&known);
        drop(known);
        scrubber
    }

    /// Adds tokens that are about to be used.
    pub fn learn<'a>(&self, tokens: impl IntoIterator<Item = &'a SecretString>) {
        let mut known = self.known.lock();
        for token in tokens {
            let is_known = known
                .tokens
                .iter()
                .any(|other| other.expose_secret() == token.expose_secret());
            if !is_known {
                known.tokens.push_back(token.clone());
            }
        }
        while known.tokens.len() > REPLACED_TOKENS {
            known.tokens.pop_front();
        }
        self.rebuild(&known);
    }

    fn rebuild(&self, known: &Known) {
        let patterns: BTreeSet<String> = known
            .lasting
            .iter()
            .chain(&known.tokens)
            .flat_map(|secret| forms(secret.expose_secret()))
            .filter(|form| form.len() >= SHORTEST)
            .collect();
        // The longest form first, or the rest of it would stay. A set of a few dozen patterns is far below the size at
        // which building fails.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .ok()
            .filter(|_| !patterns.is_empty());
        *self.automaton.write() = automaton.map(Arc::new);
    }

    fn automaton(&self) -> Option<Arc<AhoCorasick>> {
        self.automaton.read().clone()
    }

    /// Whether a secret stands in there, in any form.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.automaton()
            .is_some_and(|automaton| automaton.is_match(bytes))
    }

    /// The bytes without secrets; borrowed where there is none.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(automaton) = self
            .automaton()
            .filter(|automaton| automaton.is_match(bytes))
        else {
            return Cow::Borrowed(bytes);
        };
        let mut clean = Vec::with_capacity(bytes.len());
        automaton.replace_all_with_bytes(bytes, &mut clean, |_, _, clean| {
            clean.extend_from_slice(REDACTED.as_bytes());
            true
        });
        Cow::Owned(clean)
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }
}

/// The ways in which a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let percent = utf8_percent_encode(secret, RESERVED).to_string();
    let percent_all = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let debug = format!("{secret:?}");
    let mut forms = vec![
        secret.to_owned(),
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        hex::encode(bytes),
        hex::encode_upper(bytes),
        lower_escapes(&percent),
        lower_escapes(&percent_all),
        lower_escapes(&form),
        percent,
        percent_all,
        form,
        html(secret, "&#39;", "&quot;"),
        html(secret, "&#x27;", "&#34;"),
        debug[1..debug.len() - 1].to_owned(),
    ];
    forms.extend(inside_base64(bytes));
    forms.extend(inside_base64(json(secret).as_bytes()));
    // As a JSON string writes it, and as those write it that escape more than they must; also within JSON that is
    // itself a string of JSON, as where a remote quotes the body it got.
    for _ in 0..2 {
        let json: Vec<String> = forms
            .iter()
            .flat_map(|form| {
                let escaped = json(form);
                [escaped.replace('/', "\\/"), ascii(&escaped), escaped]
            })
            .collect();
        forms.extend(json);
        forms.sort_unstable();
        forms.dedup();
    }
    forms
}

/// What is always the same where Base64 holds a text that holds the secret: a group of four characters tells three
/// bytes, so it depends on the place in the text, and the outermost groups on the neighbours.
fn inside_base64(secret: &[u8]) -> Vec<String> {
    let mut pieces = Vec::new();
    for before in 0..3 {
        let groups = &secret[secret.len().min((3 - before) % 3)..];
        let groups = &groups[..groups.len() - groups.len() % 3];
        // What is shorter tells no more than a few bytes, and would be found in data that has nothing to do with it.
        if groups.len() >= SHORTEST {
            pieces.extend([
                STANDARD_NO_PAD.encode(groups),
                URL_SAFE_NO_PAD.encode(groups),
            ]);
        }
    }
    pieces
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// JSON with everything beyond ASCII, and what means something in HTML, as `\u` escapes.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && !matches!(character, '<' | '>' | '&' | '\'') {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// Percent escapes with small letters.
fn lower_escapes(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    let mut pieces = text.split('%');
    lower.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        lower.push('%');
        lower.push_str(&escape.to_ascii_lowercase());
        lower.push_str(rest);
    }
    lower
}

fn html(text: &str, apostrophe: &str, quote: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', apostrophe)
        .replace('"', quote)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &str = "p/a+s\"s &w<ö>'rd";

    fn scrubber(secret: &str) -> Scrubber {
        Scrubber::new(vec![SecretString::from(secret)])
    }

    #[test]
    fn every_form_of_a_secret_is_redacted() {
        let scrubber = scrubber(SECRET);
        for form in [
            SECRET,
            "cC9hK3MicyAmdzzDtj4ncmQ=",
            "cC9hK3MicyAmdzzDtj4ncmQ",
            "702f612b73227320",
            "p%2Fa%2Bs%22s%20%26w%3C%C3%B6%3E%27rd",
            "p%2fa%2bs%22s%20%26w%3c%c3%b6%3e%27rd",
            "p%2Fa%2Bs%22s+%26w%3C%C3%B6%3E%27rd",
            "p/a+s\\\"s &w<ö>'rd",
            "p\\/a+s\\\"s &w<ö>'rd",
            "p/a+s\\\"s \\u0026w\\u003c\\u00f6\\u003e\\u0027rd",
            "p/a+s&quot;s &amp;w&lt;ö&gt;&#39;rd",
            "p/a+s\\\\\\\"s &w<ö>'rd",
        ] {
            // Hexadecimal is longer than what a reader can check; its beginning stands for it.
            let form = if form.starts_with("702f") {
                hex::encode(SECRET)
            } else {
                form.to_owned()
            };
            let text = format!("before {form} after");
            assert_eq!(scrubber.text(&text), "before [redacted] after", "{form}");
            assert!(scrubber.finds(text.as_bytes()));
        }
    }

    #[test]
    fn base64_of_a_text_that_holds_the_secret_tells_at_most_its_ends() {
        let secret = "a-secret-of-some-length";
        let scrubber = scrubber(secret);
        for before in 0..6 {
            let text = format!("{}{secret}after", "x".repeat(before));
            for engine in [&STANDARD, &URL_SAFE] {
                let clean = scrubber.text(&engine.encode(&text));
                let (start, end) = clean.split_once(REDACTED).unwrap();
                // Three bytes of text in four characters; two bytes at most are left on either side.
                assert!(start.len() <= (before + 2).div_ceil(3) * 4, "{clean}");
                assert!(end.len() <= 12, "{clean}");
            }
        }
    }

    #[test]
    fn a_large_body_costs_little() {
        let scrubber = Scrubber::new(vec![SECRET.into(), "pat-na1-0123456789abcdef".into()]);
        let record = r#"{"id":"1","properties":{"email":"ann@example.org","firstname":"Ann","lastname":"Lee"}},"#;
        let body = record.repeat((10 << 20) / record.len());
        let began = std::time::Instant::now();
        assert!(matches!(scrubber.bytes(body.as_bytes()), Cow::Borrowed(_)));
        let took = began.elapsed();
        // A few milliseconds; a pass for each form would take longer than this.
        assert!(took.as_millis() < 500, "{took:?}");
    }

    #[test]
    fn bytes_that_are_not_text_stay_as_they_are() {
        let scrubber = scrubber("secret-token");
        let body = b"\xff\x00secret-token\xfe";
        assert_eq!(&*scrubber.bytes(body), b"\xff\x00[redacted]\xfe");
        assert!(matches!(scrubber.bytes(b"\xff\x00"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_longest_form_wins() {
        let scrubber = Scrubber::new(vec!["secret".into(), "secret-token".into()]);
        assert_eq!(
            scrubber.text("secret-token secret"),
            "[redacted] [redacted]"
        );
    }

    #[test]
    fn short_secrets_and_no_secrets_leave_data_alone() {
        assert_eq!(scrubber("admin").text("administrator"), "administrator");
        assert_eq!(Scrubber::default().text("anything"), "anything");
        assert_eq!(scrubber("").text("anything"), "anything");
    }

    #[test]
    fn tokens_are_learned_and_the_replaced_ones_stay_for_a_while() {
        let scrubber = scrubber("lasting-secret");
        let tokens: Vec<SecretString> = (0..=REPLACED_TOKENS)
            .map(|number| format!("token-number-{number}-end").into())
            .collect();
        scrubber.learn(&tokens);
        assert!(!scrubber.finds(b"token-number-0-end"));
        assert!(scrubber.finds(b"token-number-1-end"));
        assert!(scrubber.finds(b"token-number-16-end"));
        assert!(scrubber.finds(b"lasting-secret"));
    }
}
