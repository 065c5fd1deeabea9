//! The sagas of the user service. Each has a file with its parameters, the events that start it, and its steps with their undo.
//!
//! What they need apart from the log (mail, other services, databases and streams) is passed in as [`Ports`] (`ports.rs`); the gateway
//! provides the adapters.
//!
//! To add one, write its file with a `definition()`, its `mod` line and its line in [`sagas`], and its test story in `tests/`, which tests
//! it with all failures (`sagabed`). The runtime is in `sagas/coordinator`. See `docs/src/sagas.md`.

mod delete_tenant;
mod end_access;
mod note_address_change;
mod note_registration;
mod note_tenant_status;
mod ports;
mod provision_tenant;
mod send_invitation;
mod tenant_standing;
mod verify_email;
mod verify_phone;

pub use end_access::{DueEnding, due_endings};
pub use ports::{Access, Ending, Ports, ResourceError, TenantResources};
pub use tenant_standing::TenantStanding;

use coordinator::{Retry, Sagas};
use user_commands::GRANTS;

coordinator::sagas_of!(
    /// The wire names of the user service's saga events.
    pub struct UserSagas of "user"
);

/// Outages end by themselves. If a step fails for about a day, a person has to look at it.
fn for_a_day() -> Retry {
    Retry { attempts: 300, park: true, ..Retry::default() }
}

/// All sagas of the user service. Keep an old version as long as instances of it run.
pub fn sagas(ports: &Ports) -> Sagas {
    Sagas::of::<UserSagas>(
        GRANTS,
        vec![
            provision_tenant::without_keys(ports),
            provision_tenant::definition(ports),
            note_tenant_status::definition(ports),
            delete_tenant::definition(ports),
            send_invitation::definition(ports),
            verify_email::definition(ports),
            verify_phone::definition(ports),
            note_registration::definition(ports),
            note_address_change::definition(ports),
            end_access::definition(ports),
        ],
    )
}
