//! A relay in another process receives wake-ups.

use futures::StreamExt;
use kernel::Service;

use crate::events::{CRM, bus_with_stream, connect};

#[tokio::test]
async fn a_wake_up_reaches_those_of_the_service_and_no_others() {
    let (server, bus) = bus_with_stream().await;
    let mut crm = bus.wakes(CRM).await.unwrap();
    let mut erp = bus.wakes(Service::new("erp")).await.unwrap();
    // A request's answer comes after the subscriptions reached the server: the same connection, in order.
    bus.ping().await.unwrap();

    let writer = connect(&server).await;
    writer.wake(CRM).await;
    crm.next().await.unwrap();
    writer.wake(Service::new("erp")).await;
    erp.next().await.unwrap();
    assert!(futures::FutureExt::now_or_never(crm.next()).is_none(), "CRM was woken for ERP");
}
