//! A port implementation for processes that create no tenants but only describe the domains.

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt, ready};
use kernel::{Service, TenantId};
use user_sagas::{PlaceError, Places, TenantStanding};

/// Refuses everything.
pub struct NoPlaces;

fn refused<'a>() -> BoxFuture<'a, Result<(), PlaceError>> {
    ready(Err(PlaceError::Transient("no place is made here".to_owned()))).boxed()
}

impl Places for NoPlaces {
    fn reserve<'a>(
        &'a self,
        _: TenantId,
        _: &'a str,
        _: &'a str,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), PlaceError>> {
        refused()
    }

    fn release(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn open(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn note_standing(&self, _: TenantId, _: TenantStanding) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn services(&self) -> Vec<Service> {
        Vec::new()
    }

    fn record_deletion(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn destroy(&self, _: TenantId, _: Service) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn make_keys(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }

    fn close_keys(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        refused()
    }
}
