//! Getting, renewing and rereading tokens; no log contains one.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use keys::MasterKey;
use testbed::{VAULT_TOKEN, VaultDouble, eventually};
use tokio_util::sync::CancellationToken;
use vault::Fault;

use super::*;

/// A file of this test's own.
struct File(PathBuf);

impl File {
    fn with(name: &str, text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("inopsio-vault-{name}-{}", std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn role(secret_id: Source) -> Credentials {
    Credentials::AppRole { mount: "approle".to_owned(), role_id: "inopsio".to_owned(), secret_id }
}

async fn works(key: &Transit) {
    let (context, data) = (context(1), data_key());
    let wrapped = key.wrap(context, &data).await.unwrap();
    assert_eq!(key.unwrap(context, &wrapped).await.unwrap().reveal(), data.reveal());
}

#[tokio::test]
async fn a_token_that_ended_is_told_from_one_that_may_not() {
    let vault = VaultDouble::start().await;
    let key = key(&vault);
    works(&key).await;
    vault.revoke(VAULT_TOKEN);
    let error = key.check().await.unwrap_err();
    assert!(error.fault == Fault::TokenRefused && !error.passes(), "{error}");
    let said = key.wrap(context(1), &data_key()).await.unwrap_err().to_string();
    assert!(said.contains("has ended") && !said.contains(VAULT_TOKEN), "{said}");
    vault.give(VAULT_TOKEN, 0, false);
    vault.deny("GET transit/keys/inopsio");
    let error = key.check().await.unwrap_err();
    assert!(matches!(&error.fault, Fault::Denied { asked } if asked == "GET transit/keys/inopsio"), "{error}");
}

#[tokio::test]
async fn a_token_in_a_file_is_the_one_that_stands_there_now() {
    let vault = VaultDouble::start().await;
    let file = File::with("token", &format!("{VAULT_TOKEN}\n"));
    let key = key_with(settings(&vault, Credentials::Token(Source::File(file.0.clone()))), "transit:transit/inopsio");
    works(&key).await;
    vault.revoke(VAULT_TOKEN);
    vault.give("hvs.another", 0, false);
    file.write("hvs.another");
    works(&key).await;
    std::fs::remove_file(&file.0).unwrap();
    let error = key.check().await.unwrap_err();
    assert!(matches!(&error.fault, Fault::NoToken(why) if why.contains(file.0.to_str().unwrap())), "{error}");
    file.write("\n");
    assert!(key.check().await.unwrap_err().to_string().contains("is empty"));
}

#[tokio::test]
async fn a_role_logs_in_once_and_again_when_its_token_ended() {
    let vault = VaultDouble::start().await;
    let file = File::with("secret-id", "the-secret-id");
    vault.role("inopsio", "the-secret-id");
    let key = key_with(settings(&vault, role(Source::File(file.0.clone()))), "transit:transit/inopsio");
    works(&key).await;
    works(&key).await;
    let logins = || vault.count("POST auth/approle/login");
    assert_eq!(logins(), 1);
    assert_eq!(vault.revoke_given(), 1);
    works(&key).await;
    assert_eq!(logins(), 2);
    // A request that the policy forbids does not cause a new login.
    vault.deny("POST transit/encrypt/inopsio");
    assert!(key.wrap(context(1), &data_key()).await.unwrap_err().to_string().contains("policy"));
    assert_eq!(logins(), 2);
    // The file now holds another secret id.
    vault.role("inopsio", "another-secret-id");
    vault.revoke_given();
    let said = key.check().await.unwrap_err().to_string();
    assert!(said.contains("vault.secret_id") && !said.contains("the-secret-id"), "{said}");
    file.write("another-secret-id");
    key.check().await.unwrap();
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_for_as_long_as_it_is_kept() {
    let vault = VaultDouble::start().await;
    vault.give("hvs.short", 2, true);
    let key = key_with(settings(&vault, given("hvs.short")), "transit:transit/inopsio");
    let shutdown = CancellationToken::new();
    let keeping = tokio::spawn(key.client().clone().keep(shutdown.clone()));
    eventually("it is renewed, and again", async || (vault.count("POST auth/token/renew-self") >= 2).then_some(()))
        .await;
    works(&key).await;
    shutdown.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_token_that_can_not_be_renewed_is_followed_by_another_login_or_by_what_stands_in_its_file() {
    let vault = VaultDouble::start().await;
    vault.role("inopsio", "the-secret-id");
    let by_role =
        key_with(settings(&vault, role(Source::Text(Secret::new("the-secret-id")))), "transit:transit/inopsio");
    works(&by_role).await;
    // The lease of the login is one hour; an operator revokes the token earlier.
    vault.revoke_given();
    let shutdown = CancellationToken::new();
    vault.give("hvs.short", 1, false);
    let file = File::with("short", "hvs.short");
    let by_file =
        key_with(settings(&vault, Credentials::Token(Source::File(file.0.clone()))), "transit:transit/inopsio");
    let keeping = [&by_role, &by_file].map(|key| tokio::spawn(key.client().clone().keep(shutdown.clone())));
    works(&by_role).await;
    assert_eq!(vault.count("POST auth/approle/login"), 2);
    let looked_up = || {
        vault
            .asked()
            .iter()
            .filter(|asked| asked.what.ends_with("lookup-self"))
            .filter_map(|asked| asked.token.clone())
            .collect::<Vec<_>>()
    };
    eventually("the first is looked up", async || looked_up().contains(&"hvs.short".to_owned()).then_some(())).await;
    vault.give("hvs.next", 0, false);
    file.write("hvs.next");
    eventually("the next is looked up", async || looked_up().contains(&"hvs.next".to_owned()).then_some(())).await;
    works(&by_file).await;
    shutdown.cancel();
    for kept in keeping {
        kept.await.unwrap();
    }
}

/// All that is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_secret_id_or_key_is_in_a_log_an_error_or_what_is_shown_for_debugging() {
    use base64::Engine as _;
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole test process, because the requests are sent on other threads.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let vault = VaultDouble::start().await;
    vault.role("inopsio", "canary-secret-id");
    vault.give("hvs.canary", 0, false);
    let data = data_key();
    let mut seen = String::new();
    for credentials in [given("hvs.canary"), role(Source::Text(Secret::new("canary-secret-id")))] {
        let short = Settings { patience: SHORT, ..settings(&vault, credentials) };
        let key = key_with(short, "transit:transit/inopsio");
        let wrapped = key.wrap(context(1), &data).await.unwrap();
        let shown = format!("{:?} {key:?} {:?}", key.client(), key.unwrap(context(1), &wrapped).await.unwrap());
        seen += &shown;
        for wrong in ["seal", "away", "revoke", "nonsense"] {
            match wrong {
                "seal" => vault.seal(true),
                "away" => vault.away(true),
                "revoke" => {
                    vault.revoke("hvs.canary");
                    vault.revoke_given();
                    vault.role("inopsio", "another");
                }
                _ => vault.answer_next([418]),
            }
            seen += &key.wrap(context(1), &data).await.unwrap_err().to_string();
            let outcome = format!("{:?}", key.unwrap(context(1), &wrapped).await);
            seen += &outcome;
            vault.seal(false);
            vault.away(false);
        }
        vault.give("hvs.canary", 0, false);
        vault.role("inopsio", "canary-secret-id");
    }
    seen += &String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    let plaintext = base64::engine::general_purpose::STANDARD.encode(data.reveal());
    assert!(vault.asked().iter().any(|asked| asked.body.contains(&plaintext)), "the canary is none");
    assert!(seen.contains("sealed") && seen.contains("logged in to Vault"), "nothing was logged: {seen}");
    for canary in ["hvs.canary", "canary-secret-id", "hvs.given-", &plaintext] {
        assert!(!seen.contains(canary), "{canary} is in {seen}");
    }
}
