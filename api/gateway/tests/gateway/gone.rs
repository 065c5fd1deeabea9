//! A tenant is destroyed while something writes rows of it outside the log: in whatever order they commit, no row is left in any table.

use eventstore::admin::Mode;
use eventstore::{Role, destroy};
use kernel::TenantId;
use sqlx::{ConnectOptions, Executor, PgConnection};
use testbed::Database;

/// CRM's database with every table outside its log, except read models, for whose writers the destruction waits in another way.
async fn database() -> Database {
    let database = Database::fresh("crm").await;
    let admin = database.admin();
    ::webhooks::migrate(&admin, &database, Mode::Apply).await.unwrap();
    ::jobs::migrate(&admin, &database, Mode::Apply).await.unwrap();
    ::coordinator::migrate(&admin, &database, Mode::Apply).await.unwrap();
    database
}

async fn superuser(database: &Database) -> PgConnection {
    database.superuser().connect().await.unwrap()
}

/// The tables to check: all with rows of tenants, except those that an append writes.
async fn tables(database: &Database) -> Vec<String> {
    let tables = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'p') AND (n.nspname <> 'log' OR c.relname = 'snapshots')
           AND n.nspname !~ '^(pg_|information_schema)'
         ORDER BY 1",
    );
    let tables: Vec<String> = tables.fetch_all(&mut superuser(database).await).await.unwrap();
    assert!(tables.len() > 20, "the tables were not found: {tables:?}");
    tables
}

/// A statement that inserts a row of a tenant, with a value in each required column.
async fn row(database: &Database, table: &str, tenant: TenantId) -> String {
    let statement = sqlx::query_scalar(
        "SELECT format('INSERT INTO %s (%s) VALUES (%s)', $1::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
             string_agg(
                 CASE
                     WHEN a.attname = 'tenant_id' THEN quote_literal($2::uuid)
                     WHEN a.attname = 'kind' THEN quote_literal('redrive')
                     ELSE CASE format_type(a.atttypid, NULL)
                         WHEN 'uuid' THEN 'gen_random_uuid()'
                         WHEN 'timestamp with time zone' THEN 'now()'
                         WHEN 'boolean' THEN 'false'
                         WHEN 'integer' THEN '1'
                         WHEN 'bigint' THEN '1'
                         WHEN 'text' THEN quote_literal(CASE
                             WHEN a.attname <> 'state' THEN 'x' WHEN $1 = 'jobs.jobs' THEN 'waiting' ELSE 'parked' END)
                         ELSE quote_literal('{}')
                     END
                 END, ', ' ORDER BY a.attnum))
         FROM pg_attribute a
         WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
           AND a.attidentity = ''",
    );
    statement.bind(table).bind(tenant.uuid()).fetch_one(&mut superuser(database).await).await.unwrap()
}

async fn write(connection: &mut PgConnection, statement: &str) -> u64 {
    connection.execute(statement).await.unwrap().rows_affected()
}

async fn count(database: &Database, table: &str, tenant: TenantId) -> i64 {
    let count = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
    sqlx::query_scalar(&count).bind(tenant.uuid()).fetch_one(&mut superuser(database).await).await.unwrap()
}

/// Marks the tenant for destruction, but does not destroy it yet.
async fn condemn(database: &Database, tenant: TenantId) {
    let condemn = format!("SELECT log.condemn('{tenant}', '{{}}')");
    superuser(database).await.execute(condemn.as_str()).await.unwrap();
}

#[tokio::test]
async fn a_row_of_any_table_that_is_being_written_when_its_tenant_is_destroyed_goes_with_it() {
    let database = database().await;
    for table in tables(&database).await {
        let tenant = testbed::tenant();
        let row = row(&database, &table, tenant).await;
        let mut writer = superuser(&database).await;
        writer.execute("BEGIN").await.unwrap();
        assert_eq!(write(&mut writer, &row).await, 1, "{table}");
        let (destroyed, ()) = tokio::join!(destroy(&database, tenant, &[]), async {
            database.until_session(Role::Append, "query LIKE '%log.writers%'").await;
            writer.execute("COMMIT").await.unwrap();
        });
        destroyed.unwrap();
        assert_eq!(count(&database, &table, tenant).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_row_of_any_table_that_is_to_be_written_when_its_tenant_is_at_its_end_is_passed_over() {
    let database = database().await;
    let (tenant, neighbour) = (testbed::tenant(), testbed::tenant());
    let mut writer = superuser(&database).await;
    let tables = tables(&database).await;
    let mut all = Vec::new();
    for table in &tables {
        let (ours, theirs) = (row(&database, table, tenant).await, row(&database, table, neighbour).await);
        all.push((table, ours, theirs));
    }
    condemn(&database, tenant).await;
    for (table, ours, theirs) in &all {
        assert_eq!((write(&mut writer, ours).await, write(&mut writer, theirs).await), (0, 1), "{table}");
    }
    destroy(&database, tenant, &[]).await.unwrap();
    for (table, ours, _) in &all {
        assert_eq!(write(&mut writer, ours).await, 0, "{table}");
        assert_eq!(
            (count(&database, table, tenant).await, count(&database, table, neighbour).await),
            (0, 1),
            "{table}"
        );
    }
}

#[tokio::test]
async fn who_asks_for_something_in_the_name_of_a_tenant_at_its_end_is_refused() {
    let database = database().await;
    let tenant = testbed::tenant();
    condemn(&database, tenant).await;
    for (role, table) in [
        (Role::Queue, "jobs.turns"),
        (Role::Queue, "jobs.inputs"),
        (Role::Configure, "webhooks.endpoints"),
        (Role::Configure, "dead.decisions"),
    ] {
        let row = row(&database, table, tenant).await;
        let mut connection = database.options(role).connect().await.unwrap();
        let set = format!("SELECT set_config('app.tenant_id', '{tenant}', false)");
        connection.execute(set.as_str()).await.unwrap();
        let error = connection.execute(row.as_str()).await.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("42501"), "{table}");
        assert!(error.message().contains("is deleted"), "{table}: {error}");
        assert_eq!(count(&database, table, tenant).await, 0, "{table}");
    }
}

#[tokio::test]
async fn rows_of_thousands_of_tenants_in_one_transaction_take_no_lock_each() {
    let database = database().await;
    let mut writer = superuser(&database).await;
    writer.execute("BEGIN").await.unwrap();
    let letters =
        "INSERT INTO dead.letters (tenant_id, consumer, position, aggregate_type, aggregate_id, event_type, state)
         SELECT gen_random_uuid(), 'saga.x', n, 'crm.lead', 'x', 'x', 'parked' FROM generate_series(1, 3000) AS n";
    assert_eq!(write(&mut writer, letters).await, 3_000);
    // All of the tenants are closed as deleted now, and their rows are locked by `log.hold`.
    let condemned = "INSERT INTO log.closed (tenant_id, state, cell, until)
         SELECT tenant_id, 'deleted', '', '-infinity' FROM dead.letters";
    assert_eq!(write(&mut writer, condemned).await, 3_000);
    let held = "SELECT log.hold(array_agg(tenant_id)) FROM log.closed";
    writer.execute(held).await.unwrap();
    let locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()";
    let locks: i64 = sqlx::query_scalar(locks).fetch_one(&mut writer).await.unwrap();
    assert!(locks < 64, "{locks} locks; a transaction may rely on max_locks_per_transaction, which is 64");
}

#[tokio::test]
async fn who_tries_a_parked_event_again_is_waited_for_before_anything_else_is_deleted() {
    let database = database().await;
    let tenant = testbed::tenant();
    let mut writer = superuser(&database).await;
    let made = format!(
        "CREATE TABLE public.board (tenant_id uuid NOT NULL, lead text NOT NULL);
         ALTER TABLE public.board OWNER TO inopsio_crm_owner;
         INSERT INTO dead.letters (tenant_id, consumer, position, aggregate_type, aggregate_id, event_type, state)
         SELECT '{tenant}', 'projection.board', n, 'crm.lead', 'ada', 'x', CASE n WHEN 1 THEN 'parked' ELSE 'waiting' END
         FROM generate_series(1, 3) AS n"
    );
    writer.execute(made.as_str()).await.unwrap();
    condemn(&database, tenant).await;
    // A retry of the parked event into a read model: it locks the letter first.
    let take = "BEGIN; SELECT FROM dead.letters WHERE state = 'parked' FOR UPDATE";
    writer.execute(take).await.unwrap();
    let mut destroyer = database.options(Role::Append).connect().await.unwrap();
    let end = format!("SELECT log.destroy('{tenant}', '{{}}')");
    let (destroyed, ()) = tokio::join!(destroyer.execute(end.as_str()), async {
        database.until_session(Role::Append, "wait_event_type = 'Lock'").await;
        let settle = format!(
            "INSERT INTO public.board VALUES ('{tenant}', 'ada');
             DELETE FROM dead.letters WHERE position = 2;
             UPDATE dead.letters SET state = 'applied' WHERE position = 1;
             UPDATE dead.letters SET state = 'parked' WHERE position = 3;
             COMMIT"
        );
        writer.execute(settle.as_str()).await.unwrap();
    });
    destroyed.unwrap();
    for table in ["public.board", "dead.letters", "dead.changes"] {
        assert_eq!(count(&database, table, tenant).await, 0, "{table}");
    }
}
