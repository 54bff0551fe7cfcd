//! One call of a guest: its state, its limits, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use samspel_model::Failure;
use wasmtime::component::{InstancePre, ResourceTable};
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::hooked::{HooksOnly, HooksOnlyPre};
use crate::bindings::{Connector, ConnectorPre};
use crate::component::CONTRACT;
use crate::engine::TICK;
use crate::limits::Limits;
use crate::outbound::{Call, Outbound};

/// Core instances of one component, and tables: languages with an interpreter have some dozens.
const INSTANCES: usize = 1_000;

/// Memories of one component. Each reserves gigabytes of addresses and several of the mappings that a process may have,
/// whatever it uses of them.
const MEMORIES: usize = 32;

/// Resources of WASI (streams, timers) that one call may hold; the host remembers each.
const RESOURCES: usize = 10_000;

/// What guests of one account used since it was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuestStats {
    /// Calls that were made.
    pub calls: u64,
    /// Calls that a trap or a limit ended.
    pub stopped: u64,
    /// Time that calls took, waiting included, in microseconds.
    pub micros: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that were not sent, because they broke a rule.
    pub denied: u64,
}

/// Counts what guests of one account use.
#[derive(Debug, Default)]
pub struct Counters {
    calls: AtomicU64,
    stopped: AtomicU64,
    micros: AtomicU64,
}

impl Counters {
    pub fn read(&self, requests: u64, denied: u64) -> GuestStats {
        GuestStats {
            calls: self.calls.load(Ordering::Relaxed),
            stopped: self.stopped.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
            requests,
            denied,
        }
    }
}

/// What is granted to a call.
#[derive(Clone)]
pub struct Grants {
    /// The account's name, for errors and logs.
    pub account: Arc<str>,
    /// JSON.
    pub settings: Arc<str>,
    /// HTTP and secrets; `None` while a component describes itself.
    pub outbound: Option<Arc<Outbound>>,
    pub limits: Arc<Limits>,
    /// Computing time, in milliseconds.
    pub cpu_ms: u64,
}

/// What a store holds during one call.
pub struct State {
    pub grants: Grants,
    pub call: Arc<Call>,
    /// Bytes that came from the guest.
    pub transferred: usize,
    pub log_lines: usize,
    /// Bytes of all memories.
    memory: usize,
    /// Elements of all tables.
    elements: usize,
    ticks: u64,
    /// The limit that ended the call, for people.
    violation: Option<String>,
    /// The limit by which growth was last refused. A guest may survive that, so it explains an end only where nothing
    /// else does.
    refused: Option<String>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    fn new(grants: Grants, call: Arc<Call>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let random = transfer(&grants.limits).0 as u64;
        Self {
            grants,
            call,
            transferred: 0,
            log_lines: 0,
            memory: 0,
            elements: 0,
            ticks: 0,
            violation: None,
            refused: None,
            // Nothing preopened, no environment, no arguments; streams go nowhere. No sockets: even one that may not be
            // connected is an open file of the host's.
            wasi: WasiCtx::builder()
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(random)
                .build(),
            table,
        }
    }

    /// Counts what came from the guest.
    ///
    /// # Errors
    /// More came than one call may bring.
    pub fn transfer(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.transferred = self.transferred.saturating_add(bytes);
        let limit = self.grants.limits.transfer_total_bytes;
        if self.transferred > limit {
            return Err(self.violated(format!(
                "it handed more than {limit} bytes to the host in one call (transfer-total-bytes)"
            )));
        }
        Ok(())
    }

    /// Notes the limit that was met; the error ends the call.
    pub fn violated(&mut self, what: String) -> wasmtime::Error {
        let error = wasmtime::Error::msg(what.clone());
        self.violation = Some(what);
        error
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        let limit = self.grants.limits.memory_bytes;
        if total > limit {
            self.refused = Some(format!(
                "it needs more than {limit} bytes of memory (memory-bytes)"
            ));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .elements
            .saturating_sub(current)
            .saturating_add(desired);
        let limit = self.grants.limits.table_elements;
        if total > limit {
            self.refused = Some(format!(
                "it needs tables of more than {limit} elements (table-elements)"
            ));
            return Ok(false);
        }
        self.elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Why a call gave no result, and whether it may have changed something at the remote.
pub struct Ended {
    pub failure: Failure,
    pub may_have_applied: bool,
}

/// What a component exports, prepared so that an instance costs microseconds.
pub trait Prepared: Clone + Send + Sync + 'static {
    /// The exports of an instance.
    type Exports: Send + Sync;

    fn engine(&self) -> &Engine;

    fn instantiate<'a>(
        &'a self,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Self::Exports>>;
}

impl Prepared for ConnectorPre<State> {
    type Exports = Connector;

    fn engine(&self) -> &Engine {
        ConnectorPre::engine(self)
    }

    fn instantiate<'a>(
        &'a self,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<Connector>> {
        Box::pin(self.instantiate_async(store))
    }
}

impl Prepared for HooksOnlyPre<State> {
    type Exports = HooksOnly;

    fn engine(&self) -> &Engine {
        HooksOnlyPre::engine(self)
    }

    fn instantiate<'a>(
        &'a self,
        store: &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<HooksOnly>> {
        Box::pin(self.instantiate_async(store))
    }
}

/// Runs one call in a fresh instance, on a task of its own.
pub async fn run<P, T, F>(pre: &P, grants: Grants, counters: &Counters, call: F) -> Result<T, Ended>
where
    P: Prepared,
    T: Send + 'static,
    F: for<'a> FnOnce(&'a P::Exports, &'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>>
        + Send
        + 'static,
{
    let began = Instant::now();
    counters.calls.fetch_add(1, Ordering::Relaxed);
    let wall = Duration::from_millis(grants.limits.wall_ms);
    let budget = Arc::new(Call::new(&grants.limits));
    let outbound = grants.outbound.clone();
    let pre = pre.clone();
    let state = State::new(grants, Arc::clone(&budget));
    let span = tracing::Span::current();
    // Dropped with this future: a call that nobody waits for any more ends at its next yield.
    let task = AbortOnDrop(tokio::spawn(tracing::Instrument::instrument(
        async move { tokio::time::timeout(wall, execute(&pre, state, call)).await },
        span,
    )));
    let ended = task.await_task().await;
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    counters.micros.fetch_add(micros, Ordering::Relaxed);
    let failure = match ended {
        Ok(Ok(Ok(value))) => return Ok(value),
        Ok(Ok(Err(why))) => why,
        Ok(Err(_)) => format!("it took longer than {} ms (wall-ms)", wall.as_millis()),
        Err(error) => format!("the host's task ended: {error}"),
    };
    counters.stopped.fetch_add(1, Ordering::Relaxed);
    let failure = match outbound {
        Some(outbound) => outbound.scrub(&failure),
        None => failure,
    };
    Err(Ended {
        failure: Failure::Stopped(failure),
        may_have_applied: budget.may_have_applied(),
    })
}

async fn execute<P, T, F>(pre: &P, state: State, call: F) -> Result<T, String>
where
    P: Prepared,
    F: for<'a> FnOnce(&'a P::Exports, &'a mut Store<State>) -> BoxFuture<'a, wasmtime::Result<T>>,
{
    let allowed = state.grants.cpu_ms.div_ceil(TICK.as_millis() as u64).max(1);
    let cpu_ms = state.grants.cpu_ms;
    let setting = if state.grants.outbound.is_some() {
        "cpu-ms"
    } else {
        "describe-cpu-ms"
    };
    let transfer = transfer(&state.grants.limits).0;
    let mut store = Store::new(pre.engine(), state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(transfer);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        // Only called while the guest computes: time spent in host calls passes once, however long it was.
        let state = context.data_mut();
        state.ticks += 1;
        if state.ticks > allowed {
            return Err(
                state.violated(format!("it computed for more than {cpu_ms} ms ({setting})"))
            );
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let result = async {
        let exports = pre.instantiate(&mut store).await?;
        call(&exports, &mut store).await
    }
    .await;
    result.map_err(|error| explain(&error, store.data()))
}

/// What ended a call, for people. A guest's own panic message is in the log, if it wrote one.
fn explain(error: &wasmtime::Error, state: &State) -> String {
    if let Some(violation) = &state.violation {
        return violation.clone();
    }
    // wasmtime has no public type for this.
    if error
        .chain()
        .any(|cause| cause.to_string().starts_with("type mismatch with"))
    {
        return format!(
            "it was built against another state of the contract {CONTRACT} than this host ({:#}); build it again with \
             the SDK that belongs to this host",
            error.root_cause()
        );
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return "it recursed too deeply (stack-bytes)".to_owned();
    }
    let text = format!("{:#}", error.root_cause());
    // wasmtime has no public type for it.
    if trap.is_none() && text.contains("fuel allocated for hostcalls") {
        let (limit, setting) = transfer(&state.grants.limits);
        return format!("it handed more than {limit} bytes to the host at once ({setting})");
    }
    if let Some(refused) = &state.refused {
        return refused.clone();
    }
    match trap {
        Some(Trap::UnreachableCodeReached) => {
            "it panicked (trap: unreachable); its log may tell why".to_owned()
        }
        Some(trap) => format!("trap: {trap}"),
        None => text,
    }
}

/// What one transfer may have, and the limit that says so: more than all transfers together cannot come at once.
fn transfer(limits: &Limits) -> (usize, &'static str) {
    if limits.transfer_total_bytes < limits.transfer_bytes {
        (limits.transfer_total_bytes, "transfer-total-bytes")
    } else {
        (limits.transfer_bytes, "transfer-bytes")
    }
}

/// A task that ends when nobody waits for it any more.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn await_task(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Prepares a component. `hooked`: it takes notifications.
pub fn prepare(
    pre: InstancePre<State>,
    hooked: bool,
) -> wasmtime::Result<(ConnectorPre<State>, Option<HooksOnlyPre<State>>)> {
    let hooks = hooked.then(|| HooksOnlyPre::new(pre.clone())).transpose()?;
    Ok((ConnectorPre::new(pre)?, hooks))
}
