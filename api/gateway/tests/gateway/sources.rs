//! Reads the program's source, for rules that only a search in it can check.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not searched: tools, tests, docs, generated files and build output.
const BESIDE: [&str; 8] = ["bench", "cli", "deploy", "docs", "schemas", "scripts", "target", "tests"];

/// Each source file, without its tests.
pub fn all() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !name.starts_with('.') && !BESIDE.contains(&name) {
            collect(&folder, &mut found);
        }
    }
    assert!(found.len() > 300, "{} files", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "target", "benches", "examples"].contains(&name) {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let tests = text.find("\nmod tests {").unwrap_or(text.len());
            found.push((path, text[..tests].to_owned()));
        }
    }
}
