//! An instance of a service: its health and circuit breaker, and the choice of the instance for a tenant's request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::uri::Authority;
use kernel::Service;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use crate::breaker::Breaker;

/// A process that runs a service.
pub struct Instance {
    /// The service.
    pub service: Service,
    /// Host and port.
    pub authority: Authority,
    /// The value of the label `instance` in metrics.
    pub name: metrics::SharedString,
    health: watch::Sender<Health>,
    breaker: Breaker,
    last: Mutex<Last>,
}

/// The result of the latest health checks. An instance counts as healthy before its first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// It answers `/health`.
    pub alive: bool,
    /// Its `/ready` reports that it can carry out requests.
    pub ready: bool,
}

#[derive(Default)]
struct Last {
    latency: Option<Duration>,
    error: Option<String>,
}

/// The status of an instance, as the gateway's `/ready` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct InstanceStatus {
    service: &'static str,
    instance: String,
    /// `up`, `unready` (it answers, and says that it can't carry out requests) or `down`.
    pub state: &'static str,
    breaker: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

impl Instance {
    /// An instance of a service at `authority`.
    pub fn new(service: Service, authority: Authority) -> Self {
        Self {
            service,
            name: authority.to_string().into(),
            authority,
            health: watch::Sender::new(Health { alive: true, ready: true }),
            breaker: Breaker::default(),
            last: Mutex::default(),
        }
    }

    /// The current status, for `/ready`.
    pub fn status(&self) -> InstanceStatus {
        let health = *self.health.borrow();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        InstanceStatus {
            service: self.service.name(),
            instance: self.authority.to_string(),
            state: match health {
                Health { alive: false, .. } => "down",
                Health { ready: false, .. } => "unready",
                _ => "up",
            },
            breaker: self.breaker.state().0,
            latency_ms: last.latency.map(|latency| latency.as_secs_f64() * 1e3),
            last_error: last.error.clone(),
        }
    }

    /// Returns when an instance that was alive goes down; never, if it is down already.
    pub(super) async fn lost(&self) {
        let mut health = self.health.subscribe();
        // An instance that is down still gets requests if there is no better one. Its health then says nothing about this request.
        let alive = health.borrow_and_update().alive;
        let lost = alive && health.wait_for(|health| !health.alive).await.is_ok();
        if !lost {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn checked(&self, change: impl FnOnce(&mut Health)) {
        self.health.send_if_modified(|health| {
            let before = *health;
            change(health);
            if health.alive != before.alive {
                let (service, instance) = (self.service, &self.authority);
                if health.alive {
                    tracing::info!(%service, %instance, "an instance answers again");
                } else {
                    tracing::warn!(%service, %instance, "an instance does not answer and is given up");
                }
            }
            *health != before
        });
        let alive = f64::from(u8::from(self.health.borrow().alive));
        metrics::gauge!("inopsio_remote_up", "service" => self.service.name(), "instance" => self.name.clone())
            .set(alive);
    }

    pub(super) fn answered(&self, latency: Duration) {
        self.breaker.succeeded();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).latency = Some(latency);
        self.observe();
    }

    pub(super) fn failed(&self, error: &str) {
        self.breaker.failed(Instant::now());
        self.last.lock().unwrap_or_else(PoisonError::into_inner).error = Some(error.to_owned());
        self.observe();
    }

    fn observe(&self) {
        metrics::gauge!("inopsio_remote_breaker", "service" => self.service.name(), "instance" => self.name.clone())
            .set(self.breaker.state().1);
    }

    /// The weight of this instance for a tenant in rendezvous hashing, the same in every gateway. When an instance goes down, only its own
    /// tenants move to other instances, and they return with it.
    fn weight(&self, tenant: Uuid) -> [u8; 32] {
        Sha256::new().chain_update(tenant.as_bytes()).chain_update(self.authority.as_str()).finalize().into()
    }
}

/// Chooses the instance for a tenant's request among those that were not tried yet and whose breaker admits it: the tenant's preferred
/// one of the ready instances, else of the live ones, else of all.
pub(super) fn choose(
    instances: &[Arc<Instance>],
    tenant: Uuid,
    tried: &[Authority],
    now: Instant,
) -> Option<Arc<Instance>> {
    let mut left: Vec<_> = instances.iter().filter(|instance| !tried.contains(&instance.authority)).collect();
    left.sort_by_cached_key(|instance| {
        let Health { alive, ready } = *instance.health.borrow();
        std::cmp::Reverse((alive, alive && ready, instance.weight(tenant)))
    });
    left.into_iter().find(|instance| instance.breaker.admit(now)).cloned()
}

#[cfg(test)]
mod tests {
    use kernel::{IdSource, SystemIds};

    use super::*;

    const CRM: Service = Service::new("crm");

    fn instances() -> Vec<Arc<Instance>> {
        let named = |port: u16| Arc::new(Instance::new(CRM, format!("10.0.0.1:{port}").parse().unwrap()));
        (1..=3).map(named).collect()
    }

    fn tenants() -> Vec<Uuid> {
        (0..300).map(|_| SystemIds.next()).collect()
    }

    #[test]
    fn a_tenant_stays_with_its_instance_and_only_those_of_a_lost_one_go_elsewhere_and_come_back() {
        let (instances, tenants, now) = (instances(), tenants(), Instant::now());
        let of = |tenant: &Uuid| choose(&instances, *tenant, &[], now).unwrap().authority.clone();
        let before: Vec<_> = tenants.iter().map(of).collect();
        for instance in &instances {
            let share = before.iter().filter(|authority| **authority == instance.authority).count();
            assert!((50..=150).contains(&share), "{share} of 300 tenants prefer one of three instances");
        }
        assert_eq!(tenants.iter().map(of).collect::<Vec<_>>(), before);

        let lost = &instances[0];
        lost.checked(|health| health.alive = false);
        for (tenant, before) in tenants.iter().zip(&before) {
            let after = of(tenant);
            assert!(if *before == lost.authority { after != *before } else { after == *before });
        }
        lost.checked(|health| health.alive = true);
        assert_eq!(tenants.iter().map(of).collect::<Vec<_>>(), before);
    }

    #[test]
    fn whoever_is_not_ready_or_not_alive_is_taken_only_when_nobody_better_is_left() {
        let (instances, tenant, now) = (instances(), tenants()[0], Instant::now());
        instances[0].checked(|health| health.ready = false);
        instances[1].checked(|health| health.alive = false);
        let mut tried = Vec::new();
        while let Some(instance) = choose(&instances, tenant, &tried, now) {
            tried.push(instance.authority.clone());
        }
        let expected: Vec<_> = [2, 0, 1].map(|at: usize| instances[at].authority.clone()).into();
        assert_eq!(tried, expected);
    }

    #[test]
    fn an_open_breaker_sends_a_tenant_elsewhere() {
        let (instances, tenant, now) = (instances(), tenants()[0], Instant::now());
        let preferred = choose(&instances, tenant, &[], now).unwrap();
        for _ in 0..5 {
            preferred.failed("refused");
        }
        assert_ne!(choose(&instances, tenant, &[], now).unwrap().authority, preferred.authority);
    }
}
