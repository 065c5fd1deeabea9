//! A tenant's base currency and exchange rates.

use crm_aggregates::Currencies;
use crm_commands::{ChooseBaseCurrency, SetExchangeRate};

use super::support::{World, day, field};

fn rate(from: &str, to: &str, rate_nanos: i64) -> SetExchangeRate {
    SetExchangeRate { from: from.to_owned(), to: to.to_owned(), day: day("2026-01-01"), rate_nanos }
}

#[tokio::test]
async fn a_tenant_has_one_set_of_currencies_that_begins_with_the_first_word() {
    let world = World::new().await;
    assert_eq!(world.done(&rate("USD", "EUR", 900_000_000)).await.version, 1);
    assert_eq!(world.done(&ChooseBaseCurrency { base: "USD".to_owned() }).await.version, 2);
    assert_eq!(world.done(&ChooseBaseCurrency { base: "USD".to_owned() }).await.version, 2, "nothing new");
    let currencies = world.state::<Currencies>(world.request.caller.tenant()).await;
    assert_eq!(currencies.base().code(), "USD");
}

#[tokio::test]
async fn codes_days_and_rates_are_checked() {
    let world = World::new().await;
    assert_eq!(world.wrong(&ChooseBaseCurrency { base: "usd".to_owned() }).await, field("/base", "currency"));
    assert_eq!(world.wrong(&rate("XXX", "EUR", 1)).await, field("/from", "currency"));
    assert_eq!(world.wrong(&rate("USD", "", 1)).await, field("/to", "currency"));
    assert_eq!(world.wrong(&rate("EUR", "EUR", 1)).await, field("/to", "same_currency"));
    assert_eq!(world.wrong(&rate("USD", "EUR", 0)).await, field("/rate_nanos", "rate_not_positive"));
    let early = SetExchangeRate { day: day("1900-01-01"), ..rate("USD", "EUR", 1) };
    assert_eq!(world.wrong(&early).await, field("/day", "day_out_of_range"));
}
