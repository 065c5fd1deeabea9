//! Limits the number of uploaded files that are in memory at a time, in all and for each tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Refusal, TenantId};

/// Counts the files that are being received or processed.
#[derive(Debug)]
pub struct Uploads {
    most: usize,
    most_of_a_tenant: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    of: HashMap<TenantId, usize>,
}

/// A place for one file, given back when it is dropped.
#[derive(Debug)]
pub struct UploadPlace {
    uploads: Arc<Uploads>,
    tenant: TenantId,
}

impl Uploads {
    /// `most` places in all, of which one tenant may use `most_of_a_tenant`.
    pub fn new(most: usize, most_of_a_tenant: usize) -> Self {
        Self { most, most_of_a_tenant, held: Mutex::default() }
    }

    /// Takes a place for a file of `tenant`.
    ///
    /// # Errors
    /// `uploads_busy` when no place is free.
    pub fn enter(self: &Arc<Self>, tenant: TenantId) -> Result<UploadPlace, Refusal> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { all, of } = &mut *held;
        let own = of.get(&tenant).copied().unwrap_or_default();
        if own >= self.most_of_a_tenant {
            return Err(busy(format!("{own} files of this tenant are being imported"), "tenant"));
        }
        if *all >= self.most {
            return Err(busy(format!("{all} files are being imported"), "all"));
        }
        *all += 1;
        of.insert(tenant, own + 1);
        Ok(UploadPlace { uploads: Arc::clone(self), tenant })
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut held = self.uploads.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(1);
        if let Some(own) = held.of.get_mut(&self.tenant) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.of.remove(&self.tenant);
            }
        }
    }
}

fn busy(what: String, limited: &str) -> Refusal {
    let detail =
        format!("{what} already, the most that are allowed at a time; nothing was read, send the file again later");
    Refusal::unavailable("uploads_busy", detail).with("limited", limited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_tenant_and_in_all_and_come_back() {
        let uploads = Arc::new(Uploads::new(3, 2));
        let [ours, theirs] = [(); 2].map(|()| testbed::tenant());
        let limited = |tenant| uploads.enter(tenant).unwrap_err().extra()["limited"].clone();
        let first = uploads.enter(ours).unwrap();
        let _second = uploads.enter(ours).unwrap();
        assert_eq!(limited(ours), "tenant");
        let third = uploads.enter(theirs).unwrap();
        assert_eq!(limited(theirs), "all");
        drop(first);
        let _again = uploads.enter(theirs).unwrap();
        drop(third);
        assert!(uploads.enter(ours).is_ok());
        assert_eq!(uploads.held.lock().unwrap().of.len(), 2);
    }
}
