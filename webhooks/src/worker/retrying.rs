//! Retrying parked events: when they are due, or at once when somebody decided about them.

use std::time::Duration;

use deadletters::{LOCKED_PAUSE, Outcome, Part, Taken};
use kernel::RecordedEvent;
use nats::cloudevent;
use tokio::time::Instant;

use super::{Interruption, Worker, errors_of};
use crate::attempts::{self, Attempt};
use crate::letters::Letters;

/// The maximum number of parked events that are sent before new events have their turn.
const MAX_RETRIES: usize = 16;

impl Worker {
    /// Sends parked events that are due, one after the other; those about which somebody decided come first. Limited, so that new events
    /// have their turn.
    pub(super) async fn retry_parked(&mut self) -> Result<(), Interruption> {
        let webhooks = self.shared.webhooks.clone();
        let parts = webhooks.parts();
        // Taken out meanwhile: after an error they are loaded again.
        let Some(mut letters) = self.letters.take() else { return Ok(()) };
        for _ in 0..MAX_RETRIES {
            if letters.due().is_none_or(|due| due > Instant::now()) {
                break;
            }
            match letters.take(parts.deliver).await? {
                Some(taken) => self.send_taken(&mut letters, &taken).await?,
                None => letters.schedule(parts.deliver, parts.settings.poll_interval, LOCKED_PAUSE).await?,
            }
        }
        self.letters = Some(letters);
        Ok(())
    }

    /// Sends parked events about which somebody decided, while a new event waits for its next attempt at `until`. Other parked events wait,
    /// too, because the receiver itself may be failing, or has asked for a pause.
    pub(super) async fn send_decided(&mut self, until: Instant) -> Result<(), Interruption> {
        let webhooks = self.shared.webhooks.clone();
        let parts = webhooks.parts();
        let Some(mut letters) = self.letters.take() else { return Ok(()) };
        while letters.due().is_some() && Instant::now() < until && !self.stop.is_cancelled() {
            let Some(taken) = letters.take_decided(parts.deliver).await? else { break };
            self.send_taken(&mut letters, &taken).await?;
        }
        self.letters = Some(letters);
        Ok(())
    }

    /// Sends a parked event once, unless it was discarded, and records the result.
    async fn send_taken(&mut self, letters: &mut Letters, taken: &Taken) -> Result<(), Interruption> {
        let mut failed = None;
        let (events, missing) = taken.found(self.shared.store.events_at(&taken.positions).await?);
        let decisions = taken.decisions.opened(&self.shared.store, &events).await?;
        for part in decisions.parts(events) {
            let Part::Events(run) = part else { continue };
            for event in run {
                failed = self.retry(&event, taken.nth()).await?.map(|errors| (event.position, errors));
            }
        }
        let parts = self.shared.webhooks.parts();
        letters.settle(parts.deliver, taken, Outcome { failed: failed.or(missing) }).await?;
        letters.schedule(parts.deliver, parts.settings.poll_interval, Duration::ZERO).await?;
        Ok(())
    }

    /// Sends a parked event once. Returns the errors if it was not delivered.
    async fn retry(&mut self, event: &RecordedEvent, nth: u32) -> Result<Option<Vec<String>>, Interruption> {
        let body = match cloudevent::structured(self.shared.webhooks.service(), event) {
            Ok(body) => body,
            Err(reason) => return Ok(Some(vec![reason])),
        };
        let (outcome, at) = self.send(event.event_id, &body).await?;
        self.count(&outcome);
        let parts = self.shared.webhooks.parts();
        let attempt = Attempt { event, at, nth, outcome: &outcome };
        if !attempts::retried(parts.deliver, &self.target, parts.ids.next(), attempt).await? {
            return Err(Interruption::Ended);
        }
        self.recorded().await?;
        Ok((!outcome.delivered()).then(|| errors_of(&outcome)))
    }
}
