//! A dry run for a saga's dead letters: checks whether the saga can now decide if the events start it. Starts nothing.

use std::sync::Arc;

use deadletters::{Consumer, Decisions, DryRun, Kind, Part};
use futures::future::BoxFuture;
use kernel::{RecordedEvent, TenantId};

use crate::cache::StateCache;
use crate::definition::StartContext;
use crate::letters;
use crate::repository::Repository;
use crate::sagas::Sagas;

/// Dry runs for the dead letters of a service's sagas.
pub struct SagaDryRun {
    sagas: Sagas,
    repository: Arc<dyn Repository>,
}

impl SagaDryRun {
    /// Creates a dry run for these sagas.
    pub fn new(sagas: Sagas, repository: Arc<dyn Repository>) -> Self {
        Self { sagas, repository }
    }

    async fn dry_run(
        &self,
        consumer: &Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: &Decisions,
    ) -> Result<deadletters::DryRunResult, String> {
        let Some(definition) = self.sagas.newest().find(|definition| definition.name == consumer.name()) else {
            return Err(format!("this program has no saga {}", consumer.name()));
        };
        let mut dry_run = deadletters::DryRunResult::default();
        for part in decisions.parts(events) {
            let run = match part {
                Part::Events(run) => run,
                Part::Discarded(_) => {
                    dry_run.taken += 1;
                    continue;
                }
            };
            for event in run {
                let caller = self.sagas.caller(tenant, definition.name, definition.permissions);
                let context =
                    StartContext { caller, executor: self.repository.executor().clone(), cache: StateCache::default() };
                let at = event.position;
                if let Err(fault) = (definition.start)(context, event).await {
                    dry_run.failed = Some((at, letters::errors(definition.name, &fault)));
                    return Ok(dry_run);
                }
                dry_run.taken += 1;
            }
        }
        Ok(dry_run)
    }
}

impl DryRun for SagaDryRun {
    fn kind(&self) -> Kind {
        Kind::Saga
    }

    fn dry_run<'a>(
        &'a self,
        consumer: &'a Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: Decisions,
    ) -> BoxFuture<'a, Result<deadletters::DryRunResult, String>> {
        Box::pin(async move { self.dry_run(consumer, tenant, events, &decisions).await })
    }
}
