//! [`check_keys`]: whether the keys of a process are those of the logs that it is about to write.

use futures::future::{join, join_all};
use kernel::Service;

use crate::{Database, Error, Settings, claim_key, master_key};

/// Checks that the keys of the settings are those of these logs: the one that hashes claims, and one that wrapped tenants' keys. Nothing is
/// appended under another claim key in any case, and no key of a tenant is made under another master key; this says so before anything is
/// attempted. All logs are asked at once. One that does not answer now passes.
///
/// A log without a mark of a claim key takes that of the settings, but only after all that can say that these are the secrets of another
/// installation were asked.
///
/// # Errors
/// The first of the services whose log has other keys, with [`Error::MasterKey`] or [`Error::ClaimKey`].
pub async fn check_keys(logs: &[Database], settings: &Settings) -> Result<(), (Service, Error)> {
    let wrapped = join_all(logs.iter().map(master_key::one_of_each_in));
    let marked = join_all(logs.iter().map(claim_key::is_marked));
    let (wrapped, marked) = join(wrapped, marked).await;
    if let Some(sealing) = &settings.sealing {
        for (log, found) in logs.iter().zip(wrapped) {
            master_key::check_answer(log.service, found, &*sealing.master).map_err(|error| (log.service, error))?;
        }
    }
    let Some(mark) = &settings.claim_key_mark else { return Ok(()) };
    let (marked, unmarked): (Vec<_>, Vec<_>) = logs.iter().zip(marked).partition(|(_, marked)| *marked);
    for some in [marked, unmarked] {
        let checked = join_all(some.iter().map(|(log, _)| claim_key::check_now(log, mark))).await;
        for ((log, _), checked) in some.iter().zip(checked) {
            checked.map_err(|error| (log.service, error))?;
        }
    }
    Ok(())
}
