//! What of a backup is restored.

use super::archive::ServicePart;
use super::excluded_tenants::ExcludedTenants;
use super::seals::Trust;

/// What of a backup is restored, as the options say.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The tenants of which only the events are restored, as of a deleted tenant.
    pub excluded: &'a ExcludedTenants,
    /// Which seals are restored.
    pub trust: &'a Trust,
    /// Without the tables beside the logs (webhooks, schedules, jobs), which are only read and checked.
    pub rehearsed: bool,
}

impl Selection<'_> {
    /// What a restored log should have.
    pub fn of(&self, log: &ServicePart) -> ServicePart {
        self.trust.rest_of(&self.excluded.rest_of(log))
    }
}
