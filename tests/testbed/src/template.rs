//! Databases as copies of prepared templates, which takes a tenth of the time of migrating each.

use std::hash::{DefaultHasher, Hash, Hasher};

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::Database;

/// The key of the advisory lock under which templates are made, in the database that the superuser connects to.
const KEY: i64 = 4_243;

/// Creates databases on the shared Postgres, [named](Database::named) like these, as copies of what `prepare` makes: roles, owners, tables
/// and grants.
///
/// The first test that calls it runs `prepare` on templates, one for each of `databases` in their order. They stay as long as the server
/// does. Each program, and each build of it, has its own templates, so they are never outdated. `what` is a short word for the kind of
/// preparation, if a program has several.
pub async fn copy_prepared<F: Future<Output = ()>>(
    what: &str,
    databases: &[&Database],
    prepare: impl FnOnce(Vec<eventstore::Database>) -> F,
) {
    let program = program();
    let template = |database: &&Database| eventstore::Database {
        name: format!("template_{what}_{}_{program:016x}", database.service),
        ..eventstore::Database::clone(database)
    };
    let templates: Vec<_> = databases.iter().map(template).collect();
    let names: Vec<_> = templates.iter().map(|template| template.name.clone()).collect();
    let admin = crate::postgres().disable_statement_logging();
    let mut cluster = admin.connect().await.expect("the shared Postgres answers");
    if !are_ready(&mut cluster, &names).await {
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(KEY)
            .execute(&mut cluster)
            .await
            .expect("the lock of templates");
        // Another test may have made them in the meantime.
        if !are_ready(&mut cluster, &names).await {
            for name in &names {
                // A killed test may have left it incomplete.
                run(&mut cluster, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            }
            prepare(templates).await;
            for name in &names {
                run(&mut cluster, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
            }
        }
        sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(KEY)
            .execute(&mut cluster)
            .await
            .expect("the lock of templates");
    }
    for (database, template) in databases.iter().zip(&names) {
        copy(&mut cluster, template, &database.name).await;
    }
    cluster.close().await.expect("the connection can be closed");
}

/// Whether all templates are complete: connections to a complete template are not allowed.
async fn are_ready(cluster: &mut PgConnection, templates: &[String]) -> bool {
    let ready: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = ANY ($1) AND NOT datallowconn")
            .bind(templates)
            .fetch_one(cluster)
            .await
            .expect("the databases can be listed");
    usize::try_from(ready) == Ok(templates.len())
}

/// Copies a database with its owner and its grants, which `CREATE DATABASE … TEMPLATE` does not copy.
async fn copy(cluster: &mut PgConnection, template: &str, name: &str) {
    let (owner, grants): (String, Option<String>) = sqlx::query_as(
        "SELECT quote_ident(pg_get_userbyid(datdba)),
                (SELECT string_agg(format('GRANT %s ON DATABASE %I TO %s', privilege_type, $2::text,
                            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END), '; ')
                     FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee <> datdba)
         FROM pg_database WHERE datname = $1",
    )
    .bind(template)
    .bind(name)
    .fetch_one(&mut *cluster)
    .await
    .expect("the template is there");
    run(cluster, &format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}")).await;
    let grants = grants.unwrap_or_default();
    run(cluster, &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; {grants}")).await;
}

async fn run(cluster: &mut PgConnection, statement: &str) {
    cluster.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// An identifier of this program's build.
fn program() -> u64 {
    let file = std::env::current_exe().expect("the program's file");
    let built = file.metadata().and_then(|file| file.modified()).expect("when the program was built");
    let mut hasher = DefaultHasher::new();
    (file, built).hash(&mut hasher);
    hasher.finish()
}
