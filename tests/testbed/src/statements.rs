//! Captures the SQL statements that sqlx logs.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::Event;
use tracing::field::Field;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// The statements that this process sent to Postgres.
#[derive(Clone, Debug, Default)]
pub struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    /// Captures all statements from now on, of the whole process. Call it once per process.
    pub fn capture() -> Self {
        let statements = Self::default();
        tracing_subscriber::registry().with(statements.clone()).init();
        statements
    }

    /// Discards the statements captured so far.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// The statements that contain this text on one line.
    pub fn with(&self, part: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|statement| statement.contains(part)).cloned().collect()
    }
}

impl Layer<Registry> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, Registry>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = String::new();
            event.record(&mut |field: &Field, value: &dyn Debug| write!(text, "{field}={value:?} ").unwrap());
            self.0.lock().unwrap().push(text);
        }
    }
}
