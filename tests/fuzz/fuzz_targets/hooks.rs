//! Notifications, as anybody who knows an address can send them: what they carry to be proven is read, or missed, and
//! never more than is there; so is what a connector reads of them. The first byte chooses how they are proven, then
//! come headers, a line each, an empty line, and the body.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use samspel_connector::hooks::HookRequest as Shown;
use samspel_model::hook::{CodeEncoding, HmacScheme, HookRequest, SentAt, SignedPart, TimeUnit};
use samspel_model::proof::Unproven;
use serde_json::Value;

const ADDRESS: &str = "https://sync.example.org/hooks/crm/secret";

/// A scheme for each value of the lowest bits.
fn scheme(kind: u8) -> HmacScheme {
    let has = |bit: u8| kind & (1 << bit) != 0;
    HmacScheme {
        credential: "key".to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        header: "x-code".to_owned(),
        prefix: if has(0) { "sha256=" } else { "" }.to_owned(),
        encoding: if has(1) { CodeEncoding::Base64 } else { CodeEncoding::Hex },
        message: vec![
            SignedPart::Method,
            SignedPart::Url,
            SignedPart::SentAt,
            SignedPart::Text(".".to_owned()),
            SignedPart::Body,
        ],
        sent_at: has(2).then(|| SentAt {
            header: "x-sent".to_owned(),
            unit: if has(3) { TimeUnit::Milliseconds } else { TimeUnit::Seconds },
            tolerance: if has(4) { u32::MAX } else { 300 },
        }),
    }
}

fn request(text: &[u8]) -> HookRequest {
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    HookRequest {
        method: "POST".to_owned(),
        path: head.lines().next().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: body.to_vec(),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, text)) = data.split_first() else {
        return;
    };
    let scheme = scheme(*kind);
    let request = request(text);
    let now = Timestamp::constant(1_767_225_600, 0);
    match scheme.signed(&request, ADDRESS, now) {
        Ok(signed) => {
            let start = format!("POST{ADDRESS}");
            assert!(signed.message.starts_with(start.as_bytes()));
            assert!(signed.message.ends_with(&request.body));
            let text = request.header(&scheme.header).unwrap_or_default();
            assert!(signed.code.len() <= text.len());
        }
        Err(Unproven::NoHeader(name)) => assert!(name == "x-code" || name == "x-sent"),
        Err(Unproven::Untimely { off, tolerance }) => assert!(off > u64::from(tolerance)),
        Err(other) => panic!("{other} without a key"),
    }
    let shown = Shown {
        method: request.method,
        path: request.path,
        headers: request.headers,
        body: request.body,
    };
    let _ = shown.json::<Value>();
    for (name, value) in shown.form().iter().chain(shown.query().iter()) {
        assert!(name.len() + value.len() <= 3 * data.len());
    }
});
