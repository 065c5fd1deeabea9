//! Waking runners when there is work: those of this process directly, those of other processes through messages on the bus.

use futures::stream::{BoxStream, StreamExt};
use kernel::Service;
use nats::Bus;
use tokio::sync::Notify;

/// Wakes the runner of this process, and publishes wake-ups to others.
#[derive(Default)]
pub(crate) struct Wakes {
    /// A job may be due.
    pub(crate) due: Notify,
    /// A running job may have been asked to stop.
    pub(crate) stop: Notify,
}

impl Wakes {
    pub(crate) async fn due(&self, bus: Option<&Bus>, service: Service) {
        self.due.notify_one();
        if let Some(bus) = bus {
            bus.wake_jobs(service).await;
        }
    }

    pub(crate) async fn stop(&self, bus: Option<&Bus>, service: Service) {
        self.stop.notify_one();
        if let Some(bus) = bus {
            bus.wake_cancelled_jobs(service).await;
        }
    }
}

/// A wake-up from another process.
pub(crate) enum Wake {
    /// A job may be due.
    Due,
    /// A running job may have been asked to stop.
    Stop,
}

/// Receives wake-ups from other processes while the bus is available. Otherwise runners depend on polling.
pub(crate) struct WakeListener {
    bus: Option<Bus>,
    service: Service,
    due: Option<BoxStream<'static, ()>>,
    stop: Option<BoxStream<'static, ()>>,
}

impl WakeListener {
    pub(crate) fn new(bus: Option<Bus>, service: Service) -> Self {
        Self { bus, service, due: None, stop: None }
    }

    /// Subscribes, at first and again after the bus was unavailable.
    pub(crate) async fn listen(&mut self) {
        let Some(bus) = &self.bus else { return };
        if self.due.is_none() {
            self.due = bus.job_wakes(self.service).await.ok().map(StreamExt::boxed);
        }
        if self.stop.is_none() {
            self.stop = bus.cancelled_job_wakes(self.service).await.ok().map(StreamExt::boxed);
        }
    }

    /// The next wake-up. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Wake {
        loop {
            tokio::select! {
                wake = next(&mut self.due) => match wake {
                    Some(()) => return Wake::Due,
                    None => self.due = None,
                },
                wake = next(&mut self.stop) => match wake {
                    Some(()) => return Wake::Stop,
                    None => self.stop = None,
                },
            }
        }
    }
}

async fn next(stream: &mut Option<BoxStream<'static, ()>>) -> Option<()> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
