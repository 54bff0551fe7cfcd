//! What the connector says about itself. Nothing is granted while it does, not even settings: the deed is chosen by
//! bytes inside the component, which a test overwrites before it loads it.

use std::hint::black_box;

use samspel_connector::{AuthKind, AuthScheme, Descriptor, EgressRule, Signing, log, schema};
use samspel_connector::{BodyPosition, KeyEncoding, clock, http, secrets};

use crate::settings::Settings;
use crate::{THINGS, waste};

/// Found by its first bytes. What follows them, up to the first dot, is the deed.
static DEED: [u8; 48] = *b"samspel-hostile-describe:nothing................";

const PREFIX: &str = "samspel-hostile-describe:";

fn deed() -> &'static str {
    // The compiler must not know what is written here.
    let bytes: &'static [u8] = black_box(&DEED);
    let text = str::from_utf8(bytes).unwrap_or_default();
    let deed = text.strip_prefix(PREFIX).unwrap_or_default();
    deed.split('.').next().unwrap_or_default()
}

pub fn describe() -> Descriptor {
    let mut descriptor = honest();
    match deed() {
        "loop" => drop(waste::compute(None)),
        "compute" => drop(waste::compute(Some(300))),
        "panic" => drop(Vec::<u8>::with_capacity(black_box(usize::MAX))),
        "allocate" => drop(waste::allocate(48)),
        "recurse" => drop(waste::recurse(u64::MAX)),
        // It notes what it could do, for the test to read.
        "reach" => {
            let answer = http::get("https://api.example.com/")
                .credential("bearer")
                .send();
            let key = secrets::key_id("signing");
            log::info(format!("described at {}", clock::now()));
            descriptor.description = format!("{answer:?} {key:?}");
        }
        "name" => descriptor.name = "../../etc/passwd".to_owned(),
        "no-name" => descriptor.name.clear(),
        "schema" => descriptor.settings_schema = "{\"type\": 7}".to_owned(),
        "no-json" => descriptor.settings_schema = "NaN".to_owned(),
        "large" => descriptor.settings_schema = " ".repeat(16 << 20),
        "many" => descriptor.collections = vec![THINGS.to_owned(); 1_000_000],
        "no-egress" => descriptor.egress.clear(),
        _ => {}
    }
    descriptor
}

fn honest() -> Descriptor {
    let scheme = |name: &str, kind| AuthScheme::new(name, name, "Only a test has one.", kind);
    Descriptor {
        name: "hostile".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: "Hostile".to_owned(),
        description: "Does what a connector must not do.".to_owned(),
        collections: vec![THINGS.to_owned()],
        settings_schema: schema::of::<Settings>(),
        authentication: vec![
            scheme("bearer", AuthKind::Bearer),
            scheme("basic", AuthKind::Basic(Some("ann".to_owned()))),
            scheme("header", AuthKind::Header("x-api-key".to_owned())),
            scheme("query", AuthKind::Query("api_key".to_owned())),
            scheme(
                "body",
                AuthKind::Body(vec![BodyPosition {
                    method: "POST".to_owned(),
                    path: "/jsonrpc".to_owned(),
                    pointer: "/params/args/2".to_owned(),
                    pinned: vec![
                        ("/params/service".to_owned(), "\"common\"".to_owned()),
                        ("/params/method".to_owned(), "\"login\"".to_owned()),
                    ],
                }]),
            ),
            scheme(
                "signing",
                AuthKind::Signing(Signing {
                    algorithms: vec!["hmac-sha256".to_owned()],
                    key_encoding: KeyEncoding::Hex,
                    key_id_separator: Some(":".to_owned()),
                }),
            ),
            scheme(
                "anonymous-signing",
                AuthKind::Signing(Signing {
                    algorithms: vec!["hmac-sha256".to_owned()],
                    key_encoding: KeyEncoding::Utf8,
                    key_id_separator: None,
                }),
            ),
        ],
        egress: vec![
            EgressRule::new("https://api.example.com", &[], "/"),
            EgressRule::new("https://other.example.com", &["GET"], "/open"),
            EgressRule::new("{url}", &[], "/"),
        ],
        rate_limits: Vec::new(),
        cursor_version: 1,
        cursor_versions_read: vec![1],
    }
}
