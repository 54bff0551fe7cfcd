//! Traces for whoever collects them: what the program does, as spans that leave by OTLP over HTTP
//! (<https://opentelemetry.io/docs/specs/otlp/>). Records' contents and secrets are in none of them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use samspel_installation::Kind;
use tokio::runtime::Handle;
use url::Url;

use crate::exit::CliError;

const NAME: &str = "samspel";
/// A collector that takes longer loses what it was sent; nothing waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is not sent yet at the end may take so long.
const END: Duration = Duration::from_secs(5);

/// The way to a collector. At its end what is left is sent.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// `endpoint`: where the collector takes traces, such as `http://127.0.0.1:4318/v1/traces`.
    ///
    /// # Errors
    /// There is no such address, or no client can be had.
    pub fn to(endpoint: &Url, runtime: Handle) -> Result<Self, CliError> {
        let unusable = |why: String| {
            CliError::new(Kind::Usage, format!("traces cannot be sent: {why}")).remedy(
                "`--traces` names the whole address, such as http://127.0.0.1:4318/v1/traces",
            )
        };
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { client, runtime })
            .with_endpoint(endpoint.as_str())
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let of = Resource::builder()
            .with_service_name(NAME)
            .with_attribute(version);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(of.build());
        Ok(Self(provider.build()))
    }

    /// Takes spans.
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer(NAME)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(END) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The exporter has a thread of its own, and the client needs the runtime.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            let mut answer = client
                .request(parts.method, parts.uri.to_string())
                .headers(parts.headers)
                .body(body)
                .send()
                .await?;
            let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        let (status, headers, body) = sending.await??;
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
