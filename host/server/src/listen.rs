//! Ports: plain or with TLS, with limits for whoever is slow, and an end that lets requests finish.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::TokioTimer;
use samspel_installation::config::TlsSettings;
use samspel_installation::{Config, Error, Kind};

/// A connection that does not send its headers within this is closed: it would be held for nothing.
const HEADERS: Duration = Duration::from_secs(10);

/// A port that is open and not served yet.
pub(crate) struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<RustlsConfig>,
}

/// Certificate and key.
///
/// # Errors
/// They cannot be read, or do not fit each other.
pub(crate) async fn tls(config: &Config, settings: &TlsSettings) -> Result<RustlsConfig, Error> {
    let certificate = config.resolve(&settings.certificate);
    let key = config.resolve(&settings.key);
    RustlsConfig::from_pem_file(&certificate, &key)
        .await
        .map_err(|error| {
            Error::new(
                Kind::Config,
                format!(
                    "`server.tls`: {} and {} cannot be used: {error}",
                    certificate.display(),
                    key.display()
                ),
            )
            .remedy("name PEM files of a certificate (with its chain) and of its private key")
        })
}

impl Listener {
    /// Opens a port. `setting` names it in errors.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(
        setting: &str,
        address: SocketAddr,
        tls: Option<RustlsConfig>,
    ) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            Error::new(
                Kind::Config,
                format!("`server.{setting}`: {address} cannot be listened to: {error}"),
            )
            .remedy("choose another address or port, or stop what uses it")
        };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        // Port 0 means any that is free.
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            tls,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `handle` says that it is over.
    ///
    /// # Errors
    /// The system's.
    pub async fn serve(
        self,
        router: Router,
        handle: Handle<SocketAddr>,
    ) -> Result<(), std::io::Error> {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        match self.tls {
            None => {
                let mut server = axum_server::from_tcp(self.socket)?.handle(handle);
                patient(server.http_builder());
                server.serve(service).await
            }
            Some(tls) => {
                let mut server =
                    axum_server::tls_rustls::from_tcp_rustls(self.socket, tls)?.handle(handle);
                patient(server.http_builder());
                server.serve(service).await
            }
        }
    }
}

fn patient(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    builder.http2().timer(TokioTimer::new());
}
