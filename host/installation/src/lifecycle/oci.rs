//! Components in OCI registries, as `oras` and `wkg` put them there: one layer of WebAssembly, and beside it, in layers
//! of their own, the manifest and its signature.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::AsyncWrite;

use super::source::{COMPONENT_BYTES, Fetched, TEXT_BYTES, too_large};
use crate::error::{Error, Kind};

/// Media types of the component's layer: that of the CNCF's guidance, and those of earlier tools.
const COMPONENT: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// Media type of the manifest's layer.
pub const MANIFEST: &str = "application/vnd.samspel.connector.manifest.v1+json";

/// Media type of the layer of the manifest's signature.
pub const SIGNATURE: &str = "application/vnd.samspel.connector.signature.v1";

/// Names who asks, where a registry does not answer everybody.
const USER: &str = "SAMSPEL_OCI_USER";
const PASSWORD: &str = "SAMSPEL_OCI_PASSWORD";

const PATIENCE: Duration = Duration::from_secs(300);

/// `REGISTRY/REPOSITORY:TAG` or `REGISTRY/REPOSITORY@sha256:DIGEST`.
///
/// # Errors
/// It is something else. Nothing is assumed: neither a registry nor a tag.
pub(super) fn parse(text: &str) -> Result<Reference, Error> {
    let wrong = |why: String| {
        Error::new(
            Kind::Usage,
            format!("`oci://{text}` names no component: {why}"),
        )
        .remedy(
            "write `oci://REGISTRY/REPOSITORY:TAG`, or `oci://REGISTRY/REPOSITORY@sha256:DIGEST`",
        )
    };
    // What stands alone is a repository with its tag, even if it looks like a host with its port.
    let registry = text.split_once('/').map_or("", |(registry, _)| registry);
    if registry != "localhost" && !registry.contains(['.', ':']) {
        return Err(wrong("it begins with no registry".to_owned()));
    }
    if text
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err(wrong("a part of it is empty or made of dots".to_owned()));
    }
    let last = text.rsplit('/').next().unwrap_or_default();
    if !last.contains([':', '@']) {
        return Err(wrong("it has neither a tag nor a digest".to_owned()));
    }
    Reference::try_from(text).map_err(|error| wrong(error.to_string()))
}

/// Fetches a component. Digests are compared with what was received.
pub(super) async fn fetch(text: &str) -> Result<Fetched, Error> {
    let reference = parse(text)?;
    let client = Client::new(ClientConfig {
        protocol: protocol(reference.registry()),
        connect_timeout: Some(Duration::from_secs(30)),
        read_timeout: Some(PATIENCE),
        ..ClientConfig::default()
    });
    let failed = |error: oci_client::errors::OciDistributionError| {
        Error::new(Kind::Unavailable, format!("fetching oci://{text}: {error}")).remedy(format!(
            "check the reference; a registry that does not answer everybody is asked with {USER} and {PASSWORD}"
        ))
    };
    let (manifest, digest) = client
        .pull_image_manifest(&reference, &auth())
        .await
        .map_err(failed)?;
    if reference.digest().is_some_and(|wanted| wanted != digest) {
        return Err(Error::new(
            Kind::Connector,
            format!("the registry answered oci://{text} with {digest}"),
        ));
    }
    let of = |types: &[&str]| {
        let mut layers = manifest
            .layers
            .iter()
            .filter(|layer| types.contains(&layer.media_type.as_str()));
        match (layers.next(), layers.next()) {
            (found, None) => Ok(found),
            _ => Err(Error::new(
                Kind::Connector,
                format!("oci://{text} has several layers of type {}", types[0]),
            )),
        }
    };
    let pull = async |layer: Option<&OciDescriptor>, limit| match layer {
        None => Ok(None),
        Some(layer) => {
            let mut bytes = Capped {
                bytes: Vec::new(),
                limit,
            };
            let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
            if size > limit {
                return Err(too_large(&format!("a layer of oci://{text}"), limit));
            }
            client
                .pull_blob(&reference, layer, &mut bytes)
                .await
                .map_err(failed)?;
            Ok(Some(bytes.bytes))
        }
    };
    let component = pull(of(&COMPONENT)?, COMPONENT_BYTES)
        .await?
        .ok_or_else(|| {
            Error::new(
                Kind::Connector,
                format!("oci://{text} has no layer of type {}", COMPONENT[0]),
            )
        })?;
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    Ok(Fetched {
        // The digest, not the tag: what it was then.
        source: format!("oci://{repository}@{digest}"),
        component,
        manifest: pull(of(&[MANIFEST])?, TEXT_BYTES).await?,
        signature: pull(of(&[SIGNATURE])?, TEXT_BYTES).await?,
    })
}

/// Registries on this machine are asked without TLS, as other tools do; all others with it.
fn protocol(registry: &str) -> ClientProtocol {
    let host = registry.rsplit_once(':').map_or(registry, |(host, port)| {
        if port.chars().all(|c| c.is_ascii_digit()) {
            host
        } else {
            registry
        }
    });
    let local = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if local {
        ClientProtocol::HttpsExcept(vec![registry.to_owned()])
    } else {
        ClientProtocol::Https
    }
}

fn auth() -> RegistryAuth {
    match (std::env::var(USER), std::env::var(PASSWORD)) {
        (Ok(user), Ok(password)) => RegistryAuth::Basic(user, password),
        _ => RegistryAuth::Anonymous,
    }
}

/// Takes so many bytes and no more, whatever a registry says that there are.
struct Capped {
    bytes: Vec<u8>,
    limit: u64,
}

impl AsyncWrite for Capped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if (self.bytes.len() + piece.len()) as u64 > self.limit {
            return Poll::Ready(Err(std::io::Error::other("it is larger than it may be")));
        }
        self.bytes.extend_from_slice(piece);
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_registries_of_this_machine_are_asked_without_tls() {
        for local in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
        ] {
            assert!(
                matches!(protocol(local), ClientProtocol::HttpsExcept(_)),
                "{local}"
            );
        }
        for far in ["ghcr.io", "127.0.0.1.example.com:5000", "10.0.0.1:5000"] {
            assert!(matches!(protocol(far), ClientProtocol::Https), "{far}");
        }
    }

    #[test]
    fn neither_a_registry_nor_a_tag_is_assumed() {
        for text in [
            "crm:1",
            "library/crm:1",
            "ghcr.io/crm",
            "ghcr.io/../x:1",
            "ghcr.io//x:1",
        ] {
            parse(text).unwrap_err();
        }
        assert_eq!(parse("ghcr.io/team/crm:1").unwrap().tag(), Some("1"));
    }
}
