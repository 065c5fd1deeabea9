//! Comparing the rows of two schemas that hold the same projection, tenant by tenant.

use std::collections::BTreeSet;

use kernel::TenantId;
use serde_json::{Map, Value};
use sqlx::{Executor, PgConnection, Row};
use uuid::Uuid;

use crate::Projection;
use crate::drift::{ColumnDifference, Difference, DifferenceKind};

/// A running comparison.
pub(crate) struct Comparison<'p> {
    projection: &'p dyn Projection,
    /// The schema of the live tables, and the one of the tables that were built from the log.
    live: String,
    expected: String,
    /// At most this many differing rows are kept in `differences`; all are counted.
    limit: usize,
    /// The primary keys of the tables; empty until they are loaded.
    keys: Vec<Vec<String>>,
    pub(crate) rows: u64,
    pub(crate) differing: u64,
    pub(crate) differences: Vec<Difference>,
}

impl<'p> Comparison<'p> {
    pub(crate) fn new(projection: &'p dyn Projection, live: String, expected: String, limit: usize) -> Self {
        Self { projection, live, expected, limit, keys: Vec::new(), rows: 0, differing: 0, differences: Vec::new() }
    }

    /// Compares a tenant's rows.
    pub(crate) async fn tenant(&mut self, connection: &mut PgConnection, tenant: Uuid) -> Result<(), sqlx::Error> {
        if self.keys.is_empty() {
            for table in self.projection.tables() {
                self.keys.push(primary_key(connection, &self.expected, table).await?);
            }
        }
        connection.execute(format!("SET LOCAL app.tenant_ids = '{{{tenant}}}'").as_str()).await?;
        for (nth, table) in self.projection.tables().iter().copied().enumerate() {
            self.table(connection, table, nth, tenant).await?;
        }
        Ok(())
    }

    async fn table(
        &mut self,
        connection: &mut PgConnection,
        table: &'static str,
        nth: usize,
        tenant: Uuid,
    ) -> Result<(), sqlx::Error> {
        let key = &self.keys[nth];
        let columns = key.join(", ");
        // Joined by the primary keys, which begin with the tenant. Compared as JSON, because not every type has an equality operator.
        let both = format!(
            "FROM (SELECT * FROM {live}.{table} WHERE tenant_id = $1) l
             FULL JOIN (SELECT * FROM {expected}.{table} WHERE tenant_id = $1) e USING ({columns})",
            live = self.live,
            expected = self.expected,
        );
        let counted = sqlx::query(&format!(
            "SELECT count(*), count(*) FILTER (WHERE to_jsonb(l) IS DISTINCT FROM to_jsonb(e)) {both}"
        ))
        .bind(tenant)
        .fetch_one(&mut *connection)
        .await?;
        let differing = counted.try_get::<i64, _>(1)?.cast_unsigned();
        self.rows += counted.try_get::<i64, _>(0)?.cast_unsigned();
        self.differing += differing;
        let room = self.limit.saturating_sub(self.differences.len());
        if differing == 0 || room == 0 {
            return Ok(());
        }
        let rows = sqlx::query(&format!(
            "SELECT to_json(l), to_json(e) {both}
             WHERE to_jsonb(l) IS DISTINCT FROM to_jsonb(e) ORDER BY {columns} LIMIT $2"
        ))
        .bind(tenant)
        .bind(i64::try_from(room).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
        for row in rows {
            self.differences.push(difference(table, key, row.try_get(0)?, row.try_get(1)?));
        }
        Ok(())
    }

    /// Looks, as the role of the session, for rows of tenants that have no event in the log. False: the role can't see such rows.
    pub(crate) async fn compare_unknown_tenants(
        &mut self,
        connection: &mut PgConnection,
        known: &BTreeSet<TenantId>,
    ) -> Result<bool, sqlx::Error> {
        let sees = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user";
        if !sqlx::query_scalar::<_, bool>(sees).fetch_one(&mut *connection).await? {
            return Ok(false);
        }
        connection.execute("SET LOCAL ROLE none").await?;
        let known: Vec<Uuid> = known.iter().map(|tenant| tenant.uuid()).collect();
        let mut unknown = BTreeSet::new();
        for table in self.projection.tables() {
            // A full scan: no index serves this question.
            let query = format!("SELECT DISTINCT tenant_id FROM {}.{table} WHERE tenant_id <> ALL ($1)", self.live);
            unknown.extend(sqlx::query_scalar::<_, Uuid>(&query).bind(&known).fetch_all(&mut *connection).await?);
        }
        for tenant in unknown {
            self.tenant(connection, tenant).await?;
        }
        Ok(true)
    }
}

/// The difference between the live and the expected version of a row. One of them may be missing.
fn difference(table: &'static str, key: &[String], live: Option<Value>, expected: Option<Value>) -> Difference {
    let row = |side: Option<Value>| match side {
        Some(Value::Object(row)) => Some(row),
        _ => None,
    };
    let (live, expected) = (row(live), row(expected));
    let kind = match (&live, &expected) {
        (None, _) => DifferenceKind::Missing,
        (_, None) => DifferenceKind::Unexpected,
        _ => DifferenceKind::Changed,
    };
    let mut columns = Vec::new();
    if let (Some(live), Some(expected)) = (&live, &expected) {
        for (name, expected) in expected {
            let live = live.get(name).cloned().unwrap_or_default();
            if live != *expected {
                columns.push(ColumnDifference { name: name.clone(), live, expected: expected.clone() });
            }
        }
    }
    let any = live.or(expected).unwrap_or_default();
    let key = key.iter().map(|name| (name.clone(), any.get(name).cloned().unwrap_or_default()));
    Difference { table, kind, key: key.collect::<Map<_, _>>(), columns }
}

/// The columns of a table's primary key, in its order.
async fn primary_key(connection: &mut PgConnection, schema: &str, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_index i
         CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, n)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = to_regclass($1) AND i.indisprimary AND k.n <= i.indnkeyatts ORDER BY k.n",
    )
    .bind(format!("{schema}.{table}"))
    .fetch_all(connection)
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_names_the_key_and_only_the_columns_that_differ() {
        let key = ["tenant_id".to_owned(), "lamp".to_owned()];
        let row = |switches: i64| Some(json!({ "tenant_id": "t", "lamp": "hall", "switches": switches, "lit": true }));
        let changed = difference("lamps", &key, row(2), row(3));
        assert_eq!(changed.kind, DifferenceKind::Changed);
        assert_eq!(Value::Object(changed.key), json!({ "tenant_id": "t", "lamp": "hall" }));
        let column = ColumnDifference { name: "switches".to_owned(), live: json!(2), expected: json!(3) };
        assert_eq!(changed.columns, [column]);
        for (live, expected, kind) in
            [(None, row(3), DifferenceKind::Missing), (row(2), None, DifferenceKind::Unexpected)]
        {
            let one = difference("lamps", &key, live, expected);
            assert_eq!((one.kind, one.key["lamp"].clone(), one.columns), (kind, json!("hall"), vec![]));
        }
    }
}
