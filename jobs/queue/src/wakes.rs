//! How runners hear that there is something to do: those of this process directly, the others over the bus.

use futures::stream::{BoxStream, StreamExt};
use kernel::Service;
use nats::Bus;
use tokio::sync::Notify;

/// What there is to hear.
#[derive(Default)]
pub(crate) struct Wakes {
    /// Something may be due.
    pub(crate) due: Notify,
    /// Something that runs may be to stop.
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

/// What woke a runner.
pub(crate) enum Wake {
    /// Something may be due.
    Due,
    /// Something that runs may be to stop.
    Stop,
}

/// Hears wakes from other processes, as long as the bus carries it. Runners look by themselves meanwhile.
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

    /// Listens to what it does not hear: at first, and again when the bus was away.
    pub(crate) async fn listen(&mut self) {
        let Some(bus) = &self.bus else { return };
        if self.due.is_none() {
            self.due = bus.job_wakes(self.service).await.ok().map(StreamExt::boxed);
        }
        if self.stop.is_none() {
            self.stop = bus.cancelled_job_wakes(self.service).await.ok().map(StreamExt::boxed);
        }
    }

    /// The next wake. Nothing is lost when it is given up waiting for.
    pub(crate) async fn hear(&mut self) -> Wake {
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
