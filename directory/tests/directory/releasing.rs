//! What a tenant had that is not made after all is given back, and whoever was led to it is told.

use directory::cell_map::{CellMap, Destination, TenantHint};
use directory::{Directory, DirectoryError, TenantStanding};
use kernel::{Clock, SystemClock, TenantId};
use testbed::tenant;
use uuid::Uuid;

use crate::town::Town;

async fn reserve(directory: &Directory, tenant: TenantId) -> Result<(), DirectoryError> {
    directory.reserve(tenant, "acme", "Acme Inc.", SystemClock.now()).await
}

#[tokio::test]
async fn a_name_that_nobody_was_led_to_is_free_again_without_a_note() {
    let town = Town::found().await;
    let (first, second) = (tenant(), tenant());
    reserve(&town.directory, first).await.unwrap();
    let taken = reserve(&town.directory, second).await.unwrap_err();
    assert!(matches!(taken, DirectoryError::Exists(_)), "{taken}");
    for _ in 0..2 {
        town.placements.release(first, &SystemClock).await.unwrap();
        assert_eq!(town.placements.head().await.unwrap(), 0, "something was noted of a place that never was");
    }
    reserve(&town.directory, second).await.unwrap();
}

#[tokio::test]
async fn a_front_that_was_led_to_a_tenant_that_is_not_made_after_all_goes_to_whose_the_name_is_next() {
    let town = Town::found().await;
    let (first, second) = (tenant(), tenant());
    let (map, acme) = (CellMap::new(town.placements.clone()), TenantHint::Slug("acme".to_owned()));
    map.catch_up().await.unwrap();
    let cell_of = |tenant: TenantId| Some(Destination { tenant: tenant.uuid(), cell: None });
    reserve(&town.directory, first).await.unwrap();
    town.directory.open_place(first).await.unwrap();
    assert!(town.directory.hold("acme.example", (first, Uuid::nil()), &[], SystemClock.now()).await.unwrap());
    assert_eq!(map.find(&acme).await.unwrap(), cell_of(first));

    for _ in 0..2 {
        town.placements.release(first, &SystemClock).await.unwrap();
        assert_eq!(town.placements.head().await.unwrap(), 1, "noted, and once");
    }
    assert!(town.placements.place(first).await.unwrap().deleted);
    assert!(
        town.placements.deleted().await.unwrap().is_empty(),
        "it was abandoned, and never a tenant that was deleted"
    );
    assert!(!town.directory.holds("acme.example", first).await.unwrap(), "nobody could release it any more");

    reserve(&town.directory, second).await.unwrap();
    town.directory.open_place(second).await.unwrap();
    assert_eq!(map.find(&acme).await.unwrap(), cell_of(first), "it was not remembered: this shows nothing");
    map.catch_up().await.unwrap();
    assert_eq!(map.find(&acme).await.unwrap(), cell_of(second));
}

#[tokio::test]
async fn who_is_shut_out_is_not_released() {
    let town = Town::found().await;
    let acme = tenant();
    reserve(&town.directory, acme).await.unwrap();
    town.directory.open_place(acme).await.unwrap();
    for standing in [TenantStanding::Suspended, TenantStanding::Deleting] {
        assert!(town.directory.note_standing(acme, standing).await.unwrap());
        town.placements.release(acme, &SystemClock).await.unwrap();
        assert_eq!(town.directory.suspended().await.unwrap(), [acme], "{standing:?}");
        assert_eq!(town.placements.head().await.unwrap(), 0, "{standing:?}");
    }
}

#[tokio::test]
async fn how_a_tenant_stands_is_noted_only_once_its_place_is_open_and_that_is_said() {
    let town = Town::found().await;
    let acme = tenant();
    reserve(&town.directory, acme).await.unwrap();
    assert!(!town.directory.note_standing(acme, TenantStanding::Suspended).await.unwrap());
    assert!(town.directory.suspended().await.unwrap().is_empty());
    assert!(matches!(town.directory.find("acme").await, Err(DirectoryError::Unknown(_))), "it was opened by that");
    town.directory.open_place(acme).await.unwrap();
    assert!(town.directory.note_standing(acme, TenantStanding::Suspended).await.unwrap());
    assert_eq!(town.directory.suspended().await.unwrap(), [acme]);
    assert!(
        town.directory.note_standing(tenant(), TenantStanding::Suspended).await.unwrap(),
        "there is none, and never will be"
    );
}
