//! What each service of this process has of one kind, for the APIs that work on all services: their jobs, sagas, dead letters.

use std::sync::Arc;

use kernel::{Refusal, Service};

/// A thing of each service of this process, found by the service's name in a path. Cheap to clone.
#[derive(Clone)]
pub struct ByService<T> {
    what: &'static str,
    all: Arc<[(Service, T)]>,
}

impl<T> ByService<T> {
    /// `what` it is, in the plural, for people who name a service that has none here; `service` tells whose each is.
    pub fn new(what: &'static str, all: Vec<T>, service: impl Fn(&T) -> Service) -> Self {
        Self { what, all: all.into_iter().map(|one| (service(&one), one)).collect() }
    }

    /// That of the service of this name.
    ///
    /// # Errors
    /// `not_found`: no service of this name has any here.
    pub fn of(&self, service: &str) -> Result<&T, Refusal> {
        let found = self.all.iter().find(|(here, _)| here.name() == service);
        found.map(|(_, one)| one).ok_or_else(|| {
            let names: Vec<_> = self.all.iter().map(|(here, _)| here.name()).collect();
            let detail =
                format!("there is no service {service:?} with {} here; allowed: {}", self.what, names.join(", "));
            Refusal::not_found("not_found", detail).with("resource", "service")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_names_an_unknown_service_is_told_the_known_ones() {
        let here = ByService::new("jobs", vec![Service::new("crm"), Service::new("user")], |service| *service);
        assert_eq!(here.of("user"), Ok(&Service::new("user")));
        let refusal = here.of("erp").unwrap_err();
        assert_eq!(refusal.detail(), "there is no service \"erp\" with jobs here; allowed: crm, user");
    }
}
