//! A port implementation for processes that create no tenants but only describe the domains.

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt, ready};
use kernel::{Service, TenantId};
use user_sagas::{ResourceError, TenantResources, TenantStanding};

/// Refuses everything.
pub struct NoResources;

fn refused<'a>() -> BoxFuture<'a, Result<(), ResourceError>> {
    ready(Err(ResourceError::Transient("no place is made here".to_owned()))).boxed()
}

impl TenantResources for NoResources {
    fn reserve<'a>(
        &'a self,
        _: TenantId,
        _: &'a str,
        _: &'a str,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), ResourceError>> {
        refused()
    }

    fn release(&self, _: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn open(&self, _: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn note_standing(&self, _: TenantId, _: TenantStanding) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn services(&self) -> Vec<Service> {
        Vec::new()
    }

    fn record_deletion(&self, _: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn destroy(&self, _: TenantId, _: Service) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn make_keys(&self, _: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }

    fn close_keys(&self, _: TenantId) -> BoxFuture<'_, Result<(), ResourceError>> {
        refused()
    }
}
