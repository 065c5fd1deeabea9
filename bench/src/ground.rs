//! What everything runs on: one private Postgres and one private nats-server, for this run only.

use std::sync::Arc;

use anyhow::Context;
use sqlx::{Connection, PgConnection};

/// The servers, and what tells this run from others.
pub struct Ground {
    postgres: String,
    nats: String,
    run: Arc<str>,
}

impl Ground {
    /// Starts both.
    pub async fn start() -> anyhow::Result<Self> {
        let postgres = std::env::var("INOPSIO_TEST_POSTGRES").context("INOPSIO_TEST_POSTGRES")?;
        let nats = std::env::var("BENCH_NATS").context("BENCH_NATS")?;
        Ok(Self { postgres, nats, run: format!("bench-{}", std::process::id()).into() })
    }

    /// URL of the nats-server.
    pub fn nats_url(&self) -> &str {
        &self.nats
    }

    /// URL of the Postgres' own database, as a superuser.
    pub fn postgres_url(&self) -> &str {
        &self.postgres
    }

    /// A name for this run.
    pub fn run_id(&self) -> Arc<str> {
        self.run.clone()
    }

    /// Makes an empty database; its URL.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.postgres).await.context("Postgres can't be reached")?;
        for statement in [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")] {
            sqlx::raw_sql(&statement).execute(&mut connection).await?;
        }
        let (server, _) = self.postgres.rsplit_once('/').context("a URL without a database")?;
        Ok(format!("{server}/{name}"))
    }
}
