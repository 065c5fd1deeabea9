//! Loads accounts and contacts.

use anyhow::Result;
use serde_json::json;

use super::parallel::for_all;
use super::{Counted, Loader};

impl Loader<'_> {
    /// Creates the accounts. Returns their ids.
    pub(super) async fn accounts(&self) -> Result<Counted<Vec<String>>> {
        let ids = for_all(&self.set.accounts, self.at_once, |number, account| async move {
            let company = &account.company;
            let body = json!({
                "name": company.name,
                "website": format!("https://www.{}", company.domain),
                "industry": company.industry,
                "country": company.country.code,
                "employees": account.employees,
                "owner": account.owner,
            });
            self.create("/accounts", &format!("account/{number}"), account.created_at, body).await
        })
        .await?;
        Ok(Counted { records: ids.len(), requests: ids.len(), result: ids })
    }

    /// Creates the contacts. Returns their ids.
    pub(super) async fn contacts(&self, accounts: &[String]) -> Result<Counted<Vec<String>>> {
        let ids = for_all(&self.set.contacts, self.at_once, |number, contact| async move {
            let person = &contact.person;
            let body = json!({
                "name": person.name,
                "title": person.title,
                "email": person.email,
                "phone": person.phone,
                "address": person.address,
                "account": accounts[contact.account],
                "owner": contact.owner,
            });
            self.create("/contacts", &format!("contact/{number}"), contact.created_at, body).await
        })
        .await?;
        Ok(Counted { records: ids.len(), requests: ids.len(), result: ids })
    }
}
