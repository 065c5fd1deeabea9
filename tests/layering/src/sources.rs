//! The sources of the programs, for tests that search them.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files with one of these extensions, without tests, in `folder` and below.
///
/// # Errors
/// When a folder can't be read.
pub fn files(folder: &Path, extensions: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !matches!(name.as_str(), "target" | "tests" | "node_modules") {
                found.extend(files(&path, extensions)?);
            }
        } else if path.extension().and_then(|extension| extension.to_str()).is_some_and(|it| extensions.contains(&it)) {
            found.push(path);
        }
    }
    Ok(found)
}
