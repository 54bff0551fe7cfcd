//! Ghost's admin token: a JSON Web Token (RFC 7519) that the host signs with the key's secret half.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use samspel_connector::secrets::{Algorithm, key_id, sign};
use samspel_connector::{Result, clock, json};

/// The credential's name.
pub const CREDENTIAL: &str = "admin-key";

/// How long a token is good for, in seconds: as long as Ghost accepts, counted from `iat` by Ghost's clock. So the
/// host's clock may be up to five minutes behind Ghost's, less the duration of a call.
const LIFETIME: i64 = 300;

/// A token for the requests of one call.
pub fn fresh() -> Result<String> {
    let message = unsigned(&key_id(CREDENTIAL)?, clock::now());
    let signature = sign(CREDENTIAL, Algorithm::HmacSha256, message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Header and payload, as they are signed.
fn unsigned(key_id: &str, now: Timestamp) -> String {
    let issued = now.as_second();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key_id});
    let payload = json!({"iat": issued, "exp": issued + LIFETIME, "aud": "/admin/"});
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(payload.to_string())
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::testing::{Remote, Reply};
    use samspel_connector::{Value, serde_json};

    #[test]
    fn a_token_has_the_parts_that_ghost_asks_for() {
        let remote = Remote::new(|_| Reply::new(500)).now(1_795_497_360_000);
        let token = remote.run(fresh).unwrap();
        let parts: Vec<Vec<u8>> = token
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
            .collect();
        let header: Value = serde_json::from_slice(&parts[0]).unwrap();
        assert_eq!(
            header,
            json!({"alg": "HS256", "typ": "JWT", "kid": "admin-key-key-id"})
        );
        let payload: Value = serde_json::from_slice(&parts[1]).unwrap();
        assert_eq!(payload["aud"], "/admin/");
        let (issued, expires) = (
            payload["iat"].as_i64().unwrap(),
            payload["exp"].as_i64().unwrap(),
        );
        assert_eq!((issued, expires), (1_795_497_360, 1_795_497_660));
        // The double signs by putting the credential's name before what it signs.
        let signed = token.rsplit_once('.').unwrap().0;
        assert_eq!(parts[2], format!("admin-key:{signed}").as_bytes());
    }
}
