//! Moves a tenant's commands with their answers to the other cell.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use kernel::{Position, TenantId};
use sqlx::postgres::PgConnection;

use super::side;
use super::{ROWS, Result, Transfer, TransferError};
use crate::backup::snapshot::command;
use crate::backup::{StoredAnswer, write};

macro_rules! columns {
    () => {
        "c.tenant_id, c.command_id, c.request_hash, c.answer, c.first_position, c.last_position, c.recorded_at"
    };
}

impl Transfer {
    /// Copies the commands up to a position that the new cell lacks.
    ///
    /// There is no index by position: this reads all of the tenant's commands, and counts those in the new cell.
    pub(super) async fn all_commands(&mut self, end: Position) -> Result<()> {
        let (tenant, mut count) = (self.tenant, 0);
        let mut chunk: Vec<StoredAnswer> = Vec::new();
        let (positions, here, there) = (&self.from.positions, &self.to.positions, &mut self.to.connection);
        let moved = |row: StoredAnswer| side::command(positions, here, row);
        let mut rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM log.commands c WHERE c.tenant_id = $1 AND c.last_position <= $2"
        ))
        .bind(tenant.uuid())
        .bind(end.as_i64())
        .fetch(&mut self.from.connection);
        while let Some(row) = rows.try_next().await? {
            chunk.push(moved(command(&row)?));
            count += 1;
            if chunk.len() == ROWS {
                write::missing_commands(&mut *there, &std::mem::take(&mut chunk)).await?;
            }
        }
        drop(rows);
        write::missing_commands(there, &chunk).await?;
        let counted = sqlx::query_scalar("SELECT count(*) FROM log.commands WHERE tenant_id = $1").bind(tenant.uuid());
        let counted: i64 = counted.fetch_one(&mut self.to.connection).await?;
        if counted == count {
            return Ok(());
        }
        Err(TransferError::Differs { service: self.service, what: format!("{count} commands are {counted}") })
    }

    /// As [`all_commands`](Self::all_commands), for the changed commands only. Commands whose events were not copied yet are left for the
    /// next round.
    pub(super) async fn touched_commands(&mut self, end: Position) -> Result<()> {
        self.touched.commands.append(&mut self.later);
        let touched: Vec<_> = self.touched.commands.iter().cloned().collect();
        for ids in touched.chunks(ROWS) {
            let mut rows = by_ids(&mut self.from.connection, self.tenant, ids).await?;
            for row in rows.extract_if(.., |row| row.last > end) {
                self.touched.commands.remove(&row.command_id);
                self.later.insert(row.command_id);
            }
            let rows: Vec<_> =
                rows.into_iter().map(|row| side::command(&self.from.positions, &self.to.positions, row)).collect();
            write::missing_commands(&mut self.to.connection, &rows).await?;
        }
        Ok(())
    }

    /// A command of the last round that differs between the two sides, if there is one.
    pub(super) async fn differing_command(&mut self) -> Result<Option<String>> {
        let touched: Vec<_> = self.touched.commands.iter().cloned().collect();
        for ids in touched.chunks(ROWS) {
            let here = by_ids(&mut self.from.connection, self.tenant, ids).await?;
            let there = by_ids(&mut self.to.connection, self.tenant, ids).await?;
            let mut there: BTreeMap<_, _> = there.into_iter().map(|row| (row.command_id.clone(), row)).collect();
            for row in here {
                let row = side::command(&self.from.positions, &self.to.positions, row);
                if there.remove(&row.command_id).as_ref() != Some(&row) {
                    return Ok(Some(format!("the command {} is not the same", row.command_id)));
                }
            }
        }
        Ok(None)
    }
}

async fn by_ids(connection: &mut PgConnection, tenant: TenantId, ids: &[String]) -> Result<Vec<StoredAnswer>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        // Forces one primary key lookup for each id, whatever the planner estimates.
        " FROM unnest($2::text[]) AS k (id)
          CROSS JOIN LATERAL (SELECT * FROM log.commands WHERE tenant_id = $1 AND command_id = k.id OFFSET 0) c"
    ))
    .bind(tenant.uuid())
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(command).collect::<std::result::Result<_, _>>()?)
}
