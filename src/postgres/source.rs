//! The SQL this binary brings: embedded, or read from a directory that holds migrations/ and sql/.

use crate::error::{Error, Result};
use rust_embed::RustEmbed;
use std::path::Path;

#[derive(Clone, Debug)]
pub struct File {
    /// Path from the root of the repository, with `/`: what errors name.
    pub path: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Sources {
    /// `migrations/V<n>__name.sql`, by number.
    pub migrations: Vec<File>,
    /// `sql/roles.sql`: before the migrations, any number of times.
    pub roles: File,
    /// The code, in load order: types, lib by name, api by name, finish.
    pub code: Vec<File>,
}

#[derive(RustEmbed)]
#[folder = "migrations/"]
struct Migrations;

#[derive(RustEmbed)]
#[folder = "sql/"]
struct Sql;

/// What is embedded, or the files of `directory`. Errors: ME400 for a directory that does not hold them.
pub fn find(directory: Option<&Path>) -> Result<Sources> {
    match directory {
        Some(directory) => sort(read(directory)?),
        None => sort(embedded()?),
    }
}

fn embedded() -> Result<Vec<File>> {
    fn all<E: RustEmbed>(folder: &str) -> impl Iterator<Item = Result<File>> {
        E::iter()
            .filter(|name| name.ends_with(".sql"))
            .filter_map(move |name| {
                let path = format!("{folder}/{name}");
                let file = E::get(&name)?;
                Some(text(path, file.data.into_owned()))
            })
    }
    all::<Migrations>("migrations")
        .chain(all::<Sql>("sql"))
        .collect()
}

fn read(directory: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for folder in ["migrations", "sql", "sql/lib", "sql/api"] {
        let path = directory.join(folder);
        let listing = std::fs::read_dir(&path).map_err(|e| {
            Error::usage(format!(
                "{} is no source of Mesh's SQL: {e}",
                path.display()
            ))
        })?;
        for entry in listing {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".sql") {
                files.push(text(
                    format!("{folder}/{name}"),
                    std::fs::read(entry.path())?,
                )?);
            }
        }
    }
    Ok(files)
}

fn text(path: String, bytes: Vec<u8>) -> Result<File> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(File { path, text }),
        Err(_) => Err(Error::usage(format!("{path} is not UTF-8"))),
    }
}

/// Puts files into the order they are loaded in. Errors: a file that has no place in it.
fn sort(files: Vec<File>) -> Result<Sources> {
    let mut migrations = Vec::new();
    let mut roles = None;
    let mut code = Vec::new();
    for file in files {
        if file.path == "sql/roles.sql" {
            roles = Some(file);
        } else if let Some(name) = file.path.strip_prefix("migrations/") {
            let version = version(name).ok_or_else(|| {
                Error::usage(format!(
                    "{}: a migration is called V<n>__name.sql",
                    file.path
                ))
            })?;
            migrations.push((version, file));
        } else {
            let place = match file.path.as_str() {
                "sql/types.sql" => 0,
                "sql/finish.sql" => 3,
                path if path.starts_with("sql/lib/") => 1,
                path if path.starts_with("sql/api/") => 2,
                path => {
                    return Err(Error::usage(format!(
                        "{path}: code is in sql/lib/ or sql/api/"
                    )));
                }
            };
            code.push((place, file));
        }
    }
    migrations.sort_by_key(|(version, _)| *version);
    code.sort_by(|(p, a), (q, b)| (p, &a.path).cmp(&(q, &b.path)));
    Ok(Sources {
        migrations: migrations.into_iter().map(|(_, file)| file).collect(),
        roles: roles.ok_or_else(|| Error::usage("sql/roles.sql is missing"))?,
        code: code.into_iter().map(|(_, file)| file).collect(),
    })
}

/// 12 of `V12__rooms.sql`.
pub fn version(name: &str) -> Option<i32> {
    let (version, rest) = name.strip_prefix('V')?.split_once("__")?;
    (rest.len() > ".sql".len()).then(|| version.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> File {
        File {
            path: path.to_owned(),
            text: String::new(),
        }
    }

    #[test]
    fn files_are_loaded_in_their_order() {
        let paths = [
            "sql/finish.sql",
            "sql/api/b.sql",
            "migrations/V10__x.sql",
            "sql/lib/z.sql",
            "sql/api/a.sql",
            "migrations/V9__y.sql",
            "sql/roles.sql",
            "sql/types.sql",
        ];
        let sources = sort(paths.map(file).to_vec()).unwrap();
        let names = |files: &[File]| files.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
        assert_eq!(
            names(&sources.migrations),
            ["migrations/V9__y.sql", "migrations/V10__x.sql"]
        );
        assert_eq!(
            names(&sources.code),
            [
                "sql/types.sql",
                "sql/lib/z.sql",
                "sql/api/a.sql",
                "sql/api/b.sql",
                "sql/finish.sql"
            ]
        );
    }

    #[test]
    fn a_misplaced_file_is_refused() {
        for path in ["sql/other.sql", "migrations/1.sql", "migrations/Vx__a.sql"] {
            assert!(
                sort(vec![file("sql/roles.sql"), file(path)]).is_err(),
                "{path}"
            );
        }
    }
}
