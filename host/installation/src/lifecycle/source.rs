//! Where components come from: a file, a URL, a registry. What is fetched is only bytes; nothing about it is believed
//! yet.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use reqwest::StatusCode;
use tokio::io::AsyncReadExt;
use url::Url;

use super::manifest::{MANIFEST, SIGNATURE};
use super::oci;
use crate::error::{Error, Kind};

/// The largest component that is fetched; the sandbox loads no larger one.
pub(super) const COMPONENT_BYTES: u64 = 64 << 20;

/// The largest manifest, and the largest signature.
pub(super) const TEXT_BYTES: u64 = 1 << 20;

/// How long a download may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A server, by https.
    Url(Box<Url>),
    /// A registry: `REGISTRY/REPOSITORY:TAG` or `REGISTRY/REPOSITORY@sha256:DIGEST`.
    Oci(String),
    /// It was handed over.
    Given(Box<Fetched>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            // What follows the path may be a token.
            Self::Url(url) => write!(f, "{}{}", url.origin().ascii_serialization(), url.path()),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
            Self::Given(fetched) => f.write_str(&fetched.source),
        }
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it was.
    pub source: String,
    /// The component.
    pub component: Vec<u8>,
    /// Its manifest, if there is one.
    pub manifest: Option<Vec<u8>>,
    /// The manifest's signature, if there is one.
    pub signature: Option<Vec<u8>>,
}

impl Source {
    /// What an operator wrote.
    ///
    /// # Errors
    /// It is a URL that nothing is fetched from.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(reference) = text.strip_prefix("oci://") {
            oci::parse(reference)?;
            return Ok(Self::Oci(reference.to_owned()));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::File(text.into()));
        };
        let wrong = |why: &str| {
            Error::new(
                Kind::Usage,
                format!("a connector is not fetched from there: {why}"),
            )
            .remedy(
                "name a file, `https://...` with `--sha256`, or `oci://REGISTRY/REPOSITORY:TAG`",
            )
        };
        if scheme != "https" {
            return Err(wrong("it is not https"));
        }
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "a URL with a user name, a password or a fragment is not accepted",
            ));
        }
        Ok(Self::Url(Box::new(url)))
    }

    /// Whether what is there can be another component tomorrow, so that somebody must have said which one is meant.
    pub fn needs_digest(&self) -> bool {
        matches!(self, Self::Url(_))
    }

    /// Fetches it.
    ///
    /// # Errors
    /// It is not there, too large, or its server does not answer.
    pub async fn fetch(&self) -> Result<Fetched, Error> {
        match self {
            Self::File(path) => of_file(path, &self.to_string()).await,
            Self::Url(url) => of_url(url, &self.to_string()).await,
            Self::Oci(reference) => oci::fetch(reference).await,
            Self::Given(fetched) => Ok(Fetched::clone(fetched)),
        }
    }
}

/// Something too large is not read to its end.
pub(super) fn too_large(what: &str, limit: u64) -> Error {
    Error::new(
        Kind::Connector,
        format!("{what} is larger than the {limit} bytes that it may have"),
    )
}

async fn of_file(path: &Path, source: &str) -> Result<Fetched, Error> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let component = read(path, COMPONENT_BYTES).await?.ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no file {}", path.display()))
            .remedy("name a component (`.wasm`), `https://...` or `oci://...`")
    })?;
    let manifest = read(&beside(MANIFEST), TEXT_BYTES).await?;
    let signature = read(&beside(&format!("{MANIFEST}{SIGNATURE}")), TEXT_BYTES).await?;
    Ok(Fetched {
        source: source.to_owned(),
        component,
        manifest,
        signature,
    })
}

/// A file, if it is there.
async fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let failed = |error: std::io::Error| {
        Error::new(
            Kind::Failure,
            format!("{} cannot be read: {error}", path.display()),
        )
    };
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(&path.display().to_string(), limit));
    }
    Ok(Some(bytes))
}

async fn of_url(url: &Url, source: &str) -> Result<Fetched, Error> {
    let client = reqwest::Client::builder()
        .https_only(true)
        .timeout(PATIENCE)
        .build()
        .map_err(|error| Error::new(Kind::Failure, error))?;
    let beside = |suffix: &str| {
        let mut beside = url.clone();
        beside.set_path(&format!("{}{suffix}", url.path()));
        beside
    };
    let component = get(&client, url, source, COMPONENT_BYTES)
        .await?
        .ok_or_else(|| Error::new(Kind::Unavailable, format!("there is nothing at {source}")))?;
    let signature = beside(&format!("{MANIFEST}{SIGNATURE}"));
    Ok(Fetched {
        source: source.to_owned(),
        component,
        manifest: get(&client, &beside(MANIFEST), source, TEXT_BYTES).await?,
        signature: get(&client, &signature, source, TEXT_BYTES).await?,
    })
}

/// What is at a URL, if there is anything.
async fn get(
    client: &reqwest::Client,
    url: &Url,
    source: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, Error> {
    // A URL may hold a token, and reqwest's errors hold the URL.
    let failed = |error: reqwest::Error| {
        Error::new(
            Kind::Unavailable,
            format!("fetching {source}: {}", error.without_url()),
        )
        .remedy("try again later")
    };
    let answer = client.get(url.clone()).send().await.map_err(failed)?;
    if matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(None);
    }
    let mut body = answer.error_for_status().map_err(failed)?.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(failed)?);
        if bytes.len() as u64 > limit {
            return Err(too_large(source, limit));
        }
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sources_are_told_apart_and_unsafe_ones_are_refused() {
        assert_eq!(
            Source::parse("a/b.wasm").unwrap(),
            Source::File("a/b.wasm".into())
        );
        let url = Source::parse("https://x.example/a.wasm?token=secret").unwrap();
        assert_eq!(url.to_string(), "https://x.example/a.wasm");
        assert!(url.needs_digest());
        let oci = Source::parse("oci://registry.example/team/crm:1.2").unwrap();
        assert_eq!(oci.to_string(), "oci://registry.example/team/crm:1.2");
        for refused in [
            "http://x.example/a.wasm",
            "file:///etc/passwd",
            "https://user:pass@x.example/a.wasm",
            "oci://crm",
            "oci://registry.example/../../etc:1",
            "oci://registry.example/crm",
        ] {
            Source::parse(refused).unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_manifest_and_its_signature_are_found_beside_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("crm.wasm");
        std::fs::write(&file, "component").unwrap();
        let fetched = Source::File(file.clone()).fetch().await.unwrap();
        assert_eq!((fetched.manifest, fetched.signature), (None, None));
        for (name, text) in [
            ("crm.wasm.manifest.json", "{}"),
            ("crm.wasm.manifest.json.minisig", "s"),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let fetched = Source::File(file).fetch().await.unwrap();
        assert_eq!(fetched.component, b"component");
        assert_eq!(fetched.manifest.as_deref(), Some(&b"{}"[..]));
        assert_eq!(fetched.signature.as_deref(), Some(&b"s"[..]));
        let missing = Source::File(directory.path().join("no.wasm")).fetch().await;
        assert_eq!(missing.unwrap_err().kind(), Kind::Usage);
    }
}
