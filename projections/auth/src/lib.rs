//! The auth service's read models, for lists only. Authentication and authorization are decided from the log itself, never from these.
//!
//! Each read model is a folder: its `tables.sql`, its row, its reducer, its queries. To add one, see `crm-projections`; then add its
//! `mod` line and its line in [`projections`].

pub mod api_keys;
pub mod clients;
pub mod denied_accesses;
pub mod machines;
mod places;
pub mod refused_sign_ins;
pub mod saml_connections;
pub mod sessions;

use std::sync::Arc;

use projector::Projection;

/// All read models of the auth service.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(machines::Machines),
        Arc::new(api_keys::ApiKeys),
        Arc::new(clients::Clients),
        Arc::new(saml_connections::SamlConnections),
        Arc::new(sessions::Sessions),
        Arc::new(refused_sign_ins::RefusedSignIns),
        Arc::new(denied_accesses::DeniedAccesses),
    ]
}
