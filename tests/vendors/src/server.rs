//! Serving a simulator on a socket.
//!
//! The simulators need one thing that a plain `axum::serve` cannot do: close a connection without an answer, as a
//! network does when a request times out after it was applied. The accept loop here drives hyper itself, so that a
//! response marked [`Hangup`] ends its connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::hooks::{self, Carrier};

/// A response extension: close the connection instead of answering.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hangup;

/// What hyper is told when a connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulator was told to drop this connection")]
struct Dropped;

/// How long requests under way may take to finish after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(2);

/// A simulator that is being served. Dropping it stops the server; [`Running::shutdown`] also waits for it.
#[derive(Debug)]
pub struct Running<V> {
    /// Where it listens, such as `http://127.0.0.1:41234`, without a slash at the end.
    pub url: String,
    /// The simulator itself, for direct access to its state.
    pub vendor: V,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl<V> Running<V> {
    /// Stops accepting, gives requests under way a moment to finish, then closes everything.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl<V> Drop for Running<V> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves `vendor` on `listener`, and sends its webhooks, until the returned handle is dropped or shut down.
pub(crate) fn serve<V: Carrier>(vendor: V, listener: TcpListener) -> std::io::Result<Running<V>> {
    let address = listener.local_addr()?;
    let router = crate::router(&vendor);
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(hooks::deliver(vendor.clone(), stop.clone()));
    tasks.spawn(accept(listener, router, stop.clone(), tasks.clone()));
    tasks.close();
    Ok(Running {
        url: base_url(address),
        vendor,
        stop,
        tasks,
    })
}

fn base_url(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn accept(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, router.clone(), stop.clone()));
            }
            // Out of file descriptors, or the peer went away before it was accepted: others may still come.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small answers must not wait for Nagle's algorithm: the host's overhead is measured against this server.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| answer(router.clone(), request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
    );
    // An error here is the peer's disappearance or a hang-up we asked for; there is nobody to tell.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(DRAIN, connection).await;
        }
    }
}

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    // In a task of its own: a server goes on with a request that it has read, also when its client has gone away.
    let mut router = router;
    let handled = tokio::spawn(async move {
        let outcome: Result<Response<Body>, Infallible> = router.call(request.map(Body::new)).await;
        outcome.into_response()
    });
    let response = handled.await.map_err(|_| Dropped)?;
    if response.extensions().get::<Hangup>().is_some() {
        Err(Dropped)
    } else {
        Ok(response)
    }
}
