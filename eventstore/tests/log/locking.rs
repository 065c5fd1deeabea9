//! Advisory locks: one instance holds a lock and knows it; the others know that they don't.

use eventstore::{Lock, LockKey, Role};
use testbed::eventually;

use super::support::*;

#[tokio::test]
async fn who_did_not_get_the_lock_does_not_believe_to_have_it_later() {
    let (database, _store) = store().await;
    let lock = || Lock::new(&database, Role::Project, LockKey::DeadLetterPublisher);
    let (mut first, mut second) = (lock(), lock());
    assert!(first.acquire().await.unwrap());
    for _ in 0..3 {
        assert!(!second.acquire().await.unwrap());
        assert!(first.held().await && !second.held().await);
    }
    // Acquiring it again has no effect, so one release is enough.
    assert!(first.acquire().await.unwrap());
    first.release().await;
    assert!(!first.held().await);
    let second = tokio::sync::Mutex::new(second);
    eventually("the other one gets it", async || second.lock().await.acquire().await.unwrap().then_some(())).await;
    let mut second = second.into_inner();
    assert!(second.held().await);
    assert!(!first.acquire().await.unwrap() && !first.held().await);
    second.release().await;
}
