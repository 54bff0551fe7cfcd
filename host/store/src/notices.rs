//! What people were told of.

use async_trait::async_trait;
use samspel_model::notice::{Notice, Notices, Subject};
use samspel_model::store::StoreError;
use sqlx::sqlite::SqliteConnection;

use crate::context::{Context, micros, time};
use crate::sqlite::SqliteStore;
use crate::writer::Task;

#[async_trait]
impl Notices for SqliteStore {
    async fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        let rows: Vec<(String, String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT kind, subject, since, told FROM notice WHERE tenant = ? ORDER BY kind, subject",
        )
        .bind(&self.context().tenant)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading what people were told of"))?;
        let moment = |at| time("the time of a notice", at);
        rows.into_iter()
            .map(|(kind, name, since, told)| {
                Ok(Notice {
                    subject: Subject { kind, name },
                    since: moment(since)?,
                    told: told.map(moment).transpose()?,
                })
            })
            .collect()
    }

    async fn put_notices(
        &self,
        notices: Vec<Notice>,
        over: Vec<Subject>,
    ) -> Result<(), StoreError> {
        self.writer().run(Put { notices, over }).await
    }
}

#[derive(Clone)]
struct Put {
    notices: Vec<Notice>,
    over: Vec<Subject>,
}

#[async_trait]
impl Task for Put {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let noting = context.failed("noting what people were told of");
        for notice in self.notices {
            sqlx::query(
                "INSERT INTO notice (tenant, kind, subject, since, told) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET since = excluded.since, told = excluded.told",
            )
            .bind(&context.tenant)
            .bind(notice.subject.kind)
            .bind(notice.subject.name)
            .bind(micros(notice.since))
            .bind(notice.told.map(micros))
            .execute(&mut *connection)
            .await
            .map_err(&noting)?;
        }
        for subject in self.over {
            sqlx::query("DELETE FROM notice WHERE tenant = ? AND kind = ? AND subject = ?")
                .bind(&context.tenant)
                .bind(subject.kind)
                .bind(subject.name)
                .execute(&mut *connection)
                .await
                .map_err(&noting)?;
        }
        Ok(())
    }
}
