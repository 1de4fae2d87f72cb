//! The local account of the first `mesh up`.

use crate::crypto::Secret;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::keystore;
use crate::postgres::error::of_query;
use crate::postgres::platform;
use tokio_postgres::Client;

/// This machine's account at the relay `url`: the one it has, the same one known under another local address (with a
/// private database), or a new one named after the user. `client` may act as mesh_admin.
/// Ok(None) never happens for a fresh database. Errors: ME409 when the name is taken and the key is not here.
pub async fn ensure(
    home: &Home,
    client: &Client,
    url: &str,
    private: bool,
) -> Result<Option<String>> {
    let accounts: Vec<_> = home
        .config()?
        .credentials
        .into_iter()
        .filter(|c| c.kind == "account")
        .collect();
    if let Some(known) = accounts
        .iter()
        .find(|c| c.relay.trim_end_matches('/') == url)
    {
        return Ok(known.account.clone());
    }
    for other in accounts.iter().filter(|c| private && is_local(&c.relay)) {
        if let Ok(Some(key)) = stored_key(home, &other.id).await
            && let Ok(account) = crate::cli::login::login(home, url, key).await
        {
            return Ok(Some(account));
        }
    }
    let name = account_name(&owner());
    let ticket = create(client, &name)
        .await
        .map_err(|error| match error.status() {
            409 => Error::new(
                409,
                format!("the account {name} exists already, and this machine has no key for it"),
            )
            .hint(format!(
                "mesh psql -c \"select mesh.create_account('{name}-2')\""
            )),
            _ => error,
        })?;
    crate::cli::login::login(home, url, ticket).await.map(Some)
}

/// Makes an account and gives its one-time key.
async fn create(client: &Client, name: &str) -> Result<Secret> {
    client
        .batch_execute("set role mesh_admin")
        .await
        .map_err(|e| of_query(&e))?;
    let made = client
        .query_one("select mesh.create_account($1::text)::text", &[&name])
        .await;
    client
        .batch_execute("reset role")
        .await
        .map_err(|e| of_query(&e))?;
    let text: String = made.map_err(|e| of_query(&e))?.get(0);
    let ticket = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .find(|word| word.starts_with("mc_"));
    Secret::parse(ticket.ok_or_else(|| Error::internal("create_account gave no key"))?)
}

async fn stored_key(home: &Home, id: &str) -> Result<Option<Secret>> {
    let Some(value) = keystore::get(home, id).await? else {
        return Ok(None);
    };
    let value: serde_json::Value =
        serde_json::from_str(&value).map_err(|e| Error::internal(e.to_string()))?;
    value["key"].as_str().map(Secret::parse).transpose()
}

fn is_local(relay: &str) -> bool {
    let host = relay.split("://").nth(1).unwrap_or_default();
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

/// The person: who called sudo, or the user.
fn owner() -> String {
    let user = platform::user_name();
    if user == "root" {
        std::env::var("SUDO_USER").unwrap_or(user)
    } else {
        user
    }
}

/// A valid account name as near to `user` as can be.
fn account_name(user: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = user.chars().map(plain).collect();
    let name: String = name
        .trim_start_matches(['.', '_', '-'])
        .chars()
        .take(63)
        .collect();
    let hex = name.len() >= 8 && name.chars().all(|c| c.is_ascii_hexdigit());
    if name.is_empty() || name == "all" || hex {
        "me".into()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_become_account_names() {
        for (user, name) in [
            ("alice", "alice"),
            ("Alice Müller", "alice-m-ller"),
            ("DOMAIN\\bob", "domain-bob"),
            ("_svc", "svc"),
            ("deadbeef", "me"),
            ("all", "me"),
            ("", "me"),
        ] {
            assert_eq!(account_name(user), name, "{user}");
        }
        assert_eq!(account_name(&"x".repeat(80)).len(), 63);
    }
}
