//! One call of a guest: its state, its limits, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use samspel_model::Failure;
use wasmtime::component::{InstancePre, ResourceTable};
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::{Connector, ConnectorPre};
use crate::engine::TICK;
use crate::limits::Limits;
use crate::outbound::{Call, Outbound};

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
}

/// Counts what guests of one account use.
#[derive(Debug, Default)]
pub struct Counters {
    calls: AtomicU64,
    stopped: AtomicU64,
    micros: AtomicU64,
}

impl Counters {
    pub fn read(&self, requests: u64) -> GuestStats {
        GuestStats {
            calls: self.calls.load(Ordering::Relaxed),
            stopped: self.stopped.load(Ordering::Relaxed),
            micros: self.micros.load(Ordering::Relaxed),
            requests,
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
    memory: usize,
    ticks: u64,
    /// The limit that was met, for people.
    violation: Option<String>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    fn new(grants: Grants, call: Arc<Call>) -> Self {
        Self {
            grants,
            call,
            transferred: 0,
            log_lines: 0,
            memory: 0,
            ticks: 0,
            violation: None,
            // Nothing preopened, no environment, no arguments, no sockets; streams go nowhere.
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
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
        let total = self.memory - current.min(self.memory) + desired;
        let limit = self.grants.limits.memory_bytes;
        if total > limit {
            self.violation = Some(format!(
                "it needs more than {limit} bytes of memory (memory-bytes)"
            ));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.grants.limits.table_elements;
        if desired > limit {
            self.violation = Some(format!(
                "it needs a table of more than {limit} elements (table-elements)"
            ));
            return Ok(false);
        }
        Ok(true)
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

/// Runs one call in a fresh instance, on a task of its own.
pub async fn run<T, F>(
    pre: &ConnectorPre<State>,
    grants: Grants,
    counters: &Counters,
    call: F,
) -> Result<T, Ended>
where
    T: Send + 'static,
    F: for<'a> FnOnce(
            &'a Connector,
            &'a mut Store<State>,
        ) -> BoxFuture<'a, wasmtime::Result<T>>
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
        Ok(Err(_)) => format!(
            "it took longer than {} ms (wall-ms)",
            wall.as_millis()
        ),
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

async fn execute<T, F>(pre: &ConnectorPre<State>, state: State, call: F) -> Result<T, String>
where
    F: for<'a> FnOnce(
        &'a Connector,
        &'a mut Store<State>,
    ) -> BoxFuture<'a, wasmtime::Result<T>>,
{
    let allowed = state.grants.cpu_ms.div_ceil(TICK.as_millis() as u64).max(1);
    let cpu_ms = state.grants.cpu_ms;
    let transfer = state.grants.limits.transfer_bytes;
    let mut store = Store::new(pre.engine(), state);
    store.limiter(|state| state);
    store.set_hostcall_fuel(transfer);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        // Only called while the guest computes: time spent in host calls passes once, however long it was.
        let state = context.data_mut();
        state.ticks += 1;
        if state.ticks > allowed {
            return Err(state.violated(format!(
                "it computed for more than {cpu_ms} ms (cpu-ms)"
            )));
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let result = async {
        let connector = pre.instantiate_async(&mut store).await?;
        call(&connector, &mut store).await
    }
    .await;
    result.map_err(|error| explain(&error, store.data()))
}

/// What ended a call, for people. A guest's own panic message is in the log, if it wrote one.
fn explain(error: &wasmtime::Error, state: &State) -> String {
    if let Some(violation) = &state.violation {
        return violation.clone();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "it recursed too deeply (stack-bytes)".to_owned(),
        Some(Trap::UnreachableCodeReached) => {
            "it panicked (trap: unreachable); its log may tell why".to_owned()
        }
        Some(trap) => format!("trap: {trap}"),
        None => {
            let text = format!("{:#}", error.root_cause());
            if text.contains("fuel") {
                format!(
                    "it handed more than {} bytes to the host at once (transfer-bytes)",
                    state.grants.limits.transfer_bytes
                )
            } else {
                text
            }
        }
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

/// Prepares a component, so that an instance costs microseconds.
pub fn prepare(pre: InstancePre<State>) -> wasmtime::Result<ConnectorPre<State>> {
    ConnectorPre::new(pre)
}
