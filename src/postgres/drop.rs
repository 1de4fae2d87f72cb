//! Takes the loaded code out of the database, never more: what others built on it stops the drop (RESTRICT).

use std::collections::HashSet;
use tokio_postgres::{Error, Transaction};

/// An object of the code schemas. `class` and `oid` are its address in Postgres' catalogues.
struct Object {
    class: u32,
    oid: u32,
    kind: String,
    name: String,
}

/// All views, functions, procedures, aggregates and types of the schemas mesh and mesh_lib, but those called
/// `schema.name` in `keep`. Postgres' error says what else depends on one of them.
pub async fn drop_code(transaction: &Transaction<'_>, keep: &HashSet<String>) -> Result<(), Error> {
    let mut left = objects(transaction, keep).await?;
    let uses = uses(transaction).await?;
    while !left.is_empty() {
        let present: HashSet<(u32, u32)> = left.iter().map(|o| (o.class, o.oid)).collect();
        let used: HashSet<(u32, u32)> = uses
            .iter()
            .filter(|(user, _)| present.contains(user))
            .map(|(_, used)| *used)
            .collect();
        let (mut free, mut rest): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|o| !used.contains(&(o.class, o.oid)));
        if free.is_empty() {
            // Functions that use each other: one statement can drop them together.
            (free, rest) = (rest, free);
        }
        for kind in ["materialized view", "view", "routine", "type"] {
            let names: Vec<&str> = free
                .iter()
                .filter(|o| o.kind == kind)
                .map(|o| o.name.as_str())
                .collect();
            if !names.is_empty() {
                transaction
                    .batch_execute(&format!("drop {kind} {} restrict", names.join(", ")))
                    .await?;
            }
        }
        left = rest;
    }
    Ok(())
}

/// Locks the views of the code schemas before anything else, the gate first: relays come through it, so new calls stop
/// there, holding nothing that we need, and those under way can end. (LOCK TABLE takes no materialized view, and a view's tables with it.)
pub async fn lock_views(transaction: &Transaction<'_>) -> Result<(), Error> {
    let locks = texts(
        transaction,
        "select format('alter %s %s owner to %I', case c.relkind when 'v' then 'view' else 'materialized view' end,
           c.oid::regclass, pg_catalog.pg_get_userbyid(c.relowner))
         from pg_catalog.pg_class c
         where c.relnamespace in (to_regnamespace('mesh'), to_regnamespace('mesh_lib')) and c.relkind in ('v', 'm')
         order by c.relname <> 'gate', c.relkind, c.relname",
    )
    .await?;
    transaction.batch_execute(&locks.join(";\n")).await
}

/// Locks every table of mesh_data, in name order so that two reloads cannot deadlock; waits at most lock_timeout for each.
pub async fn lock_tables(transaction: &Transaction<'_>) -> Result<(), Error> {
    let tables = texts(
        transaction,
        "select 'only ' || c.oid::regclass from pg_catalog.pg_class c
         where c.relnamespace = to_regnamespace('mesh_data') and c.relkind in ('r', 'p') order by c.relname",
    )
    .await?;
    if tables.is_empty() {
        return Ok(());
    }
    transaction
        .batch_execute(&format!(
            "lock table {} in access exclusive mode",
            tables.join(", ")
        ))
        .await
}

/// Policies, triggers and our roles' privileges on the tables of mesh_data: the guard makes all of them anew.
pub async fn drop_guard(transaction: &Transaction<'_>) -> Result<(), Error> {
    let drops = texts(
        transaction,
        "select format('drop policy %I on %s', p.polname, c.oid::regclass)
         from pg_catalog.pg_policy p join pg_catalog.pg_class c on c.oid = p.polrelid
         where c.relnamespace = to_regnamespace('mesh_data')
         union all
         select format('drop trigger %I on %s', t.tgname, c.oid::regclass)
         from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
         where c.relnamespace = to_regnamespace('mesh_data') and not t.tgisinternal and t.tgparentid = 0
         union all
         select format('revoke all on all %s in schema mesh_data from %s', k, string_agg(quote_ident(r.rolname), ', '))
         from pg_catalog.pg_roles r, unnest(array['tables', 'sequences']) k
         where r.rolname in ('mesh_definer', 'mesh_agent', 'mesh_relay', 'mesh_worker', 'mesh_admin')
           and to_regnamespace('mesh_data') is not null
         group by k",
    )
    .await?;
    transaction.batch_execute(&drops.join(";\n")).await
}

async fn objects(
    transaction: &Transaction<'_>,
    keep: &HashSet<String>,
) -> Result<Vec<Object>, Error> {
    let rows = transaction
        .query(
            "with code as (select oid, nspname from pg_catalog.pg_namespace where nspname in ('mesh', 'mesh_lib'))
             select 'pg_proc'::regclass::oid, p.oid, 'routine', p.oid::regprocedure::text, n.nspname || '.' || p.proname
             from pg_catalog.pg_proc p join code n on n.oid = p.pronamespace
             union all
             select 'pg_class'::regclass, c.oid, case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'type' end,
               c.oid::regclass::text, n.nspname || '.' || c.relname
             from pg_catalog.pg_class c join code n on n.oid = c.relnamespace where c.relkind in ('v', 'm', 'c')
             union all
             select 'pg_type'::regclass, t.oid, 'type', t.oid::regtype::text, n.nspname || '.' || t.typname
             from pg_catalog.pg_type t join code n on n.oid = t.typnamespace where t.typtype in ('d', 'e', 'r')",
            &[],
        )
        .await?;
    let all = rows
        .iter()
        .filter(|row| !keep.contains(&row.get::<_, String>(4)));
    Ok(all
        .map(|row| Object {
            class: row.get(0),
            oid: row.get(1),
            kind: row.get(2),
            name: row.get(3),
        })
        .collect())
}

/// Who uses whom, as (user, used): parts such as a view's rule, a row type or a domain's check stand for their whole.
async fn uses(transaction: &Transaction<'_>) -> Result<Vec<((u32, u32), (u32, u32))>, Error> {
    let rows = transaction
        .query(
            "with part as (
               select 'pg_rewrite'::regclass::oid as class, r.oid, 'pg_class'::regclass::oid as whole_class, r.ev_class as whole
               from pg_catalog.pg_rewrite r
               union all
               select 'pg_type'::regclass, t.oid, 'pg_class'::regclass, t.typrelid from pg_catalog.pg_type t where t.typrelid <> 0
               union all
               select 'pg_type'::regclass, t.typarray, 'pg_type'::regclass, t.oid from pg_catalog.pg_type t where t.typarray <> 0 and t.typrelid = 0
               union all
               select 'pg_type'::regclass, t.typarray, 'pg_class'::regclass, t.typrelid from pg_catalog.pg_type t where t.typarray <> 0 and t.typrelid <> 0
               union all
               select 'pg_constraint'::regclass, c.oid, 'pg_type'::regclass, c.contypid from pg_catalog.pg_constraint c where c.contypid <> 0
             )
             select distinct coalesce(a.whole_class, d.classid), coalesce(a.whole, d.objid),
               coalesce(b.whole_class, d.refclassid), coalesce(b.whole, d.refobjid)
             from pg_catalog.pg_depend d
             left join part a on (a.class, a.oid) = (d.classid, d.objid)
             left join part b on (b.class, b.oid) = (d.refclassid, d.refobjid)
             where d.refobjid >= 16384",
            &[],
        )
        .await?;
    let all = rows
        .iter()
        .map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3))));
    Ok(all.filter(|(user, used)| user != used).collect())
}

async fn texts(transaction: &Transaction<'_>, query: &str) -> Result<Vec<String>, Error> {
    Ok(transaction
        .query(query, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}
