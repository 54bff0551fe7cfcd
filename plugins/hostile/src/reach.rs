//! Deeds that concern what the host reaches and keeps for the account.

use samspel_connector::http::{self, Error, Replay, Response};
use samspel_connector::secrets::{self, Algorithm, SecretError};
use samspel_connector::{Value, json, log};

use crate::settings::{Ask, MASK, Settings};

/// Sends the requests, one after the other.
pub fn ask(requests: &[Ask]) -> Vec<Value> {
    requests
        .iter()
        .map(|ask| answer(request(ask).send()))
        .collect()
}

/// Sends them at once.
pub fn ask_at_once(requests: &[Ask]) -> Vec<Value> {
    http::send_all(requests.iter().map(request))
        .into_iter()
        .map(answer)
        .collect()
}

/// Sends all of them so many times; tells how often there was an answer, and the first that was none.
pub fn flood(settings: &Settings, times: u64) -> Value {
    let mut answered = 0;
    for _ in 0..times {
        for ask in &settings.requests {
            match request(ask).send() {
                Ok(_) => answered += 1,
                error => return json!({ "answered": answered, "refused": answer(error) }),
            }
        }
    }
    json!({ "answered": answered })
}

fn request(ask: &Ask) -> http::Request {
    let replay = if ask.safe {
        Replay::Safe
    } else {
        Replay::Unsafe
    };
    let mut request = http::Request::new(&ask.method, &ask.url, replay);
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &ask.body {
        request = request.body("application/json", body.clone().into_bytes());
    }
    if let Some(credential) = &ask.credential {
        request = request.credential(credential);
    }
    request
}

/// An answer, completely: what the host let through is what there is to steal.
fn answer(answer: Result<Response, Error>) -> Value {
    match answer {
        Ok(response) => json!({
            "status": response.status(),
            "bytes": response.bytes().len(),
            "answer": format!("{response:?}"),
            "body": String::from_utf8_lossy(response.bytes()),
        }),
        Err(error) => {
            let (kind, why) = match &error {
                Error::Denied(why) => ("denied", why.clone()),
                Error::Throttled(wait) => ("throttled", wait.to_string()),
                Error::NotSent(why) => ("not-sent", why.clone()),
                Error::Interrupted(why) => ("interrupted", why.clone()),
                Error::TooLarge(limit) => ("too-large", limit.to_string()),
                Error::Other(why) => ("other", why.clone()),
            };
            json!({ "error": kind, "why": why })
        }
    }
}

/// Everything that can be had of a credential that signs.
pub fn sign(credential: &str) -> Value {
    let told = |result: Result<Vec<u8>, SecretError>| match result {
        Ok(code) => json!({ "code": code, "text": String::from_utf8_lossy(&code) }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    };
    let algorithms = [
        Algorithm::HmacSha1,
        Algorithm::HmacSha256,
        Algorithm::HmacSha512,
    ];
    // The messages that HMAC's inner padding suggests, nothing at all, and one that is longer than a block.
    let messages = [
        Vec::new(),
        vec![0x36; 64],
        vec![0x5c; 64],
        vec![0; 64],
        vec![0x36; 128],
        b"a message".to_vec(),
    ];
    let mut codes = Vec::new();
    for algorithm in algorithms {
        for message in &messages {
            codes.push(told(secrets::sign(credential, algorithm, message)));
            let verified = secrets::verify(credential, algorithm, message, b"");
            codes.push(json!(format!("{verified:?}")));
        }
    }
    json!({ "key-id": format!("{:?}", secrets::key_id(credential)), "codes": codes })
}

/// Writes a text to the log at every level, whole and in pieces.
pub fn tell(text: &str) {
    for level in [log::debug, log::info, log::warn, log::error] as [fn(String); 4] {
        level(text.to_owned());
    }
    for piece in text.as_bytes().chunks(200) {
        log::info(String::from_utf8_lossy(piece));
    }
}

/// How often each needle is in the whole memory of the instance: what the host wrote into it, what was freed and not
/// overwritten, everything.
pub fn search(needles: &[Vec<u8>]) -> Vec<usize> {
    needles.iter().map(|needle| memory::count(needle)).collect()
}

#[cfg(target_arch = "wasm32")]
mod memory {
    use super::MASK;

    const PAGE: usize = 64 << 10;

    pub fn count(masked: &[u8]) -> usize {
        let end = core::arch::wasm32::memory_size::<0>() * PAGE;
        let places = 1..end.saturating_sub(masked.len());
        places.filter(|&place| is_at(masked, place)).count()
    }

    #[expect(
        unsafe_code,
        reason = "a search of everything reads what no reference leads to"
    )]
    fn is_at(masked: &[u8], place: usize) -> bool {
        masked.iter().enumerate().all(|(offset, byte)| {
            let address = (place + offset) as *const u8;
            // SAFETY: below the memory's size, so that the read cannot trap; volatile and of one byte, so that
            // nothing is assumed about who owns it. There are no threads.
            let found = unsafe { address.read_volatile() };
            found ^ MASK == *byte
        })
    }
}

/// There is an instance's memory to search only in an instance.
#[cfg(not(target_arch = "wasm32"))]
mod memory {
    pub fn count(_masked: &[u8]) -> usize {
        let _ = super::MASK;
        0
    }
}
