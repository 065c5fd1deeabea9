//! Writes the configuration file of a development environment, which all other commands read.

use anyhow::{Context, Result};
use gateway::Config;
use gateway::auth::KeyPair;

use super::home::Home;
use super::ports::Ports;
use super::{nats, postgres, secrets};

const HEAD: &str =
    "# Written by `inopsio dev`; changes are lost at its next start. Set INOPSIO_… variables instead (.env.example).\n";

/// The settings that the environment determines: addresses and credentials. Keys and values as for flags.
type Decided = Vec<(&'static str, String)>;

/// Writes the home's configuration file (readable only by the owner, because it has secrets). Returns it merged with the `INOPSIO_…`
/// variables.
pub fn write_and_read(home: &Home, ports: Ports) -> Result<Config> {
    let decided = decide(home, ports)?;
    // Write numbers and booleans unquoted and all else as a string. A JSON string is a valid TOML string.
    let line = |(key, value): &(&str, String)| {
        if value.parse::<u16>().is_ok() || value.parse::<bool>().is_ok() {
            format!("{key} = {value}\n")
        } else {
            format!("{key} = {}\n", serde_json::Value::from(value.as_str()))
        }
    };
    let text: String = [HEAD.to_owned()].into_iter().chain(decided.iter().map(line)).collect();
    secrets::write(&home.config(), &text)?;
    Ok(Config::load(Some(&home.config()), decided, &gateway::known())?)
}

fn decide(home: &Home, ports: Ports) -> Result<Decided> {
    let (signing_key, public_key) = token_keys(home)?;
    let admin = secrets::random_once(home, "postgres_admin")?;
    Ok(vec![
        ("http.host", "127.0.0.1".to_owned()),
        ("http.port", ports.http.to_string()),
        ("postgres.host", "127.0.0.1".to_owned()),
        ("postgres.port", ports.postgres.to_string()),
        ("postgres.ssl_mode", "disable".to_owned()),
        ("postgres.password", secrets::random_once(home, "postgres_service")?),
        ("postgres.admin_url", postgres::admin_url(ports.postgres, &admin)),
        ("postgres.claim_key", secrets::random_once(home, "claim_key")?),
        ("auth.master_key", secrets::random_once(home, "master_key")?),
        ("audit.seal_key", secrets::random_once(home, "seal_key")?),
        ("nats.url", format!("nats://127.0.0.1:{}", ports.nats)),
        ("nats.user", nats::USER.to_owned()),
        ("nats.password", secrets::random_once(home, "nats")?),
        // A webhook receiver under development runs on this machine.
        ("webhooks.allow_private", "true".to_owned()),
        // Mail is shown at /dev/mail instead of sent.
        ("mail.catch", "true".to_owned()),
        ("texts.catch", "true".to_owned()),
        ("auth.public_key", public_key),
        ("auth.signing_key", signing_key),
    ])
}

/// The private and the public key of tokens. Both PEM blocks are in one file, so that one never exists without the other.
fn token_keys(home: &Home) -> Result<(String, String)> {
    let path = home.secret("token_keys.pem");
    let both = secrets::read_or_make(&path, || {
        let pair = KeyPair::generate();
        Ok(format!("{}\n{}\n", pair.signing_key.trim(), pair.public_key.trim()))
    })?;
    let public = both.find("-----BEGIN PUBLIC KEY-----");
    let at = public.with_context(|| format!("{} has no public key; remove it to create new ones", path.display()))?;
    let (signing_key, public_key) = both.split_at(at);
    Ok((signing_key.trim().to_owned(), public_key.trim().to_owned()))
}
