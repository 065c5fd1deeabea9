//! What the services hold of their tenants.

use std::sync::Arc;

use coordinator::Sagas;
use kernel::Service;
use projector::Projection;

/// The service in whose log tenants themselves are.
pub(crate) const OF_TENANTS: Service = Service::new("user");

/// What a service holds of its tenants besides its log: destroyed with a tenant, and made again where one moves.
#[derive(Clone)]
pub struct Holdings {
    /// Which.
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
