//! The only connection that writes, and group commit.
//!
//! A commit waits for the disk. While it does, further jobs queue up; the next transaction takes them all, and they
//! wait for the disk together. If one of them fails, which is rare, all are undone and each is done in a transaction of
//! its own: a savepoint for each would cost more than the statements of most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use samspel_model::store::{Sequence, StoreError};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Connection, Execute as _, SqlStr, Sqlite};
use tokio::sync::{mpsc, oneshot};

use crate::context::Context;
use crate::open;

/// Jobs that may wait; more make their senders wait, which bounds memory.
const QUEUE: usize = 64;

/// Something to do in a transaction. It is done on a copy, so that it can be done again.
#[async_trait]
pub(crate) trait Task: Clone + Send + 'static {
    /// What it gives back once it is on disk.
    type Output: Send + 'static;

    /// The number of the commit that it was, if it has one.
    fn number(_: &Self::Output) -> Option<Sequence> {
        None
    }

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
#[derive(Clone)]
struct Statement {
    doing: &'static str,
    sql: SqlStr,
    arguments: SqliteArguments,
}

#[async_trait]
impl Task for Statement {
    type Output = u64;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<u64, StoreError> {
        let query = sqlx::query_with::<Sqlite, _>(self.sql, self.arguments);
        let done = query.execute(connection).await;
        done.map(|done| done.rows_affected())
            .map_err(context.failed(self.doing))
    }
}

/// A task whose types are hidden, so that tasks can share a queue.
#[async_trait]
trait Job: Send {
    /// Runs the task and keeps its result. Whether it succeeded.
    async fn run(&mut self, context: &Context, connection: &mut SqliteConnection) -> bool;

    /// The number of the commit that it was, if it succeeded and has one.
    fn number(&self) -> Option<Sequence>;

    /// Answers: with the result, or with the failure of the transaction that it was part of.
    fn finish(self: Box<Self>, failure: Option<StoreError>);
}

struct Queued<T: Task> {
    task: T,
    result: Option<Result<T::Output, StoreError>>,
    reply: oneshot::Sender<Result<T::Output, StoreError>>,
}

#[async_trait]
impl<T: Task> Job for Queued<T> {
    async fn run(&mut self, context: &Context, connection: &mut SqliteConnection) -> bool {
        let result = self.task.clone().run(context, connection).await;
        self.result.insert(result).is_ok()
    }

    fn number(&self) -> Option<Sequence> {
        T::number(self.result.as_ref()?.as_ref().ok()?)
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
    /// A thread, and no task: everything that is stored passes here, one statement after the other, and must not wait
    /// for its turn among the tasks of all syncs each time the database has answered.
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
            task,
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
    pub async fn execute(&self, doing: &'static str, mut query: Query) -> Result<u64, StoreError> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode);
        let arguments = arguments.map_err(self.context.failed(doing))?;
        let statement = Statement {
            doing,
            arguments: arguments.unwrap_or_default(),
            sql: query.sql(),
        };
        self.run(statement).await
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
    connection: SqliteConnection,
    context: Arc<Context>,
    sequence: Arc<AtomicU64>,
    mut messages: mpsc::Receiver<Message>,
) {
    let mut line = Line {
        connection,
        broken: false,
    };
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
        let together = line.transact(&context, &mut jobs).await;
        if together.is_ok() || jobs.len() == 1 {
            finish(jobs, together, &context, &sequence);
            continue;
        }
        // One of them failed, or the disk did: each is told how it fares by itself.
        for job in jobs {
            let mut job = vec![job];
            let alone = line.transact(&context, &mut job).await;
            finish(job, alone, &context, &sequence);
        }
    }
    // The file is consistent whether or not this succeeds.
    if let Err(error) = line.connection.close().await {
        tracing::debug!(%error, "closing the writing connection");
    }
    if let Some(reply) = closing {
        let _ = reply.send(());
    }
}

/// The writing connection.
struct Line {
    connection: SqliteConnection,
    /// The database failed in a transaction. SQLite undoes some by itself (on a full disk, say), and what the
    /// connection takes for its state is not what is: another one goes on.
    broken: bool,
}

impl Line {
    async fn transact(
        &mut self,
        context: &Context,
        jobs: &mut [Box<dyn Job>],
    ) -> Result<(), Failed> {
        if self.broken {
            let another = open::connection(context).await?;
            let broken = std::mem::replace(&mut self.connection, another);
            if let Err(error) = broken.close().await {
                tracing::debug!(%error, "closing a connection that had failed");
            }
            self.broken = false;
        }
        let done = transact(&mut self.connection, context, jobs).await;
        self.broken = matches!(done, Err(Failed::Database(_)));
        done
    }
}

/// What became of a transaction.
enum Failed {
    /// A job failed, and knows why.
    Job,
    /// The database did.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Runs all jobs in one transaction, as far as none fails.
async fn transact(
    connection: &mut SqliteConnection,
    context: &Context,
    jobs: &mut [Box<dyn Job>],
) -> Result<(), Failed> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in jobs {
        if !job.run(context, &mut transaction).await {
            transaction.rollback().await?;
            return Err(Failed::Job);
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Answers for jobs that were done together.
fn finish(
    jobs: Vec<Box<dyn Job>>,
    outcome: Result<(), Failed>,
    context: &Context,
    sequence: &AtomicU64,
) {
    if outcome.is_ok() {
        let newest = jobs.iter().filter_map(|job| job.number()).max();
        sequence.fetch_max(newest.unwrap_or_default(), Ordering::AcqRel);
    }
    for job in jobs {
        job.finish(match &outcome {
            Err(Failed::Database(error)) => Some(context.failed_for_all("committing", error)),
            Ok(()) | Err(Failed::Job) => None,
        });
    }
}
