//! Keys are wrapped and unwrapped by Vault, one or many, under any version of its key.

use keys::{Error, MasterKey, Wrapped};
use testbed::VaultDouble;

use super::*;

async fn both() -> [VaultDouble; 2] {
    [VaultDouble::start().await, VaultDouble::deriving().await]
}

const ENCRYPT: &str = "POST transit/encrypt/inopsio";
const DECRYPT: &str = "POST transit/decrypt/inopsio";
const REWRAP: &str = "POST transit/rewrap/inopsio";

#[tokio::test]
async fn a_wrapped_key_comes_back_in_its_context_only_and_what_vault_said_is_kept_as_it_is() {
    for vault in both().await {
        let (master, data) = (key(&vault), data_key());
        let wrapped = master.wrap(context(1), &data).await.unwrap();
        assert!(wrapped.as_str().starts_with("transit:transit/inopsio.vault:v1:"), "{wrapped:?}");
        // A new client, as after a restart.
        let master = key(&vault);
        assert_eq!(master.unwrap(context(1), &wrapped).await.unwrap().reveal(), data.reveal());
        for other in [
            context(2),
            Context { purpose: "auth.tenant_key", ..context(1) },
            Context { subject: "auth", ..context(1) },
        ] {
            assert_eq!(master.unwrap(other, &wrapped).await.unwrap_err(), Error::DoesNotOpen, "{other:?}");
        }
        let forged = Wrapped::read(&wrapped.as_str().replace("vault:v1:", "vault:v1:AAAA"));
        assert_eq!(master.unwrap(context(1), &forged).await.unwrap_err(), Error::DoesNotOpen);
        let elsewhere = master.unwrap(context(1), &Wrapped::new("local-abc", "text")).await.unwrap_err();
        assert!(matches!(&elsewhere, Error::OtherMaster { .. }), "{elsewhere}");
        assert!(elsewhere.to_string().contains("INOPSIO_FORMER_MASTER_KEY"), "{elsewhere}");
    }
}

#[tokio::test]
async fn many_are_one_question_and_one_that_does_not_open_spoils_no_other() {
    for vault in both().await {
        let (master, data) = (key(&vault), [1, 2, 3].map(|tenant| (context(tenant), data_key())));
        let asked: Vec<_> = data.iter().map(|(context, key)| (*context, key)).collect();
        let wrapped: Vec<_> = master.wrap_all(&asked).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(vault.count(ENCRYPT), 1);
        let strange = Wrapped::new("local-abc", "text");
        let asked =
            [(context(1), &wrapped[0]), (context(9), &wrapped[1]), (context(1), &strange), (context(3), &wrapped[2])];
        let opened = master.unwrap_all(&asked).await;
        assert_eq!(vault.count(DECRYPT), 1);
        assert_eq!(opened[0].as_ref().unwrap().reveal(), data[0].1.reveal());
        assert_eq!(opened[1].as_ref().unwrap_err(), &Error::DoesNotOpen);
        assert!(matches!(&opened[2], Err(Error::OtherMaster { .. })));
        assert_eq!(opened[3].as_ref().unwrap().reveal(), data[2].1.reveal());
        assert!(master.unwrap_all(&[]).await.is_empty() && vault.count(DECRYPT) == 1, "nothing was asked for nothing");
    }
}

#[tokio::test]
async fn after_a_rotation_what_is_older_is_wrapped_under_the_latest_version_and_nothing_else_is() {
    for vault in both().await {
        let (master, data) = (key(&vault), data_key());
        let old = master.wrap(context(1), &data).await.unwrap();
        assert_eq!(master.renewed(&[(context(1), &old)]).await, [Ok(None)]);
        vault.rotate();
        let new = master.wrap(context(2), &data).await.unwrap();
        assert!(new.as_str().contains("vault:v2:"), "{new:?}");
        assert_eq!(master.unwrap(context(1), &old).await.unwrap().reveal(), data.reveal(), "of before");
        let renewed = master.renewed(&[(context(2), &new), (context(1), &old), (context(7), &old)]).await;
        assert_eq!((&renewed[0], &renewed[2]), (&Ok(None), &Err(Error::DoesNotOpen)));
        let anew = renewed[1].clone().unwrap().unwrap();
        assert!(anew.as_str().contains("vault:v2:"), "{anew:?}");
        // After Vault has deleted the old version, only the key that was wrapped again is readable.
        vault.forget_before(2);
        assert_eq!(master.unwrap(context(1), &anew).await.unwrap().reveal(), data.reveal());
        let gone = master.unwrap(context(1), &old).await.unwrap_err();
        assert!(
            matches!(&gone, Error::Unavailable(why) if why.contains("too old")),
            "who looks after Vault can mend it: {gone}"
        );
    }
}

#[tokio::test]
async fn a_key_that_derives_is_rewrapped_in_vault_and_one_that_does_not_is_decrypted_and_encrypted() {
    let [associated, deriving] = both().await;
    for (vault, rewraps) in [(associated, 0), (deriving, 1)] {
        let master = key(&vault);
        let old = master.wrap(context(1), &data_key()).await.unwrap();
        vault.rotate();
        master.renewed(&[(context(1), &old)]).await.remove(0).unwrap().unwrap();
        let counted = [vault.count(REWRAP), vault.count(DECRYPT), vault.count(ENCRYPT)];
        assert_eq!(counted, [rewraps, 1 - rewraps, 2 - rewraps]);
        let bound = if rewraps == 1 { "context" } else { "associated_data" };
        for asked in vault.asked().iter().filter(|asked| asked.what.starts_with("POST transit/")) {
            assert!(asked.body.contains(&format!("\"{bound}\":")), "{asked:?}");
        }
    }
}
