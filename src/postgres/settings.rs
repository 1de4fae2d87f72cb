//! The settings of a private cluster, written anew at every start.

use super::platform::{self, ServerUser};
use crate::error::Result;
use std::path::Path;

/// The role that may do everything; only local users map to it.
pub const SUPERUSER: &str = "postgres";

/// Writes the settings, who may log in and as whom. True when something changed.
pub fn write(data: &Path, socket: &Path, user: &ServerUser) -> Result<bool> {
    let socket = socket.to_string_lossy().replace('\'', "''");
    let settings = format!(
        "# Written by mesh at every start.\n\
         listen_addresses = ''\nport = 5432\nunix_socket_directories = '{socket}'\nunix_socket_permissions = 0700\n\
         cluster_name = 'mesh'\n\
         fsync = on\nfull_page_writes = on\nsynchronous_commit = on\njit = off\nmax_connections = 100\n"
    );
    let mut names = vec![user.name.clone(), "root".into(), platform::user_name()];
    names.sort();
    names.dedup();
    let mut ident =
        String::from("# Written by mesh at every start: map, operating system's user, role.\n");
    for name in names {
        for role in [SUPERUSER, "mesh_relay", "mesh_admin"] {
            ident.push_str(&format!("mesh \"{name}\" {role}\n"));
        }
    }
    let mut changed = false;
    for (name, text) in [
        ("mesh.conf", settings.as_str()),
        (
            "pg_hba.conf",
            "# Written by mesh at every start.\nlocal all all peer map=mesh\n",
        ),
        ("pg_ident.conf", &ident),
    ] {
        changed |= platform::write_for(&data.join(name), text, user)?;
    }
    let main = data.join("postgresql.conf");
    let text = std::fs::read_to_string(&main)?;
    if !text
        .lines()
        .any(|line| line.trim() == "include_if_exists = 'mesh.conf'")
    {
        let text = format!("{text}\ninclude_if_exists = 'mesh.conf'\n");
        changed |= platform::write_for(&main, &text, user)?;
    }
    Ok(changed)
}
