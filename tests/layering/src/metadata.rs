//! The part of `cargo metadata` that is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

/// The workspace: its members, and the resolved dependencies of every package.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The members.
    pub members: Vec<Member>,
    /// Name of every package by its id.
    pub names: BTreeMap<String, String>,
    /// The resolved dependencies of every package, without those for tests only, by id.
    pub built_from: BTreeMap<String, Vec<String>>,
}

/// A crate of this workspace.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its package id.
    pub id: String,
    /// The package's name.
    pub name: String,
    /// Its folder, relative to the workspace.
    pub folder: String,
    /// The dependencies in its manifest.
    pub dependencies: Vec<Dependency>,
}

/// A dependency in a manifest.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// For the build or for tests only.
    pub kind: Kind,
}

/// The purpose of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For the build.
    Build,
    /// For tests only.
    Dev,
}

impl Workspace {
    /// Reads the output of `cargo metadata --format-version 1`.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        let raw: Raw = serde_json::from_str(json)?;
        let root = Path::new(&raw.workspace_root);
        let members =
            raw.packages.iter().filter(|package| raw.workspace_members.contains(&package.id)).map(|package| Member {
                id: package.id.clone(),
                name: package.name.clone(),
                folder: folder_of(root, &package.manifest_path),
                dependencies: package
                    .dependencies
                    .iter()
                    .map(|d| Dependency { name: d.name.clone(), kind: kind(d.kind.as_deref()) })
                    .collect(),
            });
        let built_from = raw.resolve.nodes.into_iter().map(|node| {
            let needed = node.deps.into_iter().filter(|dep| dep.dep_kinds.iter().any(|d| d.kind.is_none()));
            (node.id, needed.map(|dep| dep.pkg).collect())
        });
        Ok(Self {
            members: members.collect(),
            names: raw.packages.iter().map(|package| (package.id.clone(), package.name.clone())).collect(),
            built_from: built_from.collect(),
        })
    }

    /// A member by its package name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The names of all packages that `id` depends on, directly or indirectly.
    pub fn reached_by(&self, id: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for next in self.built_from.get(id).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().filter_map(|id| self.names.get(id).map(String::as_str)).collect()
    }
}

fn folder_of(root: &Path, manifest: &str) -> String {
    let folder = Path::new(manifest).parent().unwrap_or(root);
    folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned()
}

fn kind(name: Option<&str>) -> Kind {
    if name == Some("dev") { Kind::Dev } else { Kind::Build }
}

#[derive(Deserialize)]
struct Raw {
    packages: Vec<RawPackage>,
    workspace_members: BTreeSet<String>,
    workspace_root: String,
    resolve: RawResolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    manifest_path: String,
    dependencies: Vec<RawDependency>,
}

#[derive(Deserialize)]
struct RawDependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct RawResolve {
    nodes: Vec<RawNode>,
}

#[derive(Deserialize)]
struct RawNode {
    id: String,
    deps: Vec<RawEdge>,
}

#[derive(Deserialize)]
struct RawEdge {
    pkg: String,
    dep_kinds: Vec<RawKind>,
}

#[derive(Deserialize)]
struct RawKind {
    kind: Option<String>,
}
