//! Error messages that say what an operator can do, and retries of temporary failures.

use keys::{Error, MasterKey};
use testbed::{VAULT_TOKEN, VaultDouble};
use vault::{Fault, SetUpError};

use super::*;

const ENCRYPT: &str = "POST transit/encrypt/inopsio";

async fn refused(key: &Transit) -> String {
    let error = key.wrap(context(1), &data_key()).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(_)), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn what_passes_is_asked_again_until_it_is_answered() {
    let vault = VaultDouble::start().await;
    let key = key(&vault);
    key.check().await.unwrap();
    vault.answer_next([429, 500, 503, 502, 412]);
    key.wrap(context(1), &data_key()).await.unwrap();
    assert_eq!(vault.count(ENCRYPT), 6);
    // A permanent failure is not retried.
    vault.answer_next([418]);
    let said = refused(&key).await;
    assert!(said.contains("418") && said.contains("as the test wants it") && vault.count(ENCRYPT) == 7, "{said}");
}

#[tokio::test]
async fn a_vault_that_is_sealed_or_away_is_said_so_and_goes_on_when_it_is_back() {
    let vault = VaultDouble::start().await;
    let short = Settings { patience: SHORT, ..settings(&vault, given(VAULT_TOKEN)) };
    let key = key_with(short, "transit:transit/inopsio");
    vault.seal(true);
    let said = refused(&key).await;
    assert!(said.contains("sealed") && said.contains(&vault.address), "{said}");
    assert!(!key.client().has_answered());
    let error = key.check().await.unwrap_err();
    assert!(error.passes() && error.fault == Fault::Sealed, "{error}");
    vault.seal(false);
    vault.away(true);
    let said = refused(&key).await;
    assert!(said.contains("does not answer"), "{said}");
    vault.away(false);
    vault.hold("transit/", 0);
    let said = refused(&key).await;
    assert!(said.contains("does not answer"), "{said}");
    vault.release();
    let wrapped = key.wrap(context(1), &data_key()).await.unwrap();
    assert!(key.unwrap(context(1), &wrapped).await.is_ok() && key.client().has_answered());
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_named_and_nothing_is_made_by_asking_for_it() {
    let vault = VaultDouble::start().await;
    vault.make("signing", "rsa-4096", false);
    let of = |place: &str| key_with(settings(&vault, given(VAULT_TOKEN)), place);
    let cases: [(&str, &[&str]); 3] = [
        ("transit:nowhere/inopsio", &["no transit engine at nowhere"]),
        ("transit:transit/inopsoi", &["no key inopsoi in the transit engine at transit"]),
        ("transit:transit/signing", &["signing", "rsa-4096", "aes256-gcm96"]),
    ];
    for (place, wanted) in cases {
        let error = of(place).check().await.unwrap_err();
        assert!(!error.passes(), "{error}");
        for said in [error.to_string(), refused(&of(place)).await] {
            assert!(wanted.iter().all(|part| said.contains(part)), "{said}");
        }
    }
    assert!(
        !vault.asked().iter().any(|asked| asked.what.contains("/encrypt/")),
        "Vault makes a key for who encrypts with it"
    );

    vault.deny(ENCRYPT);
    let said = refused(&of("transit:transit/inopsio")).await;
    assert!(said.contains(ENCRYPT) && said.contains("policy"), "{said}");
}

#[tokio::test]
async fn a_namespace_is_named_in_each_question_and_without_it_nothing_is_found() {
    let vault = VaultDouble::start().await;
    vault.namespace("eu/team");
    let of = |namespace: Option<&str>| Settings {
        namespace: namespace.map(str::to_owned),
        ..settings(&vault, given(VAULT_TOKEN))
    };
    let inside = key_with(of(Some("eu/team")), "transit:transit/inopsio");
    inside.wrap(context(1), &data_key()).await.unwrap();
    assert!(vault.asked().iter().all(|asked| asked.namespace.as_deref() == Some("eu/team")));
    let said = refused(&key_with(of(None), "transit:transit/inopsio")).await;
    assert!(said.contains("no transit engine"), "{said}");
}

#[tokio::test]
async fn an_answer_that_is_none_of_vaults_is_not_repeated() {
    let receiver = testbed::receiver::Receiver::answering(|_, _| testbed::receiver::Reply::Status("200 OK")).await;
    let address = receiver.url.trim_end_matches("/hooks").to_owned();
    let credentials = Credentials::AppRole {
        mount: "approle".to_owned(),
        role_id: "role".to_owned(),
        secret_id: Source::Text(Secret::new("secret")),
    };
    let settings = Settings { address, namespace: None, credentials, ca_file: None, patience: LONG };
    let error = key_with(settings, "transit:transit/inopsio").check().await.unwrap_err();
    assert!(matches!(&error.fault, Fault::NotVault { asked } if asked == "POST auth/approle/login"), "{error}");
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_asked() {
    for address in ["", "vault.internal:8200", "https://", "ftp://vault", "https://user@vault", "https://vault?x=1"] {
        let credentials = given("token");
        let settings =
            Settings { address: address.to_owned(), namespace: None, credentials, ca_file: None, patience: LONG };
        let error = Client::open(settings).unwrap_err();
        assert_eq!(error, SetUpError::Address(address.to_owned()));
    }
}
