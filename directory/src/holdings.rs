//! What each service stores for its tenants.

use std::sync::Arc;

use coordinator::Sagas;
use kernel::Service;
use projector::Projection;

/// The service whose log has the tenants themselves as aggregates.
pub(crate) const OF_TENANTS: Service = Service::new("user");

/// What a service stores for its tenants in addition to its log. It is destroyed with a tenant, and rebuilt in the new cell when one moves.
#[derive(Clone)]
pub struct Holdings {
    /// The service.
    pub service: Service,
    /// Its read models.
    pub projections: Vec<Arc<dyn Projection>>,
    /// Its sagas, if it has any.
    pub sagas: Option<Sagas>,
}

impl Holdings {
    /// The names of its read models.
    pub(crate) fn read_models(&self) -> Vec<&'static str> {
        self.projections.iter().map(|projection| projection.name()).collect()
    }
}
