//! Wake-ups: messages to other processes that there is work, for example for a service's relay or its webhooks.
//!
//! They only shorten delays. A wake-up may be lost, so every receiver also polls.

use futures::{Stream, StreamExt};
use kernel::{Service, TenantId};

use crate::{Bus, Error, subject};

impl Bus {
    /// Wakes the relay of a service, in whichever process it runs, because events were appended.
    pub async fn wake(&self, service: Service) {
        self.send_wake(subject::wake(service)).await;
    }

    /// Subscribes to the wake-ups of a service's relay. Those sent after this returns are received.
    pub async fn wakes(&self, service: Service) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.subscribe_wakes(subject::wake(service)).await
    }

    /// Wakes the deliverers of a service's webhooks, because a webhook was changed.
    pub async fn wake_webhooks(&self, service: Service) {
        self.send_wake(subject::wake_webhooks(service)).await;
    }

    /// Subscribes to the wake-ups of [`wake_webhooks`](Self::wake_webhooks). Those sent after this returns are received.
    pub async fn webhook_wakes(
        &self,
        service: Service,
    ) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.subscribe_wakes(subject::wake_webhooks(service)).await
    }

    /// Wakes the runners of a service's jobs, because a job may be due.
    pub async fn wake_jobs(&self, service: Service) {
        self.send_wake(subject::wake_jobs(service)).await;
    }

    /// Subscribes to the wake-ups of [`wake_jobs`](Self::wake_jobs). Those sent after this returns are received.
    pub async fn job_wakes(&self, service: Service) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.subscribe_wakes(subject::wake_jobs(service)).await
    }

    /// Wakes the runners of a service's jobs, because a running job may have been cancelled.
    pub async fn wake_cancelled_jobs(&self, service: Service) {
        self.send_wake(subject::wake_cancelled_jobs(service)).await;
    }

    /// Subscribes to the wake-ups of [`wake_cancelled_jobs`](Self::wake_cancelled_jobs). Those sent after this returns are received.
    pub async fn cancelled_job_wakes(
        &self,
        service: Service,
    ) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.subscribe_wakes(subject::wake_cancelled_jobs(service)).await
    }

    /// Wakes the consumers of a service's events, because an operator decided about a dead letter.
    pub async fn wake_dead_letters(&self, service: Service) {
        self.send_wake(subject::wake_dead_letters(service)).await;
    }

    /// Subscribes to the wake-ups of [`wake_dead_letters`](Self::wake_dead_letters). Those sent after this returns are received.
    pub async fn dead_letter_wakes(
        &self,
        service: Service,
    ) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        self.subscribe_wakes(subject::wake_dead_letters(service)).await
    }

    /// Returns a future that completes when the relay publishes the next event of a tenant, so that the caller reads the log then. It may
    /// complete without an event, and misses events while the connection is lost.
    pub async fn next_event(
        &self,
        service: Service,
        tenant: TenantId,
    ) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
        let subject = subject::tenant_events(service, tenant);
        let mut subscriber = self.client.subscribe(subject).await.map_err(unavailable)?;
        // One message is enough; the server then ends the subscription.
        subscriber.unsubscribe_after(1).await.map_err(unavailable)?;
        Ok(async move {
            subscriber.next().await;
        })
    }

    async fn send_wake(&self, subject: String) {
        // While the connection is lost, wake-ups would queue up in the client and be useless when they arrive.
        if !self.connected() {
            return;
        }
        if let Err(error) = self.client.publish(subject.clone(), bytes::Bytes::new()).await {
            tracing::debug!(subject, %error, "a wake-up was not sent");
        }
    }

    async fn subscribe_wakes(&self, subject: String) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, Error> {
        let subscriber = self.client.subscribe(subject).await.map_err(unavailable)?;
        Ok(subscriber.map(|_| ()))
    }
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}
