//! The wasmtime engine, and what all connectors share.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy};

use crate::bindings::Connector;
use crate::error::LoadError;
use crate::guest::State;
use crate::limits::Limits;
use crate::outbound::Client;

/// How often running guests are interrupted to be counted.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What is set for the whole host.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// Where compiled code is kept between starts; `None`: nowhere. The directory must be writable by the host's user
    /// only: what is in it is run.
    pub cache: Option<PathBuf>,
    /// The largest component that is loaded, in bytes.
    pub component_bytes: u64,
    /// How many components are compiled at once; the others wait.
    pub compilers: usize,
    /// The stack of a guest, in bytes, which bounds recursion.
    pub stack_bytes: usize,
    /// What `describe` may use.
    pub limits: Limits,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            cache: None,
            component_bytes: 64 << 20,
            compilers: 1,
            stack_bytes: 512 << 10,
            limits: Limits::default(),
        }
    }
}

/// Loads components and binds them to accounts. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub engine: Engine,
    pub linker: Linker<State>,
    pub compiling: Semaphore,
    pub client: Arc<Client>,
    pub options: RuntimeOptions,
}

impl Runtime {
    /// Sets up the sandbox.
    ///
    /// # Errors
    /// [`LoadError::Sandbox`] if the machine does not allow it.
    pub fn new(options: RuntimeOptions) -> Result<Self, LoadError> {
        let sandbox = |error: wasmtime::Error| LoadError::Sandbox(format!("{error:#}"));
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .epoch_interruption(true)
            .max_wasm_stack(options.stack_bytes)
            // The host's own frames need room on the same stack.
            .async_stack_size(options.stack_bytes + (1 << 20))
            .allocation_strategy(InstanceAllocationStrategy::OnDemand);
        if let Some(directory) = &options.cache {
            let mut cache = CacheConfig::new();
            cache.with_directory(directory);
            config.cache(Some(Cache::new(cache).map_err(sandbox)?));
        }
        let engine = Engine::new(&config).map_err(sandbox)?;
        let mut linker = Linker::new(&engine);
        Connector::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)
            .map_err(sandbox)?;
        // Languages that bring WASI along find it, and find it empty.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(sandbox)?;
        let compiling = Semaphore::new(options.compilers.max(1));
        let shared = Arc::new(Shared {
            engine,
            linker,
            compiling,
            client: Arc::new(Client::new()?),
            options,
        });
        tick(&shared)?;
        Ok(Self { shared })
    }
}

/// Interrupts running guests regularly, from a thread of the system's: a busy scheduler must not stop the clock. The
/// thread ends with the runtime.
fn tick(shared: &Arc<Shared>) -> Result<(), LoadError> {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    std::thread::Builder::new()
        .name("samspel-epoch".to_owned())
        .spawn(move || {
            while let Some(shared) = shared.upgrade() {
                shared.engine.increment_epoch();
                drop(shared);
                std::thread::sleep(TICK);
            }
        })
        .map_err(|error| LoadError::Sandbox(error.to_string()))?;
    Ok(())
}
