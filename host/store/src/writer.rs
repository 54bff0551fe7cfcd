//! The only connection that writes, and group commit.
//!
//! A commit waits for the disk. While it does, further jobs queue up; the next transaction takes them all, each in a
//! savepoint of its own, so that one that fails undoes only itself, and they wait for the disk together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use samspel_model::store::StoreError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Connection, Sqlite, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::context::{Context, unsigned};

/// Jobs that may wait; more make their senders wait, which bounds memory.
const QUEUE: usize = 64;

/// Something to do in a transaction.
#[async_trait]
pub(crate) trait Task: Send + 'static {
    /// What it gives back once it is on disk.
    type Output: Send + 'static;

    /// Does it. An error undoes it alone.
    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Self::Output, StoreError>;
}

/// A statement with its parameters.
pub(crate) type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// A task that is one statement. Gives how many rows it changed.
struct Statement {
    doing: &'static str,
    query: Query,
}

#[async_trait]
impl Task for Statement {
    type Output = u64;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<u64, StoreError> {
        let done = self.query.execute(connection).await;
        done.map(|done| done.rows_affected())
            .map_err(context.failed(self.doing))
    }
}

/// A task whose types are hidden, so that tasks can share a queue.
#[async_trait]
trait Job: Send {
    /// Runs the task and keeps its result. Whether it succeeded.
    async fn run(&mut self, context: &Context, connection: &mut SqliteConnection) -> bool;

    /// Answers: with the result, or with the failure of the transaction that it was part of.
    fn finish(self: Box<Self>, failure: Option<StoreError>);
}

struct Queued<T: Task> {
    task: Option<T>,
    result: Option<Result<T::Output, StoreError>>,
    reply: oneshot::Sender<Result<T::Output, StoreError>>,
}

#[async_trait]
impl<T: Task> Job for Queued<T> {
    async fn run(&mut self, context: &Context, connection: &mut SqliteConnection) -> bool {
        if let Some(task) = self.task.take() {
            self.result = Some(task.run(context, connection).await);
        }
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, failure: Option<StoreError>) {
        let answer = match (self.result, failure) {
            // Its own reason says more than that of the transaction.
            (Some(Err(error)), _) => Some(Err(error)),
            (_, Some(failure)) => Some(Err(failure)),
            (result, None) => result,
        };
        if let Some(answer) = answer {
            // Nobody waits any more: what was stored is stored.
            let _ = self.reply.send(answer);
        }
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// The way to the writing connection. When the last one is dropped, the connection is closed.
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    context: Arc<Context>,
}

impl Writer {
    /// Starts the thread that owns the connection. It keeps `sequence` up to date with what is on disk.
    ///
    /// A thread, and no task: everything that is stored passes here, one statement after the other, and must not wait for
    /// its turn among the tasks of all syncs each time the database has answered.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        connection: SqliteConnection,
        context: Arc<Context>,
        sequence: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let work = serve(connection, Arc::clone(&context), sequence, messages);
        std::thread::Builder::new()
            .name("samspel-store".to_owned())
            .spawn(move || runtime.block_on(work))?;
        Ok(Self { queue, context })
    }

    /// Does a task, and waits until it is on disk.
    pub async fn run<T: Task>(&self, task: T) -> Result<T::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Queued {
            task: Some(task),
            result: None,
            reply,
        };
        self.queue
            .send(Message::Job(Box::new(job)))
            .await
            .map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// Does a statement, and waits until it is on disk. How many rows it changed.
    pub async fn execute(&self, doing: &'static str, query: Query) -> Result<u64, StoreError> {
        self.run(Statement { doing, query }).await
    }

    /// Finishes what is queued and closes the connection. Later tasks fail.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that it is closed already.
            let _ = closed.await;
        }
    }

    fn closed(&self) -> StoreError {
        StoreError::Backend {
            doing: format!("writing to {}", self.context.file.display()),
            source: "the store was closed".into(),
        }
    }
}

async fn serve(
    mut connection: SqliteConnection,
    context: Arc<Context>,
    sequence: Arc<AtomicU64>,
    mut messages: mpsc::Receiver<Message>,
) {
    let mut batch = Vec::with_capacity(QUEUE);
    let mut closing = None;
    while closing.is_none() && messages.recv_many(&mut batch, QUEUE).await > 0 {
        let mut jobs = Vec::with_capacity(batch.len());
        for message in batch.drain(..) {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close(reply) => closing = Some(reply),
            }
        }
        if jobs.is_empty() {
            continue;
        }
        match transact(&mut connection, &context, &mut jobs).await {
            Ok(newest) => {
                sequence.fetch_max(newest, Ordering::AcqRel);
                jobs.into_iter().for_each(|job| job.finish(None));
            }
            Err(error) => {
                for job in jobs {
                    job.finish(Some(context.failed_for_all("committing", &error)));
                }
            }
        }
    }
    // The file is consistent whether or not this succeeds.
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the writing connection");
    }
    if let Some(reply) = closing {
        let _ = reply.send(());
    }
}

/// Runs all jobs in one transaction; gives the sequence number that is on disk then.
async fn transact(
    connection: &mut SqliteConnection,
    context: &Context,
    jobs: &mut [Box<dyn Job>],
) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in jobs {
        let mut savepoint = transaction.begin().await?;
        if job.run(context, &mut savepoint).await {
            savepoint.commit().await?;
        } else {
            // Fails if SQLite has undone the whole transaction by itself (a full disk, say): then all jobs failed.
            savepoint.rollback().await?;
        }
    }
    let newest = newest(&mut transaction, context).await?;
    transaction.commit().await?;
    Ok(newest)
}

async fn newest(
    transaction: &mut Transaction<'_, Sqlite>,
    context: &Context,
) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar::<_, i64>("SELECT sequence FROM meta WHERE tenant = ?")
        .bind(&context.tenant)
        .fetch_one(&mut **transaction)
        .await
        .map(unsigned)
}
