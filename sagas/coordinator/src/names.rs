//! The wire names of a service's saga events. They are fixed, because they are stored in the log.

use std::fmt::Debug;

use kernel::Service;

/// The names of a service's sagas: aggregate type, permissions and event types. Implemented by [`sagas_of!`](crate::sagas_of), never by
/// hand.
#[expect(missing_docs, reason = "each is the wire name of the fact of this name")]
pub trait Names: Clone + Copy + Debug + Default + PartialEq + Eq + Send + Sync + 'static {
    /// The service.
    const SERVICE: Service;
    /// The aggregate type of saga instances, for example `crm.saga`.
    const TYPE: &'static str;
    /// The permission to see sagas, for example `crm:saga:read`.
    const READ: &'static str;
    /// The permission to resume and cancel them, for example `crm:saga:write`.
    const WRITE: &'static str;
    const STARTED: &'static str;
    const STEP_BEGUN: &'static str;
    const STEP_CONTINUED: &'static str;
    const STEP_WAITING: &'static str;
    const STEP_FAILED: &'static str;
    const STEP_DONE: &'static str;
    const UNWINDING: &'static str;
    const COMPLETED: &'static str;
    const COMPENSATED: &'static str;
    const STUCK: &'static str;
    const RESUMED: &'static str;
}

/// Declares the sagas of a service: `coordinator::sagas_of!(pub struct CrmSagas of "crm");`. The wire names of their events
/// follow: `crm.saga.started`, `crm.saga.step_begun` and so on, each at version 1.
#[macro_export]
macro_rules! sagas_of {
    ($(#[$meta:meta])* $vis:vis struct $name:ident of $service:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis struct $name;

        impl $crate::Names for $name {
            const SERVICE: $crate::reexport::Service = $crate::reexport::Service::new($service);
            const TYPE: &'static str = concat!($service, ".saga");
            const READ: &'static str = concat!($service, ":saga:read");
            const WRITE: &'static str = concat!($service, ":saga:write");
            const STARTED: &'static str = concat!($service, ".saga.started");
            const STEP_BEGUN: &'static str = concat!($service, ".saga.step_begun");
            const STEP_CONTINUED: &'static str = concat!($service, ".saga.step_continued");
            const STEP_WAITING: &'static str = concat!($service, ".saga.step_waiting");
            const STEP_FAILED: &'static str = concat!($service, ".saga.step_failed");
            const STEP_DONE: &'static str = concat!($service, ".saga.step_done");
            const UNWINDING: &'static str = concat!($service, ".saga.unwinding");
            const COMPLETED: &'static str = concat!($service, ".saga.completed");
            const COMPENSATED: &'static str = concat!($service, ".saga.compensated");
            const STUCK: &'static str = concat!($service, ".saga.stuck");
            const RESUMED: &'static str = concat!($service, ".saga.resumed");
        }
    };
}
