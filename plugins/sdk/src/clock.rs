//! The host's clock. Good for tokens that expire; a cursor needs the *server's* time, see
//! [`Response::server_time`](crate::http::Response::server_time).

use jiff::Timestamp;

use crate::imports;

/// The host's time.
pub fn now() -> Timestamp {
    i64::try_from(imports::now())
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX)
}
