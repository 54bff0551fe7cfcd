//! A wire between Samspel and a simulated vendor: passes everything on, and notes when a marked value comes by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::error::BenchError;

const BEFORE: &str = "Mark";
const AFTER: char = 'x';

/// The value of an edit.
pub fn value(number: u64) -> String {
    format!("{BEFORE}{number}{AFTER}")
}

/// What a share of sorted values is not above.
pub fn share(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(index.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// Edits under way, and how long each took.
#[derive(Clone, Default)]
pub struct Marks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    edits: Mutex<Edits>,
    requests: AtomicU64,
    arrived: Notify,
}

#[derive(Default)]
struct Edits {
    /// When an edit was made, and the wire by which its value is to come.
    under_way: HashMap<u64, (Instant, usize)>,
    took: Vec<Duration>,
}

impl Marks {
    fn edits(&self) -> MutexGuard<'_, Edits> {
        self.0.edits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An edit is made now.
    pub fn begin(&self, number: u64, at: Instant, wire: usize) {
        self.edits().under_way.insert(number, (at, wire));
    }

    /// Whether an edit has not arrived.
    pub fn is_under_way(&self, number: u64) -> bool {
        self.edits().under_way.contains_key(&number)
    }

    /// How long the edits took that have arrived.
    pub fn took(&self) -> Vec<Duration> {
        self.edits().took.clone()
    }

    /// What came by on a wire.
    fn seen(&self, wire: usize, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let mut edits = self.edits();
        for part in text.split(BEFORE).skip(1) {
            let number = part
                .split(AFTER)
                .next()
                .and_then(|digits| digits.parse().ok());
            let Some(number) = number else {
                continue;
            };
            if let Some(&(at, expected)) = edits.under_way.get(&number)
                && expected == wire
            {
                edits.under_way.remove(&number);
                edits.took.push(at.elapsed());
            }
        }
        drop(edits);
        self.0.arrived.notify_one();
    }

    /// Waits until so many edits have arrived, or nobody is patient any more.
    pub async fn wait_for(&self, number: u64, patience: Duration) -> Vec<Duration> {
        let all = async {
            while (self.edits().took.len() as u64) < number {
                self.0.arrived.notified().await;
            }
        };
        // Those that are missing are told.
        let _ = tokio::time::timeout(patience, all).await;
        self.took()
    }

    /// Requests that passed.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Requests are counted from now on.
    pub fn forget_requests(&self) {
        self.0.requests.store(0, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Wire {
    number: usize,
    target: String,
    client: Client,
    marks: Marks,
}

/// Opens a wire to a vendor. Its origin.
///
/// # Errors
/// No port can be had.
pub async fn open(number: usize, target: &str, marks: &Marks) -> Result<String, BenchError> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(BenchError::system("open a port"))?;
    let address = listener
        .local_addr()
        .map_err(BenchError::system("open a port"))?;
    let wire = Wire {
        number,
        target: target.to_owned(),
        client: Client::builder().no_proxy().build()?,
        marks: marks.clone(),
    };
    let router = Router::new().fallback(pass).with_state(wire);
    // It ends with the process.
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(format!("http://{address}"))
}

async fn pass(
    State(wire): State<Wire>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    wire.marks.0.requests.fetch_add(1, Ordering::Relaxed);
    if method != Method::GET {
        wire.marks.seen(wire.number, &body);
    }
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    // What is read here must be as it is passed on.
    headers.remove(header::ACCEPT_ENCODING);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let answer = wire
        .client
        .request(method, format!("{}{path}", wire.target))
        .headers(headers)
        .body(body)
        .send()
        .await;
    let failed = |_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    match answer {
        Ok(answer) => {
            let (status, mut headers) = (answer.status(), answer.headers().clone());
            headers.remove(header::TRANSFER_ENCODING);
            match answer.bytes().await {
                Ok(bytes) => {
                    let mut response = Response::new(Body::from(bytes));
                    *response.status_mut() = status;
                    *response.headers_mut() = headers;
                    response
                }
                Err(error) => failed(error),
            }
        }
        Err(error) => failed(error),
    }
}
