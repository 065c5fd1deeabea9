//! Reading secrets from the KV engine, version 2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Client, Request};
use crate::error::{Error, Fault};

#[derive(Deserialize)]
struct Kept {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// `None`: the version was deleted.
    data: Option<BTreeMap<String, Value>>,
}

impl Client {
    /// Reads the key-value pairs of a secret at a path of a KV version 2 mount. `None`: its latest version was deleted. Without retries;
    /// blocks.
    ///
    /// # Errors
    /// When Vault does not answer, the path does not exist, or the token may not read it.
    pub fn secrets(&self, mount: &str, path: &str) -> Result<Option<BTreeMap<String, Value>>, Error> {
        let request = Request::read("read_secret", format!("{mount}/data/{path}"));
        let response = self.send_blocking(&request)?;
        let kept = self.read::<Kept>(&request.name(), &response);
        kept.map(|kept| kept.data.data).map_err(|_| self.error(Fault::NotKv { mount: mount.to_owned() }))
    }
}
