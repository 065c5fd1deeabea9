//! A tenant that is not created after all is removed, and front processes that cached it are informed.

use directory::cell_map::{CellMap, Destination, TenantHint};
use directory::{Directory, DirectoryError, TenantStanding};
use kernel::{Clock, SystemClock, TenantId};
use testbed::tenant;
use uuid::Uuid;

use crate::test_directory::TestDirectory;

async fn reserve(directory: &Directory, tenant: TenantId) -> Result<(), DirectoryError> {
    directory.reserve(tenant, "acme", "Acme Inc.", SystemClock.now()).await
}

#[tokio::test]
async fn a_name_that_nobody_was_led_to_is_free_again_without_a_note() {
    let test = TestDirectory::new().await;
    let (first, second) = (tenant(), tenant());
    reserve(&test.directory, first).await.unwrap();
    let taken = reserve(&test.directory, second).await.unwrap_err();
    assert!(matches!(taken, DirectoryError::Exists(_)), "{taken}");
    for _ in 0..2 {
        test.placements.release(first, &SystemClock).await.unwrap();
        assert_eq!(test.placements.head().await.unwrap(), 0, "something was noted of a place that never was");
    }
    reserve(&test.directory, second).await.unwrap();
}

#[tokio::test]
async fn a_front_that_was_led_to_a_tenant_that_is_not_made_after_all_goes_to_whose_the_name_is_next() {
    let test = TestDirectory::new().await;
    let (first, second) = (tenant(), tenant());
    let (map, acme) = (CellMap::new(test.placements.clone()), TenantHint::Slug("acme".to_owned()));
    map.catch_up().await.unwrap();
    let led_to = |tenant: TenantId| Some(Destination { tenant: tenant.uuid(), cell: None });
    reserve(&test.directory, first).await.unwrap();
    test.directory.open_place(first).await.unwrap();
    assert!(test.directory.hold("acme.example", (first, Uuid::nil()), &[], SystemClock.now()).await.unwrap());
    assert_eq!(map.find(&acme).await.unwrap(), led_to(first));

    for _ in 0..2 {
        test.placements.release(first, &SystemClock).await.unwrap();
        assert_eq!(test.placements.head().await.unwrap(), 1, "noted, and once");
    }
    assert!(test.placements.place(first).await.unwrap().deleted);
    assert!(
        test.placements.deleted().await.unwrap().is_empty(),
        "it was abandoned, and never a tenant that was deleted"
    );
    assert!(!test.directory.holds("acme.example", first).await.unwrap(), "nobody could release it any more");

    reserve(&test.directory, second).await.unwrap();
    test.directory.open_place(second).await.unwrap();
    assert_eq!(map.find(&acme).await.unwrap(), led_to(first), "it was not remembered: this shows nothing");
    map.catch_up().await.unwrap();
    assert_eq!(map.find(&acme).await.unwrap(), led_to(second));
}

#[tokio::test]
async fn who_is_shut_out_is_not_released() {
    let test = TestDirectory::new().await;
    let acme = tenant();
    reserve(&test.directory, acme).await.unwrap();
    test.directory.open_place(acme).await.unwrap();
    for standing in [TenantStanding::Suspended, TenantStanding::Deleting] {
        assert!(test.directory.note_standing(acme, standing).await.unwrap());
        test.placements.release(acme, &SystemClock).await.unwrap();
        assert_eq!(test.directory.suspended().await.unwrap(), [acme], "{standing:?}");
        assert_eq!(test.placements.head().await.unwrap(), 0, "{standing:?}");
    }
}

#[tokio::test]
async fn how_a_tenant_stands_is_noted_only_once_its_place_is_open_and_that_is_said() {
    let test = TestDirectory::new().await;
    let acme = tenant();
    reserve(&test.directory, acme).await.unwrap();
    assert!(!test.directory.note_standing(acme, TenantStanding::Suspended).await.unwrap());
    assert!(test.directory.suspended().await.unwrap().is_empty());
    assert!(matches!(test.directory.find("acme").await, Err(DirectoryError::Unknown(_))), "it was opened by that");
    test.directory.open_place(acme).await.unwrap();
    assert!(test.directory.note_standing(acme, TenantStanding::Suspended).await.unwrap());
    assert_eq!(test.directory.suspended().await.unwrap(), [acme]);
    assert!(
        test.directory.note_standing(tenant(), TenantStanding::Suspended).await.unwrap(),
        "there is none, and never will be"
    );
}
