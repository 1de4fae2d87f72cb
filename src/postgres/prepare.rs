//! What a database must be and have before its tables: the right server, encoding and letters, and Mesh's roles.

use super::error::{is_busy, lines_before, of_query};
use super::find::OLDEST;
use super::migrate::HISTORY;
use super::source::File;
use crate::error::{Error, Result};
use std::time::Duration;
use tokio_postgres::Client;

/// Errors: ME503 unless the server is new enough, the database UTF-8, and its letters are more than ASCII.
pub async fn check_server(client: &Client) -> Result<()> {
    let row = client
        .query_one(
            "select current_setting('server_version_num')::integer / 10000, current_setting('server_encoding'), datctype, datname
             from pg_catalog.pg_database where datname = current_database()",
            &[],
        )
        .await
        .map_err(|e| of_query(&e))?;
    let (major, encoding, ctype, name): (i32, String, String, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let make = format!("createdb --template=template0 --encoding=UTF8 --locale=C.UTF-8 {name}");
    if major < OLDEST as i32 {
        return Err(Error::unavailable(format!(
            "Mesh needs PostgreSQL {} or newer, this is {major}",
            OLDEST
        )));
    }
    if encoding != "UTF8" {
        return Err(Error::unavailable(format!(
            "the database is in {encoding}, and Mesh needs UTF8"
        ))
        .hint(make));
    }
    if ["C", "POSIX"].contains(&ctype.as_str()) {
        return Err(Error::unavailable(format!(
            "the database's LC_CTYPE is {ctype}, which knows no letters but a to z"
        ))
        .hint(make));
    }
    Ok(())
}

/// Runs sql/roles.sql and gives the migrating login what it needs. Roles are the whole cluster's, so another database's
/// migration may be at it, which our lock does not see.
pub async fn roles(client: &Client, file: &File) -> Result<()> {
    // A superuser is a member of every role already, and so is skipped.
    let grants = format!(
        "do $$
         declare _role text;
         begin
           for _role in
             select r.rolname from pg_catalog.pg_roles r
             where r.rolname in ('mesh_owner', 'mesh_definer', 'mesh_agent', 'mesh_relay', 'mesh_worker', 'mesh_admin')
               and not pg_catalog.pg_has_role(current_user, r.oid, 'usage')
           loop
             execute format('grant %I to current_user', _role);
           end loop;
         end
         $$;
         create table if not exists {HISTORY} (version integer primary key, name text, applied_on text, checksum text);
         grant select, insert on {HISTORY} to mesh_owner;
         grant select on {HISTORY} to mesh_definer"
    );
    for attempt in 1.. {
        let result = async {
            client.batch_execute(&file.text).await?;
            client.batch_execute(&grants).await
        };
        let error = match result.await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let code = error
            .code()
            .map(|code| code.code().to_owned())
            .unwrap_or_default();
        if code == "42501" {
            let message = format!(
                "this login may not prepare the database: {}",
                of_query(&error).message
            );
            return Err(Error::new(403, message)
                .hint("migrate as a superuser, or as the database's owner with CREATEROLE"));
        }
        if attempt == 20 || !(is_busy(&error) || code == "42710") {
            let mut found = of_query(&error);
            let line = 1 + error
                .as_db_error()
                .map_or(0, |db| lines_before(db, &file.text));
            found.message = format!("{}:{line}: {}", file.path, found.message);
            return Err(found);
        }
        tokio::time::sleep(Duration::from_millis(50 * attempt)).await;
    }
    Ok(())
}
