//! Secrets that Vault keeps: the engine KV, version 2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::client::{Ask, Client};
use crate::error::{Error, Fault};

#[derive(Deserialize)]
struct Kept {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// None: the version was deleted.
    data: Option<BTreeMap<String, Value>>,
}

impl Client {
    /// The secrets at a path of a mount of KV version 2, by their keys; none: the last version of them was deleted. Asked once; blocks.
    ///
    /// # Errors
    /// When Vault does not answer, has nothing there, or does not let us read it.
    pub fn secrets(&self, mount: &str, path: &str) -> Result<Option<BTreeMap<String, Value>>, Error> {
        let ask = Ask::read("read_secret", format!("{mount}/data/{path}"));
        let answer = self.authorized(&ask)?;
        let kept = self.read::<Kept>(&ask.name(), &answer);
        kept.map(|kept| kept.data.data).map_err(|_| self.error(Fault::NotKv { mount: mount.to_owned() }))
    }
}
