//! Who asks: a token in each request (RFC 6750).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tracing::{error, warn};

use crate::problem::Problem;
use crate::service::Service;

/// Attempts with a wrong token, from one address: so many at once, and one more every six seconds.
const BURST: u32 = 20;
const A_MINUTE: u32 = 10;
/// So many addresses are remembered before those of which nothing is left to say are forgotten.
const ADDRESSES: usize = 10_000;

/// How often somebody came with a wrong token. Tokens cannot be guessed (256 random bits); this keeps whoever tries
/// from being a burden, and makes attempts visible. Whoever has a good token is never counted.
pub(crate) struct Wrong(DefaultKeyedRateLimiter<IpAddr>);

impl Default for Wrong {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(number(A_MINUTE)).allow_burst(number(BURST));
        Self(RateLimiter::keyed(quota))
    }
}

impl Wrong {
    /// Whether there were few enough of this address.
    fn is_bearable(&self, address: IpAddr) -> bool {
        if self.0.len() > ADDRESSES {
            self.0.retain_recent();
        }
        self.0.check_key(&address).is_ok()
    }
}

/// Lets requests through that come with a good token, and tells the rest who asks.
pub(crate) async fn authenticate(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let token = token(request.method(), request.headers());
    let host = service.host();
    let known = match token {
        None => Ok(None),
        Some(token) => {
            let now = host.clock().now();
            host.access().authenticate(&token, now).await
        }
    };
    match known {
        Ok(Some(principal)) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Ok(None) => refuse(&service, &request),
        Err(error) => {
            error!(%error, "tokens cannot be read");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store")
                .detail("the host cannot read its store")
                .retry_after(10)
                .into_response()
        }
    }
}

/// A token as programs send it, or as a browser does that was asked for a password. A browser sends that with every
/// request to us, also with one that another site made it send: so it is good for looking only.
fn token(method: &Method, headers: &HeaderMap) -> Option<String> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") && method.is_safe() {
        let bytes = STANDARD.decode(rest.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        return Some(text.split_once(':')?.1.to_owned());
    }
    None
}

fn refuse(service: &Service, request: &Request) -> Response {
    let address = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0.ip());
    let given = request.headers().contains_key(AUTHORIZATION);
    if given && !service.api.wrong.is_bearable(address) {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many")
            .detail("too many requests from here came with a wrong token")
            .retry_after(60 / A_MINUTE)
            .into_response();
    }
    if given {
        service.metrics.wrong_token();
        warn!(%address, path = request.uri().path(), "a request came with a wrong token");
    }
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorised")
        .detail(if given {
            "the token is not known, expired or revoked"
        } else {
            "a token is missing: `Authorization: Bearer TOKEN`"
        })
        .remedy("`samspel token create NAME --role ROLE` makes one, on the host's machine")
        .into_response();
    let headers = response.headers_mut();
    headers.append(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"samspel\""),
    );
    if request.method().is_safe() {
        // A person at a browser enters the token as the password.
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static(
                "Basic realm=\"samspel: any user, and a token as the password\", charset=\"UTF-8\"",
            ),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(method: Method, text: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        token(&method, &headers)
    }

    #[test]
    fn a_password_is_good_for_looking_only() {
        let basic = format!("Basic {}", STANDARD.encode("ann:samspel_x"));
        assert_eq!(of(Method::GET, &basic).unwrap(), "samspel_x");
        assert_eq!(of(Method::POST, &basic), None);
        assert_eq!(of(Method::POST, "bearer samspel_x").unwrap(), "samspel_x");
        for wrong in ["samspel_x", "Basic !", "Digest samspel_x", "Basic YW5u"] {
            assert_eq!(of(Method::GET, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_who_tries_often_is_not_a_burden_and_no_trouble_for_others() {
        let wrong = Wrong::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..BURST).all(|_| wrong.is_bearable(one)));
        assert!(!wrong.is_bearable(one));
        assert!(wrong.is_bearable(other));
    }
}
