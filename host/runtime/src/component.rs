//! A connector as a file: what it must be, and what it says about itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use samspel_model::descriptor::Descriptor;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use wasmtime::component::Component;

use crate::bindings::ConnectorPre;
use crate::bindings::hooked::HooksOnlyPre;
use crate::convert;
use crate::engine::{Runtime, Shared};
use crate::error::LoadError;
use crate::guest::{self, Counters, Grants, State};
use crate::hooks::LoadedHooks;

/// The contract that this host speaks.
pub const CONTRACT: &str = "samspel:connector@0.1.0";

/// The patch level of the contract: a component built against a later one may need what this host lacks.
const PATCH: u64 = 0;

/// Threads that compile a component. Each needs memory of its own while it does, which counts on machines with many
/// processors, and a component is compiled once.
const COMPILER_THREADS: usize = 2;

/// A connector that is loaded and described itself. Cheap to clone.
#[derive(Clone)]
pub struct LoadedConnector {
    pub(crate) pre: ConnectorPre<State>,
    /// What it says about itself.
    pub descriptor: Arc<Descriptor>,
    /// SHA-256 of the file, in hexadecimal: the revision of the connector.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// How it takes notifications, if it does.
    pub hooks: Option<LoadedHooks>,
    /// Whether it was built with WASI, which it finds empty.
    pub wasi: bool,
}

impl Runtime {
    /// Loads a component from a file.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load(&self, path: &Path) -> Result<LoadedConnector, LoadError> {
        let file = |source| LoadError::File {
            path: path.to_owned(),
            source,
        };
        let name = path.display().to_string();
        let size = tokio::fs::metadata(path).await.map_err(file)?.len();
        let limit = self.shared.options.component_bytes;
        if size > limit {
            return Err(LoadError::TooLarge {
                name,
                bytes: size,
                limit,
            });
        }
        // A file may grow while it is read, and a device tells no size at all.
        let mut bytes = Vec::new();
        tokio::fs::File::open(path)
            .await
            .map_err(file)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .await
            .map_err(file)?;
        self.load_bytes(&name, bytes).await
    }

    /// Loads a component. `name` is for errors.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load_bytes(
        &self,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<LoadedConnector, LoadError> {
        let turn = self
            .shared
            .compiling
            .acquire()
            .await
            .map_err(|error| LoadError::Sandbox(error.to_string()))?;
        let shared = Arc::clone(&self.shared);
        let owned = name.to_owned();
        // Compiling takes a while and would keep others on this thread waiting.
        let checked = tokio::task::spawn_blocking(move || check(&shared, &owned, &bytes))
            .await
            .map_err(|error| LoadError::Sandbox(error.to_string()))??;
        // One that takes its time to describe itself keeps no other from being compiled.
        drop(turn);
        let descriptor = describe(&self.shared, name, &checked.pre).await?;
        let hooks = match checked.hooks {
            Some(pre) => LoadedHooks::describe(name, pre, nothing(&self.shared, name)).await?,
            None => None,
        };
        Ok(LoadedConnector {
            pre: checked.pre,
            descriptor: Arc::new(descriptor),
            sha256: checked.sha256,
            bytes: checked.bytes,
            hooks,
            wasi: checked.wasi,
        })
    }
}

struct Checked {
    pre: ConnectorPre<State>,
    sha256: String,
    bytes: u64,
    hooks: Option<HooksOnlyPre<State>>,
    wasi: bool,
}

fn check(shared: &Shared, name: &str, bytes: &[u8]) -> Result<Checked, LoadError> {
    let limit = shared.options.component_bytes;
    if bytes.len() as u64 > limit {
        return Err(LoadError::TooLarge {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            limit,
        });
    }
    let component = compile(shared, name, bytes)?;
    let kind = component.component_type();
    let imports: Vec<String> = kind
        .imports(&shared.engine)
        .map(|(import, _)| import.to_owned())
        .collect();
    let exports: BTreeSet<String> = kind
        .exports(&shared.engine)
        .map(|(export, _)| export.to_owned())
        .collect();
    for item in imports.iter().chain(&exports) {
        if let Some(found) = unsupported_contract(item) {
            return Err(LoadError::Contract {
                name: name.to_owned(),
                found,
                supported: CONTRACT.to_owned(),
            });
        }
    }
    if let Some(import) = imports
        .iter()
        .find(|import| !import.starts_with("samspel:connector/") && !is_wasi(import))
    {
        return Err(LoadError::Import {
            name: name.to_owned(),
            import: import.clone(),
        });
    }
    let offers = |interface: &str| {
        exports
            .iter()
            .any(|export| export.starts_with(&format!("samspel:connector/{interface}@")))
    };
    if !offers("remote") {
        return Err(LoadError::Export {
            name: name.to_owned(),
            export: "samspel:connector/remote".to_owned(),
        });
    }
    let (pre, hooks) = shared
        .linker
        .instantiate_pre(&component)
        .and_then(|pre| guest::prepare(pre, offers("hooks")))
        .map_err(|error| LoadError::NotAComponent {
            name: name.to_owned(),
            why: format!("it does not fit the contract: {:#}", error),
        })?;
    Ok(Checked {
        pre,
        sha256: hex::encode(Sha256::digest(bytes)),
        bytes: bytes.len() as u64,
        hooks,
        wasi: imports.iter().any(|import| is_wasi(import)),
    })
}

fn compile(shared: &Shared, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
    // wasmtime compiles on the pool that it is called on, and otherwise on one with a thread for each processor.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(COMPILER_THREADS)
        .thread_name(|_| "samspel-compile".to_owned())
        .build()
        .map_err(|error| LoadError::Sandbox(error.to_string()))?;
    // `from_binary` takes no precompiled code: foreign machine code is never run.
    pool.install(|| Component::from_binary(&shared.engine, bytes))
        .map_err(|error| LoadError::NotAComponent {
            name: name.to_owned(),
            why: error.root_cause().to_string(),
        })
}

fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
        && import
            .rsplit_once('@')
            .is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// The contract of an import or export, if this host does not speak it. Below 1.0 a minor version is a break, and
/// a later patch may hold additions.
fn unsupported_contract(item: &str) -> Option<String> {
    let rest = item.strip_prefix("samspel:connector/")?;
    let (_, version) = rest.rsplit_once('@')?;
    let parts: Vec<Option<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(0), Some(1), Some(patch)] if (0..=PATCH).contains(patch) => None,
        _ => Some(format!("samspel:connector@{version}")),
    }
}

/// Asks a component what it is. Nothing is granted: no settings, no network, no secrets.
async fn describe(
    shared: &Shared,
    name: &str,
    pre: &ConnectorPre<State>,
) -> Result<Descriptor, LoadError> {
    let wrong = |why: String| LoadError::Description {
        name: name.to_owned(),
        why,
    };
    let described = guest::run(
        pre,
        nothing(shared, name),
        &Counters::default(),
        |connector, store| {
            Box::pin(async move {
                connector
                    .samspel_connector_remote()
                    .call_describe(store)
                    .await
            })
        },
    )
    .await
    .map_err(|ended| wrong(ended.failure.to_string()))?;
    convert::descriptor(described).map_err(wrong)
}

/// What a component has while it describes itself: no settings, no network, no secrets.
fn nothing(shared: &Shared, name: &str) -> Grants {
    let limits = Arc::new(shared.options.limits.clone());
    Grants {
        account: Arc::from(name),
        settings: Arc::from("{}"),
        outbound: None,
        cpu_ms: limits.describe_cpu_ms,
        limits,
    }
}
