//! Remembers the size and end of the history that each tenant of the development environment has. So a run on another day uses the same data
//! set, and continues an interrupted load, although a history that ends today would differ by then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The parameters that identify a generated history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub leads: u32,
    pub until: NaiveDate,
}

/// The file in the environment's folder with the tenants' histories.
pub struct Remembered(PathBuf);

impl Remembered {
    /// The file of the environment in this folder.
    pub fn at(home: &Path) -> Self {
        Self(home.join("demo.json"))
    }

    /// The tenant's history. If it has none, records a new one with the given size and end (default: today). If it has one, the size and
    /// the end, if given, must be the same, or this fails.
    pub fn or_new(&self, tenant: &str, leads: u32, until: Option<NaiveDate>, today: NaiveDate) -> Result<History> {
        let mut known = self.read()?;
        let asked = |of: Option<History>| History { leads, until: until.or(of.map(|of| of.until)).unwrap_or(today) };
        if let Some(has) = known.get(tenant).copied() {
            ensure!(
                asked(Some(has)) == has,
                "the tenant {tenant} has a history of {} leads until {} already; ask for that one (--leads {} --until {}), or name \
                 another tenant with --tenant",
                has.leads,
                has.until,
                has.leads,
                has.until
            );
            return Ok(has);
        }
        let new = asked(None);
        known.insert(tenant.to_owned(), new);
        fs::write(&self.0, serde_json::to_vec_pretty(&known)?)
            .with_context(|| format!("can't write {}", self.0.display()))?;
        Ok(new)
    }

    fn read(&self) -> Result<BTreeMap<String, History>> {
        match fs::read(&self.0) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is not readable; delete it to forget which histories there are", self.0.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error).with_context(|| format!("can't read {}", self.0.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_its_history_on_other_days_and_gets_no_second_one() {
        let home = std::env::temp_dir().join(format!("inopsio-demo-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        let remembered = Remembered::at(&home);
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
        let first = remembered.or_new("demo", 100, None, day(25)).unwrap();
        assert_eq!(first, History { leads: 100, until: day(25) });
        assert_eq!(remembered.or_new("demo", 100, None, day(26)).unwrap(), first, "a day later");
        assert_eq!(remembered.or_new("demo", 100, Some(day(25)), day(26)).unwrap(), first);
        for (leads, until) in [(200, None), (100, Some(day(24)))] {
            let refused = remembered.or_new("demo", leads, until, day(26)).unwrap_err().to_string();
            assert!(refused.contains("--leads 100 --until 2026-11-25"), "{refused}");
        }
        assert_eq!(remembered.or_new("other", 200, None, day(26)).unwrap().until, day(26));
        assert_eq!(remembered.or_new("demo", 100, None, day(27)).unwrap(), first, "nothing else was written");
        fs::remove_dir_all(&home).unwrap();
    }
}
